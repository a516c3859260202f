#include <dualtape/ops/softmax.hpp>

#include <cmath>
#include <limits>

#include <dualtape/core/kinds.hpp>
#include <dualtape/core/machine/team.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/declare/edge_calls.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/declare/partly_linear.hpp>
#include <dualtape/ops/declare/softmax_limits.hpp>
#include <dualtape/ops/kernels/rows/fold_plan.hpp>
#include <dualtape/ops/kernels/rows/strided.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/reduce.hpp>

namespace dualtape {
namespace {

constexpr auto limits_name = "limits";  // an attribute that is there or not

std::int64_t axis_of(const Attributes& attributes) { return attributes.get<std::int64_t>("axis"); }

// An array as `outer` blocks of `size` rows of `inner` elements; the middle one is folded.
struct Blocks {
  std::size_t outer;
  std::size_t size;
  std::size_t inner;
  explicit Blocks(const detail::AxisSplit& split)
      : outer(static_cast<std::size_t>(split.outer)),
        size(static_cast<std::size_t>(split.size)),
        inner(static_cast<std::size_t>(split.inner)) {}
};

// What the derivatives of softmax and of its logarithm share; `mode` is that of the kernels.
struct AnySlope {
  static constexpr bool can_fail = false;

  static bool linear_in(std::span<const bool> active) { return !active[0]; }
  static void infer(Inference& inference) {
    inference.require_count(2);
    inference.require_floating(0);
    static_cast<void>(inference.axis(axis_of(inference.attributes), inference.shape(0).rank()));
    if (inference.in[1] != inference.in[0])
      inference.shape_error(
          "y is " + to_string(inference.in[0]) + " and t is " + to_string(inference.in[1]),
          "give both one shape and dtype");
    inference.out.push_back(inference.in[0]);
  }
  static Kernel kernel_of(const KernelRequest& request, std::size_t mode) {
    const Type& type = request.in[0];
    const std::int64_t axis = detail::wrap_axis(axis_of(request.attributes), type.shape.rank());
    const Blocks blocks(detail::split_at(type.shape, static_cast<std::size_t>(axis)));
    const auto plan = [&]<class T>() -> Kernel {
      const auto& kernels = detail::row_kernels<T>();
      const auto rows = kernels.softmax_slope[mode];
      const auto columns = kernels.softmax_slope_columns[mode];
      return {[blocks, rows, columns](const KernelArgs& args) {
        const std::size_t outer = blocks.outer;
        const std::size_t size = blocks.size;
        const std::size_t inner = blocks.inner;
        if (size == 0 || inner == 0) return;
        const std::size_t block = size * inner;
        detail::in_ranges(args, outer, 1, 2 * outer * block,
                          [&](std::size_t first, std::size_t last, void*) {
                            const T* y = args.input<T>(0) + first * block;
                            const T* t = args.input<T>(1) + first * block;
                            T* out = args.output<T>() + first * block;
                            if (inner == 1) return rows(y, t, out, last - first, size);
                            for (; first < last; ++first, y += block, t += block, out += block)
                              columns(y, t, out, size, inner);
                          });
      }};
    };
    return type.dtype == float32 ? plan.template operator()<float>()
                                 : plan.template operator()<double>();
  }
  // `function(y, t, axis)`
  template <class Function>
  static std::vector<Case> slope_cases(Function function, const std::string& suffix = {}) {
    std::vector<Case> cases;
    const auto add = [&](const std::string& name, const Shape& shape, std::int64_t axis) {
      cases.push_back({name + suffix,
                       {Arg{shape, domain(0.1, 0.9)}, Arg{shape}},
                       [axis, function](std::span<const Var> in) {
                         return std::vector<Var>{function(in[0], in[1], axis)};
                       }});
    };
    add("rows", {3, 4}, -1);
    add("long rows", {2, 35}, 1);
    add("columns", {3, 4}, 0);
    add("a middle axis", {2, 3, 2}, 1);
    add("a vector", {5}, 0);
    add("no rows", {0, 3}, 1);
    add("no classes", {2, 0}, 1);
    return cases;
  }
};

// The derivative of softmax given its result, linear in t and its own transpose.
struct SoftmaxSlope : AnySlope {
  static constexpr auto name = "softmax_slope";
  static constexpr Shift shift{.axis = "axis"};
  static constexpr auto doc = "how y = softmax(x) moves where x moves by t, along an axis";
  static constexpr auto math =
      "z_i = y_i sum_j y_j (t_i - t_j), which is y_i (t_i - sum_j y_j t_j) where y sums to 1; dz_i "
      "= sum_j (y_j dy_i + y_i dy_j) (t_i - t_j) + y_i y_j (dt_i - dt_j). Linear in t, and its own "
      "transpose.";
  static constexpr auto example = Example{
      "softmax_slope(g.constant(Tensor{0.5, 0.5}), g.constant(Tensor{1, 0}))", "[ 0.25 -0.25]"};

