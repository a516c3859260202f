// What operators made of a formula share: the interpreter against the compiled kernels, types,
// sample calls and their draws, kernels from a plain apply.
#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include <dualtape/core/kinds.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/math.hpp>

#include "tests/allocations.hpp"
#include "tests/errors.hpp"

namespace dt = dualtape;
using dt::Shape;
using dt::Tensor;
using dt::testing::error_of;
using dt::testing::has;

namespace {

// A user's operators, which the interpreter runs.
struct Softsign {
  static constexpr auto name = "test_softsign";
  static constexpr auto doc = "x / (1 + |x|)";
  static auto formula(auto x) { return x / (1 + abs(x)); }
  static dt::Factor partial(dt::Var x, dt::Var) { return dt::reciprocal(dt::square(1 + abs(x))); }
  static auto sample() { return dt::domain(-3, 3).avoid(0); }
};
constexpr dt::Elementwise<Softsign> softsign;

struct Blend {
  static constexpr auto name = "test_blend";
  static constexpr auto doc = "a + t (b - a) where the mask is set, else a";
  static constexpr std::size_t mask_inputs = 1;
  static constexpr auto promotion = dt::Promotion::none;
  static auto formula(auto mask, auto a, auto b, auto t) {
    return select(mask, a + t * (b - a), a);
  }
  static dt::Factor partial(std::size_t i, std::span<const dt::Var> in, dt::Var) {
    if (i == 0) return 0.0;
    if (i == 1) return dt::where(in[0], 1 - in[3], 1);
    return i == 2 ? dt::where(in[0], in[3], 0) : dt::where(in[0], in[2] - in[1], 0);
  }
  static auto sample() {
    return std::array{dt::Domain{}, dt::domain(-1, 1), dt::domain(-1, 1), dt::domain(0, 1)};
  }
};
constexpr dt::Elementwise<Blend> blend;

struct Above {
  static constexpr auto name = "test_above";
  static constexpr auto doc = "whether 2 a > b";
  static constexpr auto reason = "a truth value";
  static auto formula(auto a, auto b) { return 2 * a > b; }
  static auto sample() { return dt::domain(-1, 1); }
};
constexpr dt::ZeroDerivative<Above> above;

// A user's operator with an apply; `rebinds` assigns the output instead of writing its elements.
template <bool rebinds>
struct Doubled {
  static constexpr auto name = rebinds ? "test_doubled_rebinding" : "test_doubled";
  static constexpr auto doc = "2 x";
  static void infer(dt::Inference& inference) {
    inference.require_count(1);
    inference.out.push_back(inference.in[0]);
  }
  static void apply(std::span<const Tensor> in, std::span<Tensor> out, const dt::Attributes&) {
    if (rebinds) out[0] = Tensor(in[0].type());
    const auto from = in[0].data<float>();
    const auto to = out[0].data<float>();
    for (std::size_t i = 0; i < from.size(); ++i) to[i] = 2 * from[i];
  }
  static dt::Var transpose(const dt::NodeView&, std::size_t, dt::Var c) { return 2 * c; }
  static std::vector<dt::Case> cases() { return {}; }
};
constexpr dt::Linear<Doubled<false>> doubled;
constexpr dt::Linear<Doubled<true>> doubled_rebinding;

struct Lying {
  static constexpr auto name = "test_lying";
  static constexpr auto doc = "infers one shape and makes another";
  static constexpr auto reason = "a test";
  static void infer(dt::Inference& inference) { inference.out.push_back(inference.in[0]); }
  static void apply(std::span<const Tensor>, std::span<Tensor> out, const dt::Attributes&) {
    out[0] = Tensor(Shape{7});
  }
  static std::vector<dt::Case> cases() { return {}; }
};
constexpr dt::NotDifferentiable<Lying> lying;

Tensor numbers(Shape shape, std::uint64_t seed, dt::DType dtype = dt::float32) {
  return dt::uniform(dt::Key{seed}, std::move(shape), -2, 2, dtype);
}

// Broadcasting element access by plain index arithmetic, to hold kernels against.
double broadcast_at(const Tensor& tensor, const Shape& shape, std::int64_t flat) {
  std::int64_t offset = 0;
  std::int64_t stride = 1;
  for (std::size_t axis = shape.rank(); axis-- > 0;) {
    const std::int64_t index = flat % shape[axis];
    flat /= shape[axis];
    if (axis + tensor.rank() < shape.rank()) continue;
    const std::int64_t size = tensor.shape()[axis + tensor.rank() - shape.rank()];
    if (size != 1) offset += index * stride;
    stride *= size;
  }
  const Tensor wide = tensor.to(dt::float64);
  return wide.data<double>()[static_cast<std::size_t>(offset)];
}

TEST_CASE("a user's formula gives the same bits as the operators it is written with") {
  for (const dt::DType dtype : {dt::float32, dt::float64}) {
    for (const Shape& shape : {Shape{}, Shape{0, 3}, Shape{1}, Shape{3000}, Shape{5, 7, 3}}) {
      dt::Graph graph;
      const dt::Var x = graph.constant(numbers(shape, 1, dtype));
      CHECK(dt::identical(dt::eval(softsign(x)), dt::eval(x / (1 + dt::abs(x)))));
    }
  }
}

TEST_CASE("formulas over a mask and three numbers broadcast") {
  const std::array<std::array<Shape, 4>, 4> calls{{
      {Shape{4}, Shape{3, 1}, Shape{3, 4}, Shape{}},
      {Shape{3, 1}, Shape{4}, Shape{1}, Shape{3, 4}},
      {Shape{2, 1, 300}, Shape{300}, Shape{5, 1}, Shape{2, 5, 300}},
      {Shape{}, Shape{0}, Shape{1}, Shape{}},
  }};
  for (const auto& shapes : calls) {
    const Tensor mask = numbers(shapes[0], 1).to(dt::int32).to(dt::boolean);
    const Tensor a = numbers(shapes[1], 2);
    const Tensor b = numbers(shapes[2], 3);
    const Tensor t = numbers(shapes[3], 4);
    dt::Graph graph;
    const dt::Var start = graph.constant(a);
    const dt::Var y = blend({graph.constant(mask), start, b, t});
    const Tensor got = dt::eval(y);
    CAPTURE(to_string(got.shape()));
    for (std::int64_t i = 0; i < got.count(); ++i) {
      const double from = broadcast_at(a, got.shape(), i);
      const double to = broadcast_at(b, got.shape(), i);
      const double way = broadcast_at(t, got.shape(), i);
      const bool on = broadcast_at(mask, got.shape(), i) != 0;
      const double wanted = on ? from + way * (to - from) : from;
      CHECK(double{got.data<float>()[static_cast<std::size_t>(i)]} ==
            doctest::Approx(wanted).epsilon(1e-5));
    }
  }
}

TEST_CASE("built-in kernels broadcast as the plain loop does") {
  const std::array<std::array<Shape, 2>, 6> calls{{{Shape{3, 1}, Shape{4}},
                                                   {Shape{200, 300}, Shape{300}},
                                                   {Shape{200, 1}, Shape{200, 300}},
                                                   {Shape{2, 1, 3, 1, 2}, Shape{2, 1, 5, 1}},
                                                   {Shape{5000}, Shape{}},
                                                   {Shape{1, 0}, Shape{3, 1}}}};
  for (const auto& [left, right] : calls) {
    const Tensor a = numbers(left, 5, dt::float64);
    const Tensor b = numbers(right, 6, dt::float64);
    dt::Graph graph;
    const dt::Var x = graph.constant(a);
    const Tensor got = dt::eval(x - b);
    CAPTURE(to_string(got.shape()));
    REQUIRE(got.shape() == dt::broadcast(left, right).shape);
    std::int64_t wrong = 0;
    for (std::int64_t i = 0; i < got.count(); ++i) {
      const double wanted = broadcast_at(a, got.shape(), i) - broadcast_at(b, got.shape(), i);
      if (got.data<double>()[static_cast<std::size_t>(i)] != wanted) ++wrong;
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("a formula's truth value makes a bool tensor") {
  dt::Graph graph;
  const dt::Var a = graph.constant(Tensor{1, -1, 0.5});
  const dt::Var y = above(a, 1.5);
  CHECK(y.dtype() == dt::boolean);
  CHECK(dt::identical(dt::eval(y), Tensor{1, 0, 0}.to(dt::boolean)));
}

TEST_CASE("a user's formula refuses what it cannot take") {
  dt::Graph graph;
  const dt::Var f = graph.input("f", {3});
  const dt::Var d = graph.input("d", {3}, dt::float64);
  const dt::Var i = graph.input("i", {3}, dt::int64);
  const dt::Var m = graph.input("m", {3}, dt::boolean);
  CHECK(has(error_of<dt::TypeError>([&] { blend({f, f, f, f}); }), "operand 0"));
  CHECK(has(error_of<dt::TypeError>([&] { blend({m, f, d, f}); }), "different dtypes"));
  CHECK(has(error_of<dt::TypeError>([&] { blend({m, i, i, i}); }), "float32 or float64"));
  CHECK(has(error_of<dt::GraphError>([&] { blend({m, f, f}); }), "takes 4 operands, got 3"));
  CHECK(softsign(i).dtype() == dt::float32);
}

TEST_CASE("shapes that look transposed get that advice") {
  dt::Graph graph;
  const dt::Var a = graph.input("a", {2, 5});
  const dt::Var b = graph.input("b", {5, 2});
  CHECK(has(error_of<dt::ShapeError>([&] { a* b; }), "transpose"));
}

TEST_CASE("sample calls cover the shapes that go wrong") {
  const std::vector<dt::Case> cases = blend.op().cases();
  bool scalar = false;
  bool empty = false;
  bool deep = false;
  bool mixed = false;
  for (const dt::Case& sample : cases) {
    REQUIRE(sample.args.size() == 4);
    CHECK(sample.args[0].dtype == dt::boolean);
    dt::Graph graph;
    std::vector<dt::Var> in;
    for (const dt::Arg& arg : sample.args)
      in.push_back(graph.constant(dt::draw(arg, dt::Key{3}, dt::float64)));
    const dt::Var out = sample.build(in).at(0);
    scalar |= out.rank() == 0;
    empty |= out.shape().count() == 0;
    deep |= out.rank() == 5;
    mixed |= in[1].shape() != in[2].shape();
  }
  CHECK(scalar);
  CHECK(empty);
  CHECK(deep);
  CHECK(mixed);
}

TEST_CASE("draws keep to their domain and away from its kinks") {
  const dt::Arg arg{{4000}, dt::Domain{-1, 2, {0, 1, 5}, 0.25}, dt::float64, {}};
  const Tensor drawn = dt::draw(arg, dt::Key{1}, dt::float64);
  std::array<int, 3> regions{};
  for (const double x : drawn.data<double>()) {
    CHECK_MESSAGE((x >= -1 && x <= 2), x);
    CHECK_MESSAGE((std::abs(x) >= 0.2499999 && std::abs(x - 1) >= 0.2499999), x);
    ++regions[x < 0 ? 0 : x < 1 ? 1 : 2];
  }
  // Lengths 0.75, 0.5 and 0.75: with 4000 draws five standard deviations are below 160.
  CHECK(std::abs(regions[0] - 1500) < 160);
  CHECK(std::abs(regions[1] - 1000) < 160);
  CHECK(std::abs(regions[2] - 1500) < 160);
  // Both dtypes see the same numbers, and equal keys give equal draws.
  CHECK(dt::identical(dt::draw(arg, dt::Key{1}, dt::float32).to(dt::float64), drawn));
  CHECK_FALSE(dt::identical(dt::draw(arg, dt::Key{2}, dt::float64), drawn));
}

TEST_CASE("draws of integers and truth values") {
  const dt::Arg whole{{500}, dt::Domain{-2.5, 3.5, {0}, 0.5}, dt::int64, {}};
  std::array<int, 6> seen{};
  const Tensor drawn = dt::draw(whole, dt::Key{1}, dt::float32);
  for (const std::int64_t x : drawn.data<std::int64_t>()) {
    REQUIRE((x >= -2 && x <= 3 && x != 0));
    ++seen[static_cast<std::size_t>(x + 2)];
  }
  for (const std::size_t i : {0u, 1u, 3u, 4u, 5u}) CHECK(seen[i] > 50);

  const dt::Arg truth{{500}, {}, dt::boolean, {}};
  const Tensor coins = dt::draw(truth, dt::Key{1}, dt::float32).to(dt::float64);
  double heads = 0;
  for (const double x : coins.data<double>()) heads += x;
  CHECK(std::abs(heads - 250) < 60);

  dt::Arg made{{2}, {}, dt::float64, [](dt::Key) { return dt::full({2}, 0.5, dt::float64); }};
  CHECK(dt::identical(dt::draw(made, dt::Key{1}, dt::float32), dt::full({2}, 0.5)));
  CHECK_THROWS_AS(
      dt::draw({{2}, dt::domain(-0.1, 0.1).avoid(0).avoid(0.1).avoid(-0.1), dt::int64, {}},
               dt::Key{1}, dt::float32),
      std::logic_error);
}

TEST_CASE("a plain apply becomes a kernel, whether it writes or rebinds its output") {
  dt::Graph graph;
  const dt::Var x = graph.constant(Tensor{1, 2, 3});
  CHECK(dt::identical(dt::eval(doubled(x)), Tensor{2, 4, 6}));
  CHECK(dt::identical(dt::eval(doubled_rebinding(x)), Tensor{2, 4, 6}));
  const std::string text = error_of<dt::ValueError>([&] { dt::eval(lying(x)); });
  CAPTURE(text);
  CHECK(has(text, "float32 (7,)"));
  CHECK(has(text, "float32 (3,)"));
}

TEST_CASE("kernels allocate nothing when they run") {
  dt::Graph graph;
  const dt::Var x = graph.input("x", {64, 32});
  const dt::Var row = graph.input("row", {32});
  dt::Program program = dt::compile({dt::tanh(softsign(x) + row), doubled(x)});
  const Tensor xs = numbers({64, 32}, 1);
  const Tensor rows = numbers({32}, 2);
  program.run({{x, xs}, {row, rows}});
  const std::array<dt::Feed, 2> feeds{dt::Feed{x, xs}, dt::Feed{row, rows}};
  CHECK(allocations_in([&] { program.run(feeds); }) == 0);
}

}  // namespace
