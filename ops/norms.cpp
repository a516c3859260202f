// Norms of vectors.
#include <cmath>
#include <limits>
#include <string>

#include <dualtape/core/kinds.hpp>
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

// Calls each(|x|) for the elements that output k folds.
template <class T, class Each>
void each_size(const detail::FoldPlan& plan, const T* in, std::size_t k, const Each& each) {
  const std::size_t run = plan.inner_folded ? plan.inner : 1;
  const T* const first = plan.inner_folded
                             ? in + detail::offset(plan.kept, k)
                             : in + detail::offset(plan.kept, k / plan.inner) + k % plan.inner;
  for (std::size_t line = 0; line < plan.lines; ++line) {
    const T* const from = first + detail::offset(plan.folded, line);
    for (std::size_t i = 0; i < run; ++i) each(std::abs(static_cast<double>(from[i])));
  }
}

// The element that weighs most is taken out first, so that no power over- or underflows.
template <class T>
double power_norm(const detail::FoldPlan& plan, const T* in, std::size_t k, double p) {
  double most = p > 0 ? 0 : infinity;
  each_size(plan, in, k, [&](double size) {
    if (p > 0 ? size > most : size < most) most = size;
    if (std::isnan(size)) most = size;
  });
  if (!(most > 0 && most < infinity)) return most;
  double total = 0;
  double lost = 0;  // the total's rounding so far
  each_size(plan, in, k, [&](double size) {
    const double term = std::pow(size / most, p) - lost;
    const double next = total + term;
    lost = (next - total) - term;
    total = next;
  });
  return most * std::pow(total, 1 / p);
}

constexpr auto power_name = "p";  // of a norm that is not the Euclidean one

struct Norm {
  static constexpr auto name = "norm";
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
    inference.out.push_back({detail::infer_reduction(inference), inference.dtype(0)});
  }
  static Kernel kernel(const KernelRequest& request) {
    const detail::DividedFold folds({request.in[0].shape, request.attributes.get<Ints>("axes")},
                                    false);
    const auto plan = [&]<class T>() -> Kernel {
      if (request.attributes.has(power_name)) {
        const auto p = request.attributes.get<double>(power_name);
        return {[folds, p](const KernelArgs& args) {
          folds.run<T, T>(args, [p](const detail::FoldPlan& part, const T* in, T* out) {
            for (std::size_t k = 0; k < part.outputs(); ++k)
              out[k] = static_cast<T>(power_norm(part, in, k, p));
          });
        }};
      }
      return {[folds, norm = detail::row_kernels<T>().norm](const KernelArgs& args) {
        folds.run<T, T>(args, norm);
      }};
    };
    return request.in[0].dtype == float32 ? plan.template operator()<float>()
                                          : plan.template operator()<double>();
  }
  // sign(x) (|x| / y)^(p - 1): quotients before powers and no reciprocals, so that all is near 1
  // whatever the size of x. 0 where the norm has no slope, or none that is finite.
  static Var power_slope(Var x, Var y, double p) {
    const auto limit = [](Var size) { return logical_or(equal(size, 0), equal(size, infinity)); };
    const Var flat = logical_or(limit(abs(x)), limit(y));
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
  static Var jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    const Var y = node.out[0];
    const Var direction =
        node.attributes.has(power_name)
            ? power_slope(node.in[0], detail::with_kept_axes(node, y),
                          node.attributes.get<double>(power_name))
            : node.in[0] / detail::with_kept_axes(node, detail::divisor_by_root(y));
    return sum(direction * *tangents[0], detail::axes_of(node), detail::keeps_dims(node));
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
                   {"far apart", {row({0x1p60, 1})}, {number(0x1p60)}, {row({1, 0x1p-60})}},
                   {"one element", {row({-0x1p-90})}, {number(0x1p-90)}, {row({-1})}},
                   {"nothing", {row({})}, {number(0)}, {row({})}},
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
         edges_of(of(0), {{"0: how many are not 0",
                           {row({-3, 0, 0x1p-120, infinity})},
                           {number(3)},
                           {row({0, 0, 0, 0})}}}),
         edges_of(of(3), {{"3: zeros", {row({0, 0})}, {number(0)}, {row({0, 0})}},
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
  const auto here = [where = x.where()](auto value) { return In(value, where); };
  if (p == 2) return norm_op(x, detail::reduction_attributes(x, axes.vector(), keepdims));
  if (std::isnan(p))
    fail<ValueError>({.op = "norm",
                      .what = "p is NaN",
                      .where = x.where(),
                      .help = "give a number; 2 is the Euclidean norm"});
  const bool real = is_floating(detail::dtype_of_operand(x));
  const In sizes = here(abs(real ? x : here(cast(x, float32))));
  if (p == 1) return sum(sizes, axes, keepdims);
  if (p == infinity) return max(sizes, axes.vector(), keepdims);
  if (p == -infinity) return min(sizes, axes.vector(), keepdims);
  if (p == 0) {
    // A count does not change with x, but it depends on it: its derivative is 0 and not missing.
    // The branch that is never taken holds the count to x.
    const In count = here(where(here(less(sizes, 0)), sizes, here(sign(sizes))));
    return sum(count, axes, keepdims);
  }
  return norm_op(x, detail::reduction_attributes(x, axes.vector(), keepdims).with(power_name, p));
}

void detail::register_norms() { register_all(norm_op); }

}  // namespace dualtape
