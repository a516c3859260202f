#include <dualtape/ops/convolution.hpp>

#include <algorithm>
#include <climits>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/batching.hpp>
#include <dualtape/ops/declare/convolution_shapes.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/lists.hpp>
#include <dualtape/ops/declare/matrix.hpp>
#include <dualtape/ops/declare/operand.hpp>

namespace dualtape {
namespace {

using detail::ConvAxis;
using detail::ConvPass;
using detail::ConvShape;

// ---- what users may get wrong ------------------------------------------------------------------

std::string times(std::int64_t rows, std::int64_t columns) {
  return std::to_string(rows) + " x " + std::to_string(columns);
}

void require_numbers(const Inference& inference) {
  const auto check = [&](std::string_view name, std::int64_t least) {
    for (const std::int64_t number : inference.attributes.get<Ints>(name))
      if (number < least || number > INT_MAX)
        inference.value_error(std::string(name) + " is " + std::to_string(number),
                              "give numbers from " + std::to_string(least) + " on");
  };
  check("stride", 1);
  check("dilation", 1);
  check("padding", 0);
  if (const auto groups = inference.attributes.get<std::int64_t>("groups");
      groups < 1 || groups > INT_MAX)
    inference.value_error("groups is " + std::to_string(groups), "give 1 or more");
}

void require_images(const Inference& inference, std::size_t i, std::string_view what,
                    std::string_view axes) {
  inference.require_floating(i);
  if (inference.shape(i).rank() == 4) return;
  inference.shape_error(std::string(what) + " is " + to_string(inference.in[i]) +
                            ", and takes 4 axes: " + std::string(axes),
                        "reshape it; a single image is a batch of 1, and conv1d takes sequences");
}
constexpr auto image_axes = "(batch, channels, rows, columns)";
constexpr auto weight_axes = "(output channels, input channels / groups, rows, columns)";

void require_groups(const Inference& inference, std::int64_t channels, std::string_view which) {
  const auto groups = inference.attributes.get<std::int64_t>("groups");
  if (channels % groups != 0)
    inference.shape_error(std::to_string(channels) + ' ' + std::string(which) +
                              " channels do not divide into " + std::to_string(groups) + " groups",
                          "groups must divide input and output channels");
}

// The windows along each axis fit, and BLAS and oneDNN can count them.
void require_fit(const Inference& inference, const ConvShape& s) {
  if (s.rows.kernel < 1 || s.columns.kernel < 1)
    inference.shape_error("the kernel is " + times(s.rows.kernel, s.columns.kernel),
                          "give weights with at least one row and column");
  const auto padded = [](const ConvAxis& a) { return a.in + a.before + a.after; };
  if (padded(s.rows) < s.rows.reach() || padded(s.columns) < s.columns.reach())
    inference.shape_error("the kernel reaches over " + times(s.rows.reach(), s.columns.reach()) +
                              " pixels, more than the padded image of " +
                              times(padded(s.rows), padded(s.columns)) + " (operands " +
                              to_string(inference.shape(0)) + " and " +
                              to_string(inference.shape(1)) + ")",
                          "give a smaller kernel or dilation, a larger image or more padding");
  for (const double size :
       {static_cast<double>(s.in_channels) * static_cast<double>(s.in_plane()),
        static_cast<double>(s.in_group()) * static_cast<double>(s.window()) *
            static_cast<double>(s.out_plane()),
        static_cast<double>(s.out_channels) * static_cast<double>(s.out_plane()),
        static_cast<double>(s.batch)})
    if (size > INT_MAX)
      inference.shape_error("one image has more than " + std::to_string(INT_MAX) +
                                " numbers or columns of them: " + to_string(inference.shape(0)) +
                                " and " + to_string(inference.shape(1)),
                            "divide the images");
}

// What all three operators ask of their operands, images first.
void require_operands(const Inference& inference, std::string_view first, std::string_view second,
                      std::string_view axes_of_second) {
  inference.require_count(2);
  detail::list_of(inference, "stride", 2);
  detail::list_of(inference, "dilation", 2);
  detail::list_of(inference, "padding", 4);
  require_numbers(inference);
  require_images(inference, 0, first, image_axes);
  require_images(inference, 1, second, axes_of_second);
}

// The sizes of conv2d(x, w), which must fit.
ConvShape fitting_shape(const Inference& inference, const Shape& x, const Shape& w) {
  const ConvShape s = detail::conv_shape(x, w, inference.attributes);
  require_fit(inference, s);
  return s;
}

// For its gradients: g must be of the size of its result.
void require_result(const Inference& inference, const Shape& x, const Shape& w, const Shape& g) {
  const ConvShape s = fitting_shape(inference, x, w);
  if (s.rows.out != g[2] || s.columns.out != g[3])
    inference.shape_error(
        "a convolution of " + times(x[2], x[3]) + " pixels with a kernel of " + times(w[2], w[3]) +
            " gives " + times(s.rows.out, s.columns.out) + " of them, not the " +
            times(g[2], g[3]) + " of " + to_string(g),
        "give the size, stride, padding and dilation of the convolution this belongs to");
}

// The options as another pass has them, with the rows and columns of its result.
Attributes without_size(const Attributes& options) {
  return {{"stride", options.get<Ints>("stride")},
          {"padding", options.get<Ints>("padding")},
          {"dilation", options.get<Ints>("dilation")},
          {"groups", options.get<std::int64_t>("groups")}};
}
Attributes with_size(const Attributes& options, const Shape& shape) {
  return without_size(options).with("size", Ints{shape[2], shape[3]});
}

// ---- the three operators, which are each other's transposes ------------------------------------

Var forward(Var x, Var w, Attributes attributes);
Var by_input(Var g, Var w, Attributes attributes);
Var by_weights(Var x, Var g, Attributes attributes);

// ---- batches ------------------------------------------------------------------------------------

// The members' channels side by side, (b, n, c, ...) as (n, b c, ...), and back.
Var channels_beside(Var x) {
  const Shape& s = x.shape();
  return reshape(permute(x, {1, 0, 2, 3, 4}), {s[1], s[0] * s[2], s[3], s[4]});
}
Var channels_apart(Var x, std::int64_t size) {
  const Shape& s = x.shape();
  return permute(reshape(x, {s[0], size, s[1] / size, s[2], s[3]}), {1, 0, 2, 3, 4});
}
Attributes in_groups(const BatchView& view) {
  std::vector<Attributes::Entry> entries = view.node.attributes.entries();
  for (auto& [name, value] : entries)
    if (name == "groups") value = std::get<std::int64_t>(value) * view.size;
  return Attributes(std::move(entries));
}

// Of conv2d and its transpose: with one kernel for all members their images are one batch; with a
// kernel for each, members are groups of channels.
std::optional<std::vector<Var>> batch_images(const BatchView& view) {
  if (view.size == 0) return std::nullopt;
  if (!view.in[1])
    return std::vector{
        unfold_batch(apply_batched(view, {fold_batch(*view.in[0]), view.node.in[1]})[0], view)};
  const Var w = fold_batch(*view.in[1]);
  return std::vector{channels_apart(
      apply(view.node.op, {channels_beside(batched_operand(view, 0)), w}, in_groups(view)),
      view.size)};
}
std::optional<std::vector<Var>> batch_weights(const BatchView& view) {
  if (view.size == 0) return std::nullopt;
  const Var x = channels_beside(batched_operand(view, 0));
  const Var g = channels_beside(batched_operand(view, 1));
  return std::vector{unfold_batch(apply(view.node.op, {x, g}, in_groups(view)), view)};
}

template <ConvPass pass>
struct Convolution {
  static constexpr Promotion promotion = Promotion::common_floating;
  static constexpr bool can_fail = false;

