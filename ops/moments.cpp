#include <dualtape/ops/moments.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#include <dualtape/core/composite.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/declare/edge_calls.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/reduction.hpp>
#include <dualtape/ops/declare/softmax_limits.hpp>
#include <dualtape/ops/declare/standardised.hpp>
#include <dualtape/ops/kernels/rows/divided_fold.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/reduce.hpp>

namespace dualtape {
namespace {

void infer_same_dtype(Inference& inference) {
  inference.out.push_back({detail::infer_reduction(inference), inference.dtype(0)});
}

// Calls f.template operator()<T>() for float or double.
template <class F>
Kernel dispatch_floating(DType dtype, F f) {
  return dtype == float32 ? f.template operator()<float>() : f.template operator()<double>();
}

double as_real(std::int64_t count) { return static_cast<double>(count); }

struct Mean {
  static constexpr auto name = "mean";
  static constexpr Shift shift{.axes = "axes"};
  static constexpr auto doc = "the mean over axes";
  static constexpr auto math =
      "y = (1/n) sum_i x_i; dy = (1/n) sum_i dx_i. Backward: the cotangent / n, repeated.";
  static constexpr auto example =
      Example{"mean(g.constant(Tensor{{1, 2}, {3, 4}}), {1})", "[1.5 3.5]"};
  static constexpr auto promotion = Promotion::common_floating;
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) { infer_same_dtype(inference); }
  static Cost cost(const KernelRequest& request) { return per_operand_element(request); }
  static Kernel kernel(const KernelRequest& request) {
    const auto& axes = request.attributes.get<Ints>("axes");
    const detail::DividedFold folds({request.in[0].shape, axes}, true);
    const double count = as_real(detail::reduced_count(request.in[0].shape, axes));
    return dispatch_floating(request.in[0].dtype, [&]<class T>() -> Kernel {
      return {[folds, kernels = &detail::row_kernels<T>(),
               n = static_cast<T>(count)](const KernelArgs& args) {
                T* const out = args.output<T>();
                folds.run<T, T>(args, kernels->sum);
                const detail::FoldPlan& plan = folds.plan();
                for (std::size_t k = 0; k < plan.outputs(); ++k) {
                  out[k] /= n;
                  // A sum may overflow where the mean does not.
                  if (!std::isfinite(out[k]) && n > 0)
                    out[k] = kernels->mean_of_output(plan, args.input<T>(0), k);
                }
              },
              folds.workspace_bytes(sizeof(T))};
    });
  }
  static Var transpose(const NodeView& node, std::size_t, Var cotangent) {
    const Shape& shape = node.in[0].shape();
    const double count = as_real(detail::reduced_count(shape, detail::axes_of(node)));
    if (count == 0) return broadcast_to(detail::with_kept_axes(node, cotangent), shape);
    return broadcast_to(detail::with_kept_axes(node, cotangent / count), shape);
  }
  static std::vector<Edge> edges() {
    using namespace detail;
    return edges_of([](std::span<const Var> in) { return std::vector<Var>{mean(in[0])}; },
                    {{"a sum beyond float32",
                      {row({0x1.8p127, 0x1.8p127})},
                      {number(0x1.8p127)},
                      {row({0.5, 0.5})}},
                     {"a sum beyond float64",
                      {row({0x1.8p1023, 0x1.8p1023, 0, 0})},
                      {number(0x1.8p1022)},
                      {row({0.25, 0.25, 0.25, 0.25})}},
                     {"infinity", {row({infinity, 1})}, {number(infinity)}, {row({0.5, 0.5})}},
                     {"both infinities",
                      {row({infinity, -infinity})},
                      {number(not_a_number)},
                      {row({0.5, 0.5})}},
                     {"NaN", {row({not_a_number, 1})}, {number(not_a_number)}, {row({0.5, 0.5})}},
                     {"denormals of float32",
                      {row({0x1p-130, 0x1p-130})},
                      {number(0x1p-130)},
                      {row({0.5, 0.5})}},
                     {"one element", {row({0x1p-100})}, {number(0x1p-100)}, {row({1})}},
                     {"nothing", {row({})}, {number(not_a_number)}, {row({})}}});
  }
  static std::vector<Case> cases() {
    return detail::reduction_cases(
        [](Var x, const Ints& axes, bool keepdims) { return mean(x, axes, keepdims); },
        domain(-2, 2), false);
  }
};
constexpr Linear<Mean> mean_op;

// Runs over neighbouring axes only, which makes them one; logsumexp() composes the rest.
struct LogSumExp {
  static constexpr auto name = "logsumexp";
  static constexpr Shift shift{.axes = "axes"};
  static constexpr auto doc = "log of the sum of exponentials over axes";
  static constexpr auto math =
      "y = log sum_i e^(x_i) = m + log sum_i e^(x_i - m) with m = max x; dy = sum_i "
      "softmax(x)_i dx_i, taken as 0 where y = -inf. Several axes that are not neighbours are "
      "taken one after "
      "the other.";
  static constexpr auto example = Example{"logsumexp(g.constant(Tensor{1000, 1000}))", "1000.6932"};
  static constexpr auto promotion = Promotion::common_floating;
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) { infer_same_dtype(inference); }

