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

#include <dualtape/core/machine/isa.hpp>
#include <dualtape/ops/kernels/rows/fold_plan.hpp>

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
      std::vector<T> folds(5);
      k.sum(plan, x.data(), &folds[0]);
      k.max(plan, x.data(), &folds[1]);
      k.min(plan, x.data(), &folds[2]);
      k.norm(plan, x.data(), &folds[3], &folds[4]);
      CHECK(std::abs(static_cast<double>(folds[0] - plain.sum)) <= 16 * eps<T> * plain.size);
      CHECK(static_cast<double>(folds[1]) == plain.largest);
      CHECK(static_cast<double>(folds[2]) == plain.smallest);
      const long double norm = std::sqrt(plain.squares);
      CHECK(std::abs(folds[3] - norm) <= 4 * eps<T> * norm);
      CHECK(folds[4] == folds[3]);
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
      std::vector<T> parts(2 * rows);
      const RowStatistics<T> each{mean, rest, inverse, parts.data()};
      k.layer_norm(x.data(), scale.data(), shift.data(), rows, n, 0.5, y.data(), each);
      const RowStatistics<T> others{inverse + rows, rest + rows, nullptr, &parts[rows]};
      k.variance(x.data(), rows, n, static_cast<double>(n), false, variance, others);
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
      k.layer_norm(over.data(), scale.data(), shift.data(), rows, n, 0.5, over.data(), each);
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