  static Kernel kernel(const KernelRequest& request) {
    const ConvShape s = detail::conv_shape(pass, request);
    const DType dtype = request.out[0].dtype;
    const detail::ConvLayout layout = detail::conv_layout(request.attributes);
    return detail::convolution_kernel(
        pass, s, dtype, detail::conv_backend(pass, s, dtype, layout.x_blocked || layout.y_blocked),
        layout, request.options);
  }
  static Cost cost(const KernelRequest& request) {
    Cost cost = bytes_only(request);
    cost.flops = 2 * detail::conv_shape(pass, request).products();
    return cost;
  }
};

struct Conv2d : Convolution<ConvPass::forward> {
  static constexpr auto name = "conv2d";
  static constexpr auto doc = "the convolution of images, in groups of channels";
  static constexpr auto math =
      "y[n, m, i, j] = sum_{c p q} w[m, c, p, q] x[n, c, i s + p d - b, j s + q d - b] with stride "
      "s, dilation d, padding b; dy = conv(dx, w) + conv(x, dw). Backward: x' = "
      "conv2d_input_gradient(y', w) and w' = conv2d_weight_gradient(x, y').";
  static constexpr Example example{
      "conv2d(g.constant(Tensor{1, 2, 3, 4}.reshape({1, 1, 2, 2})), "
      "g.constant(Tensor{1, 10}.reshape({1, 1, 1, 2})))",
      "[[[[21.]\n   [43.]]]]"};

