#include <dualtape/ops/extremes.hpp>

#include <algorithm>
#include <concepts>

#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/declare/edge_calls.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/reduction.hpp>
#include <dualtape/ops/declare/samples.hpp>
#include <dualtape/ops/kernels/rows/divided_fold.hpp>
#include <dualtape/ops/kernels/rows/fold.hpp>
#include <dualtape/ops/kernels/rows/strided.hpp>
#include <dualtape/ops/reduce.hpp>

namespace dualtape {
namespace {

// Checks that numbers are given and that every result has one to choose from; the result's shape.
Shape infer_extreme(const Inference& inference) {
  Shape shape = detail::infer_reduction(inference);
  if (inference.dtype(0) == boolean)
    inference.type_error("the operand must be of numbers, got " + to_string(inference.in[0]),
                         "any() and all() reduce bools");
  const auto& axes = inference.attributes.get<Ints>("axes");
  if (detail::reduced_count(inference.shape(0), axes) == 0)
    inference.shape_error("there is no element to choose: " + to_string(inference.in[0]) +
                              " along axes " + to_string(Attribute(axes)),
                          "reduce axes that are not empty");
  return shape;
}

template <bool larger>
struct Extreme {
  static constexpr bool can_fail = false;
  static void infer(Inference& inference) {
    Shape shape = infer_extreme(inference);
    inference.out.push_back({std::move(shape), inference.dtype(0)});
  }
  static Kernel kernel(const KernelRequest& request) {
    const detail::DividedFold folds({request.in[0].shape, request.attributes.get<Ints>("axes")},
                                    true);
    return dispatch(request.in[0].dtype, [&]<class T>() -> Kernel {
      if constexpr (std::floating_point<T>) {
        const auto& kernels = detail::row_kernels<T>();
        return {[folds, extreme = larger ? kernels.max : kernels.min](const KernelArgs& args) {
                  folds.run<T, T>(args, extreme);
                },
                folds.workspace_bytes(sizeof(T))};
      } else {
        return {[folds](const KernelArgs& args) {
                  folds.run<T, T>(args, [](const auto& plan, const T* in, T* out) {
                    detail::fold<detail::ExtremeFold<T, larger>>(plan, in, out,
                                                                 [](T value) { return value; });
                  });
                },
                folds.workspace_bytes(sizeof(T))};
      }
    });
  }
  static Var jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    const Var x = node.in[0];
    const Ints& axes = detail::axes_of(node);
    const Var chosen = cast(equal(x, detail::with_kept_axes(node, node.out[0])), x.dtype());
    const Var share = chosen / sum(chosen, axes, true);
    return sum(share * *tangents[0], axes, detail::keeps_dims(node));
  }
  static std::vector<Edge> edges() {
    using namespace detail;
    const double sign = larger ? 1 : -1;
    return edges_of(
        [](std::span<const Var> in) { return std::vector<Var>{larger ? max(in[0]) : min(in[0])}; },
        {{"ties share", {row({2, 2, 2 - sign})}, {number(2)}, {row({0.5, 0.5, 0})}},
         {"all equal", {row({0, 0, 0, 0})}, {number(0)}, {row({0.25, 0.25, 0.25, 0.25})}},
         {"zeros of both signs", {row({0.0, -0.0})}, {number(0)}, {row({0.5, 0.5})}},
         {"the infinity chosen",
          {row({sign * infinity, 1})},
          {number(sign * infinity)},
          {row({1, 0})}},
         {"the infinity passed over", {row({-sign * infinity, 1})}, {number(1)}, {row({0, 1})}},
         {"infinities share", {row({infinity, infinity})}, {number(infinity)}, {row({0.5, 0.5})}},
         {"tiny and huge",
          {row({0x1p-126, -0x1p127})},
          {number(larger ? 0x1p-126 : -0x1p127)},
          {row({larger ? 1.0 : 0.0, larger ? 0.0 : 1.0})}},
         {"NaN",
          {row({1, not_a_number})},
          {number(not_a_number)},
          {row({not_a_number, not_a_number})}}});
  }
  static std::vector<Case> cases() {
    auto cases = detail::reduction_cases(
        [](Var x, const Ints& axes, bool keepdims) {
          return larger ? max(x, axes, keepdims) : min(x, axes, keepdims);
        },
        domain(-2, 2), false);
    for (Case& sample : cases)
      for (Arg& arg : sample.args) arg = detail::distinct(arg.shape);
    return cases;
  }
};
struct Max : Extreme<true> {
  static constexpr auto name = "max";
  static constexpr Shift shift{.axes = "axes"};
  static constexpr auto doc = "the largest element over axes";
  static constexpr auto math =
      "y = max_i x_i; dy = the mean of dx_i over those i with x_i = y, so that ties share the "
      "derivative equally. NaN if an element is NaN.";
  static constexpr auto example =
      Example{"max(g.constant(Tensor{{1, 5}, {4, 2}}), {1})", "[5. 4.]"};
};
struct Min : Extreme<false> {
  static constexpr auto name = "min";
  static constexpr Shift shift{.axes = "axes"};
  static constexpr auto doc = "the smallest element over axes";
  static constexpr auto math =
      "y = min_i x_i; dy = the mean of dx_i over those i with x_i = y, so that ties share the "
      "derivative equally. NaN if an element is NaN.";
  static constexpr auto example =
      Example{"min(g.constant(Tensor{{1, 5}, {4, 2}}), {1})", "[1. 2.]"};
};
constexpr General<Max> max_op;
constexpr General<Min> min_op;

// The place of the extreme in n contiguous integers.
template <class T, bool larger>
std::int64_t place_in_row(const T* row, std::size_t n) {
  const T extreme = detail::fold_run<detail::ExtremeFold<T, larger>>(row, n);
  return std::find(row, row + n, extreme) - row;
}

template <class T, bool larger>
typename detail::RowKernelsOf<T>::Find place_finder() {
  if constexpr (std::floating_point<T>) {
    const auto& kernels = detail::row_kernels<T>();
    return larger ? kernels.argmax : kernels.argmin;
  } else {
    return &place_in_row<T, larger>;
  }
}

// The same for floats too, for every column of a block of `size` rows of `inner` elements.
template <class T, bool larger>
void places_in_columns(const T* in, std::int64_t* out, std::size_t size, std::size_t inner) {
  std::fill(out, out + inner, 0);
  for (std::size_t row = 1; row < size; ++row) {
    for (std::size_t column = 0; column < inner; ++column) {
      const T best = in[static_cast<std::size_t>(out[column]) * inner + column];
      const T next = in[row * inner + column];
      const bool better = (larger ? next > best : next < best) || next != next;
      if (better && best == best) out[column] = static_cast<std::int64_t>(row);
    }
  }
}

template <bool larger>
struct Place {
  static constexpr bool can_fail = false;
  static constexpr auto reason = "a place does not change with small changes of the elements";

