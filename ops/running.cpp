// The running functions of ops/scan.hpp but cumsum.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <type_traits>

#include <dualtape/core/composite.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/declare/running.hpp>
#include <dualtape/ops/declare/samples.hpp>
#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/kernels/rows/recurrence.hpp>
#include <dualtape/ops/kernels/rows/strided.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/scan.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/slice.hpp>

namespace dualtape {
namespace {

using detail::unary_case;

using detail::check_running_axis;
using detail::running_axis;
using detail::RunningLines;

// x moved on by one place along the axis, 0 coming in where it was.
Var shifted(Var x, std::int64_t axis) {
  const std::int64_t size = x.shape()[static_cast<std::size_t>(axis)];
  const Ints after(x.rank(), 0);
  Ints before = after;
  before[static_cast<std::size_t>(axis)] = 1;
  return pad(slice(x, axis, 0, size - 1), before, after, 0);
}

template <class F>
std::vector<Case> axis_cases(F f) {
  return {unary_case("a vector", {5}, [f](Var x) { return f(x, -1); }),
          unary_case("columns", {3, 4}, [f](Var x) { return f(x, 0); }),
          unary_case("a middle axis", {2, 3, 2}, [f](Var x) { return f(x, 1); }),
          unary_case("one entry", {3, 1}, [f](Var x) { return f(x, 1); }),
          unary_case("nothing", {0, 2}, [f](Var x) { return f(x, 0); })};
}

// ---- products and logarithms of sums ------------------------------------------------------------

// The running products of one line, whatever they pass through.
template <class T>
void scaled_products(const RunningLines& lines, const T* in, T* out, std::size_t first) {
  detail::Scaled product(1);
  for (std::size_t i = 0; i < lines.size; ++i) {
    const std::size_t at = first + i * lines.inner;
    product *= detail::Scaled(static_cast<double>(in[at]));
    out[at] = static_cast<T>(product.value());
  }
}

struct Cumprod {
  static constexpr auto name = "cumprod";
  static constexpr Shift shift{.axis = "axis"};
  static constexpr auto doc = "running products along an axis";
  static constexpr auto math =
      "y_i = x_0 ... x_i; dy_i = x_i dy_(i-1) + y_(i-1) dx_i, a linear recurrence: without "
      "division, so zeros do no harm, and with y_(i-1) as it goes, so that none need be a float.";
  static constexpr Example example{"cumprod(g.constant(Tensor{1, 2, 3}))", "[1. 2. 6.]"};
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    inference.require_count(1);
    check_running_axis(inference);
    const DType dtype = inference.dtype(0);
    inference.out = {{inference.shape(0), is_floating(dtype) ? dtype : int64}};
  }
  static Kernel kernel(const KernelRequest& request) {
    const RunningLines lines = RunningLines::along(request.out[0], request.attributes);
    return dispatch(request.in[0].dtype, [&]<class T>() -> Kernel {
      using Result = std::conditional_t<std::floating_point<T>, T, std::int64_t>;
      return {[lines](const KernelArgs& args) {
        const T* const in = args.input<T>(0);
        auto* const out = args.output<Result>();
        lines.each([&](std::size_t first) {
          detail::Running<T> product = 1;
          for (std::size_t i = 0; i < lines.size; ++i) {
            const std::size_t at = first + i * lines.inner;
            product *= static_cast<detail::Running<T>>(in[at]);
            out[at] = static_cast<Result>(product);
          }
          if constexpr (std::floating_point<T>)
            if (detail::may_have_left(product)) scaled_products(lines, in, out, first);
        });
      }};
    });
  }
  static MaybeVar jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    return detail::cumprod_change(node.in[0], *tangents[0], running_axis(node.attributes));
  }
  static std::vector<Edge> edges() { return detail::line_edges(name); }
  static std::vector<Case> cases() {
    auto cases = axis_cases([](Var x, std::int64_t axis) { return cumprod(x, axis); });
    Arg zeros{{3, 4}};
    zeros.make = [](Key key) {
      Tensor values = draw(Arg{{3, 4}, domain(0.5, 1.5)}, key, float64);
      for (const std::size_t i : {1U, 4U, 6U}) values.data<double>()[i] = 0;
      return values;
    };
    cases.push_back({"one and two zeros", {zeros}, [](std::span<const Var> in) {
                       return std::vector<Var>{cumprod(in[0], 1)};
                     }});
    cases.push_back({"integers", {Arg{{4}, domain(-3, 3), int32}}, [](std::span<const Var> in) {
                       return std::vector<Var>{cumprod(in[0])};
                     }});
    return cases;
  }
};
constexpr General<Cumprod> cumprod_op;