  static Kernel kernel(const KernelRequest& request) { return kernel_of(request, 0); }
  static MaybeVar jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    const std::int64_t axis = axis_of(node.attributes);
    const Var y = node.in[0];
    const Var t = node.in[1];
    MaybeVar moved;
    if (tangents[0]) {
      const Var dy = *tangents[0];
      const auto total = [axis](Var x) { return sum(x, {axis}, true); };
      moved = dy * (t * total(y) - total(y * t)) + y * (t * total(dy) - total(t * dy));
    }
    if (!tangents[1]) return moved;
    const Var by_t = softmax_slope(y, *tangents[1], axis);
    return moved ? *moved + by_t : by_t;
  }
  static Var transpose(const NodeView& node, Var cotangent) {
    return softmax_slope(node.in[0], cotangent, axis_of(node.attributes));
  }
  static std::vector<Edge> edges() {
    using namespace detail;
    const auto call = [](std::span<const Var> in) {
      return std::vector<Var>{softmax_slope(in[0], in[1])};
    };
    const auto certain = [](std::span<const Var> in) {
      const DType dtype = in[0].dtype();
      const Var z = softmax_slope(row({1, 8.75651076269652e-27}).to(dtype), in[0]);
      return std::vector<Var>{z * row({1, -2}).to(dtype)};
    };
    return joined(
        {edges_of(certain, {{"certain",
                             {row({1, -2})},
                             {row({2.626953228808956e-26, 5.253906457617912e-26})},
                             {row({2.626953228808956e-26, -2.626953228808956e-26})}}}),
         edges_of(
             call,
             {{"nothing", {row({0, 0}), row({3, 4})}, {row({0, 0})}, {row({0, 0}), row({0, 0})}},
              {"even tangents", {row({0.25, 0.75}), row({5, 5})}, {row({0, 0})}},
              {"NaN",
               {row({not_a_number, 1}), row({1, 2})},
               {row({not_a_number, not_a_number})}}})});
  }
  static std::vector<Case> cases() {
    return slope_cases([](Var y, Var t, std::int64_t axis) { return softmax_slope(y, t, axis); });
  }
};
constexpr detail::PartlyLinear<SoftmaxSlope> softmax_slope_op;

constexpr auto transposed_name = "transposed";

struct LogSoftmaxSlope : AnySlope {
  static constexpr auto name = "log_softmax_slope";
  static constexpr Shift shift{.axis = "axis"};
  static constexpr auto doc = "how log_softmax(x) moves where x moves by t, along an axis";
  static constexpr auto math =
      "z_i = sum_j y_j (t_i - t_j) with y = softmax(x), or transposed z_i = sum_j y_j t_i - y_i "
      "t_j; "
      "dz_i = sum_j dy_j (t_i - t_j) + y_j (dt_i - dt_j), or sum_j dy_j t_i - dy_i t_j + y_j dt_i "
      "- "
      "y_i dt_j.";
  static constexpr auto example = Example{
      "log_softmax_slope(g.constant(Tensor{0.5, 0.5}), g.constant(Tensor{1, 0}))", "[ 0.5 -0.5]"};

