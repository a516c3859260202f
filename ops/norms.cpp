// Norms of vectors.
#include <cmath>
#include <limits>
#include <string>

#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/detail/divided_fold.hpp>
#include <dualtape/ops/detail/edge_calls.hpp>
#include <dualtape/ops/detail/families.hpp>
#include <dualtape/ops/detail/reduction.hpp>
#include <dualtape/ops/extremes.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

struct Norm {
  static constexpr auto name = "norm";
  static constexpr auto doc = "the Euclidean norm over axes, or a p-norm";
  static constexpr auto math =
      "y = sqrt(sum_i x_i^2); dy = sum_i (x_i / y) dx_i, taken as 0 where y = 0. Of another p: y = "
      "(sum_i |x_i|^p)^(1/p), max |x_i| for infinity, min |x_i| for -infinity, the number of x_i "
      "that are not 0 for 0; dy = sum_i sign(x_i) (|x_i| / y)^(p - 1) dx_i. Written as abs, pow "
      "and "
      "sum, or max, min.";
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
      return {[folds, norm = detail::row_kernels<T>().norm](const KernelArgs& args) {
        folds.run<T, T>(args, norm);
      }};
    };
    return request.in[0].dtype == float32 ? plan.template operator()<float>()
                                          : plan.template operator()<double>();
  }
  static Var jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    const Var y = node.out[0];
    const Var direction = node.in[0] / detail::with_kept_axes(node, detail::divisor_by_root(y));
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
                          {"3: powers beyond float32",
                           {row({0x1p100, 0x1p100})},
                           {number(1.597139675139417e+30)},
                           {row({0.6299605249474366, 0.6299605249474366})},
                           16},
                          {"3: powers below float32",
                           {row({0x1p-60, 0x1p-60})},
                           {number(1.0928073115649913e-18)},
                           {row({0.6299605249474366, 0.6299605249474366})},
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

// Of a p that has no form of its own. The element that weighs most is taken out first, so that no
// power over- or underflows; what is taken out changes nothing, so it has no derivative. Elements
// that are 0 are replaced, since their powers may have no derivative.
Var power_norm(const In& sizes, const Axes& axes, double p) {
  const auto here = [where = sizes.where()](auto value) { return In(value, where); };
  const In most = here(stop_gradient(
      here(p > 0 ? max(sizes, axes.vector(), true) : min(sizes, axes.vector(), true))));
  const In fit = here(logical_and(here(most > here(0)), here(isfinite(most))));
  const In scale = here(where(fit, most, here(1)));
  const In shares = here(sizes / scale);
  const In none = here(equal(shares, here(0)));
  const In ratios = here(where(none, here(1), shares));
  const In powers = here(where(none, here(p > 0 ? 0.0 : infinity), here(pow(ratios, here(p)))));
  // At least 1 where the scale fits.
  const In total = here(sum(powers, axes, true));
  const In root = here(pow(here(where(fit, total, here(1))), here(1 / p)));
  return where(fit, here(scale * root), most);
}

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
  if (p == 0) return sum(here(sign(sizes)), axes, keepdims);
  const Var y = power_norm(sizes, axes, p);
  if (keepdims) return y;
  const Ints reduced = detail::reduction_axes(x, axes.vector());
  return reshape(here(y), detail::reduced_shape(detail::shape_of(x), reduced, false));
}

void detail::register_norms() { register_all(norm_op); }

}  // namespace dualtape
