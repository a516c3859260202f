#include <dualtape/ops/reduce.hpp>

#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/declare/edge_calls.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/reduction.hpp>
#include <dualtape/ops/kernels/rows/divided_fold.hpp>
#include <dualtape/ops/kernels/rows/fold.hpp>

namespace dualtape {
namespace {

struct Sum {
  static constexpr auto name = "sum";
  static constexpr Shift shift{.axes = "axes"};
  static constexpr auto doc = "the sum over axes";
  static constexpr auto math =
      "y = sum_i x_i; dy = sum_i dx_i. Backward: the cotangent is repeated along the summed axes.";
  static constexpr auto example =
      Example{"sum(g.constant(Tensor{{1, 2}, {3, 4}}), {0})", "[4. 6.]"};
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    Shape shape = detail::infer_reduction(inference);
    const DType dtype = inference.dtype(0);
    inference.out.push_back({std::move(shape), is_floating(dtype) ? dtype : int64});
  }
  static Kernel kernel(const KernelRequest& request) {
    const detail::DividedFold folds({request.in[0].shape, request.attributes.get<Ints>("axes")},
                                    is_floating(request.in[0].dtype));
    return dispatch(request.in[0].dtype, [&]<class T>() -> Kernel {
      using Fold = detail::SumFold<T>;
      using Result = typename Fold::Result;
      if constexpr (std::floating_point<T>)
        return {[folds, sum = detail::row_kernels<T>().sum](const KernelArgs& args) {
                  folds.run<T, T>(args, sum);
                },
                folds.workspace_bytes(sizeof(T))};
      else
        return {[folds](const KernelArgs& args) {
          folds.run<T, Result>(args, [](const auto& plan, const T* in, Result* out) {
            detail::fold<Fold>(plan, in, out, [](Result total) { return total; });
          });
        }};
    });
  }
  static Cost cost(const KernelRequest& request) { return per_operand_element(request); }
  static Var transpose(const NodeView& node, std::size_t, Var cotangent) {
    return broadcast_to(detail::with_kept_axes(node, cotangent), node.in[0].shape());
  }
  static std::vector<Edge> edges() {
    using namespace detail;
    return edges_of(
        [](std::span<const Var> in) { return std::vector<Var>{sum(in[0])}; },
        {{"nothing", {row({})}, {number(0)}, {row({})}},
         {"tiny numbers", {row({0x1p-120, 0x1p-121})}, {number(0x1.8p-120)}, {row({1, 1})}},
         {"denormals of float32", {row({0x1p-130, 0x1p-130})}, {number(0x1p-129)}, {row({1, 1})}},
         {"infinity", {row({infinity, 1})}, {number(infinity)}, {row({1, 1})}},
         {"both infinities", {row({infinity, -infinity})}, {number(not_a_number)}, {row({1, 1})}},
         {"beyond float32", {row({0x1.8p127, 0x1.8p127})}, {number(0x1.8p128)}, {row({1, 1})}},
         {"NaN", {row({not_a_number, 1})}, {number(not_a_number)}, {row({1, 1})}}});
  }
  static std::vector<Case> cases() {
    const auto call = [](Var x, const Ints& axes, bool keepdims) { return sum(x, axes, keepdims); };
    auto cases = detail::reduction_cases(call, domain(-2, 2), true);
    cases.push_back({"integers", {Arg{{3, 4}, domain(-9, 9), int32}}, [](std::span<const Var> in) {
                       return std::vector<Var>{sum(in[0], {1})};
                     }});
    return cases;
  }
};
constexpr Linear<Sum> sum_op;

// Whether every, or any, element is true.
template <bool every>
struct Truth {
  static constexpr bool can_fail = false;
  static constexpr auto reason = "a truth value does not change with small changes of its operand";

  static void infer(Inference& inference) {
    Shape shape = detail::infer_reduction(inference);
    if (inference.dtype(0) != boolean)
      inference.type_error("the operand must be bool, got " + to_string(inference.in[0]),
                           "compare first, as in not_equal(x, 0)");
    inference.out.push_back({std::move(shape), boolean});
  }
  static Kernel kernel(const KernelRequest& request) {
    const detail::FoldPlan plan(request.in[0].shape, request.attributes.get<Ints>("axes"));
    return {[plan](const KernelArgs& args) {
      detail::fold<detail::TruthFold<every>>(plan, args.input<bool>(0), args.output<bool>(),
                                             [](bool truth) { return truth; });
    }};
  }
  static std::vector<Edge> edges() {
    using namespace detail;
    return edges_of(
        [](std::span<const Var> in) {
          return std::vector<Var>{every ? all(in[0] > 0) : any(in[0] > 0)};
        },
        {{"nothing", {row({})}, {number(every ? 1 : 0)}},
         {"NaN, which is not above 0", {row({not_a_number, 1})}, {number(every ? 0 : 1)}},
         {"infinity and a tiny number", {row({infinity, 0x1p-120})}, {number(1)}},
         {"zeros of both signs", {row({0.0, -0.0})}, {number(0)}}});
  }
  static std::vector<Case> cases() {
    return detail::reduction_cases(
        [](Var x, const Ints& axes, bool keepdims) {
          return every ? all(x, axes, keepdims) : any(x, axes, keepdims);
        },
        domain(0, 1), true, boolean);
  }
};
struct Any : Truth<false> {
  static constexpr auto name = "any";
  static constexpr Shift shift{.axes = "axes"};
  static constexpr auto doc = "whether any element is true, over axes";
  static constexpr auto math = "y = x_1 or x_2 or ...; false of nothing.";
  static constexpr auto example = Example{"any(g.constant(Tensor{0, 1}) > 0)", "True"};
};
struct All : Truth<true> {
  static constexpr auto name = "all";
  static constexpr Shift shift{.axes = "axes"};
  static constexpr auto doc = "whether every element is true, over axes";
  static constexpr auto math = "y = x_1 and x_2 and ...; true of nothing.";
  static constexpr auto example = Example{"all(g.constant(Tensor{0, 1}) > 0)", "False"};
};
constexpr ZeroDerivative<Any> any_op;
constexpr ZeroDerivative<All> all_op;

}  // namespace

Var sum(In x, const Axes& axes, bool keepdims) {
  return sum_op(x, detail::reduction_attributes(x, axes.vector(), keepdims));
}
Var any(In x, const Axes& axes, bool keepdims) {
  return any_op(x, detail::reduction_attributes(x, axes.vector(), keepdims));
}
Var all(In x, const Axes& axes, bool keepdims) {
  return all_op(x, detail::reduction_attributes(x, axes.vector(), keepdims));
}

void detail::register_reduce() { register_all(sum_op, any_op, all_op); }

}  // namespace dualtape
