// Every function of Lane<float> and Lane<double> against libm, on wide ranges and special values.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numbers>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include <dualtape/core/machine/int_lane.hpp>

using dualtape::detail::Lane;
using dualtape::detail::LaneMask;
using dualtape::detail::LaneMemory;

namespace {

template <class T>
using Limits = std::numeric_limits<T>;

// The next higher precision, so that a float result is held against a practically exact one.
template <class T>
using Wide = std::conditional_t<std::is_same_v<T, float>, double, long double>;

// Distance in units of the last place of `right` rounded to T; 0 for equal infinities, NaN against
// NaN, and results that both flush below the normal range.
template <class T>
double ulps(T got, Wide<T> right) {
  if (std::isnan(right)) return std::isnan(got) ? 0.0 : 1e30;
  if (std::isnan(got)) return 1e30;
  const T rounded = static_cast<T>(right);
  if (std::isinf(rounded) || std::isinf(got)) {
    if (rounded == got) return 0.0;
    return 1e30;
  }
  int exponent = 0;
  std::frexp(rounded, &exponent);
  const int lowest = Limits<T>::min_exponent;
  const Wide<T> ulp = std::ldexp(Wide<T>(1), std::max(exponent, lowest) - Limits<T>::digits);
  return static_cast<double>(std::abs(static_cast<Wide<T>>(got) - right) / ulp);
}

template <class T>
std::vector<T> specials() {
  const T inf = Limits<T>::infinity();
  std::vector<T> values{0,
                        inf,
                        Limits<T>::quiet_NaN(),
                        Limits<T>::max(),
                        Limits<T>::min(),
                        Limits<T>::denorm_min(),
                        Limits<T>::epsilon(),
                        1,
                        2,
                        T(0.5),
                        T(1.5),
                        T(2.5),
                        T(0.1),
                        T(88.4),
                        T(88.72),
                        T(88.8),
                        T(709.5),
                        T(709.78),
                        T(709.9),
                        T(103),
                        T(745),
                        T(1e6),
                        T(1e7),
                        T(1e15),
                        T(1e30),
                        T(3.14159274101257324)};
  const std::size_t half = values.size();
  for (std::size_t i = 0; i < half; ++i) values.push_back(-values[i]);
  return values;
}

// Uniform in [low, high] and, with both signs, log-uniform in size.
template <class T>
std::vector<T> samples(double low, double high) {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> flat(low, high);
  std::uniform_real_distribution<double> magnitude(std::is_same_v<T, float> ? -44.0 : -320.0,
                                                   std::log10(std::max(-low, high)));
  std::vector<T> values;
  for (int i = 0; i < 40000; ++i) {
    values.push_back(static_cast<T>(flat(random)));
    const double small = std::pow(10.0, magnitude(random));
    if (small <= high) values.push_back(static_cast<T>(small));
    if (-small >= low) values.push_back(static_cast<T>(-small));
  }
  return values;
}

template <class T, class F>
std::vector<T> apply(const std::vector<T>& xs, F f) {
  constexpr std::size_t width = Lane<T>::width;
  std::vector<T> padded = xs;
  padded.resize((xs.size() + width - 1) / width * width, T(1));
  for (std::size_t i = 0; i < padded.size(); i += width) {
    f(Lane<T>::load(&padded[i])).store(&padded[i]);
  }
  padded.resize(xs.size());
  return padded;
}

template <class T, class F, class R>
void check(const std::string& name, F f, R right, double bound, std::vector<T> xs) {
  for (const T x : specials<T>()) xs.push_back(x);
  const std::vector<T> got = apply<T>(xs, f);
  double worst = 0;
  T at = 0;
  T seen = 0;
  for (std::size_t i = 0; i < xs.size(); ++i) {
    const double off = ulps<T>(got[i], right(static_cast<Wide<T>>(xs[i])));
    const bool zero_sign_lost =
        got[i] == 0 && xs[i] == 0 && std::signbit(got[i]) != std::signbit(right(Wide<T>(xs[i])));
    if (off > worst || zero_sign_lost) {
      worst = zero_sign_lost ? 1e31 : off;
      at = xs[i];
      seen = got[i];
    }
  }
  CAPTURE(name);
  CAPTURE(sizeof(T));
  CAPTURE(at);
  CAPTURE(seen);
  CHECK(worst <= bound);
}

// The neighbours of an element must not change its bits: each element alone (the lane filled with
// it), and among others that take the slow paths, gives the same.
template <class T, class F>
void check_independent(const std::string& name, F f, const std::vector<T>& xs) {
  constexpr std::size_t width = Lane<T>::width;
  const std::vector<T> disturbers{
      Limits<T>::quiet_NaN(), Limits<T>::infinity(), T(1e20), T(0.01), T(88.5), T(2), T(-1e-30)};
  for (std::size_t i = 0; i < 3000 && i < xs.size(); ++i) {
    const std::vector<T> alone = apply<T>(std::vector<T>(width, xs[i]), f);
    for (const T disturber : disturbers) {
      std::vector<T> mixed(width, disturber);
      const std::size_t place = i % width;
      mixed[place] = xs[i];
      const std::vector<T> got = apply<T>(mixed, f);
      const bool same = std::memcmp(&got[place], &alone[0], sizeof(T)) == 0 ||
                        (std::isnan(got[place]) && std::isnan(alone[0]));
      if (!same) {
        CAPTURE(name);
        CAPTURE(xs[i]);
        CAPTURE(disturber);
        CHECK(got[place] == alone[0]);
        return;
      }
    }
  }
}

}  // namespace