  struct Blocks {
    std::size_t outer = 1;
    std::size_t size = 1;
    std::size_t inner = 1;
  };
  static Blocks blocks_of(const Shape& shape, const Ints& axes) {
    Blocks blocks;
    for (std::size_t i = 0; i < shape.rank(); ++i) {
      const auto axis = static_cast<std::int64_t>(i);
      const auto size = static_cast<std::size_t>(shape[i]);
      if (axis < axes.front())
        blocks.outer *= size;
      else
        (axis > axes.back() ? blocks.inner : blocks.size) *= size;
    }
    return blocks;
  }
  static Kernel kernel(const KernelRequest& request) {
    const Blocks b = blocks_of(request.in[0].shape, request.attributes.get<Ints>("axes"));
    return dispatch_floating(request.in[0].dtype, [&]<class T>() -> Kernel {
      return {[b, kernels = &detail::row_kernels<T>()](const KernelArgs& args) {
        const T* x = args.input<T>(0);
        T* out = args.output<T>();
        const std::size_t unit = b.inner == 1 ? detail::rows_in_call(b.size) : 1;
        detail::in_ranges(args, b.outer, unit, 2 * b.outer * b.size * b.inner,
                          [&](std::size_t first, std::size_t last, void*) {
                            if (b.inner == 1)
                              return kernels->logsumexp(x + first * b.size, out + first,
                                                        last - first, b.size);
                            for (std::size_t k = first; k < last; ++k)
                              kernels->logsumexp_columns(x + k * b.size * b.inner,
                                                         out + k * b.inner, b.size, b.inner);
                          });
      }};
    });
  }
  static MaybeVar jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    // Not exp(x - y), whose sum is 1 only as far as y is exact.
    const Ints& axes = detail::axes_of(node);
    const Shape& shape = node.in[0].shape();
    if (axes.empty()) return tangents[0];
    const Blocks b = blocks_of(shape, axes);
    const auto size = [](std::size_t n) { return static_cast<std::int64_t>(n); };
    const Var joined = reshape(node.in[0], {size(b.outer), size(b.size), size(b.inner)});
    const Var weights = reshape(detail::softmax_with_limits(joined, 1), shape);
    return sum(weights * *tangents[0], detail::axes_of(node), detail::keeps_dims(node));
  }
  static std::vector<Edge> edges() {
    using namespace detail;
    return edges_of(
        [](std::span<const Var> in) { return std::vector<Var>{logsumexp(in[0])}; },
        {{"far above", {row({0x1p27, 0x1p27})}, {number(134217728.69314718)}, {row({0.5, 0.5})}},
         {"far below",
          {row({-123456, -123456, -123456, -123456})},
          {number(-123454.61370563888)},
          {row({0.25, 0.25, 0.25, 0.25})}},
         {"ties at zero",
          {row({0, 0, 0})},
          {number(1.0986122886681098)},
          {row({1.0 / 3, 1.0 / 3, 1.0 / 3})}},
         {"all but one",
          {row({0, -20})},
          {number(2.061153620314381e-09)},
          {row({0.9999999979388464, 2.0611536181902037e-09})}},
         {"all but one, far",
          {row({0, -60})},
          {number(8.75651076269652e-27)},
          {row({1, 8.75651076269652e-27})}},
         {"shares of 1",
          {row({-1, -2, -3.5})},
          {number(-0.6284609681473171)},
          {row({0.6896720861245035, 0.2537161816350252, 0.05661173224047128})}},
         {"a huge one", {row({0x1p100, -0x1p100})}, {number(0x1p100)}, {row({1, 0})}},
         {"tiny ones", {row({0x1p-80, 0x1p-90})}, {number(0.6931471805599453)}, {row({0.5, 0.5})}},
         {"one element", {row({-2})}, {number(-2)}, {row({1})}},
         {"minus infinity beside a number", {row({-infinity, 5})}, {number(5)}, {row({0, 1})}},
         {"nothing but minus infinity",
          {row({-infinity, -infinity})},
          {number(-infinity)},
          {row({0, 0})}},
         {"infinities share",
          {row({infinity, infinity, 1})},
          {number(infinity)},
          {row({0.5, 0.5, 0})}},
         {"nothing", {row({})}, {number(-infinity)}, {row({})}},
         {"NaN",
          {row({not_a_number, 1})},
          {number(not_a_number)},
          {row({not_a_number, not_a_number})}}});
  }
  static std::vector<Case> cases() {
    return detail::reduction_cases(
        [](Var x, const Ints& axes, bool keepdims) { return logsumexp(x, axes, keepdims); },
        domain(-2, 2), false);
  }
};
constexpr General<LogSumExp> logsumexp_op;

