// Convolutions against their definition, the kernels against each other, and what is refused.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include <dualtape/core/program.hpp>
#include <dualtape/core/random.hpp>
#include <dualtape/core/threads.hpp>
#include <dualtape/modes/functional.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/convolution.hpp>
#include <dualtape/ops/kernels/convolution/convolve.hpp>
#include <dualtape/ops/kernels/convolution/onednn_convolution.hpp>
#include <dualtape/ops/reduce.hpp>
#include <tests/errors.hpp>

namespace dt = dualtape;
using dt::Shape;
using dt::Tensor;
using dt::detail::ConvAxis;
using dt::detail::ConvBackend;
using dt::detail::ConvPass;
using dt::detail::ConvShape;
using dt::testing::error_of;

namespace {

Tensor numbers(std::uint64_t seed, const Shape& shape, dt::DType dtype = dt::float64) {
  return dt::uniform(dt::Key{seed}, shape, -1.0, 1.0, dtype);
}

Shape shape_x(const ConvShape& s) { return {s.batch, s.in_channels, s.rows.in, s.columns.in}; }
Shape shape_w(const ConvShape& s) {
  return {s.out_channels, s.in_channels / s.groups, s.rows.kernel, s.columns.kernel};
}
Shape shape_y(const ConvShape& s) { return {s.batch, s.out_channels, s.rows.out, s.columns.out}; }

double& at(Tensor& t, std::int64_t a, std::int64_t b, std::int64_t c, std::int64_t d) {
  return t.data<double>()[static_cast<std::size_t>(
      ((a * t.size(1) + b) * t.size(2) + c) * t.size(3) + d)];
}

// f(n, m, i, j, c of x, p, q, row of x, column of x) for all that the definition multiplies.
template <class F>
void by_definition(const ConvShape& s, F f) {
  for (std::int64_t n = 0; n < s.batch; ++n)
    for (std::int64_t m = 0; m < s.out_channels; ++m)
      for (std::int64_t i = 0; i < s.rows.out; ++i)
        for (std::int64_t j = 0; j < s.columns.out; ++j)
          for (std::int64_t c = 0; c < s.in_channels / s.groups; ++c)
            for (std::int64_t p = 0; p < s.rows.kernel; ++p)
              for (std::int64_t q = 0; q < s.columns.kernel; ++q) {
                const auto row = i * s.rows.stride + p * s.rows.dilation - s.rows.before;
                const auto column =
                    j * s.columns.stride + q * s.columns.dilation - s.columns.before;
                if (row < 0 || row >= s.rows.in || column < 0 || column >= s.columns.in) continue;
                const auto group = m / (s.out_channels / s.groups);
                f(n, m, i, j, c, group * (s.in_channels / s.groups) + c, p, q, row, column);
              }
}

// The three passes in float64: operands of the pass in its order.
Tensor naive(ConvPass pass, const ConvShape& s, Tensor a, Tensor b) {
  a = a.to(dt::float64);
  b = b.to(dt::float64);
  Tensor out = dt::zeros(pass == ConvPass::forward    ? shape_y(s)
                         : pass == ConvPass::by_input ? shape_x(s)
                                                      : shape_w(s),
                         dt::float64);
  by_definition(s, [&](auto n, auto m, auto i, auto j, auto c, auto channel, auto p, auto q,
                       auto row, auto column) {
    switch (pass) {
      case ConvPass::forward:
        at(out, n, m, i, j) += at(a, n, channel, row, column) * at(b, m, c, p, q);
        break;
      case ConvPass::by_input:
        at(out, n, channel, row, column) += at(a, n, m, i, j) * at(b, m, c, p, q);
        break;
      case ConvPass::by_weights:
        at(out, m, c, p, q) += at(a, n, channel, row, column) * at(b, n, m, i, j);
        break;
    }
  });
  return out;
}

ConvAxis axis(std::int64_t in, std::int64_t kernel, std::int64_t stride = 1,
              std::int64_t padding = 0, std::int64_t dilation = 1) {
  ConvAxis a{in, kernel, 0, stride, dilation, padding, padding};
  a.out = (in + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1;
  return a;
}

// Every combination that fits of some sizes and attributes.
std::vector<ConvShape> shapes() {
  std::vector<ConvShape> all;
  for (const auto& [c, m, groups] : {std::array{1, 1, 1},
                                     {1, 3, 1},
                                     {4, 2, 1},
                                     {4, 6, 2},
                                     {3, 3, 3},
                                     {2, 6, 2},
                                     {8, 8, 1},
                                     {8, 16, 1},
                                     {24, 24, 1},
                                     {16, 16, 16},
                                     {16, 32, 16},
                                     {16, 32, 2}})
    for (const auto& [stride, padding, dilation] :
         {std::array{1, 0, 1}, {1, 1, 1}, {2, 1, 1}, {3, 2, 2}, {1, 4, 3}})
      for (const auto& [kh, kw] : {std::array{1, 1}, {3, 3}, {2, 5}}) {
        ConvShape s;
        s.batch = 2;
        s.in_channels = c;
        s.out_channels = m;
        s.groups = groups;
        s.rows = axis(7, kh, stride, padding, dilation);
        s.columns = axis(6, kw, stride == 3 ? 1 : stride, padding, dilation);
        if (s.rows.in + 2 * padding < s.rows.reach() ||
            s.columns.in + 2 * padding < s.columns.reach())
          continue;
        all.push_back(s);
      }
  return all;
}
constexpr std::array passes{ConvPass::forward, ConvPass::by_input, ConvPass::by_weights};

struct Operands {
  Tensor a;
  Tensor b;
};
Operands operands(ConvPass pass, const ConvShape& s, dt::DType dtype) {
  switch (pass) {
    case ConvPass::forward: return {numbers(1, shape_x(s), dtype), numbers(2, shape_w(s), dtype)};
    case ConvPass::by_input: return {numbers(1, shape_y(s), dtype), numbers(2, shape_w(s), dtype)};
    case ConvPass::by_weights: break;
  }
  return {numbers(1, shape_x(s), dtype), numbers(2, shape_y(s), dtype)};
}

Tensor run(const dt::Kernel& kernel, const Operands& in, const Shape& shape, dt::DType dtype) {
  // What was there before must not matter, NaNs included.
  Tensor out = dt::full(shape, std::nan(""), dtype);
  Tensor space = dt::full({static_cast<std::int64_t>(kernel.workspace_bytes / 8 + 1)}, std::nan(""),
                          dt::float64);
  const std::array<const void*, 2> data{in.a.raw(), in.b.raw()};
  const std::array<void*, 1> outs{out.raw()};
  kernel.run({data.data(), outs.data(), space.raw()});
  return out;
}

double largest(const Tensor& x) {
  double result = 0;
  for (const double v : x.data<double>()) result = std::max(result, std::abs(v));
  return result;
}

dt::ConvOptions options_of(const ConvShape& s) {
  return {.stride = {s.rows.stride, s.columns.stride},
          .padding = {s.rows.before, s.columns.before},
          .dilation = {s.rows.dilation, s.columns.dilation},
          .groups = s.groups};
}

bool mentions(const std::string& text, std::string_view part) {
  INFO(text);
  CHECK(text.find(part) != std::string::npos);
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("every pass is its definition, whatever kernel runs it") {
  for (const ConvShape& s : shapes())
    for (const ConvPass pass : passes)
      for (const dt::DType dtype : {dt::float64, dt::float32}) {
        const Operands in = operands(pass, s, dtype);
        const Tensor wanted = naive(pass, s, in.a, in.b);
        for (const ConvBackend backend : {ConvBackend::columns, ConvBackend::onednn}) {
          const dt::Kernel kernel = dt::detail::convolution_kernel(pass, s, dtype, backend);
          const Tensor got = run(kernel, in, wanted.shape(), dtype);
          INFO(kernel.note << ", pass " << static_cast<int>(pass) << ", x " << shape_x(s) << ", w "
                           << shape_w(s) << ", y " << shape_y(s));
          CHECK(dt::all_close(got.to(dt::float64), wanted, 0,
                              dtype == dt::float64 ? 1e-12 : 3e-6 * (1 + largest(wanted))));
        }
      }
}

TEST_CASE("few channels and wide rows go without columns, to the same result") {
  // Rows of one register, of several, and of such with a rest; channels in whole tiles and beside.
  for (const auto& [c, m, kernel, width] : {std::array{1, 8, 5, 16},
                                            {1, 3, 5, 17},
                                            {3, 5, 3, 24},
                                            {3, 16, 3, 32},
                                            {2, 12, 7, 33},
                                            {4, 1, 4, 47},
                                            {7, 9, 2, 64},
                                            {3, 6, 6, 50},
                                            {5, 2, 5, 8},
                                            {3, 7, 3, 9},
                                            {3, 14, 3, 31}})
    for (const std::int64_t padding : {0, 2}) {
      ConvShape s;
      s.batch = 3;
      s.in_channels = c;
      s.out_channels = m;
      s.rows = axis(6, 3, 1, padding);
      s.columns = axis(width + kernel - 1 - 2 * padding, kernel, 1, padding);
      s.rows.after = 1;  // not what is before
      s.rows.out = 6 + padding + 1 - 2;
      REQUIRE(s.columns.out == width);
      for (const ConvPass pass : {ConvPass::forward, ConvPass::by_weights})
        for (const dt::DType dtype : {dt::float64, dt::float32}) {
          const Operands in = operands(pass, s, dtype);
          const Tensor wanted = naive(pass, s, in.a, in.b);
          const dt::Kernel made =
              dt::detail::convolution_kernel(pass, s, dtype, ConvBackend::columns);
          INFO(made.note << ", pass " << static_cast<int>(pass) << ", x " << shape_x(s) << ", w "
                         << shape_w(s) << ", y " << shape_y(s));
          if (width >= 16 && 3 * c * kernel >= 25) CHECK(made.note == "a loop over rows");
          CHECK(dt::all_close(run(made, in, wanted.shape(), dtype).to(dt::float64), wanted, 0,
                              dtype == dt::float64 ? 1e-12 : 3e-6 * (1 + largest(wanted))));
        }
    }
}

TEST_CASE("oneDNN, where it is there, runs what it is asked to") {
  if (!dt::detail::has_onednn_convolution()) return;
  ConvShape s;
  s.batch = 2;
  s.in_channels = s.out_channels = 64;
  s.rows = s.columns = axis(14, 3, 1, 1);
  const int before = dt::num_threads();
  for (const int threads : {1, 2}) {
    dt::set_num_threads(threads);  // kernels for two divide the images
    for (const ConvPass pass : passes) {
      const dt::Kernel one =
          dt::detail::convolution_kernel(pass, s, dt::float32, ConvBackend::onednn);
      const dt::Kernel other =
          dt::detail::convolution_kernel(pass, s, dt::float32, ConvBackend::columns);
      INFO(one.note << " / " << other.note);
      CHECK(one.note.starts_with("onednn"));
      CHECK(one.note.ends_with("in 2 parts") == (threads == 2));
      CHECK(other.note.starts_with("columns"));
      const Operands in = operands(pass, s, dt::float32);
      const Tensor wanted = naive(pass, s, in.a, in.b);
      const double size = largest(wanted);
      CHECK(dt::all_close(run(other, in, wanted.shape(), dt::float32).to(dt::float64), wanted, 0,
                          2e-6 * size));
      // Winograd's way rounds more.
      CHECK(dt::all_close(run(one, in, wanted.shape(), dt::float32).to(dt::float64), wanted, 0,
                          2e-5 * size));
    }
  }
  dt::set_num_threads(before);
}

TEST_CASE("conv2d and its gradients are what the passes compute") {
  for (const ConvShape& s : shapes()) {
    dt::Graph g;
    const Tensor x = numbers(1, shape_x(s));
    const Tensor w = numbers(2, shape_w(s));
    const Tensor c = numbers(3, shape_y(s));
    const dt::Var y = dt::conv2d(g.constant(x), w, options_of(s));
    REQUIRE(y.shape() == shape_y(s));
    CHECK(dt::all_close(dt::eval(y), naive(ConvPass::forward, s, x, w), 0, 1e-12));
    const dt::Var of_x =
        dt::conv2d_input_gradient(g.constant(c), w, {s.rows.in, s.columns.in}, options_of(s));
    CHECK(dt::all_close(dt::eval(of_x), naive(ConvPass::by_input, s, c, w), 0, 1e-12));
    const dt::Var of_w = dt::conv2d_weight_gradient(
        g.constant(x), c, {s.rows.kernel, s.columns.kernel}, options_of(s));
    CHECK(dt::all_close(dt::eval(of_w), naive(ConvPass::by_weights, s, x, c), 0, 1e-12));
  }
}

TEST_CASE("threads give what one thread does") {
  for (const dt::DType dtype : {dt::float64, dt::float32})
    for (const std::int64_t channels : {1, 4, 32})
      for (const std::int64_t groups : {std::int64_t{1}, channels}) {
        ConvShape s;
        s.batch = 5;
        s.in_channels = channels;
        s.out_channels = 64;
        s.groups = groups;
        const std::int64_t window = channels == 4 ? 5 : 3;  // 4 channels go without columns
        s.rows = s.columns = axis(30, window, 1, window / 2);
        dt::Graph g;
        const dt::ConvOptions options{.padding = window / 2, .groups = groups};
        const dt::Var x = g.constant(numbers(1, shape_x(s), dtype));
        const dt::Var w = g.constant(numbers(2, shape_w(s), dtype));
        const dt::Var y = dt::conv2d(x, w, options);
        const dt::Var c = g.constant(numbers(3, shape_y(s), dtype));
        const dt::Var of_x = dt::conv2d_input_gradient(c, w, {30, 30}, options);
        const dt::Var of_w = dt::conv2d_weight_gradient(x, c, {window, window}, options);
        const dt::CompileOptions one_thread{.without = {"precompute"}, .threads = 1};
        const dt::CompileOptions three_threads{.without = {"precompute"}, .threads = 3};
        dt::Program one = dt::compile({y, of_x, of_w}, {}, one_thread);
        dt::Program many = dt::compile({y, of_x, of_w}, {}, three_threads);
        const dt::Outputs wanted = one.run();
        const dt::Outputs got = many.run();
        INFO(many.explain());
        for (const dt::Var out : {y, of_x, of_w}) {
          const Tensor wide = wanted[out].to(dt::float64);
          CHECK(dt::all_close(got[out].to(dt::float64), wide, 0,
                              largest(wide) * (dtype == dt::float64 ? 1e-12 : 2e-5)));
        }
      }
}

TEST_CASE("paddings by name") {
  dt::Graph g;
  const auto shape = [&](const Shape& x, const Shape& w, const dt::ConvOptions& options) {
    return dt::conv2d(g.constant(numbers(1, x)), numbers(2, w), options).shape();
  };
  const auto same = dt::Padding::same();
  CHECK(shape({1, 1, 7, 8}, {1, 1, 3, 4}, {.padding = same}) == Shape{1, 1, 7, 8});
  CHECK(shape({1, 1, 7, 8}, {1, 1, 3, 4}, {.stride = {2, 3}, .padding = same}) ==
        Shape{1, 1, 4, 3});
  CHECK(shape({1, 1, 7, 8}, {1, 1, 3, 2}, {.padding = same, .dilation = 3}) == Shape{1, 1, 7, 8});
  CHECK(shape({1, 1, 7, 8}, {1, 1, 3, 4}, {.padding = dt::Padding::valid()}) == Shape{1, 1, 5, 5});
  // The odd zero comes last: of two weights the first sees the pixel itself.
  const dt::Var y = dt::conv1d(g.constant(Tensor{1, 2, 3}.reshape({1, 1, 3})),
                               Tensor{1, 10}.reshape({1, 1, 2}), {.padding = same});
  CHECK(dt::all_close(dt::eval(y), Tensor{21, 32, 3}.reshape({1, 1, 3}), 0, 0));
}

TEST_CASE("sequences are images of one row") {
  dt::Graph g;
  const Tensor x = numbers(1, {2, 4, 9});
  const Tensor w = numbers(2, {6, 2, 3});
  const dt::ConvOptions options{.stride = 2, .padding = 1, .dilation = 2, .groups = 2};
  const dt::Var y = dt::conv1d(g.constant(x), w, options);
  ConvShape s{2, 4, 6, 2, axis(1, 1), axis(9, 3, 2, 1, 2)};
  const Tensor wanted = naive(ConvPass::forward, s, x.reshape(shape_x(s)), w.reshape(shape_w(s)));
  CHECK(dt::all_close(dt::eval(y), wanted.reshape({2, 6, s.columns.out}), 0, 1e-12));
  // A transposed convolution of what came out has the length of what went in.
  const dt::Var back =
      dt::conv_transpose1d(y, w, {.stride = 2, .padding = 1, .dilation = 2, .groups = 2});
  const Tensor grown = naive(ConvPass::by_input, s, wanted, w.reshape(shape_w(s)));
  CHECK(dt::all_close(dt::eval(back), grown.reshape({2, 4, 9}), 0, 1e-12));
}

TEST_CASE("transposed convolutions have PyTorch's sizes") {
  dt::Graph g;
  const auto shape = [&](const dt::ConvTransposeOptions& options) {
    return dt::conv_transpose2d(g.constant(numbers(1, {2, 4, 5, 6})), numbers(2, {4, 3, 3, 2}),
                                options)
        .shape();
  };
  // (H - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1
  CHECK(shape({}) == Shape{2, 3, 7, 7});
  CHECK(shape({.stride = 2, .padding = 1, .output_padding = 1}) == Shape{2, 3, 10, 11});
  CHECK(shape({.stride = 3, .padding = {0, 1}, .output_padding = {2, 0}, .dilation = 2}) ==
        Shape{2, 3, 19, 16});
  CHECK(shape({.groups = 2}) == Shape{2, 6, 7, 7});
  const std::string text = error_of<dt::ValueError>([&] { shape({.output_padding = 1}); });
  CHECK(mentions(text, "output padding is 1"));
}

TEST_CASE("the derivative of a convolution by its weights, by hand") {
  // y = w1 x1 + w2 x2, w1 x2 + w2 x3; d(y1^2 + y2^2)/dw1 = 2 (y1 x1 + y2 x2).
  const Tensor x = Tensor{1.0, 2.0, 3.0}.reshape({1, 1, 1, 3});
  const Tensor w = Tensor{0.5, -1.0}.reshape({1, 1, 1, 2});
  const Tensor gradient = dt::grad(
      [&](dt::Var v) { return dt::sum(dt::square(dt::conv2d(v.graph().constant(x), v))); })(w);
  const double y1 = 0.5 - 2;
  const double y2 = 1.0 - 3;
  const dt::Tensor wide = gradient.to(dt::float64);
  CHECK(wide.data<double>()[0] == doctest::Approx(2 * (y1 * 1 + y2 * 2)));
  CHECK(wide.data<double>()[1] == doctest::Approx(2 * (y1 * 2 + y2 * 3)));
}

TEST_CASE("what does not fit is refused with shapes and a mend") {
  dt::Graph g;
  const auto conv = [&](const Shape& x, const Shape& w, const dt::ConvOptions& options = {}) {
    return [&g, x, w, options] { dt::conv2d(g.constant(dt::zeros(x)), dt::zeros(w), options); };
  };
  std::string text = error_of<dt::ShapeError>(conv({1, 1, 4, 4}, {1, 1, 5, 5}));
  CHECK(mentions(text, "5 x 5 pixels, more than the padded image of 4 x 4"));
  CHECK(mentions(text, "convolution_test.cpp"));
  text = error_of<dt::ShapeError>(conv({1, 1, 4, 4}, {1, 1, 3, 3}, {.dilation = 3}));
  CHECK(mentions(text, "7 x 7"));
  text = error_of<dt::ShapeError>(conv({1, 3, 8, 8}, {4, 2, 3, 3}));
  CHECK(mentions(text, "w must have shape (4, 3, 3, 3)"));
  text = error_of<dt::ShapeError>(conv({1, 4, 8, 8}, {4, 4, 3, 3}, {.groups = 2}));
  CHECK(mentions(text, "w must have shape (4, 2, 3, 3)"));
  text = error_of<dt::ShapeError>(conv({1, 3, 8, 8}, {4, 1, 3, 3}, {.groups = 2}));
  CHECK(mentions(text, "3 input channels do not divide into 2 groups"));
  text = error_of<dt::ShapeError>(conv({3, 8, 8}, {4, 3, 3, 3}));
  CHECK(mentions(text, "takes 4 axes"));
  text = error_of<dt::ShapeError>(conv({1, 3, 8, 8}, {4, 3, 0, 3}));
  CHECK(mentions(text, "the kernel is 0 x 3"));
  text = error_of<dt::ValueError>(conv({1, 1, 8, 8}, {1, 1, 3, 3}, {.stride = 0}));
  CHECK(mentions(text, "stride is 0"));
  text = error_of<dt::ValueError>(conv({1, 1, 8, 8}, {1, 1, 3, 3}, {.dilation = {1, 0}}));
  CHECK(mentions(text, "dilation is 0"));
  text = error_of<dt::ValueError>(conv({1, 1, 8, 8}, {1, 1, 3, 3}, {.padding = -1}));
  CHECK(mentions(text, "padding is -1"));
  text = error_of<dt::ValueError>(conv({1, 1, 8, 8}, {1, 1, 3, 3}, {.groups = 0}));
  CHECK(mentions(text, "groups is 0"));
  text = error_of<dt::ShapeError>([&] {
    dt::conv1d(g.constant(dt::zeros({2, 3})), dt::zeros({1, 3, 1}));
  });
  CHECK(mentions(text, "takes 3 axes"));
  text = error_of<dt::ShapeError>([&] {
    dt::conv2d_input_gradient(g.constant(dt::zeros({1, 2, 3, 3})), dt::zeros({2, 1, 3, 3}), {6, 5});
  });
  CHECK(mentions(text, "gives 4 x 3 of them, not the 3 x 3"));
  text = error_of<dt::ShapeError>([&] {
    dt::conv2d_weight_gradient(g.constant(dt::zeros({1, 2, 5, 5})), dt::zeros({1, 2, 3, 3}),
                               {4, 4});
  });
  CHECK(mentions(text, "not the 3 x 3"));
}

TEST_CASE("the environment names a kernel") {
  CHECK(dt::detail::conv_backend_from("columns") == ConvBackend::columns);
  CHECK(!dt::detail::conv_backend_from(nullptr));
  CHECK(!dt::detail::conv_backend_from(""));
  const auto refused = [](const char* text) {
    const std::string said =
        error_of<dt::ValueError>([&] { static_cast<void>(dt::detail::conv_backend_from(text)); });
    CHECK(mentions(said, "DUALTAPE_CONVOLUTION"));
    CHECK(mentions(said, '"' + std::string(text) + '"'));
    CHECK(mentions(said, "only: columns"));
  };
  refused("winograd");
  if (dt::detail::has_onednn_convolution())
    CHECK(dt::detail::conv_backend_from("onednn") == ConvBackend::onednn);
  else
    refused("onednn");
}
