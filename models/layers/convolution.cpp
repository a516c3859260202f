#include <dualtape/models/convolution.hpp>

#include <dualtape/core/composite.hpp>
#include <dualtape/models/layers/layer_shape.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape::nn {
namespace {

void check_groups(std::string_view op, const std::string& name, std::int64_t in, std::int64_t out,
                  std::int64_t groups, Location where) {
  if (in > 0 && out > 0 && groups > 0 && in % groups == 0 && out % groups == 0) return;
  fail<ShapeError>({.op = op,
                    .label = name,
                    .what = std::to_string(in) + " channels to " + std::to_string(out) + " in " +
                            std::to_string(groups) + " groups",
                    .where = where,
                    .help = "channels and groups must be at least 1, and groups divide both"});
}

// The fans of a weight whose first two sizes are channels, the second that of one group.
Fans fans_of(const Shape& weight) {
  double window = 1;
  for (std::size_t axis = 2; axis < weight.rank(); ++axis)
    window *= static_cast<double>(weight[axis]);
  return {static_cast<double>(weight[1]) * window, static_cast<double>(weight[0]) * window};
}

// y + bias along the channels' axis, labelled with the layer's name.
Var with_bias(Var y, const Weighted& layer, std::size_t image_axes) {
  if (!layer.bias()) return y.named(layer.name());
  y.named(layer.name() + "/convolution");
  std::vector<std::int64_t> sizes(image_axes + 1, 1);
  sizes[0] = layer.bias()->count();
  return (y + reshape(y.graph().read(*layer.bias()), sizes)).named(layer.name());
}

// x must have shape (N, in, ...).
void check_images(std::string_view op, Var x, const std::string& name, std::int64_t in,
                  std::size_t image_axes, Location where) {
  const Shape& shape = x.shape(where);
  if (shape.rank() == image_axes + 2 && shape[1] == in) return;
  const std::string channels = std::to_string(in);
  std::string help = "reshape x; a single one is a batch of 1";
  if (shape.rank() == image_axes + 2)
    help = shape[image_axes + 1] == in
               ? "the channels seem to be x's last axis: bring them next to the batch's"
               : "make the layer for the channels x has, or give x " + channels;
  fail<ShapeError>({.op = op,
                    .label = name,
                    .what = "x is " + to_string(x.type()) + ", but must be (N, " + channels +
                            (image_axes == 1 ? ", L)" : ", H, W)"),
                    .where = where,
                    .help = help});
}

}  // namespace

template <class Options>
Weighted::Start Weighted::start_of(std::string_view layer, const std::string& name,
                                   std::initializer_list<std::int64_t> weight, std::int64_t outputs,
                                   const Options& options, Location where) {
  const Shape shape = dualtape::detail::layer_shape(layer, name, "weight", weight, where);
  return {layer,         shape, fans_of(shape), outputs, options.bias, options.initialiser,
          options.dtype, where};
}

Conv2d::Conv2d(const std::string& name, std::int64_t in, std::int64_t out, Size2d kernel, Key key,
               const Conv2dOptions& options, Location where)
    : Weighted(name, key,
               [&]() -> Start {
                 check_groups("Conv2d", name, in, out, options.groups, where);
                 return start_of("Conv2d", name,
                                 {out, in / options.groups, kernel.rows, kernel.columns}, out,
                                 options, where);
               }()),
      options_{options.stride, options.padding, options.dilation, options.groups} {}

Var Conv2d::operator()(Var x, Location where) const {
  const Composite c("Conv2d", {In(x, where)});
  check_images("Conv2d", x, name(), weight().shape()[1] * options_.groups, 2, where);
  const Var y = named_in_errors("Conv2d", [&] { return conv2d(x, weight(), options_); });
  return with_bias(y, *this, 2);
}

Conv1d::Conv1d(const std::string& name, std::int64_t in, std::int64_t out, std::int64_t kernel,
               Key key, const Conv1dOptions& options, Location where)
    : Weighted(name, key,
               [&]() -> Start {
                 check_groups("Conv1d", name, in, out, options.groups, where);
                 return start_of("Conv1d", name, {out, in / options.groups, kernel}, out, options,
                                 where);
               }()),
      options_{options.stride, options.padding, options.dilation, options.groups} {}

Var Conv1d::operator()(Var x, Location where) const {
  const Composite c("Conv1d", {In(x, where)});
  check_images("Conv1d", x, name(), weight().shape()[1] * options_.groups, 1, where);
  const Var y = named_in_errors("Conv1d", [&] { return conv1d(x, weight(), options_); });
  return with_bias(y, *this, 1);
}

ConvTranspose2d::ConvTranspose2d(const std::string& name, std::int64_t in, std::int64_t out,
                                 Size2d kernel, Key key, const ConvTranspose2dOptions& options,
                                 Location where)
    : Weighted(name, key,
               [&]() -> Start {
                 check_groups("ConvTranspose2d", name, in, out, options.groups, where);
                 return start_of("ConvTranspose2d", name,
                                 {in, out / options.groups, kernel.rows, kernel.columns}, out,
                                 options, where);
               }()),
      options_{options.stride, options.padding, options.output_padding, options.dilation,
               options.groups} {}

Var ConvTranspose2d::operator()(Var x, Location where) const {
  const Composite c("ConvTranspose2d", {In(x, where)});
  check_images("ConvTranspose2d", x, name(), weight().shape()[0], 2, where);
  const Var y =
      named_in_errors("ConvTranspose2d", [&] { return conv_transpose2d(x, weight(), options_); });
  return with_bias(y, *this, 2);
}

}  // namespace dualtape::nn