// Whether what meets in one result lies together: rows, which have kernels of their own.
bool folds_rows(const Shape& shape, const Ints& axes) {
  const detail::FoldPlan plan(shape, axes);
  return plan.inner_folded && plan.folded.empty();
}

// Variances of rows, or their roots. The derivative reads outputs 1, 2 and 3: the means, what their
// rounding missed, and the power of two that rows are multiplied by for both; of roots output 4 is
// the root times that, too, which is a number where the root itself is beyond or below all numbers.
// var() and stddev() bring other axes to the end.
template <bool root>
struct AnyVariance {
  static constexpr Shift shift{.axes = "axes"};
  static constexpr auto promotion = Promotion::common_floating;
  static constexpr bool can_fail = false;

  static double divisor_of(const Shape& shape, const Attributes& attributes) {
    const std::int64_t count = detail::reduced_count(shape, attributes.get<Ints>("axes"));
    const std::int64_t rest = count - attributes.get<std::int64_t>("correction");
    return rest > 0 ? as_real(rest) : std::numeric_limits<double>::quiet_NaN();
  }
  static void infer(Inference& inference) {
    infer_same_dtype(inference);
    inference.out = {root ? 5U : 4U, inference.out[0]};
  }
  static Cost cost(const KernelRequest& request) {
    Cost cost = bytes_only(request);
    cost.flops = 5.0 * as_real(request.in[0].shape.count());
    return cost;
  }
  static Kernel kernel(const KernelRequest& request) {
    const Shape& shape = request.in[0].shape;
    const auto& axes = request.attributes.get<Ints>("axes");
    const auto size = static_cast<std::size_t>(detail::reduced_count(shape, axes));
    const auto rows = static_cast<std::size_t>(request.out[0].shape.count());
    const double divisor = divisor_of(shape, request.attributes);
    return dispatch_floating(request.in[0].dtype, [&]<class T>() -> Kernel {
      return {[=, variance = detail::row_kernels<T>().variance](const KernelArgs& args) {
        detail::in_ranges(
            args, rows, 1, rows * size, [&](std::size_t first, std::size_t last, void*) {
              const auto of = [&](std::size_t o) { return args.output<T>(o) + first; };
              variance(args.input<T>(0) + first * size, last - first, size, divisor, root, of(0),
                       {of(1), of(2), root ? of(4) : nullptr, of(3)});
            });
      }};
    });
  }
  static std::vector<MaybeVar> jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    const Ints& axes = detail::axes_of(node);
    const bool keepdims = detail::keeps_dims(node);
    const Var t = *tangents[0];
    const double divisor = divisor_of(node.in[0].shape(), node.attributes);
    const auto kept = [&](Var numbers) { return detail::with_kept_axes(node, numbers); };
    const Var part = node.out[3];
    const Var centred =
        detail::deviations(node.in[0], kept(node.out[1]), kept(node.out[2]), kept(part));
    const Var level = mean(t, axes, keepdims) * part;
    if constexpr (root) {
      const Var unit = centred / kept(detail::divisor_by_root(node.out[4]));
      const Var slope = sum(unit * t, axes, keepdims) / divisor;
      return {slope, level, std::nullopt, std::nullopt, slope * part};
    }
    return {sum(centred * t, axes, keepdims) * (2 / divisor) / part, level, std::nullopt,
            std::nullopt};
  }
};