#define DUALTAPE_CHECK_UNARY(NAME, LOW, HIGH, BOUND)                  \
  {                                                                   \
    const auto xs = samples<T>(LOW, HIGH);                            \
    const auto f = [](auto x) { return NAME(x); };                    \
    check<T>(                                                         \
        #NAME, f, [](Wide<T> x) { return std::NAME(x); }, BOUND, xs); \
    check_independent<T>(#NAME, f, xs);                               \
  }

TEST_CASE_TEMPLATE("lane functions agree with libm", T, float, double) {
  const bool single = std::is_same_v<T, float>;
  const double top = single ? 88.7 : 709.7;
  DUALTAPE_CHECK_UNARY(exp, -top - 40, top + 5, 2.0)
  DUALTAPE_CHECK_UNARY(expm1, -50, top + 5, 2.5)
  DUALTAPE_CHECK_UNARY(log, -10, 1e30, 1.5)
  DUALTAPE_CHECK_UNARY(log1p, -1.5, 1e30, 1.5)
  DUALTAPE_CHECK_UNARY(sin, -50, 50, 2.5)
  DUALTAPE_CHECK_UNARY(sin, -1e7, 1e7, 2.5)
  DUALTAPE_CHECK_UNARY(cos, -50, 50, 2.5)
  DUALTAPE_CHECK_UNARY(cos, -1e7, 1e7, 2.5)
  DUALTAPE_CHECK_UNARY(tan, -50, 50, 4.0)
  DUALTAPE_CHECK_UNARY(tan, -1e7, 1e7, 4.0)
  DUALTAPE_CHECK_UNARY(asin, -1.5, 1.5, 1.5)
  DUALTAPE_CHECK_UNARY(acos, -1.5, 1.5, 1.5)
  DUALTAPE_CHECK_UNARY(atan, -1e6, 1e6, 1.5)
  DUALTAPE_CHECK_UNARY(sinh, -top - 5, top + 5, 2.5)
  DUALTAPE_CHECK_UNARY(cosh, -top - 5, top + 5, 2.5)
  DUALTAPE_CHECK_UNARY(tanh, -30, 30, 3.0)
  DUALTAPE_CHECK_UNARY(asinh, -1e6, 1e6, 2.0)
  DUALTAPE_CHECK_UNARY(acosh, 0.5, 1e6, 2.5)
  DUALTAPE_CHECK_UNARY(atanh, -1.5, 1.5, 2.5)
  DUALTAPE_CHECK_UNARY(erf, -8, 8, 3.0)
  DUALTAPE_CHECK_UNARY(erfc, -8, (single ? 9.3 : 26), 4.0)
  const auto distribution = samples<T>(single ? -13 : -37, 8);
  const auto lanes = [](auto x) { return normal_cdf(x); };
  const auto cdf = [](Wide<T> x) { return std::erfc(-x / std::numbers::sqrt2_v<Wide<T>>) / 2; };
  check<T>("normal_cdf", lanes, cdf, 5.0, distribution);
  check_independent<T>("normal_cdf", lanes, distribution);
  DUALTAPE_CHECK_UNARY(sqrt, -1, 1e30, 0.5001)
  DUALTAPE_CHECK_UNARY(abs, -1e30, 1e30, 0.0)
  DUALTAPE_CHECK_UNARY(floor, -1e9, 1e9, 0.0)
  DUALTAPE_CHECK_UNARY(ceil, -100, 100, 0.0)
  DUALTAPE_CHECK_UNARY(trunc, -100, 100, 0.0)
  check<T>(
      "round", [](auto x) { return round(x); }, [](Wide<T> x) { return std::nearbyint(x); }, 0.0,
      samples<T>(-100, 100));
  std::vector<T> halves;
  for (int i = -20; i <= 20; ++i) halves.push_back(static_cast<T>(i) + T(0.5));
  check<T>(
      "round", [](auto x) { return round(x); }, [](Wide<T> x) { return std::nearbyint(x); }, 0.0,
      halves);
  check<T>(
      "neg", [](auto x) { return -x; }, [](Wide<T> x) { return -x; }, 0.0, halves);
}

TEST_CASE_TEMPLATE("two-operand functions agree with libm", T, float, double) {
  std::vector<T> values = samples<T>(-100, 100);
  values.resize(200);
  for (const T x : specials<T>()) values.push_back(x);
  for (const T x : {T(-3), T(3), T(4), T(-1), T(-0.5)}) values.push_back(x);
  const auto one = [](Lane<T> lane) {
    T all[Lane<T>::width];
    lane.store(all);
    return all[0];
  };
  double worst = 0;
  double worst_angle = 0;
  double worst_length = 0;
  double worst_power = 0;
  std::size_t wrong = 0;
  for (const T a : values) {
    for (const T b : values) {
      const Lane<T> x(static_cast<T>(a));
      const Lane<T> y(static_cast<T>(b));
      worst = std::max(worst, ulps<T>(one(pow(x, y)), std::pow(Wide<T>(a), Wide<T>(b))));
      worst_angle =
          std::max(worst_angle, ulps<T>(one(atan2(x, y)), std::atan2(Wide<T>(a), Wide<T>(b))));
      worst_length =
          std::max(worst_length, ulps<T>(one(hypot(x, y)), std::hypot(Wide<T>(a), Wide<T>(b))));
      worst_power =
          std::max(worst_power, ulps<T>(one(exp_product(x, y)), std::exp(Wide<T>(a) * Wide<T>(b))));
      const bool nan = std::isnan(a) || std::isnan(b);
      const T least = one(minimum(x, y));
      const T most = one(maximum(x, y));
      wrong += nan ? (std::isnan(least) && std::isnan(most) ? 0 : 1)
                   : (least == std::min(a, b) && most == std::max(a, b) ? 0 : 1);
      const auto holds = [&](LaneMask<T> mask, bool right) {
        wrong += one(select(mask, Lane<T>(1), Lane<T>(0))) == T(right ? 1 : 0) ? 0 : 1;
        wrong += one(select(!mask, Lane<T>(1), Lane<T>(0))) == T(right ? 0 : 1) ? 0 : 1;
      };
      holds(x < y, a < b);
      holds(x <= y, a <= b);
      holds(x > y, a > b);
      holds(x >= y, a >= b);
      holds(x == y, a == b);
      holds(x != y, a != b);
      holds(isnan(x) | isnan(y), nan);
      holds(isfinite(x) & isfinite(y), std::isfinite(a) && std::isfinite(b));
    }
  }
  CHECK(worst <= 1.0);
  CHECK(worst_angle <= 1.5);
  CHECK(worst_length <= 1.5);
  CHECK(worst_power <= 3);
  CHECK(wrong == 0);
}

// Python's examples and laws: |mod(a, b)| < |b|, its sign is b's, and a - mod(a, b) is a multiple.
TEST_CASE_TEMPLATE("mod is Python's remainder", T, float, double) {
  const auto of = [](double a, double b) {
    T all[Lane<T>::width];
    mod(Lane<T>(a), Lane<T>(b)).store(all);
    return static_cast<double>(all[0]);
  };
  CHECK(of(7, 3) == 1);
  CHECK(of(-7, 3) == 2);
  CHECK(of(7, -3) == -2);
  CHECK(of(-7, -3) == -1);
  CHECK(of(5.5, 2) == 1.5);
  CHECK(of(3, std::numeric_limits<double>::infinity()) == 3);
  CHECK(std::isnan(of(1, 0)));
  CHECK(std::isnan(of(std::numeric_limits<double>::infinity(), 2)));
  CHECK(std::isnan(of(std::numeric_limits<double>::quiet_NaN(), 2)));
  CHECK(std::signbit(of(6, -3)));
  CHECK(!std::signbit(of(-6, 3)));
  for (const double a : {1e7, -1e7, 123456.75, -0.001953125}) {
    for (const double b : {3.0, -0.375, 1024.0}) {
      const double rest = of(a, b);
      CHECK(std::abs(rest) < std::abs(b));
      CHECK((rest == 0 || (rest < 0) == (b < 0)));
      CHECK(std::fmod(a - rest, b) == 0);
    }
  }
}

TEST_CASE_TEMPLATE("an integer literal is a number like any other", T, float, double) {
  // xsimd has a pow of its own for integer exponents, which must not be picked.
  for (const T x : samples<T>(-50, 50)) {
    const auto same = [&](Lane<T> a, Lane<T> b) {
      T left[Lane<T>::width];
      T right[Lane<T>::width];
      a.store(left);
      b.store(right);
      return std::memcmp(left, right, sizeof(left)) == 0;
    };
    REQUIRE(same(pow(Lane<T>(x), 3), pow(Lane<T>(x), Lane<T>(3))));
    REQUIRE(same(maximum(Lane<T>(x), 0), maximum(Lane<T>(x), T(0))));
  }
}

// A mask is no truth value.
static_assert(!std::is_constructible_v<bool, LaneMask<float>>);
static_assert(!std::is_convertible_v<LaneMask<double>, Lane<double>>);

TEST_CASE_TEMPLATE("masks go to memory and back", T, float, double) {
  using Memory = LaneMemory<T>;
  for (unsigned pattern = 0; pattern < 256; pattern += 7) {
    std::vector<std::uint8_t> bytes(Memory::width);
    std::vector<T> wide(Memory::width);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::uint8_t>((pattern >> (i % 8)) & 1U);
    }
    Memory::store_mask(Memory::load_bytes(bytes.data()), wide.data());
    std::vector<std::uint8_t> back(Memory::width, 9);
    Memory::store_bytes(Memory::load_mask(wide.data()), back.data());
    CHECK(back == bytes);
  }
}

TEST_CASE_TEMPLATE("integer lanes wrap and never trap", T, std::int32_t, std::int64_t) {
  using L = Lane<T>;
  const T low = std::numeric_limits<T>::min();
  const T high = std::numeric_limits<T>::max();
  const auto one = [](const L& lane) {
    T all[L::width];
    lane.store(all);
    return all[L::width - 1];
  };
  CHECK(one(L(high) + 1) == low);
  CHECK(one(L(low) - 1) == high);
  CHECK(one(-L(low)) == low);
  CHECK(one(abs(L(low))) == low);
  CHECK(one(abs(L(-5))) == 5);
  CHECK(one(L(low) / -1) == low);
  CHECK(one(L(7) / 0) == 0);
  CHECK(one(L(-7) / 2) == -3);
  CHECK(one(mod(L(7), 3)) == 1);
  CHECK(one(mod(L(-7), 3)) == 2);
  CHECK(one(mod(L(7), -3)) == -2);
  CHECK(one(mod(L(-6), 3)) == 0);
  CHECK(one(mod(L(low), -1)) == 0);
  CHECK(one(mod(L(5), 0)) == 0);
  CHECK(one(L(-7) * 6) == -42);
  CHECK(one(minimum(L(-7), 6)) == -7);
  CHECK(one(maximum(L(-7), 6)) == 6);
  CHECK(one(select((L(3) < 4) & !(L(3) > 4), L(1), 2)) == 1);
  CHECK(one(select((L(3) == 4) | (L(3) != 3), L(1), 2)) == 2);
  CHECK(one(L(std::int64_t{1} << 40)) == static_cast<T>(std::int64_t{1} << 40));
}
