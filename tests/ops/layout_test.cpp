// The pass that keeps images in blocks of channels: results stay what they were, in both modes, and
// images are packed as seldom as they may be.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <dualtape/core/program.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/convolution.hpp>
#include <dualtape/ops/declare/channel_blocks.hpp>
#include <dualtape/ops/kernels/convolution/convolve.hpp>
#include <dualtape/ops/kernels/convolution/onednn_convolution.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/pooling.hpp>
#include <dualtape/ops/random.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

using namespace dualtape;

namespace {

const CompileOptions plain{.without = {"layout"}};

std::ptrdiff_t count_of(const Plan& plan, std::string_view op) {
  return std::ranges::count_if(plan.nodes, [&](const PlanNode& n) { return n.op->name() == op; });
}
std::ptrdiff_t changes_of(const Plan& plan) {
  return count_of(plan, "pack_channels") + count_of(plan, "unpack_channels");
}
std::ptrdiff_t blocked_of(const Plan& plan) {
  return std::ranges::count_if(plan.nodes, [](const PlanNode& n) {
    return n.attributes.has("x_blocked") || n.attributes.has("y_blocked");
  });
}

struct Leaves {
  Graph graph;
  std::vector<Feed> feeds;

  Var add(const Shape& shape) {
    const std::string name = "x" + std::to_string(feeds.size());
    const Var var = graph.input(name, shape);
    feeds.emplace_back(var, normal(Key{9}.fold(name), shape, 0, 0.3, float32));
    return var;
  }
};

// Runs with and without the pass, which must agree; returns the plan with it.
Plan checked(const Leaves& leaves, const std::vector<Var>& outputs) {
  Program with = compile(outputs);
  Program without = compile(outputs, {}, plain);
  CHECK(changes_of(without.plan()) == 0);
  CHECK(blocked_of(without.plan()) == 0);
  const Outputs got = with.run(leaves.feeds);
  const Outputs wanted = without.run(leaves.feeds);
  for (const Var out : outputs) {
    const Tensor wide = wanted[out].to(float64);
    double size = 0;
    for (const double x : wide.data<double>()) size = std::max(size, std::abs(x));
    INFO(out.shape());
    CHECK(size > 0);
    CHECK(all_close(got[out].to(float64), wide, 0, size * 5e-5));
  }
  return with.plan();
}

// Convolutions with biases, activations and poolings, then a dense layer.
struct Net {
  Leaves leaves;
  Var x = leaves.add({4, 1, 12, 12});
  std::vector<Var> weights{leaves.add({32, 1, 3, 3}),  leaves.add({32, 1, 1}),
                           leaves.add({64, 32, 3, 3}), leaves.add({64, 1, 1}),
                           leaves.add({32, 64, 3, 3}), leaves.add({32, 1, 1}),
                           leaves.add({32 * 9, 5})};
  Var loss;
  std::vector<Var> steps;

  explicit Net(bool average = false) {
    const auto& w = weights;
    const Var a = relu(conv2d(x, w[0], {.padding = 1}) + w[1]);
    const Var b = tanh(conv2d(a, w[2], {.padding = 1}) + w[3]);
    const Var p = average ? avg_pool2d(b, 2) : max_pool2d(b, 2);
    const Var c = relu(conv2d(p, w[4], {.stride = 2, .padding = 1}) + w[5]);
    loss = sum(square(matmul(reshape(c, {4, -1}), w[6])));
    steps = {a, b, p, c};
  }
};

}  // namespace

TEST_CASE("images are packed and unpacked, by whole blocks, without loss") {
  const std::int64_t block = detail::channel_block();
  for (const DType dtype : {float32, float64, DType::boolean}) {
    const Shape shape{2, 2 * block, 3, 7};
    Tensor x = normal(Key{1}, shape, 0, 1, float64).to(dtype);
    const Shape packed = detail::packed_shape(shape);
    CHECK(packed == Shape{2, 2, 3, 7, block});
    CHECK(detail::unpacked_shape(packed) == shape);
    Tensor in_blocks(packed, dtype);
    Tensor back(shape, dtype);
    detail::pack_channels(x.raw(), in_blocks.raw(), 4, 21, size_of(dtype));
    detail::unpack_channels(in_blocks.raw(), back.raw(), 4, 21, size_of(dtype));
    CHECK(all_close(back.to(float64), x.to(float64), 0, 0));
    const Tensor wide = x.to(float64);
    const Tensor wide_blocks = in_blocks.to(float64);
    for (std::int64_t n = 0; n < 2; ++n)
      for (std::int64_t c = 0; c < 2 * block; ++c)
        for (std::int64_t i = 0; i < 21; ++i)
          CHECK(wide.data<double>()[static_cast<std::size_t>((n * 2 * block + c) * 21 + i)] ==
                wide_blocks.data<double>()[static_cast<std::size_t>(
                    ((n * 2 + c / block) * 21 + i) * block + c % block)]);
  }
  CHECK(!detail::can_pack({2, block + 1, 3, 3}));
  CHECK(!detail::can_pack({2, block}));
  CHECK(!detail::can_pack({0, block, 3, 3}));
}

