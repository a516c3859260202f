// Exponentials of rows and columns with their largest element taken out: the loops under softmax,
// logsumexp and cross-entropy. Private: includes xsimd. Plain functions; any thread.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

#include <dualtape/ops/detail/fold.hpp>
#include <dualtape/ops/detail/strided.hpp>

namespace dualtape::detail {

// An array as `outer` blocks of `size` rows of `inner` elements; the middle one is folded.
struct Blocks {
  std::size_t outer;
  std::size_t size;
  std::size_t inner;
  explicit Blocks(const AxisSplit& split)
      : outer(static_cast<std::size_t>(split.outer)),
        size(static_cast<std::size_t>(split.size)),
        inner(static_cast<std::size_t>(split.inner)) {}
};

// to[i] = e^(x[i] - shift[i * step]) for i < n and a step of 0 or 1; `to` may be `x`. The tail goes
// through the same registers, padded.
template <class T>
void shifted_exponentials(const T* x, const T* shift, std::size_t step, T* to, std::size_t n) {
  constexpr std::size_t width = Lane<T>::width;
  const auto shift_at = [&](std::size_t i) {
    return step == 0 ? Lane<T>(*shift) : Lane<T>::load(shift + i);
  };
  std::size_t i = 0;
  for (; i + width <= n; i += width) exp(Lane<T>::load(x + i) - shift_at(i)).store(to + i);
  if (i == n) return;
  alignas(64) T from[width] = {};
  alignas(64) T less[width] = {};
  for (std::size_t k = 0; i + k < n; ++k) {
    from[k] = x[i + k];
    less[k] = shift[(i + k) * step];
  }
  exp(Lane<T>::load(from) - Lane<T>::load(less)).store(from);
  std::copy(from, from + (n - i), to + i);
}

// Rows at most so long are worked on many at a time, since most are no multiple of a register.
inline constexpr std::size_t narrow_row = 64;
inline constexpr std::size_t rows_at_once = 64;

// Largest elements and totals of up to rows_at_once rows.
template <class T>
struct RowTotals {
  T largest[rows_at_once];  // a NaN may be passed over here, the total is NaN then
  T total[rows_at_once];    // of e^(x - largest)
};

// How many rows of `size` elements go in one call of the functions below.
inline std::size_t rows_in_call(std::size_t size) { return size <= narrow_row ? rows_at_once : 1; }

// to = e^(x - largest of the row), and the totals.
template <class T>
void exponentials_of_rows(const T* x, std::size_t rows, std::size_t size, T* to,
                          RowTotals<T>& totals) {
  if (size > narrow_row) {
    totals.largest[0] = fold_run<MaxFold<T>>(x, size);
    shifted_exponentials(x, totals.largest, 0, to, size);
    totals.total[0] = fold_run<SumFold<T>>(to, size);
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

// The totals alone, through a buffer that stays in the cache.
template <class T>
void totals_of_rows(const T* x, std::size_t rows, std::size_t size, RowTotals<T>& totals) {
  constexpr std::size_t stretch = narrow_row * rows_at_once;
  alignas(64) T buffer[stretch];
  if (size <= stretch / rows) return exponentials_of_rows(x, rows, size, buffer, totals);
  totals.largest[0] = fold_run<MaxFold<T>>(x, size);
  double total = 0;
  for (std::size_t i = 0; i < size; i += stretch) {
    const std::size_t n = std::min(stretch, size - i);
    shifted_exponentials(x + i, totals.largest, 0, buffer, n);
    total += static_cast<double>(fold_run<SumFold<T>>(buffer, n));
  }
  totals.total[0] = static_cast<T>(total);
}

inline constexpr std::size_t columns_at_once = 256;

// The same of up to columns_at_once columns, `stride` elements from row to row. Calls
// put(row, e^(x - largest) of the columns) for each row.
template <class T>
struct ColumnTotals {
  alignas(64) T largest[columns_at_once];
  alignas(64) T total[columns_at_once];

  template <class Put>
  void find(const T* x, std::size_t rows, std::size_t stride, std::size_t columns, Put put) {
    std::fill(largest, largest + columns, MaxFold<T>::identity());
    for (std::size_t row = 0; row < rows; ++row)
      for (std::size_t i = 0; i < columns; ++i)
        largest[i] = MaxFold<T>::combine(largest[i], x[row * stride + i]);
    alignas(64) T terms[columns_at_once];
    alignas(64) double totals[columns_at_once] = {};  // double, since they are added one by one
    for (std::size_t row = 0; row < rows; ++row) {
      shifted_exponentials(x + row * stride, largest, 1, terms, columns);
      for (std::size_t i = 0; i < columns; ++i) totals[i] += static_cast<double>(terms[i]);
      put(row, std::span<const T>(terms, columns));
    }
    for (std::size_t i = 0; i < columns; ++i) total[i] = static_cast<T>(totals[i]);
  }
};

}  // namespace dualtape::detail
