#include <algorithm>
#include <cstdlib>

#include <dualtape/core/tensor/transpose.hpp>
#include <dualtape/ops/kernels/rows/strided.hpp>

namespace dualtape::detail {
namespace {

template <class T>
void copy_row(const T* in, std::int64_t in_stride, T* out, std::int64_t out_stride,
              std::int64_t count) {
  if (in_stride == 1 && out_stride == 1) {
    std::copy_n(in, count, out);
  } else if (in_stride == 0 && out_stride == 1) {
    std::fill_n(out, count, *in);
  } else {
    for (std::int64_t i = 0; i < count; ++i) out[i * out_stride] = in[i * in_stride];
  }
}

}  // namespace

std::vector<std::int64_t> dense_strides(const Shape& shape) {
  std::vector<std::int64_t> strides(shape.rank());
  std::int64_t stride = 1;
  for (std::size_t axis = shape.rank(); axis-- > 0;) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

AxisSplit split_at(const Shape& shape, std::size_t axis) {
  AxisSplit split;
  for (std::size_t i = 0; i < axis; ++i) split.outer *= shape[i];
  split.size = shape[axis];
  for (std::size_t i = axis + 1; i < shape.rank(); ++i) split.inner *= shape[i];
  return split;
}

StridedCopy::StridedCopy(DType dtype, std::span<const std::int64_t> sizes,
                         std::span<const std::int64_t> in_strides,
                         std::span<const std::int64_t> out_strides, std::int64_t in_offset,
                         std::int64_t out_offset)
    : dtype_(dtype), in_offset_(in_offset), out_offset_(out_offset) {
  empty_ = std::ranges::count(sizes, 0) > 0;
  if (empty_) return;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const Axis axis{sizes[i], in_strides[i], out_strides[i]};
    if (axis.size == 1) continue;
    if (!axes_.empty() && axes_.back().in == axis.in * axis.size &&
        axes_.back().out == axis.out * axis.size)
      axes_.back() = {axes_.back().size * axis.size, axis.in, axis.out};
    else
      axes_.push_back(axis);
  }
  while (axes_.size() < 2) axes_.insert(axes_.begin(), Axis{1, 0, 0});
  // Where the innermost loop would jump through the input, the axis along which the input is dense
  // goes beside it, for the blocked transpose.
  if (axes_.back().out == 1 && axes_.back().in != 1 && axes_.back().in != 0) {
    const auto dense =
        std::find_if(axes_.begin(), axes_.end() - 1, [](const Axis& axis) { return axis.in == 1; });
    if (dense != axes_.end() - 1) std::rotate(dense, dense + 1, axes_.end() - 1);
  }
}

// One level of recursion for each axis that is left after merging.
template <class T>
void StridedCopy::copy(std::span<const Axis> axes, const T* in, T* out) {
  const Axis& outer = axes[0];
  if (axes.size() > 2) {
    for (std::int64_t i = 0; i < outer.size; ++i)
      copy(axes.subspan(1), in + i * outer.in, out + i * outer.out);
    return;
  }
  const Axis& inner = axes[1];
  if (outer.in == 1 && inner.out == 1 && inner.in != 1 && inner.in != 0) {
    transpose(in, inner.in, out, outer.out, outer.size, inner.size);
    return;
  }
  for (std::int64_t i = 0; i < outer.size; ++i)
    copy_row(in + i * outer.in, inner.in, out + i * outer.out, inner.out, inner.size);
}

void StridedCopy::run(const void* in, void* out) const {
  if (empty_) return;
  dispatch(dtype_, [&]<class T>() {
    copy<T>(axes_, static_cast<const T*>(in) + in_offset_, static_cast<T*>(out) + out_offset_);
  });
}

}  // namespace dualtape::detail
