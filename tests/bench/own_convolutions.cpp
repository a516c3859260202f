// Single convolutions as they stand in the middle of a network.
//
// Images come in blocks of channels, which is how one convolution leaves them to the next, wherever
// their channels fill blocks; and they stay so, since all that reads a resulting image is a pooling
// that takes one pixel of each channel. What is timed is then one step of a compiled program, and
// starting it. Weights are the user's and have their plain layout in every run.
#include <algorithm>
#include <cmath>
#include <memory>
#include <span>

#include <dualtape/core/program.hpp>
#include <dualtape/ops/convolution.hpp>
#include <dualtape/ops/declare/channel_blocks.hpp>
#include <dualtape/ops/pooling.hpp>

#include <tests/bench/convolutions.hpp>
#include <tests/bench/huge.hpp>
#include <tests/bench/own.hpp>

namespace dualtape::bench {
namespace {

Tensor huge(std::span<const float> values, const Shape& shape) {
  const auto arena = std::make_shared<HugeArena>(values.size_bytes());
  float* const memory = arena->take<float>(values.size());
  std::copy(values.begin(), values.end(), memory);
  return Tensor::view(arena, memory, Type{shape, float32});
}

ConvOptions options_of(const ConvolutionCase& one) {
  return {.stride = one.stride, .padding = one.padding, .groups = one.groups};
}

class Session {
 public:
  explicit Session(const ConvolutionCase& one) : one_(one) {}

  void forward() {
    keep_image(conv2d(image("x", make_images(one_), one_.x_sizes()), weights(), options_of(one_)));
  }
  void input_gradient() {
    const Var g = image("g", make_cotangents(one_), one_.y_sizes());
    keep_image(conv2d_input_gradient(g, weights(), one_.pixels, options_of(one_)));
  }
  void weight_gradient() {
    const Var x = image("x", make_images(one_), one_.x_sizes());
    const Var g = image("g", make_cotangents(one_), one_.y_sizes());
    program_ = std::make_unique<Program>(
        compile({conv2d_weight_gradient(x, g, one_.window, options_of(one_))}));
  }
  void run(std::int64_t times) {
    for (std::int64_t i = 0; i < times; ++i) program_->run(feeds_);
  }

 private:
  // Fed as the layer before would leave it.
  Var image(const std::string& name, const std::vector<float>& values,
            const std::vector<std::int64_t>& sizes) {
    const Shape shape(sizes);
    if (!detail::can_pack(shape)) return fed(name, values, shape);
    std::vector<float> packed(values.size());
    const Shape blocks = detail::packed_shape(shape);
    detail::pack_channels(values.data(), packed.data(), blocks[0] * blocks[1],
                          blocks[2] * blocks[3], sizeof(float));
    return apply(detail::unpack_channels_op(), {fed(name, packed, blocks)});
  }
  Var weights() { return fed("w", make_weights(one_), Shape(one_.w_sizes())); }
  Var fed(const std::string& name, const std::vector<float>& values, const Shape& shape) {
    const Var var = graph_.input(name, shape);
    feeds_.emplace_back(var, huge(values, shape));
    return var;
  }
  void keep_image(Var image) {
    PoolOptions one_pixel;
    one_pixel.stride = image.shape()[2];
    program_ = std::make_unique<Program>(compile({max_pool2d(image, 1, one_pixel)}));
  }

  const ConvolutionCase& one_;
  Graph graph_;
  std::vector<Feed> feeds_;
  std::unique_ptr<Program> program_;
};

Mode mode(const std::string& name, const ConvolutionCase& one, void (Session::*prepare)()) {
  const auto session = std::make_shared<std::unique_ptr<Session>>();
  return {name, [session, prepare, &one](std::int64_t times) {
            if (*session == nullptr) {
              *session = std::make_unique<Session>(one);
              ((*session).get()->*prepare)();
            }
            (*session)->run(times);
          }};
}

// <x, x'> by the gradient of the images; <v, w'> by that of the weights, and <conv(x, v), g>.
Agreement check(const ConvolutionCase& one) {
  Graph graph;
  const auto constant = [&](const std::vector<float>& values,
                            const std::vector<std::int64_t>& sizes) {
    return graph.constant(Tensor::from(values, Shape(sizes)));
  };
  const ConvOptions options = options_of(one);
  const Var x = constant(make_images(one), one.x_sizes());
  const Var g = constant(make_cotangents(one), one.y_sizes());
  const Var w = constant(make_weights(one), one.w_sizes());
  const Var v = constant(make_direction(one), one.w_sizes());
  const auto values = [](Var var) {
    const Tensor tensor = eval(var);
    const auto data = tensor.data<float>();
    return std::vector<float>(data.begin(), data.end());
  };
  const auto by_weights = values(conv2d_weight_gradient(x, g, one.window, options));
  return {inner_product(values(conv2d_input_gradient(g, w, one.pixels, options)), make_images(one)),
          inner_product(by_weights, make_direction(one)),
          inner_product(values(conv2d(x, v, options)), make_cotangents(one)),
          std::sqrt(inner_product(by_weights, by_weights))};
}

Work work_on(const ConvolutionCase& one) {
  Work work;
  work.modes = {mode("forward", one, &Session::forward),
                mode("weight_gradient", one, &Session::weight_gradient)};
  if (!one.is_first()) work.modes.push_back(mode("input_gradient", one, &Session::input_gradient));
  work.check = [&one] { return check(one); };
  return work;
}

}  // namespace

std::vector<Workload> convolution_workloads() {
  std::vector<Workload> all;
  for (const ConvolutionCase& one : convolution_cases())
    all.push_back({one.name, [&one] { return work_on(one); }});
  return all;
}

}  // namespace dualtape::bench
