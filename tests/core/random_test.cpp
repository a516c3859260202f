// Laws of the counter-based generator: published known answers, slices, the distributions (bounds
// of five standard errors, keys fixed), and the accuracy of the pieces of Box-Muller.
#include <dualtape/core/random.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <set>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include <dualtape/core/error.hpp>
#include <dualtape/core/random/box_muller.hpp>
#include <dualtape/core/random/draws.hpp>

using namespace dualtape;

namespace {

using Words = std::array<std::uint32_t, 4>;
constexpr std::size_t many = std::size_t{1} << 20;

enum class Kind { uniform, normal, rademacher };

template <class Real>
std::vector<Real> draw(Kind kind, Key key, std::size_t n, std::uint64_t first = 0) {
  std::vector<Real> x(n);
  const std::span<Real> out(x);
  if (kind == Kind::uniform) fill_uniform(out, key, first);
  if (kind == Kind::normal) fill_normal(out, key, first);
  if (kind == Kind::rademacher) fill_rademacher(out, key, first);
  return x;
}

struct Moments {
  double mean = 0, variance = 0, skew = 0, kurtosis = 0;
};

template <class Real>
Moments moments_of(const std::vector<Real>& x) {
  const auto n = static_cast<double>(x.size());
  Moments m;
  for (const Real v : x) m.mean += static_cast<double>(v) / n;
  double third = 0;
  double fourth = 0;
  for (const Real v : x) {
    const double d = static_cast<double>(v) - m.mean;
    m.variance += d * d / n;
    third += d * d * d / n;
    fourth += d * d * d * d / n;
  }
  m.skew = third / std::pow(m.variance, 1.5);
  m.kurtosis = fourth / (m.variance * m.variance);
  return m;
}

// Kolmogorov-Smirnov distance times sqrt(n); above 2.2 with probability 1.3e-4 if the law is right.
template <class Real, class Cdf>
double kolmogorov(std::vector<Real> x, Cdf cdf) {
  std::sort(x.begin(), x.end());
  const auto n = static_cast<double>(x.size());
  double distance = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double p = cdf(static_cast<double>(x[i]));
    const auto rank = static_cast<double>(i);
    distance = std::max({distance, p - rank / n, (rank + 1) / n - p});
  }
  return distance * std::sqrt(n);
}

// Correlation, in standard errors, of two centred sequences of unit variance.
template <class A, class B>
double correlation(std::span<const A> a, std::span<const B> b) {
  const std::size_t n = std::min(a.size(), b.size());
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum / std::sqrt(static_cast<double>(n));
}

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }

// The four words behind group `group`, lane `lane` of a stream, from the public scalar generator.
Words words_at(Key key, std::uint32_t stream, std::uint64_t group, std::uint64_t lane) {
  const std::uint64_t counter = group * 16 + lane;
  return philox4x32(
      {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), stream, 0},
      {static_cast<std::uint32_t>(key.value()), static_cast<std::uint32_t>(key.value() >> 32)});
}

// The top 27 and 26 bits of two words, read as a 53-bit fraction.
double double_of(std::uint32_t high, std::uint32_t low) {
  const std::uint64_t bits = std::uint64_t{high >> 5} << 26 | low >> 6;
  return static_cast<double>(bits) * 0x1p-53;
}

}  // namespace