  static void infer(Inference& inference) {
    require_operands(inference, "x", "w", weight_axes);
    const Shape& x = inference.shape(0);
    const Shape& w = inference.shape(1);
    const auto groups = inference.attributes.get<std::int64_t>("groups");
    require_groups(inference, x[1], "input");
    require_groups(inference, w[0], "output");
    if (w[1] * groups != x[1])
      inference.shape_error(
          "x " + to_string(x) + " has " + std::to_string(x[1]) + " channels, and w " +
              to_string(w) + " takes " + std::to_string(w[1] * groups) + " in " +
              std::to_string(groups) + (groups == 1 ? " group" : " groups"),
          "w must have shape " + to_string(Shape{w[0], x[1] / groups, w[2], w[3]}));
    const ConvShape s = fitting_shape(inference, x, w);
    inference.out.push_back(
        {{s.batch, s.out_channels, s.rows.out, s.columns.out}, inference.dtype(0)});
  }
  static auto batch(const BatchView& view) { return batch_images(view); }
  static Var transpose(const NodeView& node, std::size_t i, Var c) {
    const Attributes attributes = with_size(node.attributes, node.in[i].shape());
    return i == 0 ? by_input(c, node.in[1], attributes) : by_weights(node.in[0], c, attributes);
  }
  static std::vector<Edge> edges() { return detail::window_edges(name); }
  static std::vector<Case> cases();
};
constexpr Bilinear<Conv2d> conv2d_op;

struct InputGradient : Convolution<ConvPass::by_input> {
  static constexpr auto name = "conv2d_input_gradient";
  static constexpr auto doc = "the transpose of a convolution as a linear map of its images";
  static constexpr auto math =
      "x[n, c, i s + p d - b, j s + q d - b] += w[m, c, p, q] g[n, m, i, j], with the names of "
      "conv2d. Backward: g' = conv2d(x', w) and w' = conv2d_weight_gradient(x', g).";
  static constexpr Example example{
      "conv2d_input_gradient(g.constant(Tensor{1, 2}.reshape({1, 1, 1, 2})), "
      "g.constant(Tensor{1, 10}.reshape({1, 1, 1, 2})), {1, 3})",
      "[[[[ 1. 12. 20.]]]]"};

