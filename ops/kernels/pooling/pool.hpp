// How pooling walks its windows, and the loops it is done with, one set for each instruction set.
// Private, without SIMD headers. Plans are plain values; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <dualtape/core/attributes.hpp>
#include <dualtape/core/machine/isa.hpp>
#include <dualtape/core/shape.hpp>

namespace dualtape::detail {

// Windows along one axis: output i sees the entries first[i] ... last[i] - 1 of the input.
struct PoolAxis {
  std::size_t in = 0;
  std::size_t out = 0;
  std::vector<std::size_t> first;
  std::vector<std::size_t> last;
  std::vector<double> divisor;  // of averages; those of both axes are multiplied
  // Windows of one size, one as far from the next, the first so many entries before the input; 0
  // where sizes differ.
  std::size_t window = 0;
  std::size_t stride = 0;
  std::size_t before = 0;
  bool disjoint = true;  // no entry is in two windows
  bool covering = true;  // every entry is in a window

  // Two by two, from the first to the last.
  bool halves() const { return window == 2 && stride == 2 && before == 0; }
};

// `outer` images of rows x columns x inner elements: (N C, H, W, 1), or (N, H, W, C) channels last.
struct PoolPlan {
  std::size_t outer = 1;
  std::size_t inner = 1;
  PoolAxis rows;
  PoolAxis columns;

  // `x` is the shape of what is pooled and must fit the attributes (see pool_shapes.hpp).
  PoolPlan(const Shape& x, const Attributes& attributes);

  std::size_t in_size() const { return rows.in * columns.in * inner; }
  std::size_t out_size() const { return rows.out * columns.out * inner; }
};

bool is_channels_last(const Attributes& attributes);
bool rounds_up(const Attributes& attributes);  // ceil_mode

// How many windows there are along an axis of `in` entries; 0 where none fits.
std::int64_t count_windows(std::int64_t in, std::int64_t window, std::int64_t stride,
                           std::int64_t padding, bool round_up);

// Of float or double, for images first ... last - 1. Of equal largest elements of a window the
// first is chosen, of NaNs the last, and a NaN before any number.
template <class T>
struct PoolKernelsOf {
  using Of = void (*)(const PoolPlan& plan, const T* x, T* y, std::size_t first, std::size_t last);
  using OfTwo = void (*)(const PoolPlan& plan, const T* x, const T* t, T* y, std::size_t first,
                         std::size_t last);
  Of max;
  OfTwo select;   // t at the place of the largest x
  OfTwo scatter;  // t of pooled shape, added up at the places of the largest x
  Of average;
  Of spread;  // the transpose of average: from the pooled shape to the whole one
};

// Tables in ops/kernels/pooling/pool_kernels.cpp.
struct PoolKernels {
  PoolKernelsOf<float> single;
  PoolKernelsOf<double> twice;
};
const PoolKernels& pool_kernels(IsaTag<Isa::baseline>);
const PoolKernels& pool_kernels(IsaTag<Isa::avx2>);
const PoolKernels& pool_kernels(IsaTag<Isa::avx512>);

// Those for the instruction set in use.
template <class T>
const PoolKernelsOf<T>& pool_kernels() {
  const PoolKernels& table = *for_isa(isa(), [](auto tag) { return &pool_kernels(tag); });
  if constexpr (sizeof(T) == sizeof(float))
    return table.single;
  else
    return table.twice;
}

}  // namespace dualtape::detail