  static bool is_transposed(const Attributes& attributes) {
    return attributes.get<bool>(transposed_name);
  }
  static Kernel kernel(const KernelRequest& request) {
    return kernel_of(request, is_transposed(request.attributes) ? 2 : 1);
  }
  static MaybeVar jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    const std::int64_t axis = axis_of(node.attributes);
    const bool transposed = is_transposed(node.attributes);
    const Var t = node.in[1];
    MaybeVar moved;
    if (tangents[0]) {
      const Var dy = *tangents[0];
      const auto total = [axis](Var x) { return sum(x, {axis}, true); };
      moved = t * total(dy) - (transposed ? dy * total(t) : total(dy * t));
    }
    if (!tangents[1]) return moved;
    const Var by_t = log_softmax_slope(node.in[0], *tangents[1], axis, transposed);
    return moved ? *moved + by_t : by_t;
  }
  static Var transpose(const NodeView& node, Var cotangent) {
    return log_softmax_slope(node.in[0], cotangent, axis_of(node.attributes),
                             !is_transposed(node.attributes));
  }
  static std::vector<Edge> edges() {
    using namespace detail;
    const auto certain = [](bool transposed) {
      return [=](std::span<const Var> in) {
        const DType dtype = in[0].dtype();
        const Tensor y = row({1, 8.75651076269652e-27}).to(dtype);
        return std::vector<Var>{log_softmax_slope(y, in[0], -1, transposed) *
                                row({1, 0}).to(dtype)};
      };
    };
    const auto call = [](std::span<const Var> in) {
      return std::vector<Var>{log_softmax_slope(in[0], in[1])};
    };
    const double rest = 8.75651076269652e-27;
    return joined(
        {edges_of(certain(false),
                  {{"certain", {row({1, -2})}, {row({3 * rest, 0})}, {row({rest, -rest})}}}),
         edges_of(certain(true),
                  {{"certain, transposed", {row({1, 0})}, {row({rest, 0})}, {row({rest, -1})}}}),
         edges_of(call, {{"even tangents", {row({0.25, 0.75}), row({5, 5})}, {row({0, 0})}},
                         {"NaN",
                          {row({not_a_number, 1}), row({1, 2})},
                          {row({not_a_number, not_a_number})}}})});
  }
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    for (const bool transposed : {false, true})
      for (Case& sample : slope_cases(
               [transposed](Var y, Var t, std::int64_t axis) {
                 return log_softmax_slope(y, t, axis, transposed);
               },
               transposed ? ", transposed" : ""))
        cases.push_back(std::move(sample));
    return cases;
  }
};
constexpr detail::PartlyLinear<LogSoftmaxSlope> log_softmax_slope_op;

// Weights that softmax leaves NaN get their limits: 0 where all of x is -inf, and equal shares of 1
// for infinities. n elements, `stride` from one to the next.
template <class T>
void take_limits(const T* x, T* out, std::size_t n, std::size_t stride) {
  constexpr T infinite = std::numeric_limits<T>::infinity();
  std::size_t count = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (std::isnan(x[i * stride])) return;
    if (x[i * stride] == infinite) ++count;
  }
  const T share = count == 0 ? 0 : 1 / static_cast<T>(count);
  for (std::size_t i = 0; i < n; ++i) out[i * stride] = x[i * stride] == infinite ? share : 0;
}

template <bool log>
struct AnySoftmax {
  static constexpr bool can_fail = false;
  static constexpr auto promotion = Promotion::common_floating;