struct Variance : AnyVariance<false> {
  static constexpr auto name = "var";
  static constexpr auto doc = "the variance over axes";
  static constexpr auto math =
      "y = sum_i (x_i - mean x)^2 / (n - correction); dy = 2 sum_i (x_i - mean x) dx_i / (n - "
      "correction). Axes that are not the last ones are brought there by permute.";
  static constexpr auto example = Example{"var(g.constant(Tensor{1, 2, 3}))", "1.0"};
  static std::vector<Edge> edges() {
    using namespace detail;
    return edges_of(
        [](std::span<const Var> in) { return std::vector<Var>{var(in[0], {}, false, 0)}; },
        {{"far from zero", {row({1e6, 1e6 + 0.25})}, {number(0x1p-6)}, {row({-0.125, 0.125})}},
         {"a mean between floats",
          {row({16777214, 16777214, 16777215})},
          {number(2.0 / 9)},
          {row({-2.0 / 9, -2.0 / 9, 4.0 / 9})}},
         {"equal elements", {row({7, 7, 7})}, {number(0)}, {row({0, 0, 0})}},
         {"one element", {row({7})}, {number(0)}, {row({0})}},
         {"tiny", {row({0x1p-60, -0x1p-60})}, {number(0x1p-120)}, {row({0x1p-60, -0x1p-60})}},
         {"far apart",
          {row({0x1p60, -0x1p60, 0, 0})},
          {number(0x1p119)},
          {row({0x1p59, -0x1p59, 0, 0})}},
         {"a mean below float32",
          {row({0, 0x1.8p-125})},
          {number(0x1.2p-251)},
          {row({-0x1.8p-126, 0x1.8p-126})}},
         {"differences beyond float32",
          {row({0x1p127, -0x1p127, -0x1p127})},
          {number(2.573157538607026e+76)},
          {row({1.512366075204171e+38, -7.561830376020855e+37, -7.561830376020855e+37})}},
         {"nothing", {row({})}, {number(not_a_number)}, {row({})}},
         {"infinity",
          {row({infinity, 1})},
          {number(not_a_number)},
          {row({not_a_number, not_a_number})}},
         {"NaN",
          {row({not_a_number, 1})},
          {number(not_a_number)},
          {row({not_a_number, not_a_number})}}});
  }
  static std::vector<Case> cases() {
    return detail::reduction_cases(
        [](Var x, const Ints& axes, bool keepdims) { return var(x, axes, keepdims, 0); },
        domain(-2, 2), false);
  }
};
struct StandardDeviation : AnyVariance<true> {
  static constexpr auto name = "std";
  static constexpr auto doc = "the standard deviation over axes (C++ name: stddev)";
  static constexpr auto math =
      "y = |x - mean x| / sqrt(n - correction), |.| being the Euclidean norm; dy = sum_i (x_i - "
      "mean x) dx_i / (y (n - correction)), taken as 0 where y = 0. Axes that are not the last "
      "ones "
      "are brought there by permute.";
  static constexpr auto example = Example{"stddev(g.constant(Tensor{1, 2, 3}))", "1.0"};
  static std::vector<Edge> edges() {
    using namespace detail;
    const auto call = [](std::int64_t correction) {
      return [=](std::span<const Var> in) {
        return std::vector<Var>{stddev(in[0], {}, false, correction)};
      };
    };
    return joined(
        {edges_of(call(0),
                  {{"far from zero", {row({1e6, 1e6 + 0.25})}, {number(0.125)}, {row({-0.5, 0.5})}},
                   {"a mean between floats",
                    {row({16777214, 16777214, 16777215})},
                    {number(0.4714045207910317)},
                    {row({-0.23570226039551584, -0.23570226039551584, 0.4714045207910317})}},
                   {"equal elements", {row({7, 7, 7})}, {number(0)}, {row({0, 0, 0})}},
                   {"squares beyond float32",
                    {row({0x1p100, -0x1p100, 0})},
                    {number(1.035032380897329e+30)},
                    {row({0.408248290463863, -0.408248290463863, 0})}},
                   {"squares below float32",
                    {row({0x1p-100, -0x1p-100, 0})},
                    {number(6.441022319405071e-31)},
                    {row({0.408248290463863, -0.408248290463863, 0})}},
                   {"squares beyond float64",
                    {row({0x1p700, -0x1p700, 0})},
                    {number(4.2948829788294287e+210)},
                    {row({0.408248290463863, -0.408248290463863, 0})}},
                   {"squares below float64",
                    {row({0x1p-700, -0x1p-700, 0})},
                    {number(1.5522347639105334e-211)},
                    {row({0.408248290463863, -0.408248290463863, 0})}},
                   // Of two elements each second slope is 0: a difference of equal terms, which are
                   // rounded.
                   {"differences beyond float32",
                    {row({0x1.8p127, -0x1.8p127})},
                    {number(0x1.8p127)},
                    {row({0.5, -0.5})},
                    4,
                    16,
                    false},
                   {"elements further from the mean than float32 reaches",
                    {row({0x1.8p127, -0x1.8p127, -0x1.8p127})},
                    {number(2.4061596916800453e+38)},
                    {row({0.4714045207910317, -0.23570226039551584, -0.23570226039551584})}},
                   {"a mean below float32",
                    {row({0, 0x1.8p-126, -0x1.4p-126})},
                    {number(1.3215238161671081e-38)},
                    {row({-0.02470831055537004, 0.42004127944129067, -0.39533296888592063})},
                    4,
                    16,
                    false},  // second slopes are beyond all floats
                   {"below float32",
                    {row({0, 0, 0x1.cp-126})},
                    {number(9.697333644984043e-39)},
                    {row({-0.23570226039551584, -0.23570226039551584, 0.4714045207910317})},
                    4,
                    16,
                    false},
                   {"nothing", {row({})}, {number(not_a_number)}, {row({})}},
                   {"NaN",
                    {row({not_a_number, 1})},
                    {number(not_a_number)},
                    {row({not_a_number, not_a_number})}}}),
         edges_of(call(1),
                  {{"beyond float32",
                    {row({0x1.cp127, -0x1.cp127, 0x1.cp127})},
                    {number(3.4380870324900195e+38)},
                    {row({0.28867513459481288, -0.57735026918962576, 0.28867513459481288})}},
                   {"beyond float64",
                    {row({0x1.cp1023, -0x1.cp1023, 0x1.cp1023})},
                    {number(infinity)},
                    {row({0.28867513459481288, -0.57735026918962576, 0.28867513459481288})}}})});
  }
  static std::vector<Case> cases() {
    const auto call = [](std::span<const Var> in) { return std::vector<Var>{stddev(in[0], {-1})}; };
    const auto kept = [](std::span<const Var> in) {
      return std::vector<Var>{stddev(in[0], {}, true, 0)};
    };
    const auto columns = [](std::span<const Var> in) {
      return std::vector<Var>{stddev(in[0], {0})};
    };
    // Far apart from each other: the derivative grows without bound as they come together.
    const auto spread = [](Key key) {
      Tensor x = draw(Arg{{2, 4}, domain(0, 0.5)}, key, float64);
      const auto values = x.data<double>();
      for (std::size_t i = 0; i < values.size(); ++i) {
        const std::size_t apart = i % 4 + 2 * (i / 4);
        values[i] += static_cast<double>(apart);
      }
      return x;
    };
    return {Case{"rows", {Arg{{2, 4}, {}, float64, spread}}, call},
            Case{"columns", {Arg{{2, 4}, {}, float64, spread}}, columns},
            Case{"all axes, kept, correction 0", {Arg{{2, 4}, {}, float64, spread}}, kept}};
  }
};
constexpr General<Variance> variance_op;
constexpr General<StandardDeviation> deviation_op;

