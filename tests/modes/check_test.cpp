// check_op passes what is right and finds what is wrong: operators with one fault each.
#include <dualtape/modes/check.hpp>

#include <algorithm>

#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/shapes.hpp>

#include "points.hpp"

using namespace points;

namespace {

// What check_op says of an operator that must not pass.
template <class Callable>
std::string faults_of(const Callable& callable) {
  return error_of<dt::DerivativeError>([&] { dt::check_op(callable); });
}

struct Softsign {
  static constexpr auto name = "test_softsign";
  static constexpr auto doc = "x / (1 + |x|)";
  static auto formula(auto x) { return x / (1 + abs(x)); }
  static dt::Factor partial(dt::Var, dt::Var y) { return dt::square(1 - dt::abs(y)); }
  static auto sample() { return dt::domain(-3, 3).avoid(0); }
};
struct DerivedSoftsign : Softsign {
  static constexpr auto name = "test_derived_softsign";
  static constexpr auto partial = dt::derive;
};
// Of other shapes than the result's.
struct ReducedPartial : Softsign {
  static constexpr auto name = "test_reduced_partial";
  static dt::Factor partial(dt::Var, dt::Var y) { return dt::mean(dt::square(1 - dt::abs(y))); }
};
struct StretchedPartial : Softsign {
  static constexpr auto name = "test_stretched_partial";
  static dt::Factor partial(dt::Var x, dt::Var) { return dt::unsqueeze(x, 0); }
};
// 1 - |y| for (1 - |y|)^2
struct WrongPartial : Softsign {
  static constexpr auto name = "test_wrong_partial";
  static dt::Factor partial(dt::Var, dt::Var y) { return 1 - dt::abs(y); }
};
// Right in value, but itself without derivative.
struct StoppedPartial : Softsign {
  static constexpr auto name = "test_stopped_partial";
  static dt::Factor partial(dt::Var, dt::Var y) {
    return dt::stop_gradient(dt::square(1 - dt::abs(y)));
  }
};
// Moves with its operand, and says it does not.
struct NotConstant {
  static constexpr auto name = "test_not_constant";
  static constexpr auto doc = "x / 2";
  static constexpr auto reason = "it is said to be constant";
  static auto formula(auto x) { return x / 2; }
  static auto sample() { return dt::domain(-3, 3); }
};
// The partials of a - b given in the wrong order.
struct SwappedPartials {
  static constexpr auto name = "test_swapped_partials";
  static constexpr auto doc = "a - b";
  static auto formula(auto a, auto b) { return a - b; }
  static dt::Factor partial(std::size_t i, std::span<const dt::Var>, dt::Var) {
    return i == 0 ? -1.0 : 1.0;
  }
  static auto sample() { return dt::domain(-3, 3); }
};

// The operators below work on float32 and float64 vectors.
template <class F>
void for_floating(dt::DType dtype, F f) {
  if (dtype == dt::float32)
    f.template operator()<float>();
  else
    f.template operator()<double>();
}
template <class F>
void each(const dt::Tensor& in, dt::Tensor& out, F f) {
  for_floating(in.dtype(),
               [&]<class T>() { std::ranges::transform(in.data<T>(), out.data<T>().begin(), f); });
}
struct OneVector {
  static constexpr auto doc = "for tests";
  static void infer(dt::Inference& inference) {
    inference.require_count(1);
    inference.require_floating(0);
    inference.out = {inference.in[0]};
  }
  static std::vector<dt::Case> cases() { return {}; }
};
template <class Callable>
std::vector<dt::Case> one_vector(const Callable& callable) {
  return {{"vector", {{{3}}}, [&callable](std::span<const dt::Var> in) {
             return std::vector<dt::Var>{callable(in[0])};
           }}};
}
template <class Callable>
std::vector<dt::Case> two_vectors(const Callable& callable) {
  return {{"vectors", {{{3}}, {{3}}}, [&callable](std::span<const dt::Var> in) {
             return std::vector<dt::Var>{callable(in[0], in[1])};
           }}};
}

struct Triple : OneVector {
  static constexpr auto name = "test_triple";
  static void apply(std::span<const dt::Tensor> in, std::span<dt::Tensor> out,
                    const dt::Attributes&) {
    each(in[0], out[0], [](auto x) { return 3 * x; });
  }
  static dt::Var transpose(const dt::NodeView&, std::size_t, dt::Var cotangent) {
    return 3.0 * cotangent;
  }
  static std::vector<dt::Case> cases();
};
constexpr dt::Linear<Triple> triple;
std::vector<dt::Case> Triple::cases() { return one_vector(triple); }

struct WrongTranspose : Triple {
  static constexpr auto name = "test_wrong_transpose";
  static dt::Var transpose(const dt::NodeView&, std::size_t, dt::Var cotangent) {
    return 2.0 * cotangent;
  }
  static std::vector<dt::Case> cases();
};
constexpr dt::Linear<WrongTranspose> wrong_transpose;
std::vector<dt::Case> WrongTranspose::cases() { return one_vector(wrong_transpose); }

// Called linear, but has a constant part.
struct Affine : Triple {
  static constexpr auto name = "test_affine";
  static void apply(std::span<const dt::Tensor> in, std::span<dt::Tensor> out,
                    const dt::Attributes&) {
    each(in[0], out[0], [](auto x) { return 3 * x + 1; });
  }
  static std::vector<dt::Case> cases();
};
constexpr dt::Linear<Affine> affine;
std::vector<dt::Case> Affine::cases() { return one_vector(affine); }

// Loses digits in float32 only.
struct Coarse : Triple {
  static constexpr auto name = "test_coarse";
  static void apply(std::span<const dt::Tensor> in, std::span<dt::Tensor> out,
                    const dt::Attributes&) {
    const bool narrow = in[0].dtype() == dt::float32;
    each(in[0], out[0], [narrow](auto x) { return narrow ? 3 * x * decltype(x)(1.01) : 3 * x; });
  }
  static std::vector<dt::Case> cases();
};
constexpr dt::Linear<Coarse> coarse;
std::vector<dt::Case> Coarse::cases() { return one_vector(coarse); }

struct Uncovered : Triple {
  static constexpr auto name = "test_uncovered";
  static std::vector<dt::Case> cases() { return {}; }
};
constexpr dt::Linear<Uncovered> uncovered;

// x^2 y, declared by its jvp.
struct Product {
  static constexpr auto name = "test_product";
  static constexpr auto doc = "x^2 y";
  static void infer(dt::Inference& inference) {
    inference.require_count(2);
    inference.out = {inference.in[0]};
  }
  static void apply(std::span<const dt::Tensor> in, std::span<dt::Tensor> out,
                    const dt::Attributes&) {
    for_floating(in[0].dtype(), [&]<class T>() {
      const auto x = in[0].data<T>();
      const auto y = in[1].data<T>();
      for (std::size_t i = 0; i < x.size(); ++i) out[0].data<T>()[i] = x[i] * x[i] * y[i];
    });
  }
  static dt::MaybeVar jvp(const dt::NodeView& node, std::span<const dt::MaybeVar> t) {
    dt::MaybeVar sum;
    if (t[0]) sum = 2.0 * node.in[0] * node.in[1] * *t[0];
    if (!t[1]) return sum;
    const dt::Var second = dt::square(node.in[0]) * *t[1];
    return sum ? *sum + second : second;
  }
  static std::vector<dt::Case> cases();
};
constexpr dt::General<Product> product;
std::vector<dt::Case> Product::cases() { return two_vectors(product); }

// Forgets the second input.
struct DroppedInput : Product {
  static constexpr auto name = "test_dropped_input";
  static dt::MaybeVar jvp(const dt::NodeView& node, std::span<const dt::MaybeVar> t) {
    if (!t[0]) return std::nullopt;
    return 2.0 * node.in[0] * node.in[1] * *t[0];
  }
  static std::vector<dt::Case> cases();
};
constexpr dt::General<DroppedInput> dropped_input;
std::vector<dt::Case> DroppedInput::cases() { return two_vectors(dropped_input); }

// Right when both inputs move, wrong when only the first does.
struct OneSided : Product {
  static constexpr auto name = "test_one_sided";
  static dt::MaybeVar jvp(const dt::NodeView& node, std::span<const dt::MaybeVar> t) {
    if (t[0] && !t[1]) return node.in[0] * node.in[1] * *t[0];
    return Product::jvp(node, t);
  }
  static std::vector<dt::Case> cases();
};
constexpr dt::General<OneSided> one_sided;
std::vector<dt::Case> OneSided::cases() { return two_vectors(one_sided); }

// A tangent squared.
struct NotLinear : Product {
  static constexpr auto name = "test_not_linear";
  static dt::MaybeVar jvp(const dt::NodeView& node, std::span<const dt::MaybeVar> t) {
    if (!t[0]) return std::nullopt;
    return node.in[1] * dt::square(*t[0]);
  }
  static std::vector<dt::Case> cases();
};
constexpr dt::General<NotLinear> not_linear;
std::vector<dt::Case> NotLinear::cases() { return two_vectors(not_linear); }

// A tangent of the wrong shape.
struct WrongShape : Product {
  static constexpr auto name = "test_wrong_shape";
  static dt::MaybeVar jvp(const dt::NodeView&, std::span<const dt::MaybeVar> t) {
    return dt::sum(t[0] ? *t[0] : *t[1]);
  }
  static std::vector<dt::Case> cases();
};
constexpr dt::General<WrongShape> wrong_shape;
std::vector<dt::Case> WrongShape::cases() { return two_vectors(wrong_shape); }

}  // namespace

