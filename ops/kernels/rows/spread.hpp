// Means and squared deviations of rows: the loops under variances and layer normalisation.
// Private: includes xsimd; for one instruction set at a time (core/machine/isa.hpp). Plain
// functions; any thread.
//
// Two sweeps over a row that is in the cache by then, and what the rounded mean misses is put right
// by the sum of the deviations from it (the corrected two-pass algorithm: Chan, Golub and LeVeque,
// "Algorithms for computing the sample variance", 1983). The same bits on every instruction set.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <dualtape/ops/kernels/rows/fold.hpp>

namespace dualtape::detail {
inline namespace DUALTAPE_ISA {

// The mean of a row times `part` is mean + rest, to more digits than T has. `part` is a power of
// two other than 1 where the row is so huge or tiny that means, differences or reciprocals of
// lengths might be no normal numbers.
template <class T>
struct Spread {
  T mean;
  T rest;
  double squares;   // of the deviations from the mean, summed and divided by the square of `unit`
  double unit = 1;  // not 1 where squares would leave the range of a double
  T part = 1;

  double variance(double divisor) const { return squares / divisor * unit * unit; }
  // The root of the variance, times `part`.
  double deviation(double divisor) const { return std::sqrt(squares / divisor) * (unit * part); }
  // sqrt(variance + epsilon) times `part`
  double length(double count, double epsilon) const {
    if (unit == 1 && part == 1) return std::sqrt(squares / count + epsilon);
    return std::hypot(deviation(count), std::sqrt(epsilon) * part);
  }
};

// Sums of deviations from a number near the mean.
struct Deviations {
  double sum = 0;
  double squares = 0;
};

template <class T>
void add_deviations(const T* x, T mean, std::size_t n, Deviations& to) {
  constexpr std::size_t width = Line<T>::width;
  if (n < width) {
    T sum = 0;
    T squares = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const T d = x[i] - mean;
      sum += d;
      squares += d * d;
    }
    to.sum += static_cast<double>(sum);
    to.squares += static_cast<double>(squares);
    return;
  }
  const auto add = [](const auto& a, const auto& b) { return a + b; };
  const auto subtract = [](const auto& a, const auto& b) { return a - b; };
  const auto add_square = [](const auto& a, const auto& b) { return a + b * b; };
  const auto shift = Line<T>::of(mean);
  const auto none = Line<T>::of(0);
  // Two of each, since each addition waits for the one before.
  Line<T> sums[2] = {none, none};
  Line<T> squares[2] = {none, none};
  const auto take = [&](std::size_t k, const Line<T>& d) {
    sums[k] = each_part(sums[k], d, add);
    squares[k] = each_part(squares[k], d, add_square);
  };
  const auto at = [&](std::size_t i) { return each_part(Line<T>::load(x + i), shift, subtract); };
  std::size_t i = 0;
  for (; i + 2 * width <= n; i += 2 * width) {
    take(0, at(i));
    take(1, at(i + width));
  }
  if (i + width <= n) {
    take(0, at(i));
    i += width;
  }
  if (i < n) take(1, last_of(at(n - width), n - i, T(0)));
  to.sum += static_cast<double>(fold_line(each_part(sums[0], sums[1], add), add));
  to.squares += static_cast<double>(fold_line(each_part(squares[0], squares[1], add), add));
}

// Numbers that belong together: `runs` stretches of `size` contiguous ones, `stride` apart.
template <class T>
struct Runs {
  const T* x;
  std::size_t runs, stride, size;

