#include <dualtape/ops/special.hpp>

#include <array>
#include <numbers>

#include <dualtape/core/detail/team.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/detail/builtin.hpp>
#include <dualtape/ops/detail/families.hpp>
#include <dualtape/ops/detail/special_functions.hpp>
#include <dualtape/ops/math.hpp>

namespace dualtape {
namespace {

// What functions of one number share that the primitives of formulas do not give: a loop over a
// function of doubles. D has value(x, attributes) and slope(node).
template <class D>
struct Pointwise {
  static constexpr auto promotion = Promotion::common_floating;
  static constexpr bool can_fail = false;
  static constexpr std::size_t cost_of_element = 32;  // in cheap steps

  static bool in_place(std::size_t, std::size_t) { return true; }
  static void infer(Inference& inference) {
    inference.require_count(1);
    inference.require_floating(0);
    inference.out.push_back(inference.in[0].type());
  }
  static Cost cost(const KernelRequest& request) { return per_operand_element(request); }
  static Kernel kernel(const KernelRequest& request) {
    return request.out[0].dtype == float32 ? kernel_of<float>(request) : kernel_of<double>(request);
  }
  template <class T>
  static Kernel kernel_of(const KernelRequest& request) {
    const auto count = static_cast<std::size_t>(request.out[0].shape.count());
    return {[count, attributes = request.attributes](const KernelArgs& args) {
      const auto work = [&](std::size_t first, std::size_t last, void*) {
        const T* const in = args.input<T>(0);
        T* const out = args.output<T>();
        for (std::size_t i = first; i < last; ++i)
          out[i] = static_cast<T>(D::value(static_cast<double>(in[i]), attributes));
      };
      detail::in_ranges(args, count, 64, count * cost_of_element, work);
    }};
  }
  static MaybeVar jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    return mul(D::slope(node), *tangents[0]);
  }
};

template <Var (*Function)(In)>
std::vector<Case> cases_on(const Domain& domain) {
  const auto call = [](std::span<const Var> in) { return std::vector<Var>{Function(in[0])}; };
  return {{"a matrix", {Arg{{3, 4}, domain}}, call},
          {"a scalar", {Arg{{}, domain}}, call},
          {"one element", {Arg{{1}, domain}}, call},
          {"nothing", {Arg{{0, 2}, domain}}, call}};
}

struct Lgamma : Pointwise<Lgamma> {
  static constexpr auto name = "lgamma";
  static constexpr auto doc = "Logarithm of |Gamma(x)|.";
  static constexpr auto math = "y = log |Gamma(x)|; dy/dx = digamma(x)";
  static constexpr Example example{"lgamma(g.constant(Tensor{1, 4}))", "[0.        1.7917595]"};
  static double value(double x, const Attributes&) { return detail::log_gamma(x); }
  static Var slope(const NodeView& node) { return digamma(node.in[0]); }
  static std::vector<Case> cases() {
    return cases_on<lgamma>(domain(-0.8, 4).avoid(0).avoid(1).avoid(2));
  }
};
constexpr General<Lgamma> lgamma_op;

struct Digamma : Pointwise<Digamma> {
  static constexpr auto name = "digamma";
  static constexpr auto doc = "Logarithmic derivative of the gamma function.";
  static constexpr auto math = "y = Gamma'(x) / Gamma(x); dy/dx = polygamma(1, x)";
  static constexpr Example example{"digamma(g.constant(Tensor{1, 2}))",
                                   "[-0.5772157   0.42278433]"};
  static double value(double x, const Attributes&) { return detail::digamma(x); }
  static Var slope(const NodeView& node) { return polygamma(1, node.in[0]); }
  static std::vector<Case> cases() { return cases_on<digamma>(domain(0.3, 4)); }
};
constexpr General<Digamma> digamma_op;

struct Polygamma : Pointwise<Polygamma> {
  static constexpr auto name = "polygamma";
  static constexpr auto doc = "Derivative of order n of the digamma function.";
  static constexpr auto math =
      "y = psi_n(x), psi_0 being digamma; dy/dx = psi_(n+1)(x). For n >= 1 and x > 0 it is "
      "(-1)^(n+1) n! sum_k 1 / (x + k)^(n+1).";
  static constexpr Example example{"polygamma(1, g.constant(Tensor{1, 2}))",
                                   "[1.644934   0.64493406]"};
  static double value(double x, const Attributes& attributes) {
    return detail::polygamma(attributes.get<std::int64_t>("n"), x);
  }
  static void infer(Inference& inference) {
    Pointwise::infer(inference);
    const auto n = inference.attributes.get<std::int64_t>("n");
    if (n < 0 || n > detail::highest_polygamma)
      inference.value_error("the order must be from 0 to " +
                            std::to_string(detail::highest_polygamma) + ", got " +
                            std::to_string(n));
  }
  static Var slope(const NodeView& node) {
    return polygamma(node.attributes.get<std::int64_t>("n") + 1, node.in[0]);
  }
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    for (const std::int64_t n : {0, 1, 2, 5})
      cases.push_back(
          {"order " + std::to_string(n),
           {Arg{{3, 2}, domain(0.6, 3)}},
           [n](std::span<const Var> in) { return std::vector<Var>{polygamma(n, in[0])}; }});
    return cases;
  }
};
constexpr General<Polygamma> polygamma_op;