  static void infer(Inference& inference) {
    require_operands(inference, "g", "w", weight_axes);
    const Shape& g = inference.shape(0);
    const Shape& w = inference.shape(1);
    const Ints& size = detail::list_of(inference, "size", 2);
    require_groups(inference, w[0], "output");
    if (g[1] != w[0])
      inference.shape_error(to_string(g) + " has " + std::to_string(g[1]) + " channels, and w " +
                                to_string(w) + " takes " + std::to_string(w[0]),
                            "w must have shape " + to_string(Shape{g[1], w[1], w[2], w[3]}));
    if (size[0] < 0 || size[1] < 0)
      inference.value_error("the result would be " + times(size[0], size[1]),
                            "give less padding or a larger image");
    const auto groups = inference.attributes.get<std::int64_t>("groups");
    const Shape x{g[0], w[1] * groups, size[0], size[1]};
    require_result(inference, x, w, g);
    inference.out.push_back({x, inference.dtype(0)});
  }
  static auto batch(const BatchView& view) { return batch_images(view); }
  static Var transpose(const NodeView& node, std::size_t i, Var c) {
    return i == 0 ? forward(c, node.in[1], without_size(node.attributes))
                  : by_weights(c, node.in[0], with_size(node.attributes, node.in[1].shape()));
  }
  static std::vector<Edge> edges() { return detail::window_edges(name); }
  static std::vector<Case> cases();
};
constexpr Bilinear<InputGradient> input_gradient_op;

struct WeightGradient : Convolution<ConvPass::by_weights> {
  static constexpr auto name = "conv2d_weight_gradient";
  static constexpr auto doc = "the transpose of a convolution as a linear map of its weights";
  static constexpr auto math =
      "w[m, c, p, q] = sum_{n i j} g[n, m, i, j] x[n, c, i s + p d - b, j s + q d - b], with the "
      "names of conv2d. Backward: x' = conv2d_input_gradient(g, w') and g' = conv2d(x, w').";
  static constexpr Example example{
      "conv2d_weight_gradient(g.constant(Tensor{1, 2, 3}.reshape({1, 1, 1, 3})), "
      "g.constant(Tensor{1, 10}.reshape({1, 1, 1, 2})), {1, 2})",
      "[[[[21. 32.]]]]"};

