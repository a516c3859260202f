#include <dualtape/ops/declare/convolution_shapes.hpp>

namespace dualtape::detail {
namespace {

bool flag(const Attributes& attributes, std::string_view name) {
  return attributes.has(name) && attributes.get<bool>(name);
}

// What users would see of an image in blocks.
Shape plain(const Shape& shape, bool blocked) {
  return blocked ? Shape{shape[0], shape[1] * shape[4], shape[2], shape[3]} : shape;
}

ConvAxis axis_of(std::size_t i, std::int64_t in, std::int64_t kernel,
                 const Attributes& attributes) {
  ConvAxis axis;
  axis.in = in;
  axis.kernel = kernel;
  axis.stride = attributes.get<Ints>("stride")[i];
  axis.dilation = attributes.get<Ints>("dilation")[i];
  axis.before = attributes.get<Ints>("padding")[2 * i];
  axis.after = attributes.get<Ints>("padding")[2 * i + 1];
  const std::int64_t room = in + axis.before + axis.after - axis.reach();
  axis.out = room < 0 ? 0 : room / axis.stride + 1;
  return axis;
}

}  // namespace

ConvShape conv_shape(const Shape& x, const Shape& w, const Attributes& attributes) {
  ConvShape s;
  s.batch = x[0];
  s.in_channels = x[1];
  s.out_channels = w[0];
  s.groups = attributes.get<std::int64_t>("groups");
  s.rows = axis_of(0, x[2], w[2], attributes);
  s.columns = axis_of(1, x[3], w[3], attributes);
  return s;
}

ConvShape conv_shape(ConvPass pass, const KernelRequest& request) {
  const bool blocked = conv_layout(request.attributes).x_blocked;
  const Shape& first = request.in[0].shape;
  switch (pass) {
    case ConvPass::forward:
      return conv_shape(plain(first, blocked), request.in[1].shape, request.attributes);
    case ConvPass::by_input:
      return conv_shape(plain(request.out[0].shape, blocked), request.in[1].shape,
                        request.attributes);
    case ConvPass::by_weights: break;
  }
  return conv_shape(plain(first, blocked), request.out[0].shape, request.attributes);
}

ConvLayout conv_layout(const Attributes& attributes) {
  return {flag(attributes, "x_blocked"), flag(attributes, "y_blocked")};
}

}  // namespace dualtape::detail