struct Erfinv : Pointwise<Erfinv> {
  static constexpr auto name = "erfinv";
  static constexpr auto doc = "Inverse of the error function.";
  static constexpr auto math = "y with erf(y) = x; dy/dx = sqrt(pi)/2 e^(y^2)";
  static constexpr Example example{"erfinv(g.constant(Tensor{0, 0.5}))", "[0.         0.47693628]"};
  static double value(double x, const Attributes&) { return detail::erfinv(x); }
  static Var slope(const NodeView& node) {
    return mul(0.5 / std::numbers::inv_sqrtpi, exp(square(node.out[0])));
  }
  static std::vector<Case> cases() { return cases_on<erfinv>(domain(-0.9, 0.9)); }
};
constexpr General<Erfinv> erfinv_op;

struct I0 : Pointwise<I0> {
  static constexpr auto name = "i0";
  static constexpr auto doc = "Modified Bessel function of the first kind of order 0.";
  static constexpr auto math = "y = sum_k (x/2)^(2k) / (k!)^2; dy/dx = i1(x)";
  static constexpr Example example{"i0(g.constant(Tensor{0, 1}))", "[1.        1.2660658]"};
  static double value(double x, const Attributes&) { return detail::bessel_i0(x); }
  static Var slope(const NodeView& node) { return i1(node.in[0]); }
  static std::vector<Case> cases() { return cases_on<i0>(domain(-3, 3)); }
};
constexpr General<I0> i0_op;

struct I1 : Pointwise<I1> {
  static constexpr auto name = "i1";
  static constexpr auto doc = "Modified Bessel function of the first kind of order 1.";
  static constexpr auto math =
      "y = sum_k (x/2)^(2k+1) / (k! (k+1)!); dy/dx = i0(x) - y / x, 1/2 at 0";
  static constexpr Example example{"i1(g.constant(Tensor{0, 1}))", "[0.        0.5651591]"};
  static double value(double x, const Attributes&) { return detail::bessel_i1(x); }
  static Var slope(const NodeView& node) {
    const Var x = node.in[0];
    const Var at_zero = equal(x, 0);
    return where(at_zero, 0.5, i0(x) - node.out[0] / where(at_zero, 1, x));
  }
  static std::vector<Case> cases() { return cases_on<i1>(domain(-3, 3).avoid(0)); }
};
constexpr General<I1> i1_op;

struct Logaddexp {
  static constexpr auto name = "logaddexp";
  static constexpr auto doc = "log(e^a + e^b), without overflow.";
  static constexpr auto math =
      "y = max(a, b) + log1p(e^-|a - b|); dy/da = sigmoid(a - b), dy/db = sigmoid(b - a)";
  static constexpr Example example{"logaddexp(g.constant(Tensor{0, 1000}), 0)",
                                   "[6.931472e-01 1.000000e+03]"};
  static auto formula(auto a, auto b) {
    // Equal infinities have no difference.
    return maximum(a, b) + select(a == b, std::numbers::ln2, log1p(exp(-abs(a - b))));
  }
  static Factor partial(std::size_t i, std::span<const Var> in, Var) {
    const auto finite = [](Var x) { return clamp(x, -1e38, 1e38); };
    return sigmoid(finite(in[i]) - finite(in[1 - i]));
  }
  static auto sample() { return std::array{domain(-3, 3), domain(-3, 3)}; }
};
constexpr detail::BuiltinElementwise<Logaddexp> logaddexp_op;

struct Xlogy {
  static constexpr auto name = "xlogy";
  static constexpr auto doc = "x log(y), 0 where x is 0.";
  static constexpr auto math = "z = x log(y), 0 where x = 0; dz/dx = log(y), dz/dy = x / y";
  static constexpr Example example{"xlogy(g.constant(Tensor{0, 2}), g.constant(Tensor{0, 1}))",
                                   "[0. 0.]"};
  static auto formula(auto x, auto y) { return select((x == 0) & !isnan(y), 0, x * log(y)); }
  static Factor partial(std::size_t i, std::span<const Var> in, Var) {
    const Var y = where(logical_and(equal(in[0], 0), equal(in[1], 0)), 1, in[1]);
    return i == 0 ? log(y) : in[0] / y;
  }
  static auto sample() { return std::array{domain(-2, 2), domain(0.2, 3)}; }
};
constexpr detail::BuiltinElementwise<Xlogy> xlogy_op;

}  // namespace

Var lgamma(In x) { return lgamma_op(x); }
Var digamma(In x) { return digamma_op(x); }
Var polygamma(std::int64_t n, In x) { return polygamma_op(x, Attributes{{"n", n}}); }
Var erfinv(In y) { return erfinv_op(y); }
Var i0(In x) { return i0_op(x); }
Var i1(In x) { return i1_op(x); }
Var logaddexp(In a, In b) { return logaddexp_op(a, b); }
Var xlogy(In x, In y) { return xlogy_op(x, y); }

void detail::register_special() {
  register_all(lgamma_op, digamma_op, polygamma_op, erfinv_op, i0_op, i1_op, logaddexp_op,
               xlogy_op);
}

}  // namespace dualtape