Attributes variance_attributes(const Ints& axes, bool keepdims, std::int64_t correction) {
  return {{"axes", axes}, {"keepdims", keepdims}, {"correction", correction}};
}

// op, which works on rows, over any axes: those that are kept come first.
template <class Operator>
Var over_any_axes(const Operator& op, In x, const Axes& asked, bool keepdims,
                  std::int64_t correction) {
  const Ints axes = detail::reduction_axes(x, asked.vector());
  const Shape shape = detail::shape_of(x);
  const auto rank = static_cast<std::int64_t>(shape.rank());
  const bool known = std::ranges::adjacent_find(axes) == axes.end() &&
                     std::ranges::all_of(axes, [=](auto a) { return a >= 0 && a < rank; });
  if (!known || folds_rows(shape, axes))
    return op(x, variance_attributes(axes, keepdims, correction));
  Ints order;
  for (std::int64_t axis = 0; axis < rank; ++axis)
    if (!std::ranges::binary_search(axes, axis)) order.push_back(axis);
  Ints last;
  for (const std::int64_t axis : axes) {
    last.push_back(static_cast<std::int64_t>(order.size()));
    order.push_back(axis);
  }
  const Composite c(op.op().name(), {x});
  const Var y = op(permute(c[0], order), variance_attributes(last, false, correction));
  return keepdims ? reshape(y, detail::reduced_shape(shape, axes, true)) : y;
}

}  // namespace

