#include <dualtape/ops/special.hpp>

#include <array>
#include <numbers>

#include <dualtape/core/kinds.hpp>
#include <dualtape/core/machine/team.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/declare/builtin.hpp>
#include <dualtape/ops/declare/edge_rows.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/kernels/special/special_functions.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

using detail::inf;
using detail::nan;
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
    inference.out.push_back(inference.in[0]);
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
  static constexpr Shift shift{};
  static constexpr auto doc = "Logarithm of |Gamma(x)|.";
  static constexpr auto math = "y = log |Gamma(x)|; dy/dx = digamma(x)";
  static constexpr Example example{"lgamma(g.constant(Tensor{1, 4}))", "[0.        1.7917595]"};
  static double value(double x, const Attributes&) { return detail::log_gamma(x); }
  static Var slope(const NodeView& node) { return digamma(node.in[0]); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-2.5, -0.056243716497674054, 1.103156640645243},
                                 {-0.5, 1.2655121234846454, 0.03648997397857652},
                                 {0x1p-100, 69.31471805599453, -0x1p100},
                                 {1 + 0x1p-20, -5.504750066148867e-07, -0.5772140961712544},
                                 {2 - 0x1p-20, -4.0319826848018475e-07, 0.42278372004122805},
                                 {1.5, -0.12078223763524522, 0.03648997397857652},
                                 {30, 71.25703896716801, 3.384438132685525},
                                 {0x1p60, 4.679573591490311e19, 41.58883083359672},
                                 {0, inf, -inf},
                                 {-2, inf, nan},
                                 {inf, inf, inf},
                                 {nan, nan, nan}});
  }
  static std::vector<Case> cases() {
    return cases_on<lgamma>(domain(-0.8, 4).avoid(0).avoid(1).avoid(2));
  }
};
constexpr General<Lgamma> lgamma_op;

struct Digamma : Pointwise<Digamma> {
  static constexpr auto name = "digamma";
  static constexpr Shift shift{};
  static constexpr auto doc = "Logarithmic derivative of the gamma function.";
  static constexpr auto math = "y = Gamma'(x) / Gamma(x); dy/dx = polygamma(1, x)";
  static constexpr Example example{"digamma(g.constant(Tensor{1, 2}))",
                                   "[-0.5772157   0.42278433]"};
  static double value(double x, const Attributes&) { return detail::digamma(x); }
  static Var slope(const NodeView& node) { return polygamma(1, node.in[0]); }
  static std::vector<Edge> edges() {
    // Sums of dozens of terms are rounded as often.
    return detail::edge_rows(1,
                             {{-2.5, 1.103156640645243, 9.539246644989124},
                              {-0.5, 0.03648997397857652, 8.934802200544679},
                              {-0x1p-100, 0x1p100, 0x1p200},
                              {0x1p-100, -0x1p100, 0x1p200},
                              {1, -0.5772156649015329, 1.6449340668482264},
                              {1.078125, -0.45556175252161707, 1.4751261773292392},
                              {1.4375, -0.023613544005297898, 0.9895029178956272},
                              {1.46875, 0.006865411470735777, 0.9614082520277534},
                              {30, 3.384438132685525, 0.033895060357739946},
                              {0x1p60, 41.58883083359672, 0x1p-60},
                              {0, -inf, inf},
                              {-2, nan, inf},
                              {inf, inf, 0},
                              {nan, nan, nan}},
                             8);
  }
  static std::vector<Case> cases() { return cases_on<digamma>(domain(0.3, 4)); }
};
constexpr General<Digamma> digamma_op;

