// Norms of vectors.
#include <cmath>
#include <limits>
#include <string>

#include <dualtape/core/composite.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/core/tensor.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/declare/edge_calls.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/reduction.hpp>
#include <dualtape/ops/extremes.hpp>
#include <dualtape/ops/kernels/rows/divided_fold.hpp>
#include <dualtape/ops/kernels/rows/fold.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

// The norm is most times root: the element that weighs most is taken out first, so that no power
// over- or underflows.
struct PowerNorm {
  double most;
  double root = 1;
};
template <class T>
PowerNorm power_norm(const detail::FoldPlan& plan, const T* in, std::size_t k, double p) {
  double most = p > 0 ? 0 : infinity;
  detail::each_folded(plan, in, k, [&](double x) {
    const double size = std::abs(x);
    if (p > 0 ? size > most : size < most) most = size;
    if (std::isnan(size)) most = size;
  });
  if (!(most > 0 && most < infinity)) return {most};
  double total = 0;
  double lost = 0;  // the total's rounding so far
  detail::each_folded(plan, in, k, [&](double x) {
    const double term = std::pow(std::abs(x) / most, p) - lost;
    const double next = total + term;
    lost = (next - total) - term;
    total = next;
  });
  return {most, std::pow(total, 1 / p)};
}
template <class T>
void power_norms(const detail::FoldPlan& plan, double p, const T* in, T* out, T* scaled) {
  for (std::size_t k = 0; k < plan.outputs(); ++k) {
    const PowerNorm norm = power_norm(plan, in, k, p);
    out[k] = static_cast<T>(norm.most * norm.root);
    scaled[k] = static_cast<T>(norm.most * detail::FarNorm<T>::part(out[k]) * norm.root);
  }
}

// FarNorm<T>::part() of norms in a graph.
Var part_of(const Var& y) {
  const auto choose = [&]<class T>() {
    using Far = detail::FarNorm<T>;
    const auto number = [&](double value) { return full({}, value, y.dtype()); };
    return where(y > Far::largest, number(Far::down), number(1));
  };
  return y.dtype() == float32 ? choose.template operator()<float>()
                              : choose.template operator()<double>();
}

constexpr auto power_name = "p";  // of a norm that is not the Euclidean one