TEST_CASE_TEMPLATE("means of squares, scaled and not", T, float, double) {
  const std::size_t rows = 3;
  for (const Isa isa : usable_isas()) {
    const IsaForTest here(isa);
    CAPTURE(std::string(name_of(isa)));
    for (const std::size_t n : sizes) {
      CAPTURE(n);
      const auto x = numbers<T>(rows * n, static_cast<unsigned>(n));
      const auto scale = numbers<T>(n, 1);
      for (const bool scaled : {false, true}) {
        auto y = x;  // written over its operand
        std::vector<T> inverse(rows), part(rows);
        row_kernels<T>().rms_norm(y.data(), scaled ? scale.data() : nullptr, rows, n, 0.5, y.data(),
                                  inverse.data(), part.data());
        CHECK(part == std::vector<T>(rows, T(1)));
        for (std::size_t row = 0; row < rows; ++row) {
          long double squares = 0;
          for (std::size_t i = 0; i < n; ++i)
            squares += static_cast<long double>(x[row * n + i]) * x[row * n + i];
          const long double r = 1 / std::sqrt(squares / static_cast<long double>(n) + 0.5L);
          CHECK(std::abs(inverse[row] - r) <= 4 * eps<T> * r);
          long double off = 0;
          for (std::size_t i = 0; i < n; ++i) {
            const long double wanted = x[row * n + i] * r * (scaled ? scale[i] : T(1));
            off = std::max(off, std::abs(y[row * n + i] - wanted) - 4 * eps<T> * std::abs(wanted));
          }
          CHECK(off <= 0);
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("batches of every shape of blocks", T, float, double) {
  // More channels than are worked on at once, runs of one number and of several.
  for (const ChannelBlocks blocks :
       {ChannelBlocks{3, 300, 1}, ChannelBlocks{3, 70, 1}, ChannelBlocks{2, 70, 3},
        ChannelBlocks{130, 2, 1}, ChannelBlocks{1, 5, 33}, ChannelBlocks{4, 1, 100}}) {
    CAPTURE(blocks.channels);
    CAPTURE(blocks.inner);
    const std::size_t channels = blocks.channels;
    const std::size_t count = blocks.outer * blocks.inner;
    const auto x = numbers<T>(channels * count, 3);
    const auto scale = numbers<T>(channels, 1);
    const auto shift = numbers<T>(channels, 2);
    const auto place = [&](std::size_t channel, std::size_t k) {
      return (k / blocks.inner * channels + channel) * blocks.inner + k % blocks.inner;
    };
    for (const Isa isa : usable_isas()) {
      const IsaForTest here(isa);
      CAPTURE(std::string(name_of(isa)));
      std::vector<T> y(x.size());
      std::vector<T> of_each(6 * channels);
      const auto each = [&](std::size_t k) { return &of_each[k * channels]; };
      const BatchNormArgs<T> args{
          x.data(), scale.data(), shift.data(), 0.5,
          y.data(), each(0),      each(1),      {each(2), each(3), each(4), each(5)}};
      const auto normalise = row_kernels<T>().batch_norm;
      normalise(blocks, args, 0, channels / 2);
      normalise(blocks, args, channels / 2, channels);
      long double off = 0;
      for (std::size_t channel = 0; channel < channels; ++channel) {
        long double sum = 0;
        long double squares = 0;
        for (std::size_t k = 0; k < count; ++k) sum += x[place(channel, k)];
        const long double mean = sum / static_cast<long double>(count);
        for (std::size_t k = 0; k < count; ++k) {
          const long double d = x[place(channel, k)] - mean;
          squares += d * d;
        }
        const long double variance = squares / static_cast<long double>(count);
        const long double r = 1 / std::sqrt(variance + 0.5L);
        const long double whole =
            static_cast<long double>(args.mean[channel]) + args.of_channels.rest[channel];
        off = std::max(off, std::abs(whole - mean));
        off = std::max(off, std::abs(args.variance[channel] - variance) / (1 + variance));
        off = std::max(off, std::abs(args.of_channels.length[channel] - r));
        for (std::size_t k = 0; k < count; ++k) {
          const long double z = (x[place(channel, k)] - mean) * r;
          const long double wanted = z * scale[channel] + shift[channel];
          const long double size = 1 + std::abs(z * scale[channel]) + std::abs(shift[channel]);
          off = std::max(off, std::abs(y[place(channel, k)] - wanted) / size);
        }
      }
      CHECK(off <= 16 * eps<T>);
    }
  }
}

namespace {

// A block of `size` rows of `inner` columns, or one row after the other.
struct Walk {
  std::size_t lines, size, inner;
  bool columns;
  std::size_t at(std::size_t line, std::size_t i) const {
    return columns ? i * inner + line : line * size + i;
  }
};
const std::vector<Walk> walks{{2, 1, 2, false},    {3, 5, 3, false},    {70, 3, 70, false},
                              {2, 70, 2, false},   {3, 300, 3, false},  {1, 1, 1, true},
                              {300, 3, 300, true}, {70, 70, 70, true},  {3, 300, 3, true},
                              {257, 2, 257, true}, {1, 4097, 1, false}, {5, 9, 5, true}};

}  // namespace

TEST_CASE_TEMPLATE("the softmax family and its slopes along rows and columns", T, float, double) {
  for (const Walk& walk : walks) {
    CAPTURE(walk.size);
    CAPTURE(walk.inner);
    CAPTURE(walk.columns);
    const std::size_t count = walk.lines * walk.size;
    const auto x = numbers<T>(count, 5);
    const auto t = numbers<T>(count, 6);
    for (const Isa isa : usable_isas()) {
      const IsaForTest here(isa);
      CAPTURE(std::string(name_of(isa)));
      const auto& k = row_kernels<T>();
      std::vector<T> p(count), logs(count), sums(walk.lines);
      std::vector<std::vector<T>> slopes(3, std::vector<T>(count));
      if (walk.columns) {
        k.softmax_columns(x.data(), p.data(), walk.size, walk.inner);
        k.log_softmax_columns(x.data(), logs.data(), walk.size, walk.inner);
        k.logsumexp_columns(x.data(), sums.data(), walk.size, walk.inner);
        for (std::size_t mode = 0; mode < 3; ++mode)
          k.softmax_slope_columns[mode](p.data(), t.data(), slopes[mode].data(), walk.size,
                                        walk.inner);
      } else {
        k.softmax(x.data(), p.data(), walk.lines, walk.size);
        k.log_softmax(x.data(), logs.data(), walk.lines, walk.size);
        k.logsumexp(x.data(), sums.data(), walk.lines, walk.size);
        for (std::size_t mode = 0; mode < 3; ++mode)
          k.softmax_slope[mode](p.data(), t.data(), slopes[mode].data(), walk.lines, walk.size);
      }
      long double off = 0;
      const auto compare = [&](T got, long double wanted, long double size) {
        off = std::max(off, std::abs(got - wanted) / size);
      };
      for (std::size_t line = 0; line < walk.lines; ++line) {
        long double largest = x[walk.at(line, 0)];
        for (std::size_t i = 0; i < walk.size; ++i)
          largest = std::max(largest, static_cast<long double>(x[walk.at(line, i)]));
        long double total = 0;
        for (std::size_t i = 0; i < walk.size; ++i)
          total += std::exp(x[walk.at(line, i)] - largest);
        const long double log_total = largest + std::log(total);
        compare(sums[line], log_total, 8 + std::abs(log_total));
        long double level = 0, sum_p = 0, sum_t = 0, sizes_of_t = 0;
        for (std::size_t i = 0; i < walk.size; ++i) {
          const long double y = p[walk.at(line, i)];
          level += y * t[walk.at(line, i)];
          sum_p += y;
          sum_t += t[walk.at(line, i)];
          sizes_of_t += std::abs(static_cast<long double>(t[walk.at(line, i)]));
        }
        for (std::size_t i = 0; i < walk.size; ++i) {
          const std::size_t at = walk.at(line, i);
          const long double log_p = x[at] - log_total;
          const long double y = p[at];
          compare(p[at], std::exp(log_p), std::exp(log_p) * (8 - log_p));
          compare(logs[at], log_p, 8 - log_p);
          const long double apart = t[at] * sum_p - level;
          compare(slopes[0][at], y * apart, 20 * y);
          compare(slopes[1][at], apart, 20);
          compare(slopes[2][at], t[at] * sum_p - y * sum_t, 20 + y * sizes_of_t);
        }
      }
      CHECK(off <= 8 * eps<T>);
    }
  }
}

TEST_CASE_TEMPLATE("totals of rows, also where one element is nearly all", T, float, double) {
  for (const Isa isa : usable_isas()) {
    const IsaForTest here(isa);
    CAPTURE(std::string(name_of(isa)));
    for (const std::size_t n : sizes)
      for (const T lead : {T(0), T(30)}) {
        CAPTURE(n);
        CAPTURE(lead);
        const std::size_t rows = rows_in_call(n);
        auto x = numbers<T>(rows * n, static_cast<unsigned>(n));
        for (std::size_t row = 0; row < rows; ++row) x[row * n + n / 2] += lead;
        RowTotals<T> totals;
        row_kernels<T>().totals(x.data(), rows, n, totals);
        long double off = 0;
        for (std::size_t row = 0; row < rows; ++row) {
          const T* const from = x.data() + row * n;
          const T largest = *std::max_element(from, from + n);
          CHECK(totals.largest[row] == largest);
          long double others = 0;
          for (std::size_t i = 0; i < n; ++i)
            if (from[i] != largest) others += std::exp(static_cast<long double>(from[i]) - largest);
          const long double log_total = std::log1p(others);
          off = std::max(off, std::abs(totals.total[row] - (1 + others)) / (1 + others));
          // Subtracting the largest rounds, which the exponential multiplies.
          off = std::max(off, std::abs(totals.log[row] - log_total) / (8 * log_total + 1e-300L));
        }
        CHECK(off <= 8 * eps<T>);
      }
  }
}

TEST_CASE_TEMPLATE("a mean whose sum is beyond the range", T, float, double) {
  constexpr T huge = std::numeric_limits<T>::max();
  for (const Isa isa : usable_isas()) {
    const IsaForTest here(isa);
    CAPTURE(std::string(name_of(isa)));
    // (rows, columns), folded along either and along both.
    const std::int64_t rows = 5;
    const std::int64_t columns = 70;
    std::vector<T> x(static_cast<std::size_t>(rows * columns));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = i % 70 < 35 ? huge : -huge / 4;
    const Shape shape{rows, columns};
    const auto mean = row_kernels<T>().mean_of_output;
    const auto close = [](T got, T wanted) {
      return std::abs(got / huge - wanted / huge) <= 4 * std::numeric_limits<T>::epsilon();
    };
    const T both = huge / 8 * 3;
    for (std::size_t k = 0; k < 5; ++k) CHECK(close(mean(FoldPlan(shape, {1}), x.data(), k), both));
    for (std::size_t k = 0; k < 70; ++k)
      CHECK(close(mean(FoldPlan(shape, {0}), x.data(), k), k < 35 ? huge : -huge / 4));
    CHECK(close(mean(FoldPlan(shape, {0, 1}), x.data(), 0), both));
  }
}