// Outputs 1 and 2 are what element i and what stands before it have of e^y_i, as shares of 1: the
// derivative reads them, since exp(x - y) has their digits only as far as y is exact. They are 0
// where y is infinite.
struct Logcumsumexp {
  static constexpr auto name = "logcumsumexp";
  static constexpr Shift shift{.axis = "axis"};
  static constexpr auto doc = "logarithms of running sums of exponentials along an axis";
  static constexpr auto math =
      "y_i = log sum_{j <= i} e^x_j; dy_i = e^(y_(i-1) - y_i) dy_(i-1) + e^(x_i - y_i) dx_i, a "
      "linear recurrence; 0 where y is infinite.";
  static constexpr Example example{"logcumsumexp(g.constant(Tensor{0, 0, 1000}))",
                                   "[0.000000e+00 6.931472e-01 1.000000e+03]"};
  static constexpr auto promotion = Promotion::common_floating;
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    inference.require_count(1);
    inference.require_floating(0);
    check_running_axis(inference);
    inference.out = {3, inference.in[0]};
  }
  // The sum so far is e^largest times 1 + rest, or nothing while all are -inf; `own` and `before`
  // are its last term and what stood there before.
  struct Sum {
    double largest = -infinity;
    double rest = 0;
    double own = 0;
    double before = 0;

    double one() const { return largest > -infinity ? 1 : 0; }
    void add(double x) {
      before = one() + rest;
      if (x > largest) {
        before *= std::exp(largest - x);
        rest = before;
        own = 1;
        largest = x;
      } else {
        // Two infinities have no difference.
        own = x == largest ? one() : std::exp(x - largest);
        rest += own;
      }
    }
    double log() const { return largest + (one() == 1 ? std::log1p(rest) : std::log(rest)); }
    double share(double part) const {
      return std::isinf(largest) && !std::isnan(rest) ? 0 : part / (one() + rest);
    }
  };
  template <class T>
  static Kernel kernel_of(const RunningLines& lines) {
    return {[lines](const KernelArgs& args) {
      lines.each([&](std::size_t first) {
        Sum sum;
        for (std::size_t i = 0; i < lines.size; ++i) {
          const std::size_t at = first + i * lines.inner;
          sum.add(static_cast<double>(args.input<T>(0)[at]));
          args.output<T>(0)[at] = static_cast<T>(sum.log());
          args.output<T>(1)[at] = static_cast<T>(sum.share(sum.own));
          args.output<T>(2)[at] = static_cast<T>(sum.share(sum.before));
        }
      });
    }};
  }
  static Kernel kernel(const KernelRequest& request) {
    const RunningLines lines = RunningLines::along(request.out[0], request.attributes);
    return request.out[0].dtype == float32 ? kernel_of<float>(lines) : kernel_of<double>(lines);
  }
  static std::vector<MaybeVar> jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    const Var t = *tangents[0];
    if (node.out[0].shape().count() == 0) return {t, t, t};
    const std::int64_t axis = running_axis(node.attributes);
    const Var own = node.out[1];
    const Var before = node.out[2];
    const Var dy = linear_recurrence(before, mul(own, t), axis);
    // t - dy and dy_(i-1) - dy would cancel where one share is near 1; both are of this difference.
    const Var turn = own * before * (t - shifted(dy, axis));
    return {dy, turn, -turn};
  }
  static std::vector<Edge> edges() { return detail::line_edges(name); }
  static std::vector<Case> cases() {
    return axis_cases([](Var x, std::int64_t axis) { return logcumsumexp(x, axis); });
  }
};
constexpr General<Logcumsumexp> logcumsumexp_op;

// ---- extremes -----------------------------------------------------------------------------------