struct Polygamma : Pointwise<Polygamma> {
  static constexpr auto name = "polygamma";
  static constexpr Shift shift{};
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
  static std::vector<Edge> edges() {
    return detail::both(of_order(1, {{0x1p-30, 0x1p60, -0x1p91},
                                     {0.5, 4.934802200544679, -16.82879664423432},
                                     {1, 1.6449340668482264, -2.4041138063191885},
                                     {30, 0.033895060357739946, -0.0011487652037286},
                                     {0x1p40, 9.094947017733418e-13, -8.2718061255378e-25},
                                     {0, inf, nan},
                                     {inf, 0, 0},
                                     {nan, nan, nan}}),
                        of_order(4, {{-1.5, -0.3137559995067314, 15381.648528026304},
                                     {0.5, -771.4742498266672, 7691.113548602436},
                                     {30, -7.914941340181023e-06, 1.0726994936161623e-06},
                                     {inf, 0, 0}}));
  }
  static std::vector<Edge> of_order(std::int64_t n, const std::vector<std::vector<double>>& rows) {
    auto edges = detail::edge_rows(1, rows, 8);  // sums of dozens of terms
    for (Edge& one : edges)
      one.build = [n](std::span<const Var> in) { return std::vector<Var>{polygamma(n, in[0])}; };
    return edges;
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
  static constexpr Shift shift{};
  static constexpr auto doc = "Inverse of the error function.";
  static constexpr auto math = "y with erf(y) = x; dy/dx = sqrt(pi)/2 e^(y^2)";
  static constexpr Example example{"erfinv(g.constant(Tensor{0, 0.5}))", "[0.         0.47693628]"};
  static double value(double x, const Attributes&) { return detail::erfinv(x); }
  // e^(y^2) changes by 2 y^2 times what rounding changes y by, which is some digits near -1 and 1.
  // It is found from erfc(y) and put back.
  static Var slope(const NodeView& node) {
    const Var y = node.out[0];
    const Var size = abs(node.in[0]);
    const Var rounded = mul(0.5 / std::numbers::inv_sqrtpi, exp_product(y, y));
    const Var miss = erfc(abs(y)) - (1 - size);
    const Var tail = logical_and(size > 0.5, size < 1);
    return rounded * (1 + stop_gradient(where(tail, 2 * abs(y) * miss * rounded, 0)));
  }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{0x1p-100, 6.991097746438969e-31, 0.886226925452758},
                                 {0, 0, 0.886226925452758},
                                 {0.5, 0.4769362762044699, 1.1125848189719498},
                                 {0.9375, 1.3171503349861307, 5.023378761292894},
                                 {-1 + 0x1p-12, -2.5939005131344874, 740.6570031573816},
                                 {1 - 0x1p-24, 3.832506856900711, 2120848.008242037},
                                 {1 - 0x1p-43, 5.249518184176072, 823359639632.0406},
                                 {1, inf, inf},
                                 {-1, -inf, inf},
                                 {1.5, nan, nan},
                                 {nan, nan, nan}});
  }
  static std::vector<Case> cases() { return cases_on<erfinv>(domain(-0.9, 0.9)); }
};
constexpr General<Erfinv> erfinv_op;

struct I0 : Pointwise<I0> {
  static constexpr auto name = "i0";
  static constexpr Shift shift{};
  static constexpr auto doc = "Modified Bessel function of the first kind of order 0.";
  static constexpr auto math = "y = sum_k (x/2)^(2k) / (k!)^2; dy/dx = i1(x)";
  static constexpr Example example{"i0(g.constant(Tensor{0, 1}))", "[1.        1.2660658]"};
  static double value(double x, const Attributes&) { return detail::bessel_i(0, x); }
  static Var slope(const NodeView& node) { return i1(node.in[0]); }
  static std::vector<Edge> edges() {
    // Sums of dozens of terms are rounded as often.
    return detail::edge_rows(1,
                             {{-30, 781672297823.9775, -768532038938.957},
                              {0, 1, 0},
                              {0x1p-100, 1, 0x1p-101},
                              {0.5, 1.0634833707413236, 0.2578943053908963},
                              {19.5, 26760525.339838766, 26065069.264457166},
                              {20.5, 70922869.83431701, 69170831.67918438},
                              {80, 2.4751784043341704e33, 2.459659579567541e33},
                              {700, 1.5295933476718737e302, 1.5285003902339006e302},
                              {-inf, inf, -inf},
                              {inf, inf, inf},
                              {0x1p1021, inf, inf},
                              {nan, nan, nan}},
                             8);
  }
  static std::vector<Case> cases() { return cases_on<i0>(domain(-3, 3)); }
};
constexpr General<I0> i0_op;

