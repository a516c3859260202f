// The kernels of every instruction set this processor has: the same bits where that is promised.
#include <dualtape/core/machine/isa.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <dualtape/core/error.hpp>
#include <dualtape/core/random.hpp>
#include <dualtape/core/random/draws.hpp>
#include <dualtape/core/tile/tile.hpp>

using namespace dualtape;
using namespace dualtape::detail;

namespace {

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// f(isa) for each one usable here.
template <class F>
void for_each_isa(F f) {
  for (const Isa isa : usable_isas()) {
    const IsaForTest here(isa);
    CAPTURE(std::string(name_of(isa)));
    f(isa);
  }
}

template <class Real>
std::vector<Real> draws(Key key) {
  constexpr std::size_t n = 5003;
  std::vector<Real> all;
  const auto add = [&](auto fill) {
    std::vector<Real> x(n);
    fill(std::span<Real>(x));
    all.insert(all.end(), x.begin(), x.end());
  };
  add([=](std::span<Real> out) { fill_uniform(out, key, 7); });
  add([=](std::span<Real> out) { fill_normal(out, key, 64); });
  add([=](std::span<Real> out) { fill_rademacher(out, key, 1); });
  add([=](std::span<Real> out) { fill_uniform(out, key, -1.0, 3.0, 5); });
  add([=](std::span<Real> out) { fill_normal(out, key, 2.0, 0.3, 11); });
  return all;
}

// Sums, products and the like are rounded once on every processor. What is made of them by
// polynomials depends on whether there are fused multiply-adds, as beyond the baseline.
bool rounded_once(Prim prim) {
  switch (prim) {
    case Prim::exp:
    case Prim::expm1:
    case Prim::log:
    case Prim::log1p:
    case Prim::sin:
    case Prim::cos:
    case Prim::tan:
    case Prim::tanh:
    case Prim::erf:
    case Prim::erfc:
    case Prim::normal_cdf:
    case Prim::exp_product:
    case Prim::sigmoid: return false;
    default: return true;
  }
}

template <class T>
std::vector<T> operand(std::size_t n, unsigned seed, bool mask) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, 2);
  std::vector<T> values(n);
  constexpr T infinity = std::numeric_limits<T>::infinity();
  const std::vector<T> odd{std::numeric_limits<T>::quiet_NaN(),
                           infinity,
                           -infinity,
                           T(0),
                           T(-0.0),
                           T(2.5),
                           T(100),
                           T(-100)};
  for (T& value : values) {
    value = static_cast<T>(normal(random));
    if (random() % 16 == 0) value = odd[random() % odd.size()];
    if (mask) value = value > T(0) ? T(1) : T(0);
  }
  return values;
}

template <class T>
std::vector<T> run(Prim prim, bool mask) {
  constexpr std::size_t n = 512;  // whole lanes: tails are the tile program's business
  const bool logical =
      prim == Prim::logical_and || prim == Prim::logical_or || prim == Prim::logical_not;
  const auto a = operand<T>(n, 1, logical || prim == Prim::select);
  const auto b = operand<T>(n, 2, logical || mask);
  const auto c = operand<T>(n, 3, logical || mask);
  const void* const in[] = {a.data(), b.data(), c.data()};
  std::vector<T> out(n);
  tile_kernel(prim, mask, 0, dtype_of<T>)(in, out.data(), n);
  for (T& value : out)
    if (std::isnan(value)) value = std::numeric_limits<T>::quiet_NaN();  // of any sign
  return out;
}

// Largest difference, relative to the value where that is above 1.
template <class T>
double distance(const std::vector<T>& a, const std::vector<T>& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    const double off = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    const double relative = off / std::max(1.0, std::abs(static_cast<double>(b[i])));
    largest = std::isnan(relative) ? std::numeric_limits<double>::infinity()
                                   : std::max(largest, relative);
  }
  return largest;
}

}  // namespace

TEST_CASE("instruction sets are found by name") {
  const auto usable = usable_isas();
  REQUIRE(!usable.empty());
  CHECK(usable.front() == Isa::baseline);
  CHECK(std::ranges::is_sorted(usable));
  CHECK(isa_named(nullptr) == usable.back());
  CHECK(isa_named("") == usable.back());
  for (const Isa isa : usable) CHECK(isa_named(std::string(name_of(isa)).c_str()) == isa);
  try {
    static_cast<void>(isa_named("sse9"));
    FAIL("no error");
  } catch (const ValueError& error) {
    const std::string text = error.what();
    CHECK(text.find("DUALTAPE_ISA") != std::string::npos);
    CHECK(text.find("sse9") != std::string::npos);
    for (const Isa isa : usable) CHECK(text.find(name_of(isa)) != std::string::npos);
  }
}

TEST_CASE("an instruction set's name says how wide the kernels' registers are") {
  const std::map<std::string_view, std::size_t> bytes = {
      {"baseline", 16}, {"avx2", 32}, {"avx512", 64}, {"neon", 16}};
  bool known = false;
  for_each_isa([&](Isa isa) {
    const auto found = bytes.find(name_of(isa));
    if (found == bytes.end()) return;  // one that DUALTAPE_ARCH names
    known = true;
    CHECK(tile_lane_width(float32) == found->second / sizeof(float));
    CHECK(tile_lane_width(float64) == found->second / sizeof(double));
  });
#if defined(__aarch64__) && !defined(__ARM_FEATURE_SVE)
  CHECK(name_of(usable_isas().front()) == "neon");
#endif
  if (!known) MESSAGE("[skipped] built for ", std::string(name_of(isa())), " alone");
}

TEST_CASE("a test may take another instruction set for a while") {
  const Isa before = isa();
  for_each_isa([](Isa one) { CHECK(isa() == one); });
  CHECK(isa() == before);
}

TEST_CASE_TEMPLATE("random numbers are the same bits on every instruction set", Real, float,
                   double) {
  const Key key(2024);
  std::vector<Real> first;
  for_each_isa([&](Isa) {
    const auto drawn = draws<Real>(key);
    if (first.empty()) first = drawn;
    CHECK(same_bits(drawn, first));
  });
}

TEST_CASE_TEMPLATE("elementwise kernels agree between instruction sets", T, float, double) {
  for (std::size_t p = static_cast<std::size_t>(Prim::input) + 1; p < prim_count; ++p) {
    const auto prim = static_cast<Prim>(p);
    CAPTURE(p);
    for (const bool mask : {false, true}) {
      if (mask && prim != Prim::select) continue;
      std::vector<T> narrow;
      std::vector<T> fused;  // of the first one that has fused multiply-adds
      for_each_isa([&](Isa isa) {
        const auto out = run<T>(prim, mask);
        if (isa == Isa::baseline) {
          narrow = out;
          return;
        }
        if (fused.empty()) fused = out;
        CHECK(same_bits(out, fused));
        if (rounded_once(prim))
          CHECK(same_bits(out, narrow));
        else
          CHECK(distance(out, narrow) < 8 * static_cast<double>(std::numeric_limits<T>::epsilon()));
      });
    }
  }
}
