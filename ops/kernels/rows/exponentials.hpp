// Exponentials of rows and columns with their largest element taken out: the loops under softmax,
// logsumexp and cross-entropy. Private: includes xsimd; for one instruction set at a time
// (core/machine/isa.hpp). Plain functions; any thread.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <dualtape/ops/kernels/rows/fold.hpp>

namespace dualtape::detail {
inline namespace DUALTAPE_ISA {

// e^x for x <= 0, and 0 where that is below the normal numbers; NaN stays NaN. Everything here has
// the largest element taken out, and a program runs with denormals flushed.
inline xsimd::batch<double> exp_of_difference(const xsimd::batch<double>& x) {
  return xsimd::exp(x);
}
// x = n log 2 + r with |r| <= log(2) / 2 (Cody and Waite, 1980); e^r = 1 + r + r^2 p(r) with p a
// minimax polynomial (Remez; error 0.05 of a float's last bit). n + 3 2^22 has n in its last bits.
inline xsimd::batch<float> exp_of_difference(const xsimd::batch<float>& x) {
  using B = xsimd::batch<float>;
  const B shift(0x1.8p23F);
  const B shifted = xsimd::fma(x, B(1.44269504F), shift);
  const B n = shifted - shift;
  const B r = xsimd::fnma(n, B(-0x1.bd0106p-13F), xsimd::fnma(n, B(0x1.63p-1F), x));
  B p = xsimd::fma(B(0x1.6a23dp-10F), r, B(0x1.123a2p-7F));
  p = xsimd::fma(p, r, B(0x1.5558f2p-5F));
  p = xsimd::fma(p, r, B(0x1.555492p-3F));
  p = xsimd::fma(p, r, B(0x1.fffffcp-2F));
  const B q = xsimd::fma(p, r * r, r) + B(1.0F);
  using I = xsimd::batch<std::int32_t>;
  const I power = (bits_as<std::int32_t>(shifted) << 23) + I(0x3F800000);
  return xsimd::select(x < B(-87.3F), B(0.0F), q * bits_as<float>(power));
}

template <class T>
inline Line<T> exponentials(const Line<T>& x, const Line<T>& shift) {
  return each_part(x, shift, [](auto a, auto b) { return exp_of_difference(a - b); });
}

// to[i] = e^(x[i] - shift[i * step]) for i < n and a step of 0 or 1; `to` may be `x`. The tail goes
// through the same registers, padded.
template <class T>
void shifted_exponentials(const T* x, const T* shift, std::size_t step, T* to, std::size_t n) {
  constexpr std::size_t width = Line<T>::width;
  const auto shift_at = [&](std::size_t i) {
    return step == 0 ? Line<T>::of(*shift) : Line<T>::load(shift + i);
  };
  std::size_t i = 0;
  for (; i + width <= n; i += width) exponentials(Line<T>::load(x + i), shift_at(i)).store(to + i);
  if (i == n) return;
  alignas(64) T from[width] = {};
  alignas(64) T less[width] = {};
  for (std::size_t k = 0; i + k < n; ++k) {
    from[k] = x[i + k];
    less[k] = shift[(i + k) * step];
  }
  exponentials(Line<T>::load(from), Line<T>::load(less)).store(from);
  for (std::size_t k = 0; i + k < n; ++k) to[i + k] = from[k];
}

// The exponential of a difference, or 0 where that is 1.
template <class B>
B other_than_one(const B& term) {
  return xsimd::select(term == B(1), B(0), term);
}

// The sum of e^(x[i] - largest) over n elements, n at least a line; they are written to `to`, which
// may be x, where `store` says so. Without those that are 1 with `others`.
template <class T, bool store, bool others = false>
T sum_of_exponentials(const T* x, T largest, T* to, std::size_t n) {
  constexpr std::size_t width = Line<T>::width;
  const auto add = [](auto a, auto b) { return a + b; };
  const auto shift = Line<T>::of(largest);
  const auto none = Line<T>::of(0);
  const std::size_t rest = n % width;
  // Read before it may be written over.
  const auto last = Line<T>::load(x + n - width);
  FourLines<T> sums{{none, none, none, none}};
  const auto terms_of = [&](const Line<T>& line) {
    const Line<T> all = exponentials(line, shift);
    if constexpr (!others) return all;
    return each_part(all, [](const auto& part) { return other_than_one(part); });
  };
  const auto take = [&](std::size_t k, std::size_t i) {
    const auto terms = terms_of(Line<T>::load(x + i));
    if constexpr (store) terms.store(to + i);
    sums.line[k] = each_part(sums.line[k], terms, add);
  };
  std::size_t i = 0;
  for (; i + 4 * width <= n; i += 4 * width)
    for (std::size_t k = 0; k < 4; ++k) take(k, i + k * width);
  for (std::size_t k = 0; i + width <= n; i += width, ++k) take(k, i);
  if (rest != 0) {
    const auto terms = terms_of(last);
    if constexpr (store) terms.store(to + n - width);
    sums.line[3] = each_part(sums.line[3], last_of(terms, rest, T(0)), add);
  }
  return sum_of_lines(sums);
}

// The same for rows of any length from a line on, whose sums are put together in double.
template <class T, bool store, bool others = false>
T total_of_row(const T* x, T largest, T* to, std::size_t size) {
  constexpr std::size_t stretch = 4096;
  if (size <= stretch) return sum_of_exponentials<T, store, others>(x, largest, to, size);
  double total = 0;
  while (size != 0) {
    // What is left is never shorter than a line.
    const std::size_t n = size < 2 * stretch ? size : stretch;
    total += static_cast<double>(sum_of_exponentials<T, store, others>(x, largest, to, n));
    x += n;
    if constexpr (store) to += n;
    size -= n;
  }
  return static_cast<T>(total);
}

// The largest element that is not NaN; the exponentials tell of NaNs.
template <class T>
T largest_of_row(const T* x, std::size_t n) {
  return extreme_of_run<T, true, false>(x, n).value;
}

// to = e^(x - largest of the row), and the totals, of rows_in_call(size) rows at most.
template <class T>
void exponentials_of_rows(const T* x, std::size_t rows, std::size_t size, T* to,
                          RowTotals<T>& totals) {
  if (size > narrow_row) {
    totals.largest[0] = largest_of_row(x, size);
    totals.total[0] = total_of_row<T, true>(x, totals.largest[0], to, size);
    return;
  }
  for (std::size_t row = 0; row < rows; ++row) {
    const T* from = x + row * size;
    T largest = -std::numeric_limits<T>::infinity();
    for (std::size_t i = 0; i < size; ++i) largest = from[i] > largest ? from[i] : largest;
    for (std::size_t i = 0; i < size; ++i) to[row * size + i] = from[i] - largest;
    totals.largest[row] = largest;
  }
  constexpr T zero = 0;
  shifted_exponentials(to, &zero, 0, to, rows * size);
  for (std::size_t row = 0; row < rows; ++row) {
    T total = 0;
    for (std::size_t i = 0; i < size; ++i) total += to[row * size + i];
    totals.total[row] = total;
  }
}

// The logarithm of a total, which is 1, of the largest element, and the rest. Where that is small
// it is summed apart: others() gives it.
template <class T, class Others>
T log_of_total(T total, Others others) {
  return total < T(1.125) ? std::log1p(others()) : std::log(total);
}

// The totals alone and their logarithms.
template <class T>
void totals_of_rows(const T* x, std::size_t rows, std::size_t size, RowTotals<T>& totals) {
  if (size > narrow_row) {
    T* const nowhere = nullptr;
    const T largest = largest_of_row(x, size);
    totals.largest[0] = largest;
    totals.total[0] = total_of_row<T, false>(x, largest, nowhere, size);
    totals.log[0] = log_of_total(
        totals.total[0], [&] { return total_of_row<T, false, true>(x, largest, nowhere, size); });
    return;
  }
  alignas(64) T buffer[narrow_row * rows_at_once];
  exponentials_of_rows(x, rows, size, buffer, totals);
  for (std::size_t row = 0; row < rows; ++row)
    totals.log[row] = log_of_total(totals.total[row], [&] {
      T rest = 0;
      const T* const terms = buffer + row * size;
      for (std::size_t i = 0; i < size; ++i) rest += terms[i] == 1 ? T(0) : terms[i];
      return rest;
    });
}

inline constexpr std::size_t columns_at_once = 256;

// The same of up to columns_at_once columns, `stride` elements from row to row. Calls
// put(row, e^(x - largest) of the columns) for each row.
template <class T>
struct ColumnTotals {
  alignas(64) T largest[columns_at_once];
  alignas(64) T total[columns_at_once];
  alignas(64) T rest[columns_at_once];  // total - 1

  T log(std::size_t i) const {
    return log_of_total(total[i], [this, i] { return rest[i]; });
  }

  template <class Put>
  void find(const T* x, std::size_t rows, std::size_t stride, std::size_t columns, Put put) {
    for (std::size_t i = 0; i < columns; ++i) largest[i] = MaxFold<T>::identity();
    for (std::size_t row = 0; row < rows; ++row)
      for (std::size_t i = 0; i < columns; ++i)
        largest[i] = MaxFold<T>::combine(largest[i], x[row * stride + i]);
    alignas(64) T terms[columns_at_once];
    // In double, since they are added one by one; those that are 1 apart from the others.
    alignas(64) double rests[columns_at_once] = {};
    alignas(64) double ones[columns_at_once] = {};
    for (std::size_t row = 0; row < rows; ++row) {
      shifted_exponentials(x + row * stride, largest, 1, terms, columns);
      for (std::size_t i = 0; i < columns; ++i) {
        ones[i] += terms[i] == 1 ? 1.0 : 0.0;
        rests[i] += terms[i] == 1 ? 0.0 : static_cast<double>(terms[i]);
      }
      put(row, static_cast<const T*>(terms));
    }
    for (std::size_t i = 0; i < columns; ++i) {
      total[i] = static_cast<T>(ones[i] + rests[i]);
      rest[i] = static_cast<T>((ones[i] - 1) + rests[i]);
    }
  }
};

}  // namespace DUALTAPE_ISA
}  // namespace dualtape::detail
