#include <dualtape/ops/scan.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>

#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/declare/reduction.hpp>
#include <dualtape/ops/declare/running.hpp>
#include <dualtape/ops/kernels/rows/fold.hpp>
#include <dualtape/ops/kernels/rows/recurrence.hpp>
#include <dualtape/ops/kernels/rows/strided.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/slice.hpp>

namespace dualtape {
namespace {

using detail::Running;

DType dtype_of_result(DType dtype) { return is_floating(dtype) ? dtype : int64; }

// Products of elements, in a balanced tree; integers and bools in int64.
template <class T>
struct ProductFold {
  using Element = T;
  using Result = std::conditional_t<std::floating_point<T>, T, std::int64_t>;
  using Numbers = std::conditional_t<std::floating_point<T>, detail::Lane<T>, detail::Pack<Result>>;
  static Result identity() { return 1; }
  static Numbers lift(const T* from) {
    if constexpr (std::floating_point<T>)
      return Numbers::load(from);
    else
      return Numbers::load(from, [](T value) { return lift(value); });
  }
  static Result lift(T value) { return static_cast<Result>(value); }
  static Numbers combine(const Numbers& a, const Numbers& b) {
    if constexpr (std::floating_point<T>)
      return a * b;
    else
      return Numbers::map(a, b, [](Result x, Result y) { return combine(x, y); });
  }
  static Result combine(Result a, Result b) {
    if constexpr (std::floating_point<T>)
      return a * b;
    else
      return static_cast<Result>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
  }
};

// Output k, whatever its factors multiply to on the way: in float64, which most products of float32
// stay in, and in Scaled only if that was left as well.
template <class T>
T wide_product(const detail::FoldPlan& plan, const T* in, std::size_t k) {
  double product = 1;
  detail::each_folded(plan, in, k, [&](double x) { product *= x; });
  if (!detail::may_have_left(product)) return static_cast<T>(product);
  detail::Scaled scaled(1);
  detail::each_folded(plan, in, k, [&](double x) { scaled *= detail::Scaled(x); });
  return static_cast<T>(scaled.value());
}

struct Prod {
  static constexpr auto name = "prod";
  static constexpr Shift shift{.axes = "axes"};
  static constexpr auto doc = "the product over axes";
  static constexpr auto math =
      "y = prod_i x_i; dy = sum_i (prod_{j != i} x_j) dx_i, the last of cumprod's: without "
      "division, so zeros do no harm, nor partial products that are no floats.";
  static constexpr auto example =
      Example{"prod(g.constant(Tensor{{1, 2}, {3, 4}}), {1})", "[ 2. 12.]"};
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    inference.out.push_back(
        {detail::infer_reduction(inference), dtype_of_result(inference.dtype(0))});
  }
  static Kernel kernel(const KernelRequest& request) {
    const detail::FoldPlan plan(request.in[0].shape, request.attributes.get<Ints>("axes"));
    return dispatch(request.in[0].dtype, [&]<class T>() -> Kernel {
      using Fold = ProductFold<T>;
      using Result = typename Fold::Result;
      return {[plan](const KernelArgs& args) {
        const T* const in = args.input<T>(0);
        auto* const out = args.output<Result>();
        detail::fold<Fold>(plan, in, out, [](Result y) { return y; });
        if constexpr (std::floating_point<T>)
          for (std::size_t k = 0; k < plan.outputs(); ++k)
            if (detail::may_have_left(out[k])) out[k] = wide_product(plan, in, k);
      }};
    });
  }
  // x with its reduced axes as one, the last.
  static Var factors_last(const NodeView& node, Var x) {
    const Ints& axes = detail::axes_of(node);
    Ints order, sizes;
    for (std::size_t i = 0; i < x.rank(); ++i) {
      if (std::ranges::find(axes, static_cast<std::int64_t>(i)) != axes.end()) continue;
      order.push_back(static_cast<std::int64_t>(i));
      sizes.push_back(x.shape()[i]);
    }
    order.insert(order.end(), axes.begin(), axes.end());
    sizes.push_back(detail::reduced_count(x.shape(), axes));
    return reshape(permute(x, order), sizes);
  }
  static MaybeVar jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    if (!tangents[0] || node.in[0].shape().count() == 0) return std::nullopt;
    const Var x = factors_last(node, node.in[0]);
    const auto axis = static_cast<std::int64_t>(x.rank()) - 1;
    const Var changes = detail::cumprod_change(x, factors_last(node, *tangents[0]), axis);
    const std::int64_t size = x.shape().back();
    const Var y = stop_gradient(node.out[0]);
    const Var last = reshape(slice(changes, axis, size - 1, size), y.shape());
    // Where the product is NaN, all slopes are: a tangent of 0 does not take a NaN away.
    return last * where(isnan(y), y, 1);
  }
  static std::vector<Edge> edges() { return detail::line_edges(name); }
  static std::vector<Case> cases() {
    const auto call = [](Var x, const Ints& axes, bool keepdims) {
      return prod(x, axes, keepdims);
    };
    auto cases = detail::reduction_cases(call, domain(-1.5, 1.5), true);
    const auto with_zeros = [](std::size_t zeros) {
      return [zeros](Key key) {
        Tensor values = draw(Arg{{3, 4}, domain(0.5, 1.5)}, key, float64);
        for (std::size_t i = 0; i < zeros; ++i) values.data<double>()[4 + 2 * i] = 0;
        return values;
      };
    };
    for (const std::size_t zeros : {1U, 2U})
      cases.push_back(
          {std::to_string(zeros) + " zeros in a row",
           {Arg{{3, 4}, {}, float64, with_zeros(zeros)}},
           [call](std::span<const Var> in) { return std::vector<Var>{call(in[0], {1}, false)}; }});
    cases.push_back({"integers", {Arg{{3, 4}, domain(-3, 3), int32}}, [](std::span<const Var> in) {
                       return std::vector<Var>{prod(in[0], {1})};
                     }});
    return cases;
  }
};
constexpr General<Prod> prod_op;

