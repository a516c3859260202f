// Means and squared deviations of rows: the loops under variances and layer normalisation.
// Private: includes xsimd; for one instruction set at a time (core/detail/isa.hpp). Plain
// functions; any thread.
//
// Two sweeps over a row that is in the cache by then, and what the rounded mean misses is put right
// by the sum of the deviations from it (the corrected two-pass algorithm: Chan, Golub and LeVeque,
// "Algorithms for computing the sample variance", 1983). The same bits on every instruction set.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include <dualtape/ops/detail/fold.hpp>

namespace dualtape::detail {
inline namespace DUALTAPE_ISA {

// The mean of a row is mean + rest, to more digits than T has.
template <class T>
struct Spread {
  T mean;
  T rest;
  double squares;  // of the deviations from the mean, summed
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

// The same in double, where no square of a float overflows or underflows.
inline Deviations deviations_in_double(const float* x, float mean, std::size_t n) {
  constexpr std::size_t width = 8;
  double sums[width] = {};
  double squares[width] = {};
  const auto take = [&](std::size_t k, float value) {
    const double d = static_cast<double>(value) - static_cast<double>(mean);
    sums[k] += d;
    squares[k] += d * d;
  };
  std::size_t i = 0;
  for (; i + width <= n; i += width)
    for (std::size_t k = 0; k < width; ++k) take(k, x[i + k]);
  for (; i < n; ++i) take(i % width, x[i]);
  Deviations total;
  for (std::size_t k = 0; k < width; ++k) {
    total.sum += sums[k];
    total.squares += squares[k];
  }
  return total;
}

// Of n > 0 contiguous numbers. Sums of squares below `least`, or beyond what T holds, are taken
// anew in double.
template <class T>
Spread<T> spread_of_row(const T* x, std::size_t n, double least) {
  constexpr std::size_t stretch = 4096;
  const auto count = static_cast<double>(n);
  const T mean = sum_of_run(x, n) / static_cast<T>(n);
  Deviations all;
  for (std::size_t first = 0; first < n;) {
    // Short ends join the stretch before.
    const std::size_t here = n - first < 2 * stretch ? n - first : stretch;
    add_deviations(x + first, mean, here, all);
    first += here;
  }
  if constexpr (sizeof(T) == sizeof(float)) {
    constexpr auto most = static_cast<double>(std::numeric_limits<float>::max());
    if (!(all.squares >= least && all.squares <= most)) all = deviations_in_double(x, mean, n);
  }
  const double rest = all.sum / count;
  const double squares = all.squares - all.sum * rest;
  return {mean, static_cast<T>(rest), squares < 0 ? 0 : squares};
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