TEST_CASE("right operators of every kind pass") {
  CHECK_NOTHROW(dt::check_op(dt::Elementwise<Softsign>{}));
  CHECK_NOTHROW(dt::check_op(dt::Elementwise<DerivedSoftsign>{}));
  CHECK_NOTHROW(dt::check_op(triple));
  CHECK_NOTHROW(dt::check_op(product));
}

TEST_CASE("a wrong partial derivative is found") {
  for (const std::string& text : {faults_of(dt::Elementwise<WrongPartial>{}),
                                  faults_of(dt::Elementwise<SwappedPartials>{})}) {
    CHECK(has(text, "jvp against central differences"));
    CHECK(has(text, "vjp against central differences"));
    CHECK(has(text, "active inputs {0}"));
  }
  CHECK(has(faults_of(dt::Elementwise<WrongPartial>{}), "[test_wrong_partial]"));
  CHECK(has(faults_of(dt::Elementwise<SwappedPartials>{}), "active inputs {1}"));
}

TEST_CASE("a derivative that is said to be zero and is not is found") {
  const std::string text = faults_of(dt::ZeroDerivative<NotConstant>{});
  CHECK(has(text, "[test_not_constant]"));
  CHECK(has(text, "its value moves"));
}

TEST_CASE("a partial derivative that cannot be differentiated again is found") {
  const std::string text = faults_of(dt::Elementwise<StoppedPartial>{});
  CHECK(has(text, "[test_stopped_partial]"));
  CHECK(!contains(text, "jvp against central differences"));  // its first order is right
  CHECK(has(text, "over"));
}

