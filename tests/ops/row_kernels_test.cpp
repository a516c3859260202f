// Reductions, normalisation and the softmax family under every instruction set this processor has,
// against plain loops in double and against one another.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <dualtape/core/detail/isa.hpp>
#include <dualtape/ops/detail/fold_plan.hpp>

using namespace dualtape;
using namespace dualtape::detail;

namespace {

template <class T>
std::vector<T> numbers(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, 3);
  std::vector<T> x(n);
  for (T& value : x) value = static_cast<T>(normal(random));
  return x;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

template <class T>
constexpr double eps = static_cast<double>(std::numeric_limits<T>::epsilon());

constexpr std::size_t sizes[] = {1,  5,  15,  16,  17,   31,   63,   64,   65,
                                 79, 96, 100, 127, 1000, 1023, 1024, 4097, 9000};

// Plain loops, in more digits than double where the processor has them.
struct Plain {
  double size = 0, largest, smallest;
  long double sum = 0, exponentials = 0, squares = 0;
  template <class T>
  explicit Plain(const std::vector<T>& x)
      : largest(static_cast<double>(*std::ranges::max_element(x))),
        smallest(static_cast<double>(*std::ranges::min_element(x))) {
    for (const T v : x) {
      const auto d = static_cast<double>(v);
      const long double wide = d;
      sum += wide;
      size += std::abs(d);
      squares += wide * wide;
      exponentials += std::exp(wide - largest);
    }
  }
};

}  // namespace

TEST_CASE_TEMPLATE("rows of every length, on every instruction set", T, float, double) {
  for (const std::size_t n : sizes) {
    CAPTURE(n);
    const auto x = numbers<T>(n, static_cast<unsigned>(n));
    const Plain plain(x);
    const FoldPlan plan(Shape{static_cast<std::int64_t>(n)}, {0});
    std::vector<T> exact;    // the same bits everywhere
    std::vector<T> rounded;  // the same bits wherever there are fused multiply-adds
    for (const Isa isa : usable_isas()) {
      const IsaForTest here(isa);
      CAPTURE(std::string(name_of(isa)));
      const auto& k = row_kernels<T>();
      std::vector<T> folds(4);
      k.sum(plan, x.data(), &folds[0]);
      k.max(plan, x.data(), &folds[1]);
      k.min(plan, x.data(), &folds[2]);
      k.norm(plan, x.data(), &folds[3]);
      CHECK(std::abs(static_cast<double>(folds[0] - plain.sum)) <= 16 * eps<T> * plain.size);
      CHECK(static_cast<double>(folds[1]) == plain.largest);
      CHECK(static_cast<double>(folds[2]) == plain.smallest);
      {
        const long double norm = std::sqrt(plain.squares);
        CHECK(std::abs(folds[3] - norm) <= 4 * eps<T> * norm);
      }
      CHECK(x[static_cast<std::size_t>(k.argmax(x.data(), n))] == folds[1]);
      CHECK(x[static_cast<std::size_t>(k.argmin(x.data(), n))] == folds[2]);
      if (exact.empty()) exact = folds;
      CHECK(same_bits(folds, exact));

      std::vector<T> y(2 * n + 1);
      k.softmax(x.data(), &y[0], 1, n);
      k.log_softmax(x.data(), &y[n], 1, n);
      k.logsumexp(x.data(), &y[2 * n], 1, n);
      const auto log_total = static_cast<double>(plain.largest + std::log(plain.exponentials));
      CHECK(static_cast<double>(y[2 * n]) == doctest::Approx(log_total).epsilon(8 * eps<T>));
      double off = 0;
      for (std::size_t i = 0; i < n; ++i) {
        const double log_p = static_cast<double>(x[i]) - log_total;
        const double p = std::exp(log_p);
        // Subtracting the largest rounds, which the exponential multiplies.
        off = std::max(off, std::abs(static_cast<double>(y[i]) - p) / (p * (8 - log_p)));
        off = std::max(off, std::abs(static_cast<double>(y[n + i]) - log_p) / (8 - log_p));
      }
      CHECK(off < 4 * eps<T>);
      if (isa == Isa::baseline) continue;
      if (rounded.empty()) rounded = y;
      CHECK(same_bits(y, rounded));
    }
  }
}