  static void infer(Inference& inference) {
    inference.require_count(1);
    static_cast<void>(inference.axis(axis_of(inference.attributes), inference.shape(0).rank()));
    inference.out.push_back(inference.in[0]);
  }
  static Kernel kernel(const KernelRequest& request) {
    const Type& type = request.in[0];
    const std::int64_t axis = detail::wrap_axis(axis_of(request.attributes), type.shape.rank());
    const Blocks blocks(detail::split_at(type.shape, static_cast<std::size_t>(axis)));
    const bool limits = request.attributes.has(limits_name);
    const auto plan = [&]<class T>() -> Kernel {
      const auto& kernels = detail::row_kernels<T>();
      const auto rows = log ? kernels.log_softmax : kernels.softmax;
      const auto columns = log ? kernels.log_softmax_columns : kernels.softmax_columns;
      return {[blocks, rows, columns, limits](const KernelArgs& args) {
        const std::size_t outer = blocks.outer;
        const std::size_t size = blocks.size;
        const std::size_t inner = blocks.inner;
        if (size == 0 || inner == 0) return;
        const T* x = args.input<T>(0);
        T* out = args.output<T>();
        const std::size_t block = size * inner;
        detail::in_ranges(args, outer, inner == 1 ? detail::rows_in_call(size) : 1,
                          2 * outer * block, [&](std::size_t first, std::size_t last, void*) {
                            if (inner == 1)
                              rows(x + first * size, out + first * size, last - first, size);
                            else
                              for (std::size_t k = first; k < last; ++k)
                                columns(x + k * block, out + k * block, size, inner);
                            if (!limits) return;
                            for (std::size_t k = first; k < last; ++k)
                              for (std::size_t i = k * block; i < k * block + inner; ++i)
                                if (std::isnan(out[i])) take_limits(x + i, out + i, size, inner);
                          });
      }};
    };
    return type.dtype == float32 ? plan.template operator()<float>()
                                 : plan.template operator()<double>();
  }
  static Var jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    const std::int64_t axis = axis_of(node.attributes);
    const Var y = node.out[0];
    const Var t = *tangents[0];
    if constexpr (log) return log_softmax_slope(exp(y), t, axis);
    return softmax_slope(y, t, axis);
  }
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    const auto add = [&](std::string name, Shape shape, std::int64_t axis) {
      cases.push_back({std::move(name), {Arg{std::move(shape)}}, [axis](std::span<const Var> in) {
                         return std::vector<Var>{log ? log_softmax(in[0], axis)
                                                     : softmax(in[0], axis)};
                       }});
    };
    add("rows", {3, 4}, -1);
    add("columns", {3, 4}, 0);
    add("a middle axis", {2, 3, 2}, 1);
    add("a vector", {5}, 0);
    add("one class", {3, 1}, 1);
    add("no rows", {0, 3}, 1);
    add("no classes", {2, 0}, 1);
    return cases;
  }
};
// The results with weights, since their sum does not change.
template <bool log>
std::vector<Var> weighted(std::span<const Var> in) {
  const auto size = static_cast<std::size_t>(in[0].shape().back());
  const std::vector<double> all{1, -2, 3};
  const Tensor weights =
      detail::row({all.begin(), all.begin() + static_cast<std::ptrdiff_t>(size)});
  const Var y = log ? log_softmax(in[0]) : softmax(in[0]);
  return {y * weights.to(in[0].dtype())};
}