template <bool larger>
struct RunningExtreme {
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    inference.require_count(1);
    check_running_axis(inference);
    inference.out = {inference.in[0], {inference.shape(0), int64}};
  }
  template <class T>
  static bool beats(T x, T best) {
    if constexpr (std::floating_point<T>) {
      if (std::isnan(best)) return false;
      if (std::isnan(x)) return true;
    }
    return larger ? x > best : x < best;
  }
  static Kernel kernel(const KernelRequest& request) {
    const RunningLines lines = RunningLines::along(request.out[0], request.attributes);
    return dispatch(request.in[0].dtype, [&]<class T>() -> Kernel {
      return {[lines](const KernelArgs& args) {
        const T* const in = args.input<T>(0);
        lines.each([&](std::size_t first) {
          std::size_t best = 0;
          for (std::size_t i = 0; i < lines.size; ++i) {
            const std::size_t at = first + i * lines.inner;
            if (beats(in[at], in[first + best * lines.inner])) best = i;
            args.output<T>(0)[at] = in[first + best * lines.inner];
            args.output<std::int64_t>(1)[at] = static_cast<std::int64_t>(best);
          }
        });
      }};
    });
  }
  static std::vector<MaybeVar> jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    return {gather(*tangents[0], node.out[1], running_axis(node.attributes)), std::nullopt};
  }
  static std::vector<Case> cases() {
    return axis_cases([](Var x, std::int64_t axis) {
      return larger ? cummax(x, axis).values : cummin(x, axis).values;
    });
  }
};
struct Cummax : RunningExtreme<true> {
  static constexpr auto name = "cummax";
  static constexpr Shift shift{.axis = "axis"};
  static constexpr auto doc = "running largest elements along an axis, and their places";
  static constexpr auto math =
      "y_i = max(x_0, ..., x_i) = x_p(i), p(i) the first such place; dy_i = dx_p(i).";
  static constexpr Example example{"cummax(g.constant(Tensor{1, 3, 2})).values", "[1. 3. 3.]"};
  static std::vector<Edge> edges() { return detail::line_edges(name); }
};
struct Cummin : RunningExtreme<false> {
  static constexpr auto name = "cummin";
  static constexpr Shift shift{.axis = "axis"};
  static constexpr auto doc = "running smallest elements along an axis, and their places";
  static constexpr auto math =
      "y_i = min(x_0, ..., x_i) = x_p(i), p(i) the first such place; dy_i = dx_p(i).";
  static constexpr Example example{"cummin(g.constant(Tensor{3, 1, 2})).values", "[3. 1. 1.]"};
  static std::vector<Edge> edges() { return detail::line_edges(name); }
};
constexpr General<Cummax> cummax_op;
constexpr General<Cummin> cummin_op;

// ---- differences and integrals ------------------------------------------------------------------

struct Diff {
  static constexpr auto name = "diff";
  static constexpr auto doc = "differences of neighbours along an axis";
  static constexpr auto math = "y_i = x_(i+1) - x_i, n times over; linear. Slices and a sub.";
  static constexpr Example example{"diff(g.constant(Tensor{1, 4, 9}))", "[3. 5.]"};
  static std::vector<Edge> edges() { return detail::line_edges(name); }
  static std::vector<Case> cases() {
    return {unary_case("a vector", {5}, [](Var x) { return diff(x); }),
            unary_case("twice, columns", {4, 2}, [](Var x) { return diff(x, 2, 0); }),
            unary_case("not at all", {3}, [](Var x) { return diff(x, 0) * 1; }),
            unary_case("nothing is left", {2}, [](Var x) { return diff(x, 3); })};
  }
};
struct Trapz {
  static constexpr auto name = "trapz";
  static constexpr auto doc = "the integral along an axis by the trapezium rule";
  static constexpr auto math =
      "I = sum_i (x_(i+1) - x_i) (y_i / 2 + y_(i+1) / 2). Slices, mul and sum.";
  static constexpr Example example{"trapz(g.constant(Tensor{0, 1, 4}))", "3.0"};
  static std::vector<Edge> edges() { return detail::line_edges(name); }
  static std::vector<Case> cases() {
    const auto along = [](std::int64_t axis) {
      return
          [axis](std::span<const Var> in) { return std::vector<Var>{trapz(in[0], in[1], axis)}; };
    };
    return {{"a vector and its places", {Arg{{5}}, Arg{{5}}}, along(0)},
            {"columns", {Arg{{4, 2}}, Arg{{4}}}, along(0)},
            {"places of each", {Arg{{2, 3}}, Arg{{2, 3}}}, along(-1)},
            {"a distance", {Arg{{2, 3}}, Arg{{}}}, along(1)},
            {"one place", {Arg{{2, 1}}, Arg{{1}}}, along(1)}};
  }
};