TEST_CASE("a net gives the same values with its images in blocks") {
  for (const bool average : {false, true}) {
    Net net(average);
    const Plan plan = checked(net.leaves, {net.loss});
    if (!detail::has_onednn_convolution()) continue;
    CHECK(blocked_of(plan) == 3);
    CHECK(changes_of(plan) <= 1);  // before the dense layer
    // And where users want to see what lies between.
    std::vector<Var> all = net.steps;
    all.push_back(net.loss);
    checked(net.leaves, all);
  }
}

TEST_CASE("so do its gradients") {
  for (const bool average : {false, true}) {
    Net net(average);
    std::vector<Var> wanted = net.weights;
    wanted.push_back(net.x);
    const auto gradient = reverse(net.loss, {wanted.begin(), wanted.end()});
    std::vector<Var> outputs{net.loss};
    for (const Var w : wanted) outputs.push_back(gradient[w]);
    checked(net.leaves, outputs);
    outputs.pop_back();  // without that of the images, as in training
    const Plan plan = checked(net.leaves, outputs);
    if (!detail::has_onednn_convolution()) continue;
    CHECK(count_of(plan, "conv2d_input_gradient") == 2);
    CHECK(blocked_of(plan) == 8);
    MESSAGE(changes_of(plan) << " changes of layout in a gradient");
    CHECK(changes_of(plan) <= 2);  // between the last image and the dense layer, both ways
  }
}

TEST_CASE("so do directional derivatives, and those of gradients") {
  Net net;
  const Var w = net.weights[2];
  const Var v = net.leaves.add(w.shape());
  const Var u = net.leaves.add(net.weights[3].shape());
  const Var slope = forward(net.loss, {w, net.weights[3]}, {v, u});
  const Plan plan = checked(net.leaves, {net.loss, slope});
  if (detail::has_onednn_convolution()) {
    MESSAGE(changes_of(plan) << " changes of layout in a jvp");
    CHECK(changes_of(plan) <= 2);
  }
  const auto gradient = reverse(slope, {net.weights[4], net.weights[0]});
  checked(net.leaves, {gradient[net.weights[4]], gradient[net.weights[0]]});
}

TEST_CASE("what broadcasts against images, sums them and takes the others as they are") {
  Leaves leaves;
  const Var x = leaves.add({2, 16, 6, 6});
  const Var w = leaves.add({32, 16, 3, 3});
  const Var y = conv2d(x, w, {.padding = 1});
  const Var of_channels = leaves.add({32, 1, 1});
  const Var of_rows = leaves.add({6, 1});
  const Var of_images = leaves.add({2, 1, 1, 1});
  const Var of_all = leaves.add({1, 1, 1, 1});
  const Var of_places = leaves.add({32, 6, 6});
  const Var residual = leaves.add({2, 32, 6, 6});
  const Var z = tanh((y * of_channels + of_rows) * of_images + of_all);
  const Var mixed = where(greater(z, 0.1), z, residual);
  checked(leaves, {z, mixed, z + of_places, z + residual, residual - z});
  checked(leaves, {sum(z, {0, 2, 3}), sum(z, {2, 3}, true), sum(z, {1}), sum(z, {0}), sum(z, {3}),
                   sum(z, {0, 1}, true), sum(z), sum(z, {1, 2, 3})});
  // An image of one pixel against y: broadcast the other way.
  const Var pixel = conv2d(x, leaves.add({32, 16, 6, 6}));
  checked(leaves, {pixel * y, sum(square(pixel + z))});
}