TEST_CASE_TEMPLATE("variances and layer normalisation have the same bits everywhere", T, float,
                   double) {
  for (const std::size_t n : sizes) {
    CAPTURE(n);
    const std::size_t rows = 3;
    auto x = numbers<T>(rows * n, static_cast<unsigned>(n));
    for (std::size_t i = 2 * n; i < rows * n; ++i) x[i] += T(1e5);  // far from zero
    const auto scale = numbers<T>(n, 1);
    const auto shift = numbers<T>(n, 2);
    std::vector<T> first;
    for (const Isa isa : usable_isas()) {
      const IsaForTest here(isa);
      CAPTURE(std::string(name_of(isa)));
      const auto& k = row_kernels<T>();
      std::vector<T> y(rows * (n + 6));
      T* const variance = &y[rows * n];
      T* const mean = variance + rows;
      T* const inverse = mean + rows;
      T* const rest = inverse + 2 * rows;
      k.layer_norm(x.data(), scale.data(), shift.data(), rows, n, 0.5, y.data(), mean, inverse,
                   rest);
      k.variance(x.data(), rows, n, static_cast<double>(n), false, variance, inverse + rows,
                 rest + rows);
      for (std::size_t row = 0; row < rows; ++row) {
        long double sum = 0;
        long double squares = 0;
        // From the first element on, or the sum would lose more than is looked for.
        const long double origin = x[row * n];
        for (std::size_t i = 0; i < n; ++i) sum += x[row * n + i] - origin;
        const long double step = sum / static_cast<long double>(n);
        const long double centre = origin + step;
        for (std::size_t i = 0; i < n; ++i) {
          const long double d = x[row * n + i] - origin - step;
          squares += d * d;
        }
        const long double wanted = squares / static_cast<long double>(n);
        CHECK(std::abs(variance[row] - wanted) <= 16 * eps<T> * wanted);
        CHECK(std::abs(mean[row] - centre) <= eps<T> * (1 + std::abs(centre)));
        CHECK(mean[row] == inverse[rows + row]);
        const long double whole = static_cast<long double>(mean[row]) + rest[row];
        CHECK(std::abs(whole - centre) <= 4 * eps<T> * (1 + eps<T> * std::abs(centre)));
        CHECK(rest[row] == rest[rows + row]);
        const long double r = 1 / std::sqrt(wanted + 0.5L);
        CHECK(std::abs(inverse[row] - r) <= 16 * eps<T> * r);
        long double off = 0;
        for (std::size_t i = 0; i < n; ++i) {
          const long double z = (x[row * n + i] - origin - step) * r;
          const long double size = std::abs(z * scale[i]) + std::abs(shift[i]) + 0.1L;
          off = std::max(off, std::abs(y[row * n + i] - (z * scale[i] + shift[i])) / size);
        }
        CHECK(off <= 16 * eps<T>);
      }
      if (first.empty()) first = y;
      CHECK(same_bits(y, first));
      // Written over its operand.
      auto over = x;
      k.layer_norm(over.data(), scale.data(), shift.data(), rows, n, 0.5, over.data(), mean,
                   inverse, rest);
      CHECK(std::equal(over.begin(), over.end(), first.begin()));
    }
  }
}

