// Copies blocks of elements between strided views: the one loop of permute, broadcast_to,
// concat, split, slice and pad. Private. A plan is immutable; run() may be called from any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <dualtape/core/dtype.hpp>
#include <dualtape/core/shape.hpp>

namespace dualtape::detail {

// Elements from one entry of an axis to the next, in a dense row-major array.
std::vector<std::int64_t> dense_strides(const Shape& shape);

// The largest numbers of elements before and after an axis: count = outer * size * inner.
struct AxisSplit {
  std::int64_t outer = 1;
  std::int64_t size = 1;
  std::int64_t inner = 1;
};
AxisSplit split_at(const Shape& shape, std::size_t axis);

// out[out_offset + i . out_strides] = in[in_offset + i . in_strides] for every index i below
// `sizes`. Strides and offsets count elements; they may be negative, and 0 in `in_strides`
// broadcasts.
class StridedCopy {
 public:
  StridedCopy(DType dtype, std::span<const std::int64_t> sizes,
              std::span<const std::int64_t> in_strides, std::span<const std::int64_t> out_strides,
              std::int64_t in_offset = 0, std::int64_t out_offset = 0);
  // Allocates nothing. The memories must not overlap.
  void run(const void* in, void* out) const;

 private:
  struct Axis {
    std::int64_t size;
    std::int64_t in;
    std::int64_t out;
  };
  template <class T>
  static void copy(std::span<const Axis> axes, const T* in, T* out);

  DType dtype_;
  bool empty_ = false;
  std::vector<Axis> axes_;  // outermost first, at least two, neighbours merged where possible
  std::int64_t in_offset_;
  std::int64_t out_offset_;
};

}  // namespace dualtape::detail