TEST_CASE("depthwise convolutions work on blocks of channels") {
  for (const std::int64_t stride : {1, 2}) {
    Leaves leaves;
    const ConvOptions options{.stride = stride, .padding = 1, .groups = 32};
    const Var x = leaves.add({3, 32, 9, 7});
    const Var w = leaves.add({32, 1, 3, 3});
    const Var y = conv2d(relu(x), w, options);
    const Var z = relu(conv2d(relu(y), leaves.add({48, 32, 1, 1})));
    const Gradients gradients = reverse(sum(square(z)), std::vector<Var>{x, w});
    const Plan plan = checked(leaves, {z, gradients[x], gradients[w]});
    if (detail::has_onednn_convolution()) CHECK(blocked_of(plan) == 5);
    // Several results of one channel do not lie in the block that it is in.
    const Var twice = conv2d(x, leaves.add({64, 1, 3, 3}), options);
    CHECK(blocked_of(checked(leaves, {tanh(twice)})) == 0);
  }
}

TEST_CASE("images of other kinds stay as they are") {
  Leaves leaves;
  const Var x = leaves.add({2, 6, 5, 5});
  const Var y = conv2d(x, leaves.add({10, 6, 3, 3}));  // no whole blocks
  const Var z = conv2d(x, leaves.add({6, 1, 3, 3}), {.groups = 6});
  const Plan plan = checked(leaves, {relu(y), relu(z)});
  CHECK(blocked_of(plan) == 0);
  CHECK(changes_of(plan) == 0);
  const Var wide =
      conv2d(cast(leaves.add({1, 32, 4, 4}), float64), cast(leaves.add({32, 32, 3, 3}), float64));
  CHECK(blocked_of(checked(leaves, {relu(wide)})) == 0);
  // Groups of whole blocks do not meet, of others might.
  const Var grouped = conv2d(leaves.add({2, 64, 6, 6}), leaves.add({64, 32, 3, 3}), {.groups = 2});
  checked(leaves, {tanh(grouped)});
  const Var narrow = conv2d(leaves.add({2, 32, 6, 6}), leaves.add({32, 8, 3, 3}), {.groups = 4});
  CHECK(blocked_of(checked(leaves, {tanh(narrow)})) == 0);
}

TEST_CASE("a kernel without oneDNN takes images in blocks as well") {
  detail::ConvShape s;
  s.batch = 2;
  s.in_channels = 16;
  s.out_channels = 32;
  s.rows = s.columns = {5, 3, 5, 1, 1, 1, 1};
  const Shape shape_x{2, 16, 5, 5};
  const Shape shape_y{2, 32, 5, 5};
  const Shape shape_w{32, 16, 3, 3};
  using detail::ConvPass;
  const auto pack = [](const Tensor& t) {
    Tensor out(detail::packed_shape(t.shape()), float32);
    detail::pack_channels(t.raw(), out.raw(), out.size(0) * out.size(1), 25, sizeof(float));
    return out;
  };
  const Tensor x = normal(Key{1}, shape_x, 0, 1, float32);
  const Tensor y = normal(Key{2}, shape_y, 0, 1, float32);
  const Tensor w = normal(Key{3}, shape_w, 0, 1, float32);
  for (const ConvPass pass : {ConvPass::forward, ConvPass::by_input, ConvPass::by_weights}) {
    const Tensor a = pass == ConvPass::by_input ? y : x;
    const Tensor b = pass == ConvPass::by_weights ? y : w;
    const Tensor b_blocked = pass == ConvPass::by_weights ? pack(y) : w;
    const Shape out = pass == ConvPass::forward    ? shape_y
                      : pass == ConvPass::by_input ? shape_x
                                                   : shape_w;
    const auto run = [&](detail::ConvLayout layout, const Tensor& first, const Tensor& second) {
      const Kernel kernel =
          detail::convolution_kernel(pass, s, float32, detail::ConvBackend::columns, layout);
      Tensor result(out, float32);
      Tensor space({static_cast<std::int64_t>(kernel.workspace_bytes / 4 + 1)}, float32);
      const std::array<const void*, 2> in{first.raw(), second.raw()};
      const std::array<void*, 1> outs{result.raw()};
      kernel.run({in.data(), outs.data(), space.raw()});
      return result;
    };
    const Tensor wanted = run({}, a, b);
    const Tensor got = run({true, true}, pack(a), b_blocked);
    if (pass == ConvPass::by_weights)
      CHECK(all_close(got, wanted, 0, 1e-4));
    else
      CHECK(all_close(got.reshape(detail::packed_shape(out)), pack(wanted), 0, 1e-4));
  }
}
