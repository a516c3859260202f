#include <dualtape/ops/declare/pool_shapes.hpp>

#include <string>

#include <dualtape/ops/declare/lists.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/kernels/pooling/pool.hpp>

namespace dualtape::detail {
namespace {

std::string pair_text(const Ints& pair) {
  return std::to_string(pair[0]) + " x " + std::to_string(pair[1]);
}

// Along one axis: how many windows fit. `name` is rows or columns.
std::int64_t pooled_size(const Inference& inference, const Shape& x, std::int64_t size,
                         std::size_t k, const char* name) {
  const auto& window = inference.attributes.get<Ints>("window");
  const std::string of = std::string(" of ") + name;
  if (window[k] < 1)
    inference.shape_error(
        "the window is " + pair_text(window) + ", and x has shape " + to_string(x),
        "give sizes of 1 or more");
  if (inference.attributes.has("adaptive")) {
    if (size < 1)
      inference.shape_error("x of shape " + to_string(x) + " has no " + name + " to pool");
    return window[k];
  }
  const auto& stride = inference.attributes.get<Ints>("stride");
  const auto& padding = inference.attributes.get<Ints>("padding");
  if (stride[k] < 1)
    inference.shape_error("the stride" + of + " is " + std::to_string(stride[k]),
                          "give strides of 1 or more");
  if (padding[k] < 0 || padding[k] > window[k] / 2)
    inference.shape_error("the padding" + of + " is " + std::to_string(padding[k]) +
                              " and the window is " + pair_text(window),
                          "give from 0 to half the window, so that no window holds padding alone");
  const std::int64_t count =
      count_windows(size, window[k], stride[k], padding[k], rounds_up(inference.attributes));
  if (size < 1 || count < 1)
    inference.shape_error("the window of " + pair_text(window) + " does not fit x of shape " +
                              to_string(x) + " with padding " + pair_text(padding),
                          "use a smaller window, more padding or a global pool");
  return count;
}

}  // namespace

Shape pooled_shape(const Inference& inference, const Shape& x) {
  if (x.rank() != 4)
    inference.shape_error("x of shape " + to_string(x) + " is no batch of images (N, C, H, W)",
                          x.rank() == 3 ? "unsqueeze(x, 0) makes a batch of one image; sequences "
                                          "of shape (N, C, L) have the 1-D functions"
                                        : "reshape it to four axes");
  const std::size_t axis = is_channels_last(inference.attributes) ? 1 : 2;
  const Ints& window = list_of(inference, "window", 2);
  if (!inference.attributes.has("adaptive"))
    for (const char* const name : {"stride", "padding"}) list_of(inference, name, 2);
  constexpr std::int64_t most = std::int64_t{1} << 24U;  // places are counted in float
  std::vector<std::int64_t> sizes = x.vector();
  sizes[axis] = pooled_size(inference, x, x[axis], 0, "rows");
  sizes[axis + 1] = pooled_size(inference, x, x[axis + 1], 1, "columns");
  const bool adaptive = inference.attributes.has("adaptive");
  if ((adaptive ? x[axis] : window[0]) >= most / (adaptive ? x[axis + 1] : window[1]))
    inference.shape_error("windows of " + std::to_string(most) + " elements and more, and x has " +
                              "shape " + to_string(x),
                          "reduce with max() or mean() instead");
  return Shape(sizes);
}

void require_pooled(const Inference& inference, const Shape& x, const Shape& t) {
  const Shape pooled = pooled_shape(inference, x);
  if (t != pooled)
    inference.shape_error("images of shape " + to_string(x) + " are pooled to " +
                              to_string(pooled) + ", and t has shape " + to_string(t),
                          "give t one value a window");
}

Shape spread_shape(std::string_view function, In t, std::int64_t rows, std::int64_t columns) {
  const Shape pooled = shape_of(t);
  if (rows < 0 || columns < 0)
    fail<ShapeError>({.op = function,
                      .what = "there are no images of " + std::to_string(rows) + " x " +
                              std::to_string(columns) + " that t, " + to_string(pooled) +
                              ", was pooled from",
                      .where = t.where(),
                      .help = "give the size of the images that were pooled"});
  if (pooled.rank() != 4) return pooled;
  return sized_by(function, {&t, 1}, [&] { return Shape{pooled[0], pooled[1], rows, columns}; });
}

}  // namespace dualtape::detail