struct Cumsum {
  static constexpr auto name = "cumsum";
  static constexpr Shift shift{.axis = "axis"};
  static constexpr auto doc = "running sums along an axis";
  static constexpr auto math =
      "y_i = sum_{j <= i} x_j (j < i if exclusive; from the end if reverse); linear: the vjp sums "
      "the cotangent from the other end.";
  static constexpr auto example = Example{"cumsum(g.constant(Tensor{1, 2, 3}))", "[1. 3. 6.]"};
  static constexpr std::size_t columns_at_once = 64;
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    inference.require_count(1);
    const std::int64_t axis = inference.attributes.get<std::int64_t>("axis");
    static_cast<void>(inference.axis(axis, inference.shape(0).rank()));
    inference.out = {{inference.shape(0), dtype_of_result(inference.dtype(0))}};
  }
  struct Plan {
    std::size_t outer, size, inner;
    bool exclusive, reverse;
  };
  // Rows first ... last - 1 of `width` neighbouring columns, whose sums so far are `sums` beside
  // `whole`.
  template <bool beside, class T, class Result, class Sums>
  static void run_rows(const Plan& plan, std::size_t first, std::size_t last, const T* in,
                       Result* out, std::size_t width, Sums& sums, const Sums& whole) {
    for (std::size_t i = first; i < last; ++i) {
      const std::size_t row = (plan.reverse ? plan.size - 1 - i : i) * plan.inner;
      for (std::size_t k = 0; k < width; ++k) {
        const Running<T> before = sums[k];
        sums[k] += static_cast<Running<T>>(in[row + k]);
        const Running<T> sum = plan.exclusive ? before : sums[k];
        out[row + k] = static_cast<Result>(beside ? whole[k] + sum : sum);
      }
    }
  }
  // `width` neighbouring columns of one outer entry. A line of float64, which alone is summed in
  // the dtype of its results, goes in blocks: roundings are few, and what the sums of whole blocks
  // lose is kept. Columns side by side would take a third longer.
  template <class T, class Result>
  static void run_columns(const Plan& plan, const T* in, Result* out, std::size_t width) {
    using Sums = std::array<Running<T>, columns_at_once>;
    if (!std::same_as<T, double> || width > 1) {
      Sums sums{};
      // Of one column the compiler keeps the sum in a register.
      if (width == 1) return run_rows<false>(plan, 0, plan.size, in, out, 1, sums, sums);
      return run_rows<false>(plan, 0, plan.size, in, out, width, sums, sums);
    }
    Sums whole{};
    Running<T> lost = 0;
    constexpr std::size_t block = 16;
    for (std::size_t first = 0; first < plan.size; first += block) {
      Sums sums{};
      run_rows<true>(plan, first, std::min(first + block, plan.size), in, out, 1, sums, whole);
      if constexpr (std::same_as<T, double>) add_block(sums[0], whole[0], lost);
    }
  }
  static void add_block(double sum, double& whole, double& lost) {
    const double step = sum - lost;
    const double next = whole + step;
    lost = std::isfinite(next) ? (next - whole) - step : 0;
    whole = next;
  }
  static Kernel kernel(const KernelRequest& request) {
    const Shape& shape = request.in[0].shape;
    const std::int64_t axis =
        detail::wrap_axis(request.attributes.get<std::int64_t>("axis"), shape.rank());
    const auto split = detail::split_at(shape, static_cast<std::size_t>(axis));
    const Plan plan{static_cast<std::size_t>(split.outer), static_cast<std::size_t>(split.size),
                    static_cast<std::size_t>(split.inner),
                    request.attributes.get<bool>("exclusive"),
                    request.attributes.get<bool>("reverse")};
    return dispatch(request.in[0].dtype, [&]<class T>() -> Kernel {
      using Result = std::conditional_t<std::floating_point<T>, T, std::int64_t>;
      return {[plan](const KernelArgs& args) {
        for (std::size_t o = 0; o < plan.outer; ++o) {
          for (std::size_t column = 0; column < plan.inner; column += columns_at_once) {
            const std::size_t at = o * plan.size * plan.inner + column;
            run_columns(plan, args.input<T>(0) + at, args.output<Result>() + at,
                        std::min(columns_at_once, plan.inner - column));
          }
        }
      }};
    });
  }
  static Var transpose(const NodeView& node, std::size_t, Var cotangent) {
    return cumsum(cotangent, node.attributes.get<std::int64_t>("axis"),
                  node.attributes.get<bool>("exclusive"), !node.attributes.get<bool>("reverse"));
  }
  static std::vector<Edge> edges() { return detail::line_edges(name); }
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    const auto add = [&](std::string name, Shape shape, std::int64_t axis, bool exclusive,
                         bool reverse, DType dtype = float64) {
      cases.push_back({std::move(name),
                       {Arg{std::move(shape), domain(-2, 2), dtype}},
                       [=](std::span<const Var> in) {
                         return std::vector<Var>{cumsum(in[0], axis, exclusive, reverse)};
                       }});
    };
    add("a vector", {5}, -1, false, false);
    add("exclusive", {5}, 0, true, false);
    add("reverse", {3, 4}, 1, false, true);
    add("both", {3, 4}, 0, true, true);
    add("a middle axis", {2, 3, 2}, -2, false, false);
    add("one entry", {3, 1}, 1, true, false);
    add("nothing", {0, 2}, 0, false, false);
    add("integers", {4}, 0, false, false, int32);
    return cases;
  }
};
constexpr Linear<Cumsum> cumsum_op;

}  // namespace

Var prod(In x, const Axes& axes, bool keepdims) {
  return prod_op(x, detail::reduction_attributes(x, axes.vector(), keepdims));
}

Var cumsum(In x, std::int64_t axis, bool exclusive, bool reverse) {
  const std::size_t place = detail::require_axis("cumsum", x, axis, detail::shape_of(x).rank());
  return cumsum_op(
      x,
      {{"axis", static_cast<std::int64_t>(place)}, {"exclusive", exclusive}, {"reverse", reverse}});
}

namespace detail {

void register_scan() { register_all(prod_op, cumsum_op); }

}  // namespace detail
}  // namespace dualtape