TEST_CASE("a wrong transpose is found") {
  const std::string text = faults_of(wrong_transpose);
  CHECK(has(text, "[test_wrong_transpose]"));
  CHECK(has(text, "<c, J v> against <J^T c, v>"));
  CHECK(!contains(text, "jvp against central differences"));
}

TEST_CASE("an operator with a constant part that calls itself linear is found") {
  const std::string text = faults_of(affine);
  CHECK(has(text, "[test_affine]"));
  CHECK(has(text, "jvp against central differences"));
  CHECK(has(text, "linearity"));
}

TEST_CASE("a kernel that is coarse in float32 is found") {
  const std::string text = faults_of(coarse);
  CHECK(has(text, "[test_coarse]"));
  CHECK(has(text, "float32 value against float64"));
  CHECK(!contains(text, "central differences"));
}

TEST_CASE("a jvp that forgets an input is found") {
  const std::string text = faults_of(dropped_input);
  CHECK(has(text, "[test_dropped_input]"));
  CHECK(has(text, "active inputs {1}"));
  CHECK(!contains(text, "active inputs {0},"));
}

TEST_CASE("a jvp that is wrong for some subset of moving inputs is found") {
  const std::string text = faults_of(one_sided);
  CHECK(has(text, "[test_one_sided]"));
  CHECK(has(text, "active inputs {0},"));
  CHECK(!contains(text, "active inputs {1},"));
  CHECK(!contains(text, "active inputs {0, 1},"));
}

TEST_CASE("a jvp that is not linear in its tangents is found") {
  const std::string text = faults_of(not_linear);
  CHECK(has(text, "[test_not_linear]"));
  CHECK(has(text, "not linear in the tangents"));
  CHECK(has(text, "'square'"));
}

TEST_CASE("a tangent of the wrong shape is found") {
  const std::string text = faults_of(wrong_shape);
  CHECK(has(text, "[test_wrong_shape]"));
  CHECK(has(text, "(3,)"));
}

TEST_CASE("an operator without sample calls does not pass") {
  CHECK(has(faults_of(uncovered), "nothing was checked"));
}

TEST_CASE("functions of Vars are checked in the same way") {
  const auto good = [](std::span<const dt::Var> in) {
    return std::vector<dt::Var>{dt::sin(in[0]) * in[1]};
  };
  const auto wrong = [](std::span<const dt::Var> in) {
    return std::vector<dt::Var>{dt::sin(in[0]) * dropped_input(in[0], in[1])};
  };
  const std::vector<dt::Arg> args = {{{3}}, {{3}}};
  CHECK(dt::check_gradients(good, args).ok());
  const dt::CheckReport report = dt::check_gradients(wrong, args);
  CHECK(!report.ok());
  CHECK_THROWS_AS(dt::require(report), dt::DerivativeError);
}

TEST_CASE("an elementwise partial of another shape is refused with its shape") {
  for (const std::string& text : {faults_of(dt::Elementwise<ReducedPartial>{}),
                                  faults_of(dt::Elementwise<StretchedPartial>{})})
    CHECK(has(text, "its partial derivative by operand 0 has the shape ("));
}

TEST_CASE("the same key makes the same checks") {
  const dt::Entry entry{dt::Elementwise<WrongPartial>::op().info(),
                        [] { return dt::Elementwise<WrongPartial>::op().cases(); },
                        &dt::Elementwise<WrongPartial>::op()};
  CHECK(dt::to_string(dt::check_entry(entry, dt::Key{5})) ==
        dt::to_string(dt::check_entry(entry, dt::Key{5})));
  CHECK(dt::to_string(dt::check_entry(entry, dt::Key{5})) !=
        dt::to_string(dt::check_entry(entry, dt::Key{6})));
}