struct Softmax : AnySoftmax<false> {
  static constexpr auto name = "softmax";
  static constexpr Shift shift{.axis = "axis"};
  static constexpr auto doc = "e^x over its sum along an axis";
  static constexpr auto math = "y_i = e^(x_i) / sum_j e^(x_j); dy = y (dx - sum_j y_j dx_j).";
  static constexpr auto example =
      Example{"softmax(g.constant(Tensor{0, 0, 0, 0}))", "[0.25 0.25 0.25 0.25]"};
  static std::vector<Edge> edges() {
    using namespace detail;
    return edges_of(
        weighted<false>,
        {{"ties",
          {row({3, 3, 3})},
          {row({1.0 / 3, -2.0 / 3, 1})},
          {row({1.0 / 9, -8.0 / 9, 7.0 / 9})}},
         {"far from zero", {row({0x1p27, 0x1p27})}, {row({0.5, -1})}, {row({0.75, -0.75})}},
         {"nearly certain",
          {row({0, -20})},
          {row({0.9999999979388464, -4.1223072363804075e-09})},
          {row({6.183460841825548e-09, -6.183460841825548e-09})}},
         {"certain",
          {row({0, -60})},
          {row({1, -1.751302152539304e-26})},
          {row({2.6269532288089563e-26, -2.6269532288089563e-26})}},
         {"nearly certain of three",
          {row({-30, 2, -18.5})},
          {row({1.2664165533261873e-14, -1.999999997499669, 3.750458594471534e-09})},
          {row({3.799249652062442e-14, -6.250802308801285e-09, 6.250764316304765e-09})}},
         {"huge differences", {row({0x1p100, -0x1p100})}, {row({1, 0})}, {row({0, 0})}},
         {"one element", {row({5})}, {row({1})}, {row({0})}},
         {"minus infinity", {row({-infinity, 0, 0})}, {row({0, -1, 1.5})}, {row({0, -1.25, 1.25})}},
         {"nothing but minus infinity",
          {row({-infinity, -infinity})},
          {row({not_a_number, not_a_number})},
          {row({not_a_number, not_a_number})}},
         {"NaN",
          {row({1, not_a_number})},
          {row({not_a_number, not_a_number})},
          {row({not_a_number, not_a_number})}}});
  }
};
struct LogSoftmax : AnySoftmax<true> {
  static constexpr auto name = "log_softmax";
  static constexpr Shift shift{.axis = "axis"};
  static constexpr auto doc = "the logarithm of softmax along an axis";
  static constexpr auto math = "y_i = x_i - log sum_j e^(x_j); dy = dx - sum_j e^(y_j) dx_j.";
  static constexpr auto example =
      Example{"log_softmax(g.constant(Tensor{0, 0}))", "[-0.6931472 -0.6931472]"};
  static std::vector<Edge> edges() {
    using namespace detail;
    const auto first = [](std::span<const Var> in) {
      return std::vector<Var>{log_softmax(in[0]) * row({1, 0}).to(in[0].dtype())};
    };
    return joined(
        {edges_of(
             weighted<true>,
             {{"ties",
               {row({3, 3, 3})},
               {row({-1.0986122886681098, 2.1972245773362196, -3.295836866004329})},
               {row({1.0 / 3, -8.0 / 3, 7.0 / 3})}},
              {"far from zero",
               {row({0x1p27, 0x1p27})},
               {row({-0.6931471805599453, 1.3862943611198906})},
               {row({1.5, -1.5})}},
              {"nearly certain",
               {row({0, -20})},
               {row({-2.061153620314381e-09, 40.000000004122306})},
               {row({1.9999999979388463, -1.9999999979388463})}},
              {"certain", {row({0, -60})}, {row({-8.75651076269652e-27, 120})}, {row({2, -2})}},
              {"nearly certain of three",
               {row({-30, 2, -18.5})},
               {row({-32.000000001250164, 2.5003310595416695e-09, -61.50000000375049})},
               {row({0.9999999999999747, -3.999999997499669, 2.9999999974996943})}},
              {"huge differences", {row({0x1p100, -0x1p100})}, {row({0, 0x1p102})}, {row({2, -2})}},
              {"one element", {row({5})}, {row({0})}, {row({0})}},
              {"nothing but minus infinity",
               {row({-infinity, -infinity})},
               {row({not_a_number, not_a_number})},
               {row({not_a_number, not_a_number})}},
              {"NaN",
               {row({1, not_a_number})},
               {row({not_a_number, not_a_number})},
               {row({not_a_number, not_a_number})}}}),
         edges_of(first, {{"nearly certain, alone",
                           {row({20, 0})},
                           {row({-2.061153620314381e-09, 0})},
                           {row({2.0611536181902037e-09, -2.0611536181902037e-09})}}})});
  }
};
constexpr General<Softmax> softmax_op;
constexpr General<LogSoftmax> log_softmax_op;

Attributes axis_attribute(const In& x, std::int64_t axis) {
  return {{"axis", detail::wrap_axis(axis, detail::shape_of(x).rank())}};
}

}  // namespace

Var softmax(In x, std::int64_t axis) { return softmax_op(x, axis_attribute(x, axis)); }
Var detail::softmax_with_limits(In x, std::int64_t axis) {
  return softmax_op(x, axis_attribute(x, axis).with(limits_name, true));
}
Var log_softmax(In x, std::int64_t axis) { return log_softmax_op(x, axis_attribute(x, axis)); }

Var log_softmax_slope(In y, In t, std::int64_t axis, bool transposed) {
  return log_softmax_slope_op(y, t, axis_attribute(y, axis).with(transposed_name, transposed));
}
Var softmax_slope(In y, In t, std::int64_t axis) {
  return softmax_slope_op(y, t, axis_attribute(y, axis));
}

void detail::register_softmax() {
  register_all(softmax_op, log_softmax_op, softmax_slope_op, log_softmax_slope_op);
}

}  // namespace dualtape