TEST_CASE("philox4x32 gives the known answers of Random123") {
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32({~0U, ~0U, ~0U, ~0U}, {~0U, ~0U}) ==
        Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE_TEMPLATE("a slice of a stream equals the same part of the whole", Real, float, double) {
  const Key key(0x123456789ABCDEFULL);
  for (const Kind kind : {Kind::uniform, Kind::normal, Kind::rademacher}) {
    const auto whole = draw<Real>(kind, key, 9000);
    for (const std::size_t first : {0U, 1U, 15U, 31U, 32U, 63U, 64U, 100U, 2047U, 2048U, 4999U}) {
      for (const std::size_t n : {0U, 1U, 3U, 16U, 31U, 64U, 65U, 200U, 2048U, 4001U}) {
        const auto slice = draw<Real>(kind, key, n, first);
        REQUIRE(std::equal(slice.begin(), slice.end(),
                           whole.begin() + static_cast<std::ptrdiff_t>(first)));
      }
    }
    std::vector<Real> shifted(501);  // a destination off every SIMD alignment
    const std::span<Real> out = std::span<Real>(shifted).subspan(1);
    if (kind == Kind::uniform) fill_uniform(out, key);
    if (kind == Kind::normal) fill_normal(out, key);
    if (kind == Kind::rademacher) fill_rademacher(out, key);
    CHECK(std::equal(out.begin(), out.end(), whole.begin()));
    CHECK(shifted[0] == Real{0});
  }
}

TEST_CASE_TEMPLATE("stretched slices, drawn tile by tile, equal the same part of the whole", Real,
                   float, double) {
  const Key key(4711);
  constexpr std::size_t tile = 2048;
  static_assert(tile % detail::draw_group<Real> == 0 && tile % detail::sign_group == 0);
  std::vector<Real> uniforms(5 * tile - 3);
  std::vector<Real> normals(uniforms.size());
  fill_uniform(std::span<Real>(uniforms), key, -2.0, 3.0);
  fill_normal(std::span<Real>(normals), key, 5.0, 0.25);
  CHECK(normals != uniforms);
  for (std::size_t first = 0; first < uniforms.size(); first += tile) {
    std::vector<Real> part(std::min(tile, uniforms.size() - first));
    const auto at = static_cast<std::ptrdiff_t>(first);
    fill_uniform(std::span<Real>(part), key, -2.0, 3.0, first);
    CHECK(std::equal(part.begin(), part.end(), uniforms.begin() + at));
    fill_normal(std::span<Real>(part), key, 5.0, 0.25, first);
    CHECK(std::equal(part.begin(), part.end(), normals.begin() + at));
  }
}

TEST_CASE("the SIMD groups hold the blocks of the scalar generator, past 2^32 blocks too") {
  const Key key(99);
  for (const std::uint64_t start : {std::uint64_t{0}, (std::uint64_t{1} << 28) - 2}) {
    const auto f = draw<float>(Kind::uniform, key, 4 * 64, start * 64);
    const auto d = draw<double>(Kind::uniform, key, 4 * 32, start * 32);
    const auto s = draw<float>(Kind::rademacher, key, 4 * 2048, start * 2048);
    for (std::size_t g = 0; g < 4; ++g) {
      for (std::size_t lane = 0; lane < 16; ++lane) {
        const Words a = words_at(key, 1, start + g, lane);
        const Words b = words_at(key, 17, start + g, lane);
        const Words c = words_at(key, 3, start + g, lane);
        for (std::size_t w = 0; w < 4; ++w) {
          REQUIRE(f[g * 64 + w * 16 + lane] == static_cast<float>(a[w] >> 8) * 0x1p-24F);
          for (std::size_t k = 0; k < 32; ++k) {
            const float sign = ((c[w] >> (31 - k)) & 1U) != 0 ? -1.0F : 1.0F;
            REQUIRE(s[g * 2048 + (w * 32 + k) * 16 + lane] == sign);
          }
        }
        REQUIRE(d[g * 32 + lane] == double_of(b[0], b[1]));
        REQUIRE(d[g * 32 + 16 + lane] == double_of(b[2], b[3]));
      }
    }
  }
}

TEST_CASE("normals are Box-Muller with the standard library's functions, up to rounding") {
  const Key key(5);
  const auto d = draw<double>(Kind::normal, key, 64 * 32);
  const auto f = draw<float>(Kind::normal, key, 64 * 64);
  double worst_double = 0;
  double worst_float = 0;
  for (std::size_t g = 0; g < 64; ++g) {
    for (std::size_t lane = 0; lane < 16; ++lane) {
      const Words b = words_at(key, 18, g, lane);
      const double r = std::sqrt(-2.0 * std::log(double_of(b[0], b[1]) + 0x1p-54));
      const double angle = 2.0 * std::numbers::pi * (b[2] * 0x1p-32 + b[3] * 0x1p-64);
      worst_double = std::max({worst_double, std::abs(d[g * 32 + lane] - r * std::cos(angle)),
                               std::abs(d[g * 32 + 16 + lane] - r * std::sin(angle))});
      const Words w = words_at(key, 2, g, lane);
      for (std::size_t pair = 0; pair < 2; ++pair) {
        const double u = ((w[2 * pair] >> 1) + 0.5) * 0x1p-31;
        const double radius = std::sqrt(-2.0 * std::log(u));
        const double turn = 2.0 * std::numbers::pi * (w[2 * pair + 1] * 0x1p-32);
        const std::size_t at = g * 64 + pair * 16 + lane;
        // Near u = 1 a float u has a grid of 2^-24, which moves r by about that over r.
        const double allowed = 1.0 + 1.0 / radius;
        worst_float = std::max({worst_float, std::abs(f[at] - radius * std::cos(turn)) / allowed,
                                std::abs(f[at + 32] - radius * std::sin(turn)) / allowed});
      }
    }
  }
  CHECK(worst_double < 1e-14);
  CHECK(worst_float < 1e-6);
}

TEST_CASE("log, sine and cosine in float are within a few units in the last place") {
  constexpr double ulp = 0x1p-24;  // half the spacing of floats at 1
  double worst_log = 0;
  double worst_turn = 0;
  for (std::uint64_t i = 0; i < 400000; ++i) {
    const auto bits = static_cast<std::uint32_t>(i * 2654435761U);
    // Over all of (0, 1], and crowded against both of its ends.
    for (const std::uint32_t part : {bits, bits >> (i % 32), ~(bits >> (i % 32))}) {
      const float u = detail::positive_unit_f32(part);
      REQUIRE(u > 0.0F);
      REQUIRE(u <= 1.0F);
      const double exact = std::log(static_cast<double>(u));
      if (u == 1.0F) {
        REQUIRE(detail::log_f32(u) == 0.0F);
      } else {
        worst_log = std::max(worst_log, std::abs((detail::log_f32(u) - exact) / exact));
      }
    }
    const double angle = 2.0 * std::numbers::pi * bits * 0x1p-32;
    const auto turn = detail::sincos_turn_f32(bits);
    worst_turn = std::max(
        {worst_turn, std::abs(turn.sin - std::sin(angle)), std::abs(turn.cos - std::cos(angle))});
  }
  CHECK(worst_log < 4 * ulp);
  CHECK(worst_turn < 2 * ulp);
  CHECK(detail::sincos_turn_f32(0).sin == 0.0F);
  CHECK(detail::sincos_turn_f32(0x40000000U).sin == 1.0F);
  CHECK(detail::sincos_turn_f32(0x80000000U).cos == -1.0F);
  CHECK(detail::sincos_turn_f32(0xC0000000U).sin == -1.0F);
}

TEST_CASE("log, sine and cosine in double are accurate to 1e-15") {
  double worst_log = 0;
  double worst_turn = 0;
  for (std::uint64_t i = 1; i < 400000; ++i) {
    const std::uint64_t bits = i * 0x9E3779B97F4A7C15ULL;
    for (const std::uint64_t part : {bits, bits >> (i % 64), ~(bits >> (i % 64))}) {
      const double u = detail::positive_unit_f64(static_cast<std::uint32_t>(part >> 32),
                                                 static_cast<std::uint32_t>(part));
      const double exact = std::log(u);
      if (u == 1.0) {
        REQUIRE(detail::log_f64(u) == 0.0);
      } else {
        worst_log = std::max(worst_log, std::abs((detail::log_f64(u) - exact) / exact));
      }
    }
    // The angle in [-pi, pi): there its own rounding stays below 4e-16.
    const double angle =
        std::numbers::pi * static_cast<double>(std::bit_cast<std::int64_t>(bits)) * 0x1p-63;
    const auto turn = detail::sincos_turn_f64(static_cast<std::uint32_t>(bits >> 32),
                                              static_cast<std::uint32_t>(bits));
    worst_turn = std::max(
        {worst_turn, std::abs(turn.sin - std::sin(angle)), std::abs(turn.cos - std::cos(angle))});
  }
  CHECK(worst_log < 1e-15);
  CHECK(worst_turn < 1e-15);
}

TEST_CASE_TEMPLATE("uniform numbers are uniform on [0, 1)", Real, float, double) {
  const auto x = draw<Real>(Kind::uniform, Key(11), many);
  CHECK(*std::min_element(x.begin(), x.end()) >= Real{0});
  CHECK(*std::max_element(x.begin(), x.end()) < Real{1});
  const Moments m = moments_of(x);
  const double root = std::sqrt(static_cast<double>(many));
  CHECK(std::abs(m.mean - 0.5) < 5 * std::sqrt(1.0 / 12) / root);
  CHECK(std::abs(m.variance - 1.0 / 12) < 5 * std::sqrt(1.0 / 180) / root);
  CHECK(kolmogorov(x, [](double u) { return u; }) < 2.2);
}

TEST_CASE("all bits set stay below 1 and all bits clear stay above 0") {
  CHECK(detail::unit_f32(~0U) < 1.0F);
  CHECK(detail::unit_f64(~0U, ~0U) < 1.0);
  CHECK(detail::unit_f32(0) == 0.0F);
  CHECK(detail::positive_unit_f32(0) > 0.0F);
  CHECK(detail::positive_unit_f64(0, 0) > 0.0);
}

TEST_CASE_TEMPLATE("normals have the moments and the law of the normal distribution", Real, float,
                   double) {
  const auto x = draw<Real>(Kind::normal, Key(2024), many);
  const Moments m = moments_of(x);
  const double root = std::sqrt(static_cast<double>(many));
  CHECK(std::abs(m.mean) < 5 / root);
  CHECK(std::abs(m.variance - 1) < 5 * std::sqrt(2.0) / root);
  CHECK(std::abs(m.skew) < 5 * std::sqrt(6.0) / root);
  CHECK(std::abs(m.kurtosis - 3) < 5 * std::sqrt(24.0) / root);
  CHECK(kolmogorov(x, normal_cdf) < 2.2);
  // 6.3e-5 of the mass lies beyond 4: 66.4 draws expected, Poisson.
  const auto far = std::count_if(x.begin(), x.end(), [](Real v) { return std::abs(v) > Real{4}; });
  CHECK(std::abs(static_cast<double>(far) - 66.4) < 5 * std::sqrt(66.4));
  // Neighbours, lanes and the two numbers of one Box-Muller pair are uncorrelated, as are squares.
  for (const std::size_t lag : {1U, 16U, 32U, 48U, 64U, 2048U}) {
    const std::span<const Real> all(x);
    CHECK(std::abs(correlation(all, all.subspan(lag))) < 5);
    std::vector<double> squares;
    for (const Real v : x) squares.push_back((double{v} * double{v} - 1) / std::sqrt(2.0));
    const std::span<const double> both(squares);
    CHECK(std::abs(correlation(both, both.subspan(lag))) < 5);
  }
}

TEST_CASE_TEMPLATE("Rademacher numbers are -1 or +1, evenly and independently", Real, float,
                   double) {
  const auto x = draw<Real>(Kind::rademacher, Key(3), many);
  CHECK(std::all_of(x.begin(), x.end(), [](Real v) { return std::abs(v) == Real{1}; }));
  CHECK(std::abs(moments_of(x).mean) < 5 / std::sqrt(static_cast<double>(many)));
  for (const std::size_t lag : {1U, 16U, 512U, 2048U}) {
    const std::span<const Real> all(x);
    CHECK(std::abs(correlation(all, all.subspan(lag))) < 5);
  }
}

TEST_CASE("other keys, distributions and dtypes are other, uncorrelated streams") {
  const Key key(42);
  constexpr std::size_t n = 1U << 17;
  const auto a = draw<float>(Kind::normal, key, n);
  const auto as = std::span<const float>(a);
  for (const Key other : {Key(43), key.fold(0), key.fold(1), key.fold("weights")}) {
    const auto b = draw<float>(Kind::normal, other, n);
    CHECK(a != b);
    CHECK(std::abs(correlation(as, std::span<const float>(b))) < 5);
  }
  const auto d = draw<double>(Kind::normal, key, n);
  const auto r = draw<float>(Kind::rademacher, key, n);
  const auto rd = draw<double>(Kind::rademacher, key, n);
  CHECK(std::abs(correlation(as, std::span<const double>(d))) < 5);
  CHECK(std::abs(correlation(as, std::span<const float>(r))) < 5);
  CHECK(std::abs(correlation(std::span<const float>(r), std::span<const double>(rd))) < 5);
}

TEST_CASE("folding gives distinct keys, by number and by name") {
  std::set<std::uint64_t> seen;
  std::size_t made = 0;
  const auto add = [&](Key key) {
    seen.insert(key.value());
    ++made;
  };
  for (const std::uint64_t seed : {0ULL, 1ULL, 1ULL << 32}) {
    const Key key(seed);
    add(key);
    for (std::uint64_t n = 0; n < 1000; ++n) {
      add(key.fold(n));
      add(key.fold(n).fold(n));
      add(key.fold(n << 32 | 1U << 31));
      add(key.fold("layer" + std::to_string(n) + ".weight"));
    }
    for (const std::string& name :
         {std::string(), std::string("a"), std::string("a\0", 2), std::string("b"),
          std::string("ab"), std::string("ba"), std::string(8, 'x'), std::string(16, 'x')}) {
      add(key.fold(name));
    }
  }
  CHECK(seen.size() == made);
  CHECK(Key(1).fold(2).fold(3) != Key(1).fold(3).fold(2));
  CHECK(Key(1).fold("x") == Key(1).fold("x"));

  // Neighbouring numbers give keys that differ in half of their bits: binomial, 64 * 1000 bits.
  int changed = 0;
  for (std::uint64_t n = 0; n < 1000; ++n) {
    changed += std::popcount(Key(1).fold(n).value() ^ Key(1).fold(n + 1).value());
  }
  CHECK(std::abs(changed - 32000) < 5 * 127);
}

TEST_CASE("keys travel through tensors bit by bit") {
  for (const std::uint64_t bits : {0ULL, 1ULL, 1ULL << 63, ~0ULL, (1ULL << 53) + 1}) {
    const Tensor t = Key(bits).to_tensor();
    CHECK(t.dtype() == int64);
    CHECK(t.shape() == Shape{});
    CHECK(Key::from_tensor(t) == Key(bits));
  }
  CHECK_THROWS_AS(Key::from_tensor(Tensor(1.0)), TypeError);
  CHECK_THROWS_AS(Key::from_tensor(Tensor::of({1})), ShapeError);
}

TEST_CASE("tensors of random numbers") {
  const Key key(8);
  const Tensor n = normal(key, {3, 5});
  CHECK(n.type() == Type{{3, 5}, float32});
  const auto same = draw<float>(Kind::normal, key, 15);
  CHECK(std::equal(same.begin(), same.end(), n.data<float>().begin()));
  CHECK(uniform(key, {0, 4}).count() == 0);
  CHECK(rademacher(key, {}).count() == 1);
  CHECK(rademacher(key, {2}, float64).dtype() == float64);

  const auto count = static_cast<std::int64_t>(many);
  const double root = std::sqrt(static_cast<double>(many));
  const Tensor shifted = normal(key, {count}, 3.0, 2.0, float64);
  const auto values = shifted.data<double>();
  const Moments m = moments_of(std::vector<double>(values.begin(), values.end()));
  CHECK(std::abs(m.mean - 3) < 5 * 2 / root);
  CHECK(std::abs(m.variance - 4) < 5 * 4 * std::sqrt(2.0) / root);

  const Tensor wide = uniform(key, {count}, -2.0, 6.0);
  const auto spread = wide.data<float>();
  const Moments w = moments_of(std::vector<float>(spread.begin(), spread.end()));
  CHECK(std::abs(w.mean - 2) < 5 * 8 * std::sqrt(1.0 / 12) / root);
  CHECK(std::all_of(spread.begin(), spread.end(), [](float x) { return x >= -2 && x < 6; }));

  // Between neighbouring floats only the lower one is left: rounding must not reach the upper.
  const float above = std::nextafter(1.0F, 2.0F);
  const Tensor narrow = uniform(key, {1000}, 1.0, double{above});
  const auto ones_only = narrow.data<float>();
  CHECK(std::all_of(ones_only.begin(), ones_only.end(), [](float x) { return x == 1.0F; }));
  CHECK(uniform(key, {1}, 4.0, 4.0).item() == 4.0);
}

TEST_CASE("impossible requests are refused") {
  const Key key(8);
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS(normal(key, {2}, 0, 1, int32), TypeError);
  CHECK_THROWS_AS(uniform(key, {2}, 0, 1, boolean), TypeError);
  CHECK_THROWS_AS(rademacher(key, {2}, int64), TypeError);
  CHECK_THROWS_AS(uniform(key, {2}, 1, 0), ValueError);
  CHECK_THROWS_AS(uniform(key, {2}, 0, infinity), ValueError);
  CHECK_THROWS_AS(uniform(key, {2}, std::nan(""), 1), ValueError);
  CHECK_THROWS_AS(uniform(key, {2}, 0, 1e39), ValueError);  // beyond float32
  CHECK_NOTHROW(uniform(key, {2}, 0, 1e39, float64));
  CHECK_THROWS_AS(normal(key, {2}, 0, -1), ValueError);
  CHECK_THROWS_AS(normal(key, {2}, infinity, 1), ValueError);
  CHECK_THROWS_AS(permutation(key, -1), ValueError);
  CHECK_THROWS_AS(permutation(key, std::numeric_limits<std::int64_t>::max()), MemoryError);
}

TEST_CASE("permutations hold every number once, in every order equally often") {
  for (const std::int64_t n : {0, 1, 2, 3, 100, 5000}) {
    auto order = permutation(Key(6), n);
    CHECK(order == permutation(Key(6), n));
    if (n >= 100) CHECK(order != permutation(Key(7), n));
    std::sort(order.begin(), order.end());
    REQUIRE(order.size() == static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < order.size(); ++i) {
      REQUIRE(order[i] == static_cast<std::int64_t>(i));
    }
  }
  std::array<double, 6> seen{};
  constexpr int rounds = 60000;
  for (int i = 0; i < rounds; ++i) {
    const auto p = permutation(Key(1).fold(static_cast<std::uint64_t>(i)), 3);
    seen[static_cast<std::size_t>(2 * p[0] + (p[1] > p[2] ? 1 : 0))] += 1;
  }
  double chi_square = 0;
  for (const double count : seen) chi_square += (count - rounds / 6.0) * (count - rounds / 6.0);
  chi_square /= rounds / 6.0;
  CHECK(chi_square < 25.7);  // five degrees of freedom: exceeded with probability 1e-4
}
