#include <dualtape/ops/softmax.hpp>

#include <cmath>
#include <limits>

#include <dualtape/core/detail/team.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/detail/families.hpp>
#include <dualtape/ops/detail/fold_plan.hpp>
#include <dualtape/ops/detail/operand.hpp>
#include <dualtape/ops/detail/softmax_slope.hpp>
#include <dualtape/ops/detail/strided.hpp>
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
    inference.out.push_back(inference.in[0].type());
  }
  static Kernel kernel(const KernelRequest& request) {
    const Type& type = request.in[0];
    const auto axis = static_cast<std::size_t>(axis_of(request.attributes));
    const Blocks blocks(detail::split_at(type.shape, axis));
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
    if constexpr (log) return t - sum(exp(y) * t, {axis}, true);
    return y * (t - sum(y * t, {axis}, true));
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
struct Softmax : AnySoftmax<false> {
  static constexpr auto name = "softmax";
  static constexpr auto doc = "e^x over its sum along an axis";
  static constexpr auto math = "y_i = e^(x_i) / sum_j e^(x_j); dy = y (dx - sum_j y_j dx_j).";
  static constexpr auto example =
      Example{"softmax(g.constant(Tensor{0, 0, 0, 0}))", "[0.25 0.25 0.25 0.25]"};
};
struct LogSoftmax : AnySoftmax<true> {
  static constexpr auto name = "log_softmax";
  static constexpr auto doc = "the logarithm of softmax along an axis";
  static constexpr auto math = "y_i = x_i - log sum_j e^(x_j); dy = dx - sum_j e^(y_j) dx_j.";
  static constexpr auto example =
      Example{"log_softmax(g.constant(Tensor{0, 0}))", "[-0.6931472 -0.6931472]"};
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

void detail::register_softmax() { register_all(softmax_op, log_softmax_op); }

}  // namespace dualtape