// The two neighbours of each gap along an axis.
struct Neighbours {
  Var left, right;
};
Neighbours neighbours(const In& x, std::int64_t axis, std::int64_t size) {
  return {slice(x, axis, 0, std::max<std::int64_t>(size - 1, 0)),
          slice(x, axis, std::min<std::int64_t>(size, 1), size)};
}

std::int64_t axis_in(std::string_view function, const In& x, std::int64_t axis) {
  return static_cast<std::int64_t>(
      detail::require_axis(function, x, axis, detail::shape_of(x).rank()));
}

}  // namespace

Var cumprod(In x, std::int64_t axis) {
  return cumprod_op(x, Attributes{{"axis", axis_in("cumprod", x, axis)}});
}
Var logcumsumexp(In x, std::int64_t axis) {
  return logcumsumexp_op(x, Attributes{{"axis", axis_in("logcumsumexp", x, axis)}});
}
Chosen cummax(In x, std::int64_t axis) {
  const auto both =
      apply_all(cummax_op.op(), std::span<const In>(&x, 1), {{"axis", axis_in("cummax", x, axis)}});
  return {both[0], both[1]};
}
Chosen cummin(In x, std::int64_t axis) {
  const auto both =
      apply_all(cummin_op.op(), std::span<const In>(&x, 1), {{"axis", axis_in("cummin", x, axis)}});
  return {both[0], both[1]};
}

Var diff(In x, std::int64_t times, std::int64_t axis) {
  const std::int64_t place = axis_in("diff", x, axis);
  if (times < 0)
    fail<ValueError>({.op = "diff",
                      .what = "differences cannot be taken " + std::to_string(times) + " times",
                      .where = x.where(),
                      .help = "give 0 or more; cumsum() is the other way"});
  const Composite c("diff", {x});
  const std::int64_t size = c[0].shape()[static_cast<std::size_t>(place)];
  if (times == 0) return slice(c[0], place, 0, size);
  if (size == 0) return slice(c[0], place, 0, 0);
  Var rest = c[0];
  for (std::int64_t i = 0; i < std::min(times, size); ++i) {
    const Neighbours pair = neighbours(rest, place, size - i);
    rest = pair.right - pair.left;
  }
  return rest;
}

Var trapz(In y, In x, std::int64_t axis) {
  const std::int64_t place = axis_in("trapz", y, axis);
  const Composite c("trapz", {y, x});
  const Shape shape = c[0].shape();
  const std::int64_t size = shape[static_cast<std::size_t>(place)];
  const Neighbours values = neighbours(c[0], place, size);
  // Halves first: the sum of both may be too large.
  const Var means = 0.5 * values.left + 0.5 * values.right;
  const Shape of_places = c[1].shape();
  if (of_places.empty_rank()) return sum(c[1] * means, {place});
  const bool own = of_places == shape;
  if (!own && (of_places.rank() != 1 || of_places[0] != size))
    fail<ShapeError>({.op = "trapz",
                      .what = "places of shape " + to_string(of_places) + " do not fit values of " +
                              to_string(shape) + " along axis " + std::to_string(place),
                      .where = c.where(),
                      .help = "give one place for each value, one for each entry of the axis, or "
                              "the distance as a scalar"});
  const Neighbours ends = neighbours(c[1], own ? place : 0, size);
  Var gaps = ends.right - ends.left;
  if (!own) {
    Ints sizes(shape.rank(), 1);
    sizes[static_cast<std::size_t>(place)] = gaps.shape()[0];
    gaps = reshape(gaps, sizes);
  }
  return sum(gaps * means, {place});
}

void detail::register_running() {
  register_all(cumprod_op, logcumsumexp_op, cummax_op, cummin_op);
  register_composite<Diff>();
  register_composite<Trapz>();
}

}  // namespace dualtape
