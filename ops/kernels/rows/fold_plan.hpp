// How an array is walked when some of its axes are folded; and the kernels that work row by row.
// Private, without SIMD headers. A plan is immutable; kernels may be called from any thread.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include <dualtape/core/dtype.hpp>
#include <dualtape/core/machine/isa.hpp>
#include <dualtape/core/shape.hpp>

namespace dualtape::detail {

// Neighbouring axes that are both kept or both folded count as one.
struct FoldPlan {
  struct Axis {
    std::size_t size;
    std::size_t stride;
  };
  using Axes = std::vector<Axis>;  // outermost first

  // `axes` are distinct numbers 0 .. rank-1.
  FoldPlan(const Shape& shape, const std::vector<std::int64_t>& axes);
  std::size_t outputs() const { return kept_count * (inner_folded ? 1 : inner); }

  Axes kept;    // without the innermost group
  Axes folded;  // without the innermost group
  std::size_t kept_count = 1;
  std::size_t lines = 1;  // how many innermost groups one output folds
  std::size_t inner = 1;  // size of the innermost group
  bool inner_folded = true;
};

// Rows at most so long are worked on many at a time, since most are no multiple of a register.
inline constexpr std::size_t narrow_row = 64;
inline constexpr std::size_t rows_at_once = 64;
// How many rows of `size` elements go in one call of RowKernels::totals.
inline std::size_t rows_in_call(std::size_t size) { return size <= narrow_row ? rows_at_once : 1; }

// Largest elements and totals of up to rows_at_once rows.
template <class T>
struct RowTotals {
  T largest[rows_at_once];  // NaNs are passed over here, the total is NaN then
  T total[rows_at_once];    // of e^(x - largest)
  T log[rows_at_once];      // of the total, to all digits where that is near 1
};

// Norms beyond all numbers are kept times a power of two, too.
template <class T>
struct FarNorm {
  static constexpr double largest = static_cast<double>(std::numeric_limits<T>::max());
  static constexpr double down = sizeof(T) == sizeof(double) ? 0x1p-256 : 0x1p-32;

  // Written as `norm > largest`, g++ 14.2 leaves `down` out of the product it stands in.
  static double part(T norm) { return std::isfinite(norm) ? 1 : down; }
};

// What derivatives read of rows, or of channels: one number of each, of the row times `part`, a
// power of two that is 1 but for huge and tiny rows.
template <class T>
struct RowStatistics {
  T* mean;
  T* rest;    // what the rounded mean misses
  T* length;  // the standard deviation, or 1 / sqrt(variance + epsilon); null where not asked for
  T* part;
};

// Batch normalisation of blocks (outer, channels, inner).
struct ChannelBlocks {
  std::size_t outer, channels, inner;
};
template <class T>
struct BatchNormArgs {
  const T* x;
  const T* scale;  // one number for each channel, as all below but `out`
  const T* shift;
  double epsilon;
  T* out;  // of the shape of x
  T* mean;
  T* variance;
  RowStatistics<T> of_channels;
};

// Of float or double; contiguous rows of `size` elements, or blocks of `size` rows of `inner`.
template <class T>
struct RowKernelsOf {
  using Fold = void (*)(const FoldPlan& plan, const T* in, T* out);
  Fold sum;
  Fold max;  // NaN where an element is
  Fold min;
  // Euclidean; squares are summed in double. `scaled` is FarNorm<T>::part() times the norm.
  void (*norm)(const FoldPlan& plan, const T* in, T* out, T* scaled);
  // The mean of the numbers of output k, also where their sum overflows.
  T (*mean_of_output)(const FoldPlan& plan, const T* in, std::size_t k);
  using Find = std::int64_t (*)(const T* row, std::size_t size);
  Find argmax;  // the first of the largest, or the first NaN; size > 0
  Find argmin;
  using Rows = void (*)(const T* x, T* out, std::size_t rows, std::size_t size);
  Rows softmax;
  Rows log_softmax;
  Rows logsumexp;
  using Columns = void (*)(const T* x, T* out, std::size_t size, std::size_t inner);
  Columns softmax_columns;
  Columns log_softmax_columns;
  Columns logsumexp_columns;
  // Of each row, or column: out_i = y_i sum_j y_j (t_i - t_j); the same without the first factor;
  // and the transpose of that, t_i sum_j y_j - y_i sum_j t_j.
  void (*softmax_slope[3])(const T* y, const T* t, T* out, std::size_t rows, std::size_t size);
  void (*softmax_slope_columns[3])(const T* y, const T* t, T* out, std::size_t size,
                                   std::size_t inner);
  // Of rows_in_call(size) rows at most.
  void (*totals)(const T* x, std::size_t rows, std::size_t size, RowTotals<T>& totals);
  // out = sum (x - mean)^2 / divisor of each row, or its root.
  void (*variance)(const T* x, std::size_t rows, std::size_t size, double divisor, bool root,
                   T* out, const RowStatistics<T>& to);
  // out = (x - mean) inverse scale + shift with inverse = 1 / sqrt(variance + epsilon); scale and
  // shift hold `size` elements or are both null. `out` may be x.
  void (*layer_norm)(const T* x, const T* scale, const T* shift, std::size_t rows, std::size_t size,
                     double epsilon, T* out, const RowStatistics<T>& to);
  // out = x part inverse scale with inverse = 1 / (part sqrt(mean x^2 + epsilon)), part as in
  // RowStatistics; scale may be null.
  void (*rms_norm)(const T* x, const T* scale, std::size_t rows, std::size_t size, double epsilon,
                   T* out, T* inverse, T* part);
  // Channels first ... last - 1; there is an element of each.
  void (*batch_norm)(const ChannelBlocks& blocks, const BatchNormArgs<T>& args, std::size_t first,
                     std::size_t last);
  // c = scale a b^T and c += scale a b^T: a column of m elements, a row of n, and c is m x n.
  using Outer = void (*)(std::size_t m, std::size_t n, T scale, const T* a, const T* b, T* c);
  Outer outer;
  Outer add_outer;
};

// Tables in ops/kernels/rows/row_kernels.cpp.
struct RowKernels {
  RowKernelsOf<float> single;
  RowKernelsOf<double> twice;
};
const RowKernels& row_kernels(IsaTag<Isa::baseline>);
const RowKernels& row_kernels(IsaTag<Isa::avx2>);
const RowKernels& row_kernels(IsaTag<Isa::avx512>);

// Those for the instruction set in use.
template <class T>
const RowKernelsOf<T>& row_kernels() {
  const RowKernels& table = *for_isa(isa(), [](auto tag) { return &row_kernels(tag); });
  if constexpr (sizeof(T) == sizeof(float))
    return table.single;
  else
    return table.twice;
}

}  // namespace dualtape::detail
