#include <algorithm>

#include <dualtape/ops/kernels/pooling/pool.hpp>

namespace dualtape::detail {
namespace {

void find_overlaps(PoolAxis& axis) {
  std::size_t reached = 0;
  for (std::size_t i = 0; i < axis.out; ++i) {
    if (axis.first[i] < reached) axis.disjoint = false;
    if (axis.first[i] > reached) axis.covering = false;
    reached = std::max(reached, axis.last[i]);
  }
  if (reached < axis.in) axis.covering = false;
}

// Output i of `out` sees what lies between i / out and (i + 1) / out of the axis, rounded outwards.
PoolAxis adaptive_axis(std::int64_t in, std::int64_t out) {
  PoolAxis axis;
  axis.in = static_cast<std::size_t>(in);
  axis.out = static_cast<std::size_t>(out);
  for (std::size_t i = 0; i < axis.out; ++i) {
    axis.first.push_back(i * axis.in / axis.out);
    axis.last.push_back(((i + 1) * axis.in + axis.out - 1) / axis.out);
    axis.divisor.push_back(static_cast<double>(axis.last[i] - axis.first[i]));
  }
  find_overlaps(axis);
  return axis;
}

PoolAxis strided_axis(std::int64_t in, std::int64_t window, std::int64_t stride,
                      std::int64_t padding, bool count_padding, bool round_up) {
  PoolAxis axis;
  const std::int64_t out = count_windows(in, window, stride, padding, round_up);
  axis.in = static_cast<std::size_t>(in);
  axis.out = static_cast<std::size_t>(out);
  for (std::int64_t i = 0; i < out; ++i) {
    const std::int64_t begin = i * stride - padding;
    const std::int64_t first = std::max<std::int64_t>(begin, 0);
    const std::int64_t last = std::min(begin + window, in);
    axis.first.push_back(static_cast<std::size_t>(first));
    axis.last.push_back(static_cast<std::size_t>(last));
    const std::int64_t counted =
        count_padding ? std::min(window, in + padding - begin) : last - first;
    axis.divisor.push_back(static_cast<double>(counted));
  }
  if (out == count_windows(in, window, stride, padding, false)) {
    axis.window = static_cast<std::size_t>(window);
    axis.stride = static_cast<std::size_t>(stride);
    axis.before = static_cast<std::size_t>(padding);
  }
  find_overlaps(axis);
  return axis;
}

}  // namespace

bool rounds_up(const Attributes& attributes) {
  return attributes.has("ceil_mode") && attributes.get<bool>("ceil_mode");
}
std::int64_t count_windows(std::int64_t in, std::int64_t window, std::int64_t stride,
                           std::int64_t padding, bool round_up) {
  // Padding is half the window at most, so that nothing here overflows.
  const std::int64_t room = in - (window - 2 * padding);
  if (room < 0) return round_up && -room < stride ? 1 : 0;
  const std::int64_t whole = room / stride;
  if (!round_up || whole * stride == room) return whole + 1;
  // One more, unless it would begin in the padding at the end.
  return in + padding - stride * whole > stride ? whole + 2 : whole + 1;
}

bool is_channels_last(const Attributes& attributes) {
  return attributes.has("channels_last") && attributes.get<bool>("channels_last");
}

PoolPlan::PoolPlan(const Shape& x, const Attributes& attributes) {
  const bool channels_last = is_channels_last(attributes);
  const std::size_t row_axis = channels_last ? 1 : 2;
  outer = static_cast<std::size_t>(channels_last ? x[0] : x[0] * x[1]);
  inner = static_cast<std::size_t>(channels_last ? x[3] : 1);
  const auto& window = attributes.get<Ints>("window");
  if (attributes.has("adaptive")) {
    rows = adaptive_axis(x[row_axis], window[0]);
    columns = adaptive_axis(x[row_axis + 1], window[1]);
    return;
  }
  const auto& stride = attributes.get<Ints>("stride");
  const auto& padding = attributes.get<Ints>("padding");
  const bool count =
      !attributes.has("count_include_pad") || attributes.get<bool>("count_include_pad");
  rows = strided_axis(x[row_axis], window[0], stride[0], padding[0], count, rounds_up(attributes));
  columns =
      strided_axis(x[row_axis + 1], window[1], stride[1], padding[1], count, rounds_up(attributes));
}

}  // namespace dualtape::detail
