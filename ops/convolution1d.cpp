// Convolutions of sequences, as those of images of one row.
#include <string>
#include <string_view>
#include <vector>

#include <dualtape/core/composite.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/convolution.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

// A sequence as an image of one row.
Var as_row(std::string_view function, std::string_view what, const In& x) {
  const Shape shape = detail::shape_of(x);
  if (shape.rank() != 3)
    fail<ShapeError>({.op = function,
                      .what = std::string(what) + " has shape " + to_string(shape) +
                              ", and takes 3 axes: " +
                              (what == "x" ? "(batch, channels, length)"
                                           : "(channels, channels of a group, length)"),
                      .where = x.where(),
                      .help = "reshape it; a single sequence is a batch of 1"});
  return reshape(x, {shape[0], shape[1], 1, shape[2]});
}
Var without_rows(Var y) { return squeeze(y, {2}); }

struct Conv1d {
  static constexpr auto name = "conv1d";
  static constexpr auto doc = "the convolution of sequences, in groups of channels";
  static constexpr auto math = "conv2d of images of one row.";
  static constexpr Example example{
      "conv1d(g.constant(Tensor{1, 2, 3}.reshape({1, 1, 3})), "
      "g.constant(Tensor{1, 10}.reshape({1, 1, 2})))",
      "[[[21. 32.]]]"};
  static Var body(const Composite& c, const ConvOptions& options) {
    ConvOptions rows = options;
    rows.stride.rows = rows.dilation.rows = 1;
    if (options.padding.form() == Padding::Form::numbers)
      rows.padding = Size2d(0, options.padding.size().columns);
    return without_rows(conv2d(as_row(name, "x", c[0]), as_row(name, "w", c[1]), rows));
  }
  static std::vector<Edge> edges() { return detail::window_edges(name); }
  static std::vector<Case> cases() {
    const auto call = [](const ConvOptions& options) {
      return [options](std::span<const Var> in) {
        return std::vector<Var>{conv1d(in[0], in[1], options)};
      };
    };
    return {{"channels", {Arg{{2, 2, 5}}, Arg{{3, 2, 3}}}, call({})},
            {"options",
             {Arg{{1, 2, 6}}, Arg{{2, 1, 2}}},
             call({.stride = 2, .padding = 1, .dilation = 2, .groups = 2})},
            {"same", {Arg{{1, 1, 4}}, Arg{{1, 1, 4}}}, call({.padding = Padding::same()})}};
  }
};

struct ConvTranspose1d {
  static constexpr auto name = "conv_transpose1d";
  static constexpr auto doc =
      "the transpose of a convolution of sequences, which makes them longer";
  static constexpr auto math = "conv_transpose2d of images of one row.";
  static constexpr Example example{
      "conv_transpose1d(g.constant(Tensor{1, 2}.reshape({1, 1, 2})), "
      "g.constant(Tensor{1, 10}.reshape({1, 1, 2})), {.stride = 2})",
      "[[[ 1. 10.  2. 20.]]]"};
  static Var body(const Composite& c, const ConvTransposeOptions& options) {
    ConvTransposeOptions rows = options;
    rows.stride.rows = rows.dilation.rows = 1;
    rows.padding.rows = rows.output_padding.rows = 0;
    return without_rows(conv_transpose2d(as_row(name, "x", c[0]), as_row(name, "w", c[1]), rows));
  }
  static std::vector<Edge> edges() { return detail::window_edges(name); }
  static std::vector<Case> cases() {
    return {{"stride", {Arg{{2, 2, 3}}, Arg{{2, 1, 3}}}, [](auto in) {
               return std::vector<Var>{conv_transpose1d(
                   in[0], in[1], {.stride = 2, .padding = 1, .output_padding = 1})};
             }}};
  }
};

}  // namespace

Var conv1d(In x, In w, const ConvOptions& options) {
  return Conv1d::body({Conv1d::name, {x, w}}, options);
}

Var conv_transpose1d(In x, In w, const ConvTransposeOptions& options) {
  return ConvTranspose1d::body({ConvTranspose1d::name, {x, w}}, options);
}

void detail::register_convolution1d() {
  register_composite<Conv1d>();
  register_composite<ConvTranspose1d>();
}

}  // namespace dualtape