struct I1 : Pointwise<I1> {
  static constexpr auto name = "i1";
  static constexpr Shift shift{};
  static constexpr auto doc = "Modified Bessel function of the first kind of order 1.";
  static constexpr auto math =
      "y = sum_k (x/2)^(2k+1) / (k! (k+1)!); dy/dx = (i0(x) + bessel_i(2, x)) / 2";
  static constexpr Example example{"i1(g.constant(Tensor{0, 1}))", "[0.        0.5651591]"};
  static double value(double x, const Attributes&) { return detail::bessel_i(1, x); }
  static Var slope(const NodeView& node) {
    // i0(x) - y / x cancels at second order near 0.
    return 0.5 * i0(node.in[0]) + 0.5 * bessel_i(2, node.in[0]);
  }
  static std::vector<Edge> edges() {
    // Sums of dozens of terms are rounded as often.
    return detail::edge_rows(1,
                             {{-30, -768532038938.957, 756054563192.679},
                              {0, 0, 0.5},
                              {0x1p-100, 0x1p-101, 0.5},
                              {0x1p-30, 0x1p-31, 0.5},
                              {0.5, 0.2578943053908963, 0.5476947599595309},
                              {19.5, 26065069.264457166, 25423855.121148653},
                              {20.5, 69170831.67918438, 67548682.92313728},
                              {80, 2.459659579567541e33, 2.4444326595895763e33},
                              {700, 1.5285003902339006e302, 1.5274097756858254e302},
                              {-inf, -inf, inf},
                              {inf, inf, inf},
                              {0x1p1021, inf, inf},
                              {nan, nan, nan}},
                             8);
  }
  static std::vector<Case> cases() { return cases_on<i1>(domain(-3, 3).avoid(0)); }
};
constexpr General<I1> i1_op;