  static void infer(Inference& inference) {
    Shape shape = infer_extreme(inference);
    const auto& axes = inference.attributes.get<Ints>("axes");
    if (axes.size() != 1)
      inference.shape_error("the attribute axes is " + to_string(Attribute(axes)),
                            "name the one axis along which to look");
    inference.out.push_back({std::move(shape), int64});
  }
  static Kernel kernel(const KernelRequest& request) {
    const auto axis = static_cast<std::size_t>(request.attributes.get<Ints>("axes")[0]);
    const detail::AxisSplit split = detail::split_at(request.in[0].shape, axis);
    const auto outer = static_cast<std::size_t>(split.outer);
    const auto size = static_cast<std::size_t>(split.size);
    const auto inner = static_cast<std::size_t>(split.inner);
    return dispatch(request.in[0].dtype, [=]<class T>() -> Kernel {
      return {[=, find = place_finder<T, larger>()](const KernelArgs& args) {
        const T* in = args.input<T>(0);
        auto* out = args.output<std::int64_t>();
        const std::size_t block = size * inner;
        detail::in_ranges(
            args, outer, 1, outer * block, [&](std::size_t first, std::size_t last, void*) {
              for (std::size_t k = first; k < last; ++k) {
                if (inner == 1)
                  out[k] = find(in + k * block, size);
                else
                  places_in_columns<T, larger>(in + k * block, out + k * inner, size, inner);
              }
            });
      }};
    });
  }
  static std::vector<Edge> edges() {
    using namespace detail;
    const double sign = larger ? 1 : -1;
    return edges_of(
        [](std::span<const Var> in) {
          return std::vector<Var>{larger ? argmax(in[0]) : argmin(in[0])};
        },
        {{"ties: the first", {row({1, 2 * sign, 2 * sign})}, {number(1)}},
         {"zeros of both signs", {row({-0.0, 0.0})}, {number(0)}},
         {"NaN: the first", {row({sign * infinity, not_a_number, not_a_number})}, {number(1)}},
         {"the infinity chosen", {row({1, sign * infinity})}, {number(1)}},
         {"the infinity passed over", {row({-sign * infinity, 1})}, {number(1)}}});
  }
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    const auto add = [&](std::string name, Shape shape, std::int64_t axis, bool keepdims) {
      cases.push_back({std::move(name), {Arg{std::move(shape)}}, [=](std::span<const Var> in) {
                         return std::vector<Var>{larger ? argmax(in[0], axis, keepdims)
                                                        : argmin(in[0], axis, keepdims)};
                       }});
    };
    add("rows", {3, 4}, -1, false);
    add("columns, kept", {3, 4}, 0, true);
    add("a middle axis", {2, 3, 2}, 1, false);
    add("a vector", {5}, 0, false);
    add("no rows", {0, 3}, 1, false);
    return cases;
  }
};
struct Argmax : Place<true> {
  static constexpr auto name = "argmax";
  static constexpr Shift shift{.axes = "axes"};
  static constexpr auto doc = "the place of the largest element along an axis";
  static constexpr auto math =
      "y = the first i with x_i = max_j x_j; the first NaN if there is one.";
  static constexpr auto example = Example{"argmax(g.constant(Tensor{{1, 5}, {4, 2}}))", "[1 0]"};
};
struct Argmin : Place<false> {
  static constexpr auto name = "argmin";
  static constexpr Shift shift{.axes = "axes"};
  static constexpr auto doc = "the place of the smallest element along an axis";
  static constexpr auto math =
      "y = the first i with x_i = min_j x_j; the first NaN if there is one.";
  static constexpr auto example = Example{"argmin(g.constant(Tensor{{1, 5}, {4, 2}}))", "[0 1]"};
};
constexpr ZeroDerivative<Argmax> argmax_op;
constexpr ZeroDerivative<Argmin> argmin_op;

}  // namespace

Var max(In x, std::vector<std::int64_t> axes, bool keepdims) {
  return max_op(x, detail::reduction_attributes(x, std::move(axes), keepdims));
}
Var min(In x, std::vector<std::int64_t> axes, bool keepdims) {
  return min_op(x, detail::reduction_attributes(x, std::move(axes), keepdims));
}
Var argmax(In x, std::int64_t axis, bool keepdims) {
  return argmax_op(x, detail::reduction_attributes(x, {axis}, keepdims));
}
Var argmin(In x, std::int64_t axis, bool keepdims) {
  return argmin_op(x, detail::reduction_attributes(x, {axis}, keepdims));
}

void detail::register_extremes() { register_all(max_op, min_op, argmax_op, argmin_op); }

}  // namespace dualtape