  double count() const { return static_cast<double>(runs) * static_cast<double>(size); }
  template <class F>
  void each_run(F f) const {
    for (std::size_t run = 0; run < runs; ++run) f(x + run * stride);
  }
  // f(x, i) of each number and i < 8, for eight sums side by side.
  template <class F>
  void each(F f) const {
    each_run([&](const T* from) {
      std::size_t i = 0;
      for (; i + 8 <= size; i += 8)
        for (std::size_t k = 0; k < 8; ++k) f(static_cast<double>(from[i + k]), k);
      for (; i < size; ++i) f(static_cast<double>(from[i]), i % 8);
    });
  }
};

// The power of two at the largest element; 1 of nothing but zeros, and beside infinities and NaN.
template <class T>
double unit_of(const Runs<T>& row) {
  double largest = 0;
  row.each([&](double x, std::size_t) { largest = std::max(std::abs(x), largest); });
  if (largest == 0 || !std::isfinite(largest)) return 1;
  return std::ldexp(1.0, std::ilogb(largest));
}

// What rows whose largest element is about `unit` are multiplied by, so that nothing is lost: 1 for
// most. Not by more than that needs, since second slopes are multiplied by it several times.
template <class T>
T part_of(double unit) {
  constexpr double far = sizeof(T) == sizeof(float) ? 0x1p64 : 0x1p512;
  constexpr double part = sizeof(T) == sizeof(float) ? 0x1p32 : 0x1p256;
  return static_cast<T>(unit >= far ? 1 / part : unit < 1 / far ? part : 1);
}

// In double and of numbers of middling size, where nothing over- or underflows.
template <class T>
Spread<T> spread_anew(const Runs<T>& row) {
  const double unit = unit_of(row);
  const T part = part_of<T>(unit);
  const auto total = [](const double(&parts)[8]) {
    double sum = 0;
    for (const double one : parts) sum += one;
    return sum;
  };
  double sums[8] = {};
  row.each([&](double x, std::size_t k) { sums[k] += x / unit; });
  const double mean = total(sums) / row.count();
  double rests[8] = {};
  double squares[8] = {};
  row.each([&](double x, std::size_t k) {
    const double d = x / unit - mean;
    rests[k] += d;
    squares[k] += d * d;
  });
  const double rest = total(rests) / row.count();
  const double spread = total(squares) - total(rests) * rest;
  const double scale = unit * part;
  const T rounded = static_cast<T>((mean + rest) * scale);
  const double left = (mean - static_cast<double>(rounded) / scale) + rest;
  return {rounded, static_cast<T>(left * scale), spread < 0 ? 0 : spread, unit, part};
}

// Whether sums of squares of T's are right: neither beyond what it holds nor below `least`.
template <class T>
bool in_range(double squares, double least) {
  constexpr double most =
      sizeof(T) == sizeof(float) ? static_cast<double>(std::numeric_limits<float>::max()) : 1e300;
  return squares >= least && squares <= most;
}
// The least sum of squares that lost nothing to underflow.
template <class T>
constexpr double least_squares = sizeof(T) == sizeof(float) ? 1e-30 : 1e-280;

// Whether a row that lies as close to 0 as its mean and the squares of its deviations say may hold
// something whose mean or differences are no normal numbers. Seldom asked about elements.
template <class T>
bool may_vanish(const Runs<T>& row, double mean, double squares) {
  constexpr double tiny = sizeof(T) == sizeof(float) ? 0x1p-64 : 0x1p-512;
  if (!(squares < least_squares<T> && std::abs(mean) < tiny)) return false;
  bool any = false;
  row.each([&](double x, std::size_t) { any |= x != 0; });
  return any;
}

template <class T>
void add_deviations_of_row(const T* x, T mean, std::size_t n, Deviations& to) {
  constexpr std::size_t stretch = 4096;
  for (std::size_t first = 0; first < n;) {
    // Short ends join the stretch before.
    const std::size_t here = n - first < 2 * stretch ? n - first : stretch;
    add_deviations(x + first, mean, here, to);
    first += here;
  }
}

// The spread of at least one number. Where the sum of squares is below `least`, or beyond what T
// holds, and of tiny numbers it is computed anew in double.
template <class T>
Spread<T> spread_of(const Runs<T>& row, double least) {
  T mean = 0;
  if (row.runs == 1) {
    mean = sum_of_run(row.x, row.size) / static_cast<T>(row.size);
  } else {
    double sum = 0;
    row.each_run([&](const T* x) { sum += static_cast<double>(sum_of_run(x, row.size)); });
    mean = static_cast<T>(sum / row.count());
  }
  Deviations all;
  row.each_run([&](const T* x) { add_deviations_of_row(x, mean, row.size, all); });
  if (!in_range<T>(all.squares, least) || may_vanish(row, mean, all.squares))
    return spread_anew(row);
  const double rest = all.sum / row.count();
  const double squares = all.squares - all.sum * rest;
  return {mean, static_cast<T>(rest), squares < 0 ? 0 : squares};
}
template <class T>
Spread<T> spread_of_row(const T* x, std::size_t n, double least) {
  return spread_of(Runs<T>{x, 1, n, n}, least);
}

// standardise_row() of a row whose `part` is not 1.
template <class T>
void standardise_scaled(const T* x, std::size_t n, const Spread<T>& spread, T inverse,
                        const T* scale, const T* shift, T* out) {
  for (std::size_t i = 0; i < n; ++i) {
    const T z = ((x[i] * spread.part - spread.mean) - spread.rest) * inverse;
    out[i] = scale == nullptr ? z : z * scale[i] + shift[i];
  }
}

// (x - mean) times `inverse` of n numbers, and with `affine` times scale plus shift; `out` may be
// x.
template <class T, bool affine>
void standardise_row(const T* x, std::size_t n, const Spread<T>& spread, T inverse, const T* scale,
                     const T* shift, T* out) {
  constexpr std::size_t width = Line<T>::width;
  if (n < width) {
    for (std::size_t i = 0; i < n; ++i) {
      const T z = ((x[i] - spread.mean) - spread.rest) * inverse;
      out[i] = affine ? z * scale[i] + shift[i] : z;
    }
    return;
  }
  using Batch = typename Line<T>::Batch;
  const Batch mean(spread.mean);
  const Batch rest(spread.rest);
  const Batch factor(inverse);
  const auto put = [&](const Line<T>& from, std::size_t i) {
    Line<T> z = each_part(from, [&](const Batch& a) { return ((a - mean) - rest) * factor; });
    if constexpr (affine) {
      z = each_part(z, Line<T>::load(scale + i),
                    [](const Batch& a, const Batch& b) { return a * b; });
      z = each_part(z, Line<T>::load(shift + i),
                    [](const Batch& a, const Batch& b) { return a + b; });
    }
    z.store(out + i);
  };
  const auto last = Line<T>::load(x + n - width);  // before it may be written over
  std::size_t i = 0;
  for (; i + width <= n; i += width) put(Line<T>::load(x + i), i);
  if (i < n) put(last, n - width);
}

}  // namespace DUALTAPE_ISA
}  // namespace dualtape::detail
