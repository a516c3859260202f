// The layout of images between convolutions: channels in blocks, as oneDNN works with them, for as
// long as nobody but convolutions, elementwise operators, poolings and sums reads them.
#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include <dualtape/core/pass.hpp>
#include <dualtape/core/registry.hpp>
#include <dualtape/ops/declare/channel_blocks.hpp>
#include <dualtape/ops/declare/convolution_shapes.hpp>
#include <dualtape/ops/kernels/convolution/onednn_convolution.hpp>
#include <dualtape/ops/passes/passes.hpp>

namespace dualtape::detail {
namespace {

// The packed value that `x` was unpacked from.
std::optional<ValueId> unpacked_from(const Rewriter& plan, ValueId x) {
  const PlanNode* const node = plan.producer(x);
  if (node == nullptr || node->op != &unpack_channels_op()) return std::nullopt;
  return plan.operands(*node)[0];
}

ValueId packed(Rewriter& plan, ValueId x) {
  if (const auto before = unpacked_from(plan, x)) return *before;
  return plan.add(pack_channels_op(), {}, {x});
}

ValueId reshaped(Rewriter& plan, ValueId x, const Shape& shape) {
  return plan.add(require_op("reshape"), {{"sizes", shape.vector()}}, {x});
}

void replace_by_unpacked(Rewriter& plan, ValueId value) {
  plan.replace_by(plan.add(unpack_channels_op(), {}, {value}));
}

// ---- convolutions ------------------------------------------------------------------------------

std::optional<ConvPass> pass_of(const Op& op) {
  if (op.name() == "conv2d") return ConvPass::forward;
  if (op.name() == "conv2d_input_gradient") return ConvPass::by_input;
  if (op.name() == "conv2d_weight_gradient") return ConvPass::by_weights;
  return std::nullopt;
}

// Of operands 0 and 1 and the output (2) of a pass: which is x and which is y; 3 for none.
struct Places {
  std::size_t x;
  std::size_t y;
};
Places places_of(ConvPass pass) {
  switch (pass) {
    case ConvPass::forward: return {0, 2};
    case ConvPass::by_input: return {2, 0};
    case ConvPass::by_weights: break;
  }
  return {0, 1};
}

Attributes with_layout(const Attributes& attributes, ConvLayout layout) {
  Attributes result;
  for (const auto& [name, value] : attributes.entries())
    if (name != "x_blocked" && name != "y_blocked") result = result.with(name, value);
  if (layout.x_blocked) result = result.with("x_blocked", true);
  if (layout.y_blocked) result = result.with("y_blocked", true);
  return result;
}

// A convolution on packed images, where oneDNN runs it.
bool packed_convolution(Rewriter& plan, const PlanNode& node) {
  const auto pass = pass_of(*node.op);
  if (!pass || plan.type(node.first_value).dtype != float32) return false;
  const ConvLayout before = conv_layout(node.attributes);
  if (before.x_blocked || before.y_blocked) return false;
  std::vector<ValueId> in(plan.operands(node).begin(), plan.operands(node).end());
  const std::array in_types{plan.type(in[0]), plan.type(in[1])};
  Type out = plan.type(node.first_value);
  const ConvShape s = conv_shape(*pass, {in_types, {&out, 1}, node.attributes});
  const auto [x, y] = places_of(*pass);
  const auto shape_of = [&](std::size_t place) {
    return place == 2 ? out.shape : in_types[place].shape;
  };
  // Blocks must not hold channels of two groups, unless each channel is a group of its own.
  const auto whole = [&](std::int64_t channels) {
    return s.groups == 1 || channels % channel_block() == 0 ||
           (s.in_group() == 1 && s.out_group() == 1);
  };
  const ConvLayout layout{can_pack(shape_of(x)) && whole(s.in_group()),
                          can_pack(shape_of(y)) && whole(s.out_group())};
  if (!layout.x_blocked && !layout.y_blocked) return false;
  if (conv_backend(*pass, s, float32, true) != ConvBackend::onednn) return false;
  if (layout.x_blocked && x < 2) in[x] = packed(plan, in[x]);
  if (layout.y_blocked && y < 2) in[y] = packed(plan, in[y]);
  const bool packs_result = (layout.x_blocked && x == 2) || (layout.y_blocked && y == 2);
  if (packs_result) out.shape = packed_shape(out.shape);
  const ValueId result = plan.add_laid_out(*node.op, with_layout(node.attributes, layout), in, out);
  if (packs_result)
    replace_by_unpacked(plan, result);
  else
    plan.replace_by(result);
  return true;
}

// ---- what runs between them --------------------------------------------------------------------

// An operand that broadcasts against images, in a shape that does so against packed ones; nothing
// where that takes more than a reshape.
std::optional<ValueId> packed_broadcast(Rewriter& plan, ValueId x) {
  const Shape shape = plan.type(x).shape;
  if (shape.count() == 1) return shape.rank() == 0 ? x : reshaped(plan, x, {});
  const auto size = [&](std::size_t axis) {  // of (N, C, H, W)
    return axis + shape.rank() < 4 ? 1 : shape[axis + shape.rank() - 4];
  };
  if (size(1) == 1) return reshaped(plan, x, {size(0), 1, size(2), size(3), 1});
  if (size(2) != 1 || size(3) != 1 || size(1) % channel_block() != 0) return std::nullopt;
  return reshaped(plan, x, {size(0), size(1) / channel_block(), 1, 1, channel_block()});
}

bool is_elementwise(const Op& op) {
  return op.recording() != nullptr || op.name() == "cast" || op.name() == "stop_gradient";
}

// f(unpacked ...) as f(...) unpacked, unless more images would have to be packed for it than are.
bool packed_elementwise(Rewriter& plan, const PlanNode& node) {
  if (!is_elementwise(*node.op) || node.value_count != 1 || node.operand_count > 3) return false;
  const Type out = plan.type(node.first_value);
  if (!can_pack(out.shape)) return false;
  std::vector<ValueId> in(plan.operands(node).begin(), plan.operands(node).end());
  for (ValueId& x : in)  // elementwise operators broadcast by themselves
    if (const PlanNode* spread = plan.producer(x, "broadcast_to");
        spread != nullptr && in.size() > 1)
      x = plan.operands(*spread)[0];
  std::size_t images = 0;
  std::size_t others = 0;
  for (const ValueId x : in) {
    if (unpacked_from(plan, x))
      ++images;
    else if (plan.type(x).shape == out.shape)
      ++others;
  }
  if (images == 0 || others > images) return false;
  // Unpacked images that are themselves broadcast stay as they are.
  for (const ValueId x : in)
    if (unpacked_from(plan, x) && plan.type(x).shape != out.shape) return false;
  for (ValueId& x : in) {
    if (plan.type(x).shape == out.shape) {
      x = packed(plan, x);
    } else if (const auto narrow = packed_broadcast(plan, x)) {
      x = *narrow;
    } else {
      return false;
    }
  }
  replace_by_unpacked(
      plan, plan.add_laid_out(*node.op, node.attributes, in, {packed_shape(out.shape), out.dtype}));
  return true;
}

// A pooling of packed images, whose blocks count as images with their channels last.
bool packed_pooling(Rewriter& plan, const PlanNode& node) {
  static constexpr std::array<std::string_view, 5> names{
      "max_pool2d", "avg_pool2d", "max_pool2d_select", "max_pool2d_scatter", "avg_pool2d_spread"};
  if (std::ranges::find(names, node.op->name()) == names.end()) return false;
  if (node.attributes.has("channels_last")) return false;
  const Type out = plan.type(node.first_value);
  std::vector<ValueId> in(plan.operands(node).begin(), plan.operands(node).end());
  std::size_t images = 0;
  for (const ValueId x : in)
    if (unpacked_from(plan, x)) ++images;
  if (!can_pack(out.shape) || 2 * images < in.size()) return false;
  const auto blocks_as_images = [](const Shape& shape) {
    const Shape p = packed_shape(shape);
    return Shape{p[0] * p[1], p[2], p[3], p[4]};
  };
  for (ValueId& x : in) {
    const Shape shape = plan.type(x).shape;
    x = reshaped(plan, packed(plan, x), blocks_as_images(shape));
  }
  Attributes attributes;
  for (const auto& [name, value] : node.attributes.entries())
    attributes = attributes.with(
        name, name == "shape" ? Attribute(blocks_as_images(std::get<Shape>(value))) : value);
  const ValueId pooled = plan.add_laid_out(*node.op, attributes.with("channels_last", true), in,
                                           {blocks_as_images(out.shape), out.dtype});
  replace_by_unpacked(plan, reshaped(plan, pooled, packed_shape(out.shape)));
  return true;
}

// Pixels of a plane that a sum takes at a time: each is one register, and additions to a single one
// would wait for each other.
std::int64_t pixels_together(std::int64_t plane) {
  std::int64_t most = 8;
  while (plane % most != 0) --most;
  return most;
}

// A sum over rows and columns and more of packed images, the gradient of a bias.
bool packed_sum(Rewriter& plan, const PlanNode& node) {
  if (node.op->name() != "sum") return false;
  const auto image = unpacked_from(plan, plan.operands(node)[0]);
  if (!image) return false;
  Ints axes = node.attributes.get<Ints>("axes");
  const auto summed = [&](std::int64_t axis) {
    return std::ranges::find(axes, axis) != axes.end();
  };
  if (!summed(1) && !(summed(2) && summed(3))) return false;
  const Op& op = *node.op;
  const Type out = plan.type(node.first_value);
  const auto sum_of = [&](ValueId x, const Ints& over) {
    return plan.add(op, {{"axes", over}, {"keepdims", false}}, {x});
  };
  const Shape shape = plan.type(*image).shape;
  if (!summed(1)) {
    const std::int64_t plane = shape[2] * shape[3];
    const std::int64_t pixels = pixels_together(plane);
    const std::int64_t batch = summed(0) ? 1 : shape[0];
    const ValueId rows =
        reshaped(plan, *image, {shape[0], shape[1], plane / pixels, pixels * shape[4]});
    const ValueId parts = summed(0) ? sum_of(rows, {0, 2}) : sum_of(rows, {2});
    const ValueId sum = sum_of(reshaped(plan, parts, {batch * shape[1], pixels, shape[4]}), {1});
    plan.replace_by(reshaped(plan, sum, out.shape));
    return true;
  }
  axes.push_back(4);
  plan.replace_by(reshaped(plan, sum_of(*image, axes), out.shape));
  return true;
}

// ---- what packing is left ----------------------------------------------------------------------

// Images packed or unpacked for one convolution only: oneDNN may do that on the way.
bool absorbed_operand(Rewriter& plan, const PlanNode& node) {
  const auto pass = pass_of(*node.op);
  if (!pass) return false;
  ConvLayout layout = conv_layout(node.attributes);
  std::vector<ValueId> in(plan.operands(node).begin(), plan.operands(node).end());
  const auto [x, y] = places_of(*pass);
  bool found = false;
  const auto absorb = [&](std::size_t place, bool& blocked) {
    if (!blocked || place > 1 || plan.uses(in[place]) != 1) return;
    const PlanNode* const pack = plan.producer(in[place]);
    if (pack == nullptr || pack->op != &pack_channels_op()) return;
    in[place] = plan.operands(*pack)[0];
    blocked = false;
    found = true;
  };
  absorb(x, layout.x_blocked);
  absorb(y, layout.y_blocked);
  if (!found) return false;
  plan.replace_by(plan.add_laid_out(*node.op, with_layout(node.attributes, layout), in,
                                    plan.type(node.first_value)));
  return true;
}

bool absorbed_result(Rewriter& plan, const PlanNode& node) {
  if (node.op != &unpack_channels_op()) return false;
  const ValueId image = plan.operands(node)[0];
  const PlanNode* const source = plan.producer(image);
  if (source == nullptr || plan.uses(image) != 1) return false;
  const auto pass = pass_of(*source->op);
  if (!pass) return false;
  ConvLayout layout = conv_layout(source->attributes);
  (*pass == ConvPass::forward ? layout.y_blocked : layout.x_blocked) = false;
  const Op& op = *source->op;
  const std::vector<ValueId> in(plan.operands(*source).begin(), plan.operands(*source).end());
  plan.replace_by(plan.add_laid_out(op, with_layout(source->attributes, layout), in,
                                    plan.type(node.first_value)));
  return true;
}

}  // namespace

void layout(Plan& plan) {
  const auto convolves = [](const PlanNode& node) { return pass_of(*node.op).has_value(); };
  if (!has_onednn_convolution() || std::ranges::none_of(plan.nodes, convolves)) return;
  const std::array<Rewriter::Rule, 4> packing{packed_convolution, packed_elementwise,
                                              packed_pooling, packed_sum};
  rewrite(plan, packing, 1);
  merge(plan);
  // One after the other, since uses are counted before a sweep.
  rewrite(plan, std::array<Rewriter::Rule, 1>{absorbed_operand}, 1);
  rewrite(plan, std::array<Rewriter::Rule, 1>{absorbed_result}, 1);
}

}  // namespace dualtape::detail