Var mean(In x, const Axes& axes, bool keepdims) {
  return mean_op(x, detail::reduction_attributes(x, axes.vector(), keepdims));
}

Var var(In x, const Axes& axes, bool keepdims, std::int64_t correction) {
  return over_any_axes(variance_op, x, axes, keepdims, correction);
}
Var stddev(In x, const Axes& axes, bool keepdims, std::int64_t correction) {
  return over_any_axes(deviation_op, x, axes, keepdims, correction);
}

Var logsumexp(In x, const Axes& asked, bool keepdims) {
  Ints axes = detail::reduction_axes(x, asked.vector());
  // The last group of neighbouring axes first, so that the numbers of the others stay right.
  std::size_t begin = axes.size();
  while (begin > 0 && (begin == axes.size() || axes[begin - 1] + 1 >= axes[begin])) --begin;
  const Ints last(axes.begin() + static_cast<std::ptrdiff_t>(begin), axes.end());
  const Composite c("logsumexp", {x});
  const Var y = logsumexp_op(c[0], {{"axes", last}, {"keepdims", keepdims}});
  axes.resize(begin);
  return axes.empty() ? y : logsumexp(y, axes, keepdims);
}

void detail::register_moments() {
  register_norms();
  register_all(mean_op, logsumexp_op, variance_op, deviation_op);
}

}  // namespace dualtape