TEST_CASE_TEMPLATE("NaN and infinity anywhere in a row", T, float, double) {
  constexpr T infinity = std::numeric_limits<T>::infinity();
  constexpr T nan = std::numeric_limits<T>::quiet_NaN();
  for (const Isa isa : usable_isas()) {
    const IsaForTest here(isa);
    CAPTURE(std::string(name_of(isa)));
    const auto& k = row_kernels<T>();
    for (const std::size_t n : {3U, 40U, 70U, 131U}) {
      const FoldPlan plan(Shape{static_cast<std::int64_t>(n)}, {0});
      std::size_t wrong = 0;
      for (std::size_t at = 0; at < n; ++at) {
        auto x = numbers<T>(n, 7);
        T y = 0;
        std::vector<T> p(n);
        x[at] = nan;
        k.max(plan, x.data(), &y);
        wrong += std::isnan(y) ? 0 : 1;
        k.min(plan, x.data(), &y);
        wrong += std::isnan(y) ? 0 : 1;
        wrong += k.argmax(x.data(), n) == static_cast<std::int64_t>(at) ? 0 : 1;
        k.sum(plan, x.data(), &y);
        wrong += std::isnan(y) ? 0 : 1;
        k.logsumexp(x.data(), &y, 1, n);
        wrong += std::isnan(y) ? 0 : 1;
        k.softmax(x.data(), p.data(), 1, n);
        for (const T value : p) wrong += std::isnan(value) ? 0 : 1;
        x[at] = infinity;
        k.max(plan, x.data(), &y);
        wrong += y == infinity ? 0 : 1;
        k.logsumexp(x.data(), &y, 1, n);
        wrong += y == infinity ? 0 : 1;
        x[at] = -infinity;
        k.softmax(x.data(), p.data(), 1, n);
        wrong += p[at] == T(0) ? 0 : 1;
        T total = 0;
        for (const T value : p) total += value;
        wrong += std::abs(total - T(1)) < T(1e-5) ? 0 : 1;
      }
      CAPTURE(n);
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("rows far apart underflow to zero, not to noise") {
  for (const Isa isa : usable_isas()) {
    const IsaForTest here(isa);
    const std::vector<float> x{0, -50, -87, -88, -104, -1e30F, -std::numeric_limits<float>::max()};
    std::vector<float> y(x.size());
    row_kernels<float>().softmax(x.data(), y.data(), 1, x.size());
    for (std::size_t i = 0; i < 3; ++i)
      CHECK(static_cast<double>(y[i]) ==
            doctest::Approx(std::exp(static_cast<double>(x[i]))).epsilon(1e-6));
    for (std::size_t i = 3; i < x.size(); ++i) CHECK(y[i] == 0.0F);
  }
}

TEST_CASE("a softmax may be written over its operand") {
  for (const Isa isa : usable_isas()) {
    const IsaForTest here(isa);
    for (const std::size_t n : sizes) {
      auto x = numbers<float>(n, 3);
      std::vector<float> y(n);
      row_kernels<float>().softmax(x.data(), y.data(), 1, n);
      row_kernels<float>().softmax(x.data(), x.data(), 1, n);
      CHECK(same_bits(x, y));
    }
  }
}

TEST_CASE_TEMPLATE("outer products round each product and each sum once", T, float, double) {
  for (const Isa isa : usable_isas()) {
    const IsaForTest here(isa);
    CAPTURE(std::string(name_of(isa)));
    for (const std::size_t n : {1U, 7U, 16U, 50U}) {
      const std::size_t m = 5;
      const auto a = numbers<T>(m, 1);
      const auto b = numbers<T>(n, 2);
      auto sum = numbers<T>(m * n, 3);
      std::vector<T> product(m * n);
      std::vector<T> plain_product(m * n);
      auto plain_sum = sum;
      const T scale = T(-0.3);
      for (std::size_t i = 0; i < m; ++i) {
        volatile T factor = scale * a[i];
        for (std::size_t j = 0; j < n; ++j) {
          volatile T term = factor * b[j];
          plain_product[i * n + j] = term;
          plain_sum[i * n + j] += term;
        }
      }
      row_kernels<T>().outer(m, n, scale, a.data(), b.data(), product.data());
      row_kernels<T>().add_outer(m, n, scale, a.data(), b.data(), sum.data());
      CHECK(same_bits(product, plain_product));
      CHECK(same_bits(sum, plain_sum));
    }
  }
}