// Output 0 is the norm. Output 1 is part_of() it times the norm, a number also where the norm
// itself is beyond all numbers or below them: the derivative divides by it.
struct Norm {
  static constexpr auto name = "norm";
  static constexpr Shift shift{.axes = "axes"};
  static constexpr auto doc = "the Euclidean norm over axes, or a p-norm";
  static constexpr auto math =
      "y = sqrt(sum_i x_i^2); dy = sum_i (x_i / y) dx_i, taken as 0 where y = 0. Of another p: y = "
      "(sum_i |x_i|^p)^(1/p), max |x_i| for infinity, min |x_i| for -infinity, the number of x_i "
      "that are not 0 for 0; dy = sum_i sign(x_i) (|x_i| / y)^(p - 1) dx_i. Of 1, 0 and the "
      "infinities written as abs and sum, or max, min.";
  static constexpr auto example = Example{"norm(g.constant(Tensor{3, 4}))", "5.0"};
  static constexpr auto promotion = Promotion::common_floating;
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    inference.out = {2, {detail::infer_reduction(inference), inference.dtype(0)}};
  }
  static Kernel kernel(const KernelRequest& request) {
    const detail::DividedFold folds({request.in[0].shape, request.attributes.get<Ints>("axes")},
                                    false);
    const auto plan = [&]<class T>() -> Kernel {
      // run(part of the plan, in, out, scaled), the latter two at the place of that part.
      const auto each_part = [folds](auto run) -> Kernel {
        return {[=](const KernelArgs& args) {
          folds.template run<T, T>(args, [&](const detail::FoldPlan& part, const T* in, T* out) {
            run(part, in, out, args.output<T>(1) + (out - args.output<T>(0)));
          });
        }};
      };
      if (!request.attributes.has(power_name)) return each_part(detail::row_kernels<T>().norm);
      const auto p = request.attributes.get<double>(power_name);
      return each_part([p](const detail::FoldPlan& part, const T* in, T* out, T* scaled) {
        power_norms(part, p, in, out, scaled);
      });
    };
    return request.in[0].dtype == float32 ? plan.template operator()<float>()
                                          : plan.template operator()<double>();
  }
  // sign(x) (|x| / y)^(p - 1): quotients before powers and no reciprocals, so that all is near 1
  // whatever the size of x. 0 where the norm has no slope, or none that is finite.
  static Var power_slope(Var x, Var y, double p) {
    const auto limit = [](Var size) { return logical_or(equal(size, 0), equal(size, infinity)); };
    // All slopes of a norm that is NaN are.
    const Var flat = logical_and(logical_or(limit(abs(x)), limit(y)), logical_not(isnan(y)));
    const Var size = where(flat, 1, abs(x));
    const Var whole = where(flat, 1, y);
    // Far from 1 a quotient or its powers may be no floats: there it is one of fourth roots.
    const Var share = size / whole;
    const Var small = share < 0x1p-20;
    const Var far = logical_or(small, share > 0x1p20);
    const auto root = [&](Var part) { return sqrt(sqrt(where(far, part, 1))); };
    const Var of_roots = square(square(pow(root(size) / root(whole), p - 1)));
    const Var near = where(far, 1, size) / where(far, 1, whole);
    return where(flat, 0, sign(x) * where(far, of_roots, pow(near, p - 1)));
  }
  static std::vector<MaybeVar> jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    const Var part = part_of(node.out[0]);
    const Var y = detail::with_kept_axes(node, node.out[1]);
    const auto along = [&](const Var& direction) {
      return sum(direction * *tangents[0], detail::axes_of(node), detail::keeps_dims(node));
    };
    if (node.attributes.has(power_name)) {
      const Var x = node.in[0] * detail::with_kept_axes(node, part);
      const Var slope = along(power_slope(x, y, node.attributes.get<double>(power_name)));
      return {slope, slope * part};
    }
    // infinity / infinity: NaN for all, since a tangent of 0 does not take it away either.
    const Var divisor = where(equal(y, infinity), not_a_number, detail::divisor_by_root(y));
    // By `part` at the end, of which there are fewer.
    const Var slope = along(node.in[0] / divisor) * part;
    return {slope, slope * part};
  }
  static std::vector<Edge> edges() {
    using namespace detail;
    const auto of = [](double p) {
      return [p](std::span<const Var> in) { return std::vector<Var>{norm(in[0], {}, false, p)}; };
    };
    return joined(
        {edges_of(of(2),
                  {{"zeros", {row({0, 0, 0})}, {number(0)}, {row({0, 0, 0})}},
                   {"one zero", {row({0})}, {number(0)}, {row({0})}},
                   {"a zero among others", {row({3, 0, 4})}, {number(5)}, {row({0.6, 0, 0.8})}},
                   {"squares beyond float32",
                    {row({0x1.8p101, 0x1p102})},
                    {number(0x1.4p102)},
                    {row({0.6, 0.8})}},
                   {"squares below float32",
                    {row({0x1.8p-99, 0x1p-98})},
                    {number(0x1.4p-98)},
                    {row({0.6, 0.8})}},
                   {"squares beyond float64",
                    {row({0x1.8p701, -0x1p702})},
                    {number(0x1.4p702)},
                    {row({0.6, -0.8})}},
                   {"squares below float64",
                    {row({0x1.8p-699, 0x1p-698, 0})},
                    {number(0x1.4p-698)},
                    {row({0.6, 0.8, 0})}},
                   {"beyond float32",
                    {row({0x1.cp127, -0x1.cp127, 0x1p127})},
                    {number(4.5415268242516137e+38)},
                    {row({0.6556100681071858, -0.6556100681071858, 0.3746343246326776})}},
                   {"beyond float64",
                    {row({0x1.cp1023, -0x1.cp1023, 0x1p1023})},
                    {number(infinity)},
                    {row({0.6556100681071858, -0.6556100681071858, 0.3746343246326776})}},
                   {"far apart", {row({0x1p60, 1})}, {number(0x1p60)}, {row({1, 0x1p-60})}},
                   {"one element", {row({-0x1p-90})}, {number(0x1p-90)}, {row({-1})}},
                   {"nothing", {row({})}, {number(0)}, {row({})}},
                   {"infinity",
                    {row({1, -infinity})},
                    {number(infinity)},
                    {row({not_a_number, not_a_number})}},
                   {"NaN",
                    {row({not_a_number, 1})},
                    {number(not_a_number)},
                    {row({not_a_number, not_a_number})}}}),
         edges_of(
             of(1),
             {{"1: zeros", {row({0, 0})}, {number(0)}, {row({0, 0})}},
              {"1: huge and tiny", {row({-0x1p126, 0x1p-126})}, {number(0x1p126)}, {row({-1, 1})}},
              {"1: infinity", {row({-infinity, 1})}, {number(infinity)}, {row({-1, 1})}}}),
         edges_of(of(infinity),
                  {{"infinity: ties", {row({-3, 3, 1})}, {number(3)}, {row({-0.5, 0.5, 0})}},
                   {"infinity: zeros", {row({0, 0})}, {number(0)}, {row({0, 0})}}}),
         edges_of(
             of(-infinity),
             {{"-infinity: the least", {row({-3, 0x1p-120})}, {number(0x1p-120)}, {row({0, 1})}}}),
         edges_of(of(0),
                  {{"0: how many are not 0",
                    {row({-3, 0, 0x1p-120, infinity})},
                    {number(3)},
                    {row({0, 0, 0, 0})}},
                   {"0: NaN", {row({not_a_number, 2})}, {number(not_a_number)}, {row({0, 0})}}}),
         edges_of(of(3), {{"3: NaN and a zero",
                           {row({not_a_number, 0})},
                           {number(not_a_number)},
                           {row({not_a_number, not_a_number})}},
                          {"3: infinity", {row({-infinity, 1})}, {number(infinity)}, {row({0, 0})}},
                          {"3: zeros", {row({0, 0})}, {number(0)}, {row({0, 0})}},
                          {"3: a zero among others", {row({0, -2})}, {number(2)}, {row({0, -1})}},
                          {"3: squares beyond float32",
                           {row({0x1.8p64, 0x1p65})},
                           {number(0x1p64 * 2.2489707226377074)},
                           {row({0.4448513517305355, 0.7908468475209521})},
                           16}}),
         edges_of(of(3), {{"3: powers beyond float32",
                           {row({0x1p100, 0x1p100})},
                           {number(1.597139675139417e+30)},
                           {row({0.6299605249474366, 0.6299605249474366})},
                           16},
                          {"3: a size whose reciprocal is denormal",
                           {row({0x1.4p126, 0x1.4p126})},
                           {number(0x1.4p126 * 1.2599210498948732)},
                           {row({0.6299605249474366, 0.6299605249474366})},
                           16},
                          {"3: beyond float32",
                           {row({0x1.cp127, -0x1.cp127, 0x1p127})},
                           {number(3.8645881019356211e+38)},
                           {row({0.5935927269918323, -0.5935927269918323, 0.19382619656876156})},
                           16},
                          {"3: powers below float32",
                           {row({0x1p-60, 0x1p-60})},
                           {number(1.0928073115649913e-18)},
                           {row({0.6299605249474366, 0.6299605249474366})},
                           16}}),
         edges_of(of(4), {{"4: tiny",
                           {row({0x1p-123, 0x1p-122, 0x1.8p-122})},
                           {number(0x1p-123 * 3.1463462836457886)},
                           {row({0.032105574322916206, 0.2568445945833297, 0.8668505067187377})},
                           16}}),
         edges_of(of(0.5),
                  {{"1/2: zeros", {row({0, 0})}, {number(0)}, {row({0, 0})}},
                   {"1/2: a zero among others", {row({0, 4})}, {number(4)}, {row({0, 1})}}}),
         edges_of(
             of(-1),
             {{"-1: a zero", {row({0, 4})}, {number(0)}, {row({0, 0})}},
              {"-1: huge", {row({0x1p100, 0x1p100})}, {number(0x1p99)}, {row({0.25, 0.25})}}})});
  }
  static std::vector<Case> cases() {
    std::vector<Case> cases = detail::reduction_cases(
        [](Var x, const Ints& axes, bool keepdims) { return norm(x, axes, keepdims); },
        domain(0.2, 2), false);
    for (const double p : {1.0, 3.0, 0.5, -2.0})
      cases.push_back(
          {"p = " + std::to_string(p), {Arg{{2, 3}, domain(0.2, 2)}}, [p](std::span<const Var> in) {
             return std::vector<Var>{norm(in[0], {1}, false, p)};
           }});
    return cases;
  }
};
constexpr General<Norm> norm_op;

}  // namespace

Var norm(In x, const Axes& axes, bool keepdims, double p) {
  if (p == 2) return norm_op(x, detail::reduction_attributes(x, axes.vector(), keepdims));
  if (std::isnan(p))
    fail<ValueError>({.op = "norm",
                      .what = "p is NaN",
                      .where = x.where(),
                      .help = "give a number; 2 is the Euclidean norm"});
  const Composite c("norm", {x});
  const Var sizes = abs(is_floating(c[0].dtype()) ? c[0] : cast(c[0], float32));
  if (p == 1) return sum(sizes, axes, keepdims);
  if (p == infinity) return max(sizes, axes.vector(), keepdims);
  if (p == -infinity) return min(sizes, axes.vector(), keepdims);
  if (p == 0) {
    // A count does not change with x, but it depends on it: its derivative is 0 and not missing.
    // The branch that is never taken holds the count to x: to x itself, since the slope of |x| is
    // NaN where x is, and takes the cotangent's 0 with it.
    return sum(where(sizes < 0, c[0], sign(sizes)), axes, keepdims);
  }
  return norm_op(c[0],
                 detail::reduction_attributes(c[0], axes.vector(), keepdims).with(power_name, p));
}

void detail::register_norms() { register_all(norm_op); }

}  // namespace dualtape
