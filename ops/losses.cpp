#include <dualtape/ops/losses.hpp>

#include <dualtape/core/composite.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/declare/builtin.hpp>
#include <dualtape/ops/declare/edge_calls.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/indices.hpp>
#include <dualtape/ops/declare/losses.hpp>
#include <dualtape/ops/declare/matrix.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/extremes.hpp>
#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/softmax.hpp>
#include <dualtape/ops/special.hpp>

namespace dualtape {
namespace {

// The operands of a loss, of one shape.
struct Pair : Composite {
  Pair(std::string_view loss, const In& a, const In& b) : Composite(checked(loss, a, b), {a, b}) {}

 private:
  static std::string_view checked(std::string_view loss, const In& a, const In& b) {
    detail::require_one_shape(loss, a, b);
    return loss;
  }
};

// Two operands drawn for a composite loss.
template <class Function>
std::vector<Case> pair_cases(Function function) {
  const auto call = [function](std::span<const Var> in) {
    return std::vector<Var>{function(in[0], in[1])};
  };
  return {Case{"a matrix", {Arg{{3, 2}}, Arg{{3, 2}}}, call},
          Case{"a vector", {Arg{{4}}, Arg{{4}}}, call}, Case{"scalars", {Arg{{}}, Arg{{}}}, call}};
}

struct MeanSquaredError {
  static constexpr auto name = "mse";
  static constexpr auto doc = "(a - b)^2; mean, sum or each";
  static constexpr auto math =
      "L = (1/n) sum_i (a_i - b_i)^2; dL = (2/n) sum_i (a_i - b_i)(da_i - "
      "db_i). Written as sub, square and mean.";
  static constexpr auto example =
      Example{"mse(g.constant(Tensor{1, 2}), g.constant(Tensor{3, 2}))", "2.0"};
  static std::vector<Edge> edges() {
    using namespace detail;
    const auto call = [](std::span<const Var> in) { return std::vector<Var>{mse(in[0], in[1])}; };
    return edges_of(call,
                    {{"equal", {row({3, 0}), row({3, 0})}, {number(0)}, {row({0, 0}), row({0, 0})}},
                     {"tiny",
                      {row({0x1p-60, 0}), row({0, 0})},
                      {number(0x1p-121)},
                      {row({0x1p-60, 0}), row({-0x1p-60, 0})}},
                     {"beyond float32",
                      {row({0x1p70, 0}), row({0, 0})},
                      {number(0x1p139)},
                      {row({0x1p70, 0}), row({-0x1p70, 0})}},
                     {"infinity",
                      {row({infinity}), row({0})},
                      {number(infinity)},
                      {row({infinity}), row({-infinity})}},
                     {"NaN",
                      {row({not_a_number}), row({0})},
                      {number(not_a_number)},
                      {row({not_a_number}), row({not_a_number})}}});
  }
  static std::vector<Case> cases() {
    return pair_cases([](Var a, Var b) { return mse(a, b); });
  }
};
struct HalfSumOfSquares {
  static constexpr auto name = "half_sum_of_squares";
  static constexpr auto doc = "the sum of (a - b)^2 / 2";
  static constexpr auto math =
      "L = sum_i (a_i - b_i)^2 / 2; dL = sum_i (a_i - b_i)(da_i - db_i). "
      "Written as sub, square, sum and mul.";
  static constexpr auto example =
      Example{"half_sum_of_squares(g.constant(Tensor{1, 2}), g.constant(Tensor{3, 2}))", "2.0"};
  static std::vector<Edge> edges() {
    using namespace detail;
    const auto call = [](std::span<const Var> in) {
      return std::vector<Var>{half_sum_of_squares(in[0], in[1])};
    };
    return edges_of(call,
                    {{"equal", {row({3, 0}), row({3, 0})}, {number(0)}, {row({0, 0}), row({0, 0})}},
                     {"tiny",
                      {row({0x1p-60, 0}), row({0, 0})},
                      {number(0x1p-121)},
                      {row({0x1p-60, 0}), row({-0x1p-60, 0})}},
                     {"nothing", {row({}), row({})}, {number(0)}, {row({}), row({})}},
                     {"infinity",
                      {row({infinity}), row({0})},
                      {number(infinity)},
                      {row({infinity}), row({-infinity})}}});
  }
  static std::vector<Case> cases() {
    return pair_cases([](Var a, Var b) { return half_sum_of_squares(a, b); });
  }
};

struct MeanAbsoluteError {
  static constexpr auto name = "mae";
  static constexpr auto doc = "|a - b|; mean, sum or each";
  static constexpr auto math =
      "L = (1/n) sum_i |a_i - b_i|; dL = (1/n) sum_i sign(a_i - b_i)(da_i - db_i). Written as sub, "
      "abs and mean.";
  static constexpr auto example =
      Example{"mae(g.constant(Tensor{1, 2}), g.constant(Tensor{4, 2}))", "1.5"};
  static std::vector<Edge> edges() {
    using namespace detail;
    const auto call = [](std::span<const Var> in) { return std::vector<Var>{mae(in[0], in[1])}; };
    return edges_of(
        call,
        {{"equal", {row({3, 0}), row({3, 1})}, {number(0.5)}, {row({0, -0.5}), row({0, 0.5})}},
         {"huge and tiny",
          {row({0x1p120, 0}), row({0, 0x1p-120})},
          {number(0x1p119)},
          {row({0.5, -0.5}), row({-0.5, 0.5})}},
         {"infinity", {row({-infinity}), row({0})}, {number(infinity)}, {row({-1}), row({1})}},
         {"a difference beyond float32",
          {row({0x1.8p127}), row({-0x1.8p127})},
          {number(0x1.8p128)},
          {row({1}), row({-1})}},
         {"nothing", {row({}), row({})}, {number(not_a_number)}, {row({}), row({})}}});
  }
  static std::vector<Case> cases() {
    return pair_cases([](Var a, Var b) { return mae(a, b); });
  }
};

struct Huber {
  static constexpr auto name = "huber";
  static constexpr auto doc = "(a - b)^2 / 2 near 0, linear beyond delta";
  static constexpr auto math =
      "With d = a - b and c = min(max(d, -delta), delta): L = c (d - c/2), that is d^2/2 where |d| "
      "<= delta, else delta (|d| - delta/2); dL/da = c, dL/db = -c, dL/ddelta = |d - c|.";
  static constexpr auto example =
      Example{"huber(g.constant(Tensor{1, 5}), g.constant(Tensor{0, 0}))", "2.5"};
  static auto formula(auto a, auto b, auto delta) {
    const auto d = a - b;
    const auto cut = minimum(maximum(d, -delta), delta);
    return cut * (d - cut * 0.5);
  }
  static Factor partial(std::size_t i, std::span<const Var> in, Var) {
    // Where it turns, both orders of a mixed second slope take the inner branch.
    const Var d = in[0] - in[1];
    const Var inside = abs(d) <= in[2];
    if (i == 2) return where(inside, 0, abs(d) - in[2]);
    const Var cut = where(inside, d, in[2] * sign(d));
    return i == 0 ? cut : -cut;
  }
  static std::vector<Edge> edges() {
    return {edge("at 0", {2, 2, 1}, 0, {0, 0, 0}),
            edge("where it turns", {3, 2, 1}, 0.5, {1, -1, 0}),
            edge("where it turns, below", {1, 2, 1}, 0.5, {-1, 1, 0}),
            edge("huge", {0x1p100, 0, 1}, 0x1p100, {1, -1, 0x1p100}),
            edge("tiny", {0x1p-60, 0, 1}, 0x1p-121, {0x1p-60, -0x1p-60, 0}),
            edge("a tiny width", {2, 0, 0x1p-90}, 0x1p-89, {0x1p-90, -0x1p-90, 2}),
            edge("infinity", {infinity, 0, 1}, infinity, {1, -1, infinity}),
            edge("a difference beyond float32", {0x1.8p127, -0x1.8p127, 2}, 0x1.8p129,
                 {2, -2, 0x1.8p128}),
            edge("NaN", {not_a_number, 0, 1}, not_a_number,
                 {not_a_number, not_a_number, not_a_number})};
  }
  // No difference meets a kink.
  static auto sample() { return std::array{domain(-3, -2), domain(-1, 2), domain(0.6, 0.9)}; }
};
constexpr detail::BuiltinElementwise<Huber> huber_op;

struct SmoothL1 {
  static constexpr auto name = "smooth_l1";
  static constexpr auto doc = "(a - b)^2 / (2 beta) near 0, |a - b| - beta / 2 beyond beta";
  static constexpr auto math =
      "With d = a - b and c = min(max(d / beta, -1), 1): L = c (d - c beta / 2), mae for beta = 0; "
      "dL/da = c, dL/db = -c, dL/dbeta = -c^2 / 2.";
  static constexpr auto example =
      Example{"smooth_l1(g.constant(Tensor{1, 5}), g.constant(Tensor{0, 0}), 2)", "2.125"};
  // Not huber / beta, which over- and underflows for a small beta.
  static auto formula(auto a, auto b, auto beta) {
    const auto d = a - b;
    const auto cut = minimum(maximum(d / beta, -1), 1);
    return cut * (d - cut * (beta * 0.5));
  }
  static Factor partial(std::size_t i, std::span<const Var> in, Var) {
    const Var cut = clamp((in[0] - in[1]) / in[2], -1, 1);
    return i == 0 ? cut : i == 1 ? -cut : square(cut) * -0.5;
  }
  static std::vector<Edge> edges() {
    using namespace detail;
    const auto call = [](std::span<const Var> in) {
      return std::vector<Var>{smooth_l1(in[0], in[1], 0x1p-100)};
    };
    return edges_of(
        call,
        {{"equal", {row({3}), row({3})}, {number(0)}, {row({0}), row({0})}},
         {"linear",
          {row({3, -0x1p100}), row({0, 0})},
          {number(0x1p99)},
          {row({0.5, -0.5}), row({-0.5, 0.5})}},
         {"within the width",
          {row({0x1p-101}), row({0})},
          {number(0x1p-103)},
          {row({0.5}), row({-0.5})}},
         {"where it turns", {row({0x1p-100}), row({0})}, {number(0x1p-101)}, {row({1}), row({-1})}},
         {"infinity", {row({infinity}), row({0})}, {number(infinity)}, {row({1}), row({-1})}},
         {"a difference beyond float32",
          {row({-0x1.8p127}), row({0x1.8p127})},
          {number(0x1.8p128)},
          {row({-1}), row({1})}},
         {"NaN",
          {row({not_a_number}), row({0})},
          {number(not_a_number)},
          {row({not_a_number}), row({not_a_number})}}});
  }
  // No difference meets a kink.
  static auto sample() { return std::array{domain(-3, -2), domain(-1, 2), domain(0.6, 0.9)}; }
};
constexpr detail::BuiltinElementwise<SmoothL1> smooth_l1_op;

struct Hinge {
  static constexpr auto name = "hinge";
  static constexpr auto doc = "max(0, 1 - s y) for scores s and targets y of -1 and 1";
  static constexpr auto math =
      "L = max(0, 1 - s y); dL/ds = -y where s y < 1, half of that where it is 1, else 0.";
  static constexpr auto example =
      Example{"hinge(g.constant(Tensor{0.5, -3}), g.constant(Tensor{1, -1}))", "0.25"};
  static Var body(const Pair& c, Reduction reduction) {
    return detail::reduced(name, maximum(1.0 - c[0] * c[1], 0.0), reduction);
  }
  static std::vector<Edge> edges() {
    using namespace detail;
    const auto call = [](std::span<const Var> in) {
      return std::vector<Var>{hinge(in[0], in[1], Reduction::none)};
    };
    return edges_of(
        call, {{"at the margin", {row({1}), row({1})}, {row({0})}, {row({-0.5}), row({-0.5})}},
               {"wrong and huge",
                {row({0x1p100}), row({-1})},
                {row({0x1p100})},
                {row({1}), row({-0x1p100})}},
               // The slope by y is 0 times an infinite score.
               {"right and far", {row({infinity}), row({1})}, {row({0})}, {row({0})}},
               {"NaN",
                {row({not_a_number}), row({1})},
                {row({not_a_number})},
                {row({not_a_number}), row({not_a_number})}}});
  }
  static std::vector<Case> cases() {
    const auto call = [](std::span<const Var> in) {
      return std::vector<Var>{hinge(in[0], in[1]), hinge(in[0] + 3, in[1], Reduction::none)};
    };
    return {Case{"a vector", {Arg{{4}, domain(-0.7, 0.7)}, Arg{{4}, domain(0.9, 1.1)}}, call}};
  }
};

// x / max(|x|, eps) along an axis, its largest element or eps taken out first: no square over- or
// underflows. What is taken out changes nothing, so it has no derivative. Below eps all is x / eps:
// the norm is that of a constant there, since its own second slope grows beyond floats towards 0,
// and a factor of 0 would not take that away.
Var direction(const Var& x, std::int64_t axis, double eps) {
  const Var most = stop_gradient(maximum(max(abs(x), {axis}, true), eps));
  const Var scale = where(logical_and(most > 0, most < infinity), most, 1);
  const Var scaled = x / scale;
  const Var least = eps / scale;
  const Var below = stop_gradient(norm(scaled, {axis}, true)) < least;
  const Var above = maximum(norm(where(below, 1, scaled), {axis}, true), least);
  return scaled / where(below, least, above);
}

struct CosineSimilarity {
  static constexpr auto name = "cosine_similarity";
  static constexpr auto doc = "the cosine of the angle between vectors along an axis";
  static constexpr auto math =
      "y = sum_i u_i v_i with u = a / max(|a|, eps), v = b / max(|b|, eps); dy/da = (v - y u) / "
      "|a| "
      "where |a| is above eps. Written as max, norm, maximum, div, mul and sum.";
  static constexpr auto example =
      Example{"cosine_similarity(g.constant(Tensor{1, 0}), g.constant(Tensor{3, 4}))", "0.6"};
  static Var body(const Pair& c, std::int64_t axis, double eps) {
    const auto along =
        static_cast<std::int64_t>(detail::require_axis(name, c[0], axis, c[0].rank()));
    if (c[0].shape()[static_cast<std::size_t>(along)] == 0) return sum(c[0] * c[1], {along});
    return sum(direction(c[0], along, eps) * direction(c[1], along, eps), {along});
  }
  static std::vector<Edge> edges() {
    using namespace detail;
    const auto call = [](std::span<const Var> in) {
      return std::vector<Var>{cosine_similarity(in[0], in[1])};
    };
    // 64 ulp are allowed where slopes are differences of larger numbers.
    const auto to_five = [](std::span<const Var> in) {
      return std::vector<Var>{cosine_similarity(in[0], in[1], -1, 5)};
    };
    const auto to_none = [](std::span<const Var> in) {
      return std::vector<Var>{cosine_similarity(in[0], in[1], -1, 0)};
    };
    return joined(
        {edges_of(to_none,
                  {{"zeros without an eps",
                    {row({0, 0}), row({1, 2})},
                    {number(not_a_number)},
                    {row({not_a_number, not_a_number}), row({not_a_number, not_a_number})}},
                   {"tiny without an eps",
                    {row({0x1.8p-99, 0x1p-98}), row({1, 0})},
                    {number(0.6)},
                    {row({0.256 * 0x1p99, -0.192 * 0x1p99}), row({0, 0.8})},
                    4,
                    64}}),
         edges_of(
             call,
             {{"huge",
               {row({0x1.8p101, 0x1p102}), row({1, -2})},
               {number(-0.4472135954999579)},
               {row({1.1289258296743688e-31, -8.466943722557765e-32}),
                row({0.35777087639996635, 0.17888543819998318})},
               4,
               64},
              {"tiny against huge",
               {row({0x1.8p-19, 0x1p-18}), row({0x1p100, 0})},
               {number(0.6)},
               {row({134217.728, -100663.296}), row({0, 6.310887241768095e-31})},
               4,
               64},
              {"beyond float64",
               {row({0x1.8p701, 0x1p702}), row({0x1p700, 0})},
               {number(0.6)},
               {row({0.512 * 0x1p-702, -0.384 * 0x1p-702}), row({0, 0.8 * 0x1p-700})},
               4,
               64},
              {"zeros",
               {row({0, 0}), row({1, 2})},
               {number(0)},
               {row({44721359.549995795, 89442719.09999159}), row({0, 0})}},
              {"below eps",
               {row({0x1p-60, 0}), row({3, 4})},
               {number(0.6e8 * 0x1p-60)},
               {row({0.6e8, 0.8e8}), row({0.128e8 * 0x1p-60, -0.096e8 * 0x1p-60})},
               4,
               64},
              {"far below eps",
               {row({0x1p-120, -0x1p-124}), row({0x1.8p100, 0x1p101})},
               {number(0.55e8 * 0x1p-120)},
               {row({0.6e8, 0.8e8}), row({0.268e8 * 0x1p-220, -0.201e8 * 0x1p-220})},
               4,
               64},
              {"both far below eps",
               {row({0x1p-100, 0}), row({0x1p-100, 0x1p-101})},
               {number(1e16 * 0x1p-200)},
               {row({1e16 * 0x1p-100, 1e16 * 0x1p-101}), row({1e16 * 0x1p-100, 0})},
               4,
               64},
              {"zeros both", {row({0, 0}), row({0, 0})}, {number(0)}, {row({0, 0}), row({0, 0})}},
              {"NaN",
               {row({not_a_number, 0}), row({1, 2})},
               {number(not_a_number)},
               {row({not_a_number, not_a_number}), row({not_a_number, not_a_number})}}}),
         edges_of(to_five, {{"a norm of eps: half its slope",
                             {row({3, 4}), row({8, 0})},
                             {number(0.6)},
                             {row({0.164, -0.048}), row({0, 0.1})}},
                            {"just below",
                             {row({3, 3.9990234375}), row({8, 0})},
                             {number(0.6)},
                             {row({0.2, 0}), row({0, 3.9990234375 / 40})}},
                            {"below, both in one direction",
                             {row({0, 0x1p-60}), row({0, 0x1p-90})},
                             {number(0x1p-150 / 25)},
                             {row({0, 0x1p-90 / 25}), row({0, 0x1p-60 / 25})}}})});
  }
  static std::vector<Case> cases() {
    const auto along = [](std::int64_t axis) {
      return [axis](std::span<const Var> in) {
        return std::vector<Var>{cosine_similarity(in[0], in[1], axis)};
      };
    };
    const Domain away = domain(0.2, 2);
    return {Case{"vectors", {Arg{{4}, away}, Arg{{4}}}, along(-1)},
            Case{"rows", {Arg{{2, 3}, away}, Arg{{2, 3}, away}}, along(1)},
            Case{"columns", {Arg{{2, 3}, away}, Arg{{2, 3}, away}}, along(0)},
            Case{"numbers", {Arg{{3, 1}, away}, Arg{{3, 1}, away}}, along(-1)}};
  }
};

[[noreturn]] void refuse_width(std::string_view loss, const In& x, std::string_view width,
                               double given) {
  fail<ValueError>({.op = loss,
                    .what = std::string(width) + " is " + std::to_string(given) +
                            ", but it is where the loss turns linear",
                    .where = x.where(),
                    .help = "give a positive number; 1 is usual"});
}

}  // namespace

Var mse(In a, In b, Reduction reduction) {
  const Pair c("mse", a, b);
  return detail::reduced("mse", square(c[0] - c[1]), reduction);
}

Var half_sum_of_squares(In a, In b) {
  const Pair c("half_sum_of_squares", a, b);
  return 0.5 * sum(square(c[0] - c[1]));
}

Var mae(In a, In b, Reduction reduction) {
  const Pair c("mae", a, b);
  return detail::reduced("mae", abs(c[0] - c[1]), reduction);
}

Var huber(In a, In b, double delta, Reduction reduction) {
  if (!(delta > 0)) refuse_width("huber", a, "delta", delta);
  const Pair c("huber", a, b);
  return detail::reduced("huber", huber_op(c[0], c[1], delta), reduction);
}

Var smooth_l1(In a, In b, double beta, Reduction reduction) {
  if (beta == 0) return mae(a, b, reduction);
  if (!(beta > 0)) refuse_width("smooth_l1", a, "beta", beta);
  const Pair c("smooth_l1", a, b);
  return detail::reduced("smooth_l1", smooth_l1_op(c[0], c[1], beta), reduction);
}

Var hinge(In scores, In y, Reduction reduction) {
  return Hinge::body({Hinge::name, scores, y}, reduction);
}

Var cosine_similarity(In a, In b, std::int64_t axis, double eps) {
  return CosineSimilarity::body({CosineSimilarity::name, a, b}, axis, eps);
}

void detail::register_losses() {
  register_cross_entropy();
  register_losses_of_classes();
  register_all(huber_op, smooth_l1_op);
  register_composite<MeanAbsoluteError>();
  register_composite<Hinge>();
  register_composite<CosineSimilarity>();
  register_composite<MeanSquaredError>();
  register_composite<HalfSumOfSquares>();
}

}  // namespace dualtape