  static void infer(Inference& inference) {
    require_operands(inference, "x", "g", image_axes);
    const Shape& x = inference.shape(0);
    const Shape& g = inference.shape(1);
    const Ints& size = detail::list_of(inference, "size", 2);
    require_groups(inference, x[1], "input");
    require_groups(inference, g[1], "output");
    if (x[0] != g[0])
      inference.shape_error(
          "x " + to_string(x) + " and g " + to_string(g) + " have batches of different size",
          "g must have the shape of the convolution of x");
    if (size[0] < 0 || size[1] < 0)
      inference.value_error("the kernel is " + times(size[0], size[1]), "give sizes from 1 on");
    const auto groups = inference.attributes.get<std::int64_t>("groups");
    const Shape w{g[1], x[1] / groups, size[0], size[1]};
    require_result(inference, x, w, g);
    inference.out.push_back({w, inference.dtype(0)});
  }
  static auto batch(const BatchView& view) { return batch_weights(view); }
  static Var transpose(const NodeView& node, std::size_t i, Var c) {
    return i == 0 ? by_input(node.in[1], c, with_size(node.attributes, node.in[0].shape()))
                  : forward(node.in[0], c, without_size(node.attributes));
  }
  static std::vector<Edge> edges() { return detail::window_edges(name); }
  static std::vector<Case> cases();
};
constexpr Bilinear<WeightGradient> weight_gradient_op;

Var forward(Var x, Var w, Attributes attributes) { return conv2d_op(x, w, std::move(attributes)); }
Var by_input(Var g, Var w, Attributes attributes) {
  return input_gradient_op(g, w, std::move(attributes));
}
Var by_weights(Var x, Var g, Attributes attributes) {
  return weight_gradient_op(x, g, std::move(attributes));
}

// ---- options -----------------------------------------------------------------------------------

// Zeros before and after an axis of `in` entries.
std::pair<std::int64_t, std::int64_t> padding_of(Padding::Form form, std::int64_t number,
                                                 std::int64_t in, std::int64_t kernel,
                                                 std::int64_t stride, std::int64_t dilation) {
  if (form == Padding::Form::valid) return {0, 0};
  if (form == Padding::Form::numbers) return {number, number};
  const auto fits = [](std::int64_t n) { return n >= 1 && n <= INT_MAX; };
  if (!fits(stride) || !fits(dilation) || !fits(kernel) || in < 1)
    return {0, 0};  // which is refused, by name, when the node is made
  const std::int64_t out = (in - 1) / stride + 1;
  const std::int64_t total =
      std::max<std::int64_t>((out - 1) * stride + dilation * (kernel - 1) + 1 - in, 0);
  return {total / 2, total - total / 2};
}

// Rows and columns of an image or of weights; none if it has another rank, which is refused later.
Size2d plane_of(const Shape& shape) { return shape.rank() == 4 ? Size2d(shape[2], shape[3]) : 0; }

Attributes attributes_of(const ConvOptions& o, Size2d image, Size2d kernel) {
  const Padding::Form form = o.padding.form();
  const auto rows = padding_of(form, o.padding.size().rows, image.rows, kernel.rows, o.stride.rows,
                               o.dilation.rows);
  const auto columns = padding_of(form, o.padding.size().columns, image.columns, kernel.columns,
                                  o.stride.columns, o.dilation.columns);
  return {{"stride", Ints{o.stride.rows, o.stride.columns}},
          {"padding", Ints{rows.first, rows.second, columns.first, columns.second}},
          {"dilation", Ints{o.dilation.rows, o.dilation.columns}},
          {"groups", o.groups}};
}
Attributes attributes_of(const ConvOptions& o, Size2d image, Size2d kernel, Size2d size) {
  return attributes_of(o, image, kernel).with("size", Ints{size.rows, size.columns});
}

// Along one axis of a transposed convolution.
std::int64_t spread_size(std::string_view function, Location where, std::int64_t in,
                         std::int64_t kernel, std::int64_t stride, std::int64_t padding,
                         std::int64_t more, std::int64_t dilation) {
  if (more < 0 || more >= std::max<std::int64_t>(stride, 1))
    fail<ValueError>({.op = function,
                      .what = "the output padding is " + std::to_string(more) +
                              ", and must be from 0 to below the stride of " +
                              std::to_string(stride),
                      .where = where,
                      .help = "give less output padding"});
  for (const std::int64_t number : {in, kernel, stride, padding, dilation})
    if (number < 0 || number > INT_MAX) return 0;  // which is refused when the node is made
  return (in - 1) * stride - 2 * padding + dilation * (kernel - 1) + more + 1;
}

// ---- samples -----------------------------------------------------------------------------------

struct Sample {
  std::string name;
  Shape x;
  Shape w;
  ConvOptions options = {};
};
std::vector<Sample> samples() {
  return {
      {"one window", {1, 1, 2, 2}, {1, 1, 2, 2}},
      {"channels", {2, 2, 4, 3}, {3, 2, 2, 2}},
      {"stride and padding", {1, 2, 5, 4}, {2, 2, 3, 3}, {.stride = 2, .padding = 1}},
      {"each axis its own",
       {2, 1, 4, 6},
       {2, 1, 1, 3},
       {.stride = {1, 2}, .padding = {0, 2}, .dilation = {1, 2}}},
      {"rows left over", {1, 1, 6, 6}, {1, 1, 2, 2}, {.stride = 3}},
      {"same", {1, 2, 3, 4}, {2, 2, 2, 3}, {.padding = Padding::same()}},
      {"same, with stride", {1, 1, 5, 4}, {1, 1, 3, 2}, {.stride = 2, .padding = Padding::same()}},
      {"dilation", {1, 1, 5, 5}, {2, 1, 2, 2}, {.padding = 1, .dilation = 2}},
      {"pixels", {2, 3, 2, 2}, {2, 3, 1, 1}},
      {"groups", {2, 4, 3, 3}, {2, 2, 2, 2}, {.padding = 1, .groups = 2}},
      {"depthwise", {2, 2, 4, 4}, {2, 1, 3, 3}, {.stride = 2, .padding = 1, .groups = 2}},
      {"depthwise, two of each", {1, 2, 3, 3}, {4, 1, 2, 2}, {.groups = 2}},
      {"nobody sees some rows", {1, 1, 5, 5}, {1, 1, 1, 1}, {.stride = 2, .padding = 1}},
      {"empty batch", {0, 2, 3, 3}, {2, 2, 2, 2}},
      {"no channels", {1, 0, 3, 3}, {2, 0, 2, 2}}};
}

Shape result_of(const Sample& s) {
  const ConvShape shape =
      detail::conv_shape(s.x, s.w, attributes_of(s.options, plane_of(s.x), plane_of(s.w)));
  return {shape.batch, shape.out_channels, shape.rows.out, shape.columns.out};
}

std::vector<Case> Conv2d::cases() {
  std::vector<Case> cases;
  for (const Sample& s : samples())
    cases.push_back({s.name, {Arg{s.x}, Arg{s.w}}, [options = s.options](auto in) {
                       return std::vector<Var>{conv2d(in[0], in[1], options)};
                     }});
  return cases;
}
std::vector<Case> InputGradient::cases() {
  std::vector<Case> cases;
  for (const Sample& s : samples())
    cases.push_back({s.name,
                     {Arg{result_of(s)}, Arg{s.w}},
                     [options = s.options, size = plane_of(s.x)](auto in) {
                       return std::vector<Var>{conv2d_input_gradient(in[0], in[1], size, options)};
                     }});
  return cases;
}
std::vector<Case> WeightGradient::cases() {
  std::vector<Case> cases;
  for (const Sample& s : samples())
    cases.push_back({s.name,
                     {Arg{s.x}, Arg{result_of(s)}},
                     [options = s.options, size = plane_of(s.w)](auto in) {
                       return std::vector<Var>{conv2d_weight_gradient(in[0], in[1], size, options)};
                     }});
  return cases;
}

struct ConvTranspose2d {
  static constexpr auto name = "conv_transpose2d";
  static constexpr auto doc = "the transpose of a convolution, which makes images larger";
  static constexpr auto math =
      "conv2d_input_gradient(x, w) with rows and columns of (H - 1) stride - 2 padding + dilation "
      "(kh - 1) + output_padding + 1.";
  static constexpr Example example{
      "conv_transpose2d(g.constant(Tensor{1, 2}.reshape({1, 1, 1, 2})), "
      "g.constant(Tensor{1, 10}.reshape({1, 1, 1, 2})), {.stride = {1, 2}})",
      "[[[[ 1. 10.  2. 20.]]]]"};
  static std::vector<Edge> edges() { return detail::window_edges(name); }
  static std::vector<Case> cases() {
    const auto call = [](const ConvTransposeOptions& options) {
      return [options](std::span<const Var> in) {
        return std::vector<Var>{conv_transpose2d(in[0], in[1], options)};
      };
    };
    return {{"channels", {Arg{{2, 2, 2, 3}}, Arg{{2, 3, 2, 2}}}, call({})},
            {"stride", {Arg{{1, 2, 2, 2}}, Arg{{2, 1, 3, 3}}}, call({.stride = 2, .padding = 1})},
            {"output padding",
             {Arg{{1, 1, 2, 2}}, Arg{{1, 2, 2, 3}}},
             call({.stride = {2, 3}, .padding = 1, .output_padding = {1, 2}, .dilation = {2, 1}})},
            {"groups", {Arg{{1, 4, 2, 2}}, Arg{{4, 1, 2, 2}}}, call({.groups = 2})}};
  }
};

}  // namespace

Var conv2d(In x, In w, const ConvOptions& options) {
  return conv2d_op(
      x, w, attributes_of(options, plane_of(detail::shape_of(x)), plane_of(detail::shape_of(w))));
}

Var conv2d_input_gradient(In g, In w, Size2d size, const ConvOptions& options) {
  return input_gradient_op(g, w, attributes_of(options, size, plane_of(detail::shape_of(w)), size));
}

Var conv2d_weight_gradient(In x, In g, Size2d size, const ConvOptions& options) {
  return weight_gradient_op(x, g,
                            attributes_of(options, plane_of(detail::shape_of(x)), size, size));
}

Var conv_transpose2d(In x, In w, const ConvTransposeOptions& o) {
  const Size2d image = plane_of(detail::shape_of(x));
  const Size2d kernel = plane_of(detail::shape_of(w));
  const Size2d size(
      spread_size("conv_transpose2d", x.where(), image.rows, kernel.rows, o.stride.rows,
                  o.padding.rows, o.output_padding.rows, o.dilation.rows),
      spread_size("conv_transpose2d", x.where(), image.columns, kernel.columns, o.stride.columns,
                  o.padding.columns, o.output_padding.columns, o.dilation.columns));
  return conv2d_input_gradient(
      x, w, size,
      {.stride = o.stride, .padding = o.padding, .dilation = o.dilation, .groups = o.groups});
}

void detail::register_convolution() {
  register_all(conv2d_op, input_gradient_op, weight_gradient_op);
  register_composite<ConvTranspose2d>();
  register_convolution1d();
}

}  // namespace dualtape