struct BesselI : Pointwise<BesselI> {
  static constexpr auto name = "bessel_i";
  static constexpr Shift shift{};
  static constexpr auto doc = "Modified Bessel function of the first kind of order n.";
  static constexpr auto math =
      "y = I_n(x) = sum_k (x/2)^(2k+n) / (k! (k+n)!); dy/dx = (I_(n-1)(x) + I_(n+1)(x)) / 2, "
      "I_1(x) for n = 0";
  static constexpr Example example{"bessel_i(2, g.constant(Tensor{0, 1}))",
                                   "[0.         0.13574767]"};
  static double value(double x, const Attributes& attributes) {
    return detail::bessel_i(attributes.get<std::int64_t>("n"), x);
  }
  static void infer(Inference& inference) {
    Pointwise::infer(inference);
    const auto n = inference.attributes.get<std::int64_t>("n");
    if (n < 0 || n > detail::highest_bessel)
      inference.value_error("the order must be from 0 to " +
                            std::to_string(detail::highest_bessel) + ", got " + std::to_string(n));
  }
  static Var slope(const NodeView& node) {
    const Var x = node.in[0];
    const auto n = node.attributes.get<std::int64_t>("n");
    if (n == 0) return i1(x);
    return 0.5 * bessel_i(n - 1, x) + 0.5 * bessel_i(n + 1, x);
  }
  static std::vector<Edge> edges() {
    return detail::both(of_order(2, {{-30, 730436828561.3804, -719836250368.1984},
                                     {0, 0, 0},
                                     {0x1p-20, 1.1368683772162464e-13, 2.3841857910159866e-07},
                                     {0.5, 0.031906149177738256, 0.1302697086799433},
                                     {20.5, 64174496.011957556, 62909905.23899339},
                                     {700, 1.5252262036997768e302, 1.5241426010804727e302},
                                     {inf, inf, inf},
                                     {nan, nan, nan}}),
                        of_order(7, {{-3, -0.004472118729949566, 0.011248646029675291},
                                     {0.5, 1.2205089791076951e-08, 1.7125233556318048e-07},
                                     {48.5, 3.99168248408572e19, 3.9925442167000056e19},
                                     {49.5, 1.0851679189694323e20, 1.0851690719110672e20}}));
  }
  static std::vector<Edge> of_order(std::int64_t n, const std::vector<std::vector<double>>& rows) {
    auto edges = detail::edge_rows(1, rows, 8);  // sums of dozens of terms
    for (Edge& one : edges)
      one.build = [n](std::span<const Var> in) { return std::vector<Var>{bessel_i(n, in[0])}; };
    return edges;
  }
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    for (const std::int64_t n : {0, 1, 2, 7})
      cases.push_back(
          {"order " + std::to_string(n),
           {Arg{{3, 2}, domain(-3, 3).avoid(0)}},
           [n](std::span<const Var> in) { return std::vector<Var>{bessel_i(n, in[0])}; }});
    return cases;
  }
};
constexpr General<BesselI> bessel_i_op;

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
    const Var same = logical_and(equal(in[0], in[1]), logical_not(isfinite(in[0])));
    return sigmoid(where(same, 0, in[i] - in[1 - i]));
  }
  static auto sample() { return std::array{domain(-3, 3), domain(-3, 3)}; }
  static std::vector<Edge> edges() {
    return detail::edge_rows(
        2, {{0, 0, 0.6931471805599453, 0.5, 0.5},
            {80, 0, 80, 1, 1.8048513878454153e-35},
            {0, 80, 80, 1.8048513878454153e-35, 1},
            {-20, 5.5, 5.5000000000084235, 8.423463754397692e-12, 0.9999999999915765},
            {0x1p100, 0x1p100, 0x1p100, 0.5, 0.5},
            {0x1p100, -0x1p100, 0x1p100, 1, 0},
            {0x1p130, 0x1p126, 0x1p130, 1, 0},
            {0x1p-100, 0, 0.6931471805599453, 0.5, 0.5},
            {-inf, -inf, -inf, 0.5, 0.5},
            {inf, inf, inf, 0.5, 0.5},
            {-inf, 3, 3, 0, 1},
            {inf, -inf, inf, 1, 0},
            {nan, 1, nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Logaddexp> logaddexp_op;

struct Xlogy {
  static constexpr auto name = "xlogy";
  static constexpr auto doc = "x log(y), 0 where x is 0.";
  static constexpr auto math =
      "z = x log(y), 0 where x = 0; dz/dx = log(y), dz/dy = x / y, both 0 at x = y = 0";
  static constexpr Example example{"xlogy(g.constant(Tensor{0, 2}), g.constant(Tensor{0, 1}))",
                                   "[0. 0.]"};
  static auto formula(auto x, auto y) { return select((x == 0) & !isnan(y), 0, x * log(y)); }
  static Factor partial(std::size_t i, std::span<const Var> in, Var) {
    const Var zero = logical_and(equal(in[0], 0), equal(in[1], 0));
    const Var y = where(zero, 1, in[1]);
    return i == 0 ? log(y) : where(zero, 0, in[0] / y);
  }
  static auto sample() { return std::array{domain(-2, 2), domain(0.2, 3)}; }
  static std::vector<Edge> edges() {
    return detail::edge_rows(2, {{0, 3, 0, 1.0986122886681098, 0},
                                 {2, 0.5, -1.3862943611198906, -0.6931471805599453, 4},
                                 {2, 1, 0, 0, 2},
                                 {2, 0x1p-100, -138.62943611198907, -69.31471805599453, 0x1p101},
                                 {0x1p100, 1 + 0x1p-20, 1.2089252431542434e24,
                                  9.536738616591883e-07, 1.2676493913035627e30},
                                 {0, 0, 0, 0, 0},
                                 {2, 0, -inf, -inf, inf},
                                 {0, inf, 0, inf, 0},
                                 {0, nan, nan, nan, nan},
                                 {nan, 2, nan, 0.6931471805599453, nan}});
  }
};
constexpr detail::BuiltinElementwise<Xlogy> xlogy_op;

}  // namespace

Var lgamma(In x) { return lgamma_op(x); }
Var digamma(In x) { return digamma_op(x); }
Var polygamma(std::int64_t n, In x) { return polygamma_op(x, Attributes{{"n", n}}); }
Var erfinv(In y) { return erfinv_op(y); }
Var i0(In x) { return i0_op(x); }
Var i1(In x) { return i1_op(x); }
Var bessel_i(std::int64_t n, In x) { return bessel_i_op(x, Attributes{{"n", n}}); }
Var logaddexp(In a, In b) { return logaddexp_op(a, b); }
Var xlogy(In x, In y) { return xlogy_op(x, y); }

void detail::register_special() {
  register_all(lgamma_op, digamma_op, polygamma_op, erfinv_op, i0_op, i1_op, bessel_i_op,
               logaddexp_op, xlogy_op);
}

}  // namespace dualtape
