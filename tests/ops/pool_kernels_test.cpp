// The loops of pooling under every instruction set this processor has, against loops over one
// window at a time: the same bits, whatever ties, NaN, infinities and padding meet in a window.
#include <doctest/doctest.h>

#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/core/machine/isa.hpp>
#include <dualtape/ops/kernels/pooling/pool.hpp>

using namespace dualtape;
using namespace dualtape::detail;

namespace {

struct Way {
  Shape x;
  Ints window, stride, padding;
};

// Rows shorter and longer than registers and blocks; windows near, apart, overlapping and as large
// as the image; registers that end with the memory.
std::vector<Way> ways() {
  std::vector<Way> all;
  for (const std::int64_t columns : {4, 5, 7, 8, 14, 15, 16, 17, 28, 33, 112})
    for (const std::int64_t rows : {3, 8, 15})
      for (const Way& way : {Way{{}, {3, 3}, {2, 2}, {0, 0}}, Way{{}, {3, 3}, {2, 2}, {1, 1}},
                             Way{{}, {3, 3}, {1, 1}, {1, 1}}, Way{{}, {2, 2}, {1, 1}, {0, 0}}})
        all.push_back({{1, 3, rows, columns}, way.window, way.stride, way.padding});
  const Shape image{2, 2, 11, 19};
  for (const std::int64_t window : {1, 2, 3, 4, 5, 7})
    for (const std::int64_t stride : {1, 2, 3, 4, 5})
      for (std::int64_t padding = 0; padding <= window / 2; ++padding)
        all.push_back({image, {window, window}, {stride, stride}, {padding, padding}});
  all.push_back({image, {1, 3}, {2, 1}, {0, 1}});
  all.push_back({image, {4, 2}, {1, 3}, {2, 0}});
  all.push_back({image, {11, 19}, {1, 1}, {0, 0}});
  all.push_back({{1, 1, 40, 300}, {3, 3}, {2, 2}, {1, 1}});  // several blocks
  all.push_back({{1, 2, 9, 682}, {3, 3}, {1, 1}, {1, 1}});   // the widest with blocks
  all.push_back({{1, 2, 9, 683}, {3, 3}, {1, 1}, {1, 1}});
  all.push_back({{3, 1, 4, 5}, {8, 8}, {1, 1}, {3, 3}});  // every window sticks out on both sides
  return all;
}

Attributes attributes_of(const Way& way, bool count_padding) {
  return {{"window", way.window},
          {"stride", way.stride},
          {"padding", way.padding},
          {"count_include_pad", count_padding}};
}

// Whole numbers with many ties and zeros of both signs; if wanted, NaNs of different bits and
// infinities.
template <class T>
std::vector<T> numbers(std::size_t n, unsigned seed, bool strange) {
  std::mt19937 random(seed);
  std::vector<T> x(n);
  for (T& value : x) {
    const auto draw = random() % 64;
    value = static_cast<T>(static_cast<int>(draw % 9) - 4);
    if (value == 0 && draw > 32) value = -value;
    if (!strange) value += static_cast<T>(draw) / T(67);
    if (strange && draw >= 40) value = -std::numeric_limits<T>::infinity();
    if (strange && draw == 63) value = std::numeric_limits<T>::quiet_NaN();
    if (strange && draw == 62) value = -std::numeric_limits<T>::quiet_NaN();
  }
  return x;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

template <class T>
struct Pooled {
  std::vector<T> max, select, scatter, average, spread;
  explicit Pooled(const PoolPlan& plan)
      : max(plan.outer * plan.out_size()),
        select(max),
        scatter(plan.outer * plan.in_size()),
        average(max),
        spread(scatter) {}
};

// Window by window, in order.
template <class T>
Pooled<T> by_windows(const PoolPlan& plan, const std::vector<T>& x, const std::vector<T>& t,
                     const std::vector<T>& c) {
  Pooled<T> result(plan);
  std::size_t w = 0;
  const bool disjoint = plan.rows.disjoint && plan.columns.disjoint;
  for (std::size_t image = 0; image < plan.outer; ++image)
    for (std::size_t r = 0; r < plan.rows.out; ++r)
      for (std::size_t k = 0; k < plan.columns.out; ++k, ++w) {
        const auto at = [&](std::size_t i, std::size_t j) {
          return image * plan.in_size() + i * plan.columns.in + j;
        };
        const auto divisor = static_cast<T>(plan.rows.divisor[r] * plan.columns.divisor[k]);
        std::size_t best = at(plan.rows.first[r], plan.columns.first[k]);
        T total = 0;
        for (std::size_t i = plan.rows.first[r]; i < plan.rows.last[r]; ++i) {
          T row = 0;
          for (std::size_t j = plan.columns.first[k]; j < plan.columns.last[k]; ++j) {
            const T next = x[at(i, j)];
            if (next > x[best] || next != next) best = at(i, j);
            row += next;
            T& spread = result.spread[at(i, j)];
            spread = disjoint ? c[w] / divisor : spread + c[w] / divisor;
          }
          total += row;
        }
        result.max[w] = x[best];
        result.select[w] = t[best];
        result.average[w] = total / divisor;
        result.scatter[best] = disjoint ? c[w] : result.scatter[best] + c[w];
      }
  return result;
}

// In two parts, as a team divides them.
template <class T>
Pooled<T> by_kernels(const PoolPlan& plan, const std::vector<T>& x, const std::vector<T>& t,
                     const std::vector<T>& c) {
  Pooled<T> result(plan);
  const auto& kernels = pool_kernels<T>();
  const std::size_t half = plan.outer / 2;
  for (const auto& [first, last] : {std::pair{half, plan.outer}, std::pair{std::size_t{0}, half}}) {
    kernels.max(plan, x.data(), result.max.data(), first, last);
    kernels.select(plan, x.data(), t.data(), result.select.data(), first, last);
    kernels.scatter(plan, x.data(), c.data(), result.scatter.data(), first, last);
    kernels.average(plan, x.data(), result.average.data(), first, last);
    kernels.spread(plan, c.data(), result.spread.data(), first, last);
  }
  return result;
}

}  // namespace

TEST_CASE_TEMPLATE("pooling gives the bits of a loop over each window, on every instruction set", T,
                   float, double) {
  for (const Way& way : ways())
    for (const bool strange : {false, true})
      for (const bool count_padding : {true, false}) {
        CAPTURE(way.x);
        CAPTURE(way.window[0]);
        CAPTURE(way.window[1]);
        CAPTURE(way.stride[1]);
        CAPTURE(way.padding[1]);
        CAPTURE(strange);
        const PoolPlan plan(way.x, attributes_of(way, count_padding));
        const auto x = numbers<T>(plan.outer * plan.in_size(), 1, strange);
        const auto t = numbers<T>(x.size(), 2, false);
        const auto c = numbers<T>(plan.outer * plan.out_size(), 3, false);
        const Pooled<T> wanted = by_windows(plan, x, t, c);
        for (const Isa isa : usable_isas()) {
          const IsaForTest here(isa);
          CAPTURE(std::string(name_of(isa)));
          const Pooled<T> got = by_kernels(plan, x, t, c);
          CHECK(same_bits(got.max, wanted.max));
          CHECK(same_bits(got.select, wanted.select));
          CHECK(same_bits(got.scatter, wanted.scatter));
          // NaN of a sum has bits that differ between processors' instructions.
          if (!strange) CHECK(same_bits(got.average, wanted.average));
          CHECK(same_bits(got.spread, wanted.spread));
        }
      }
}

TEST_CASE("windows pool within their memory") {
  for (const Way& way : ways()) {
    CAPTURE(way.x);
    CAPTURE(way.window[1]);
    const PoolPlan plan(way.x, attributes_of(way, true));
    constexpr std::size_t guard = 64;
    const std::size_t inside = plan.outer * plan.in_size();
    const std::size_t outside = plan.outer * plan.out_size();
    std::vector<float> x(inside, 1), c(outside, 1);
    const auto check = [&](std::size_t size, auto run) {
      std::vector<float> y(size + 2 * guard, -7);
      run(y.data() + guard);
      for (std::size_t i = 0; i < guard; ++i) {
        REQUIRE(y[i] == -7);
        REQUIRE(y[size + guard + i] == -7);
      }
    };
    for (const Isa isa : usable_isas()) {
      const IsaForTest here(isa);
      const auto& kernels = pool_kernels<float>();
      const std::size_t n = plan.outer;
      check(outside, [&](float* y) { kernels.max(plan, x.data(), y, 0, n); });
      check(outside, [&](float* y) { kernels.select(plan, x.data(), x.data(), y, 0, n); });
      check(outside, [&](float* y) { kernels.average(plan, x.data(), y, 0, n); });
      check(inside, [&](float* y) { kernels.scatter(plan, x.data(), c.data(), y, 0, n); });
      check(inside, [&](float* y) { kernels.spread(plan, c.data(), y, 0, n); });
    }
  }
}
