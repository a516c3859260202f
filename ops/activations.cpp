#include <dualtape/ops/activations.hpp>

#include <array>
#include <numbers>

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/declare/builtin.hpp>
#include <dualtape/ops/declare/edge_rows.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/tails.hpp>

namespace dualtape {
namespace {

using detail::far_shift, detail::far_sigmoid, detail::far_size, detail::scaled_back, detail::Tail;
using detail::inf, detail::nan;
using Operands = std::span<const Var>;

// Where float32 holds the value, but not e^x: reverse mode multiplies second slopes by it at once.
std::vector<Edge> far_edges(const std::vector<std::vector<double>>& rows) {
  return detail::without_second_order(detail::edge_rows(1, rows));
}

struct Sigmoid {
  static constexpr auto name = "sigmoid";
  static constexpr auto doc = "Logistic function 1 / (1 + e^-x).";
  static constexpr auto math = "y = 1 / (1 + e^-x); dy/dx = y (1 - y)";
  static constexpr Example example{"sigmoid(g.constant(Tensor{0, 1000}))", "[0.5 1. ]"};
  static auto formula(auto x) { return sigmoid(x); }
  static Factor partial(Var x, Var) { return logistic_density(x); }  // 1 - y cancels near 1
  static auto sample() { return domain(-4, 4); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-700, 9.85967654375977e-305, 9.85967654375977e-305},
                                 {-80, 1.8048513878454153e-35, 1.8048513878454153e-35},
                                 {-20, 2.0611536181902037e-09, 2.061153613941849e-09},
                                 {-0.5, 0.37754066879814546, 0.2350037122015945},
                                 {0, 0.5, 0.25},
                                 {5.5, 0.9959298622841039, 0.004053571694869767},
                                 {20, 0.9999999979388464, 2.061153613941849e-09},
                                 {80, 1, 1.8048513878454153e-35},
                                 {-inf, 0, 0},
                                 {inf, 1, 0},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Sigmoid> sigmoid_op;

struct LogisticDensity {
  static constexpr auto name = "logistic_density";
  static constexpr auto doc = "Density of the logistic distribution, the derivative of sigmoid.";
  static constexpr auto math = "y = e^-|x| / (1 + e^-|x|)^2; dy/dx = -y tanh(x/2)";
  static constexpr Example example{"logistic_density(g.constant(Tensor{0, 200}))", "[0.25 0.  ]"};
  static auto formula(auto x) {
    const auto tail = exp(-abs(x));
    return tail / square(1 + tail);
  }
  static Factor partial(Var x, Var y) { return -y * tanh(0.5 * x); }
  static auto sample() { return domain(-4, 4); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-80, 1.8048513878454153e-35, 1.8048513878454153e-35},
                                 {-20, 2.061153613941849e-09, 2.061153605445141e-09},
                                 {0x1p-100, 0.25, -0x1p-103},
                                 {0, 0.25, 0},
                                 {0.5, 0.2350037122015945, -0.05755679485232074},
                                 {20, 2.061153613941849e-09, -2.061153605445141e-09},
                                 {80, 1.8048513878454153e-35, -1.8048513878454153e-35},
                                 {-inf, 0, 0},
                                 {inf, 0, 0},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<LogisticDensity> logistic_density_op;

struct Logsigmoid {
  static constexpr auto name = "logsigmoid";
  static constexpr auto doc = "Logarithm of the logistic function.";
  static constexpr auto math = "y = min(x, 0) - log1p(e^-|x|); dy/dx = sigmoid(-x)";
  static constexpr Example example{"logsigmoid(g.constant(Tensor{0, -1000}))",
                                   "[-6.931472e-01 -1.000000e+03]"};
  static auto formula(auto x) { return minimum(x, 0) - log1p(exp(-abs(x))); }
  static Factor partial(Var x, Var) { return sigmoid(-x); }
  static auto sample() { return domain(-4, 4); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-0x1p100, -0x1p100, 1},
                                 {-80, -80, 1},
                                 {-5.5, -5.504078443270571, 0.9959298622841039},
                                 {0, -0.6931471805599453, 0.5},
                                 {20, -2.061153620314381e-09, 2.0611536181902037e-09},
                                 {80, -1.8048513878454153e-35, 1.8048513878454153e-35},
                                 {-inf, -inf, 1},
                                 {inf, 0, 0},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Logsigmoid> logsigmoid_op;

struct Softplus {
  static constexpr auto name = "softplus";
  static constexpr auto doc = "log(1 + e^x), a smooth relu.";
  static constexpr auto math = "y = max(x, 0) + log1p(e^-|x|); dy/dx = sigmoid(x)";
  static constexpr Example example{"softplus(g.constant(Tensor{0, 1000}))",
                                   "[6.931472e-01 1.000000e+03]"};
  static auto formula(auto x) { return maximum(x, 0) + log1p(exp(-abs(x))); }
  static Factor partial(Var x, Var) { return sigmoid(x); }
  static auto sample() { return domain(-4, 4); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-80, 1.8048513878454153e-35, 1.8048513878454153e-35},
                                 {-20, 2.061153620314381e-09, 2.0611536181902037e-09},
                                 {0, 0.6931471805599453, 0.5},
                                 {5.5, 5.504078443270571, 0.9959298622841039},
                                 {80, 80, 1},
                                 {0x1p100, 0x1p100, 1},
                                 {-inf, 0, 0},
                                 {inf, inf, 1},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Softplus> softplus_op;

struct Relu {
  static constexpr auto name = "relu";
  static constexpr auto doc = "x where it is positive, else 0; NaN stays NaN.";
  static constexpr auto math = "y = max(x, 0); dy/dx = 1 where x > 0, else 0 (at 0 too)";
  static constexpr Example example{"relu(g.constant(Tensor{-1, 2}))", "[0. 2.]"};
  static auto formula(auto x) { return maximum(x, 0); }
  // A mask of one byte an element is all that a net keeps for it: 0 at NaN.
  static Factor partial(Var x, Var) { return cast(x > 0, x.dtype()); }
  static auto sample() { return domain(-2, 2).avoid(0); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-1, 0, 0},
                                 {-0x1p-100, 0, 0},
                                 {0, 0, 0},
                                 {0x1p-100, 0x1p-100, 1},
                                 {0x1p100, 0x1p100, 1},
                                 {-inf, 0, 0},
                                 {inf, inf, 1},
                                 {nan, nan, 0}});
  }
};
constexpr detail::BuiltinElementwise<Relu> relu_op;

struct LeakyRelu {
  static constexpr auto name = "leaky_relu";
  static constexpr auto doc = "x where it is positive, slope x elsewhere.";
  static constexpr auto math =
      "y = x where x > 0, else slope x; dy/dx = 1 where x > 0, else slope; dy/dslope = 0 "
      "where x > 0, else x";
  static constexpr Example example{"leaky_relu(g.constant(Tensor{-1, 2}), 0.5)", "[-0.5  2. ]"};
  static auto formula(auto x, auto slope) { return select(x > 0, x, slope * x); }
  static Factor partial(std::size_t i, Operands in, Var) {
    const Var x = in[0];
    if (i == 1) return detail::not_positive(x);
    return detail::unless_nan(x, where(x > 0, 1, in[1]));
  }
  static auto sample() { return std::array{domain(-2, 2).avoid(0), domain(0, 0.5)}; }
  static std::vector<Edge> edges() {
    return detail::edge_rows(2, {{-3, 0.25, -0.75, 0.25, -3},
                                 {-0x1p-100, 0.25, -0x1p-102, 0.25, -0x1p-100},
                                 {0, 0.25, 0, 0.25, 0},
                                 {0x1p-100, 0.25, 0x1p-100, 1, 0},
                                 {0x1p100, 0.25, 0x1p100, 1, 0},
                                 {-0x1p100, 0, 0, 0, -0x1p100},
                                 {-inf, 0.25, -inf, 0.25, -inf},
                                 {nan, 0.25, nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<LeakyRelu> leaky_relu_op;

struct Elu {
  static constexpr auto name = "elu";
  static constexpr auto doc = "x where it is positive, alpha (e^x - 1) elsewhere.";
  static constexpr auto math =
      "y = x where x > 0, else alpha (e^x - 1); dy/dx = 1 where x > 0, else alpha e^x; dy/dalpha = "
      "e^min(x, 0) - 1";
  static constexpr Example example{"elu(g.constant(Tensor{-1000, 2}))", "[-1.  2.]"};
  static auto formula(auto x, auto alpha) { return select(x > 0, x, alpha * expm1(minimum(x, 0))); }
  // alpha e^x and not y + alpha, which loses its digits where y is close to -alpha.
  static Factor partial(std::size_t i, Operands in, Var) {
    const Var x = detail::not_positive(in[0]);
    return i == 0 ? where(in[0] > 0, 1, detail::exp_times(in[1], x)) : expm1(x);
  }
  static auto sample() { return std::array{domain(-2, 2).avoid(0), domain(0.5, 1.5)}; }
  static std::vector<Edge> edges() {
    return detail::both(
        detail::edge_rows(
            2, {{-80, 1.5, -1.5, 2.7072770817681225e-35, -1},
                {-20, 1.5, -1.4999999969082696, 3.0917304336578366e-09, -0.9999999979388464},
                {-0x1p-100, 1.5, -0x3p-101, 1.5, -0x1p-100},
                {0, 1.5, 0, 1.5, 0},
                {0x1p-100, 1.5, 0x1p-100, 1, 0},
                {0x1p100, 1.5, 0x1p100, 1, 0},
                {-inf, 1.5, -1.5, 0, -1},
                {inf, 1.5, inf, 1, 0},
                {nan, 1.5, nan, nan, nan}}),
        detail::without_second_order(detail::edge_rows(
            2, {{-87.5, 0x1p+66, -7.378697629483821e+19, 7.365674914806692e-19, -1.0},
                {-130.0, 0x1p+127, -1.7014118346046923e+38, 5.922796374936536e-19, -1.0},
                {-170.0, 0x1p+127, -1.7014118346046923e+38, 2.516213718268723e-36, -1.0},
                {-88.0, 0x1.8p+10, -1536.0, 9.299868511336221e-36, -1.0}})));
  }
};
constexpr detail::BuiltinElementwise<Elu> elu_op;

struct Gelu {
  static constexpr auto name = "gelu";
  static constexpr auto doc = "x Phi(x), Phi the distribution function of the standard normal.";
  static constexpr auto math = "y = x Phi(x); dy/dx = Phi(x) + x e^(-x^2/2)/sqrt(2 pi)";
  static constexpr Example example{"gelu(g.constant(Tensor{0, 100}))", "[  0. 100.]"};
  // Phi is 0 long before -1000, and 0 times infinity would be NaN. x Phi is a normal number for a
  // little longer than Phi, in float32 from -12.93 to -13.15, and 0 there.
  static auto formula(auto x) { return maximum(x, -1e3) * normal_cdf(x); }
  static Factor partial(Var x, Var) {
    constexpr double density = std::numbers::inv_sqrtpi / std::numbers::sqrt2;
    return normal_cdf(x) + density * detail::bounded(x) * detail::bell(x, 0.5);
  }
  static auto sample() { return domain(-3, 3); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-12, -2.1317785344932147e-32, -2.5578956616748956e-31},
                                 {-6, -5.9195258702261885e-09, -3.5468709453902015e-08},
                                 {-5.5, -1.0444259356238245e-07, -5.733472398739924e-07},
                                 {-5, -1.4332578593959695e-06, -7.146946001792295e-06},
                                 {-2, -0.04550026389635842, -0.0852318010781969},
                                 {-0x1p-100, -0x1p-101, 0.5},
                                 {0, 0, 0.5},
                                 {0.5, 0.34573123063700656, 0.8674951246561629},
                                 {5.5, 5.499999895557407, 1.00000057334724},
                                 {40, 40, 1},
                                 {-inf, 0, 0},
                                 {inf, inf, 1},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Gelu> gelu_op;

struct Silu {
  static constexpr auto name = "silu";
  static constexpr auto doc = "x sigmoid(x), also called swish.";
  static constexpr auto math = "y = x s, s = sigmoid(x); dy/dx = s (1 + x (1 - s))";
  static constexpr Example example{"silu(g.constant(Tensor{0, 1}))", "[0.        0.7310586]"};
  static auto formula(auto x) {
    const auto inside = maximum(x, -1e4);  // 0 at -infinity
    const Tail tail(abs(inside));
    return select(x < 0, tail.times(inside), inside) / (1 + tail.alone());
  }
  // Above 0 it is 1 - dy/dx(-x): from below, 1 - s does not cancel, and next slopes keep their
  // tails.
  static Factor partial(Var x, Var) {
    const Var above = x > 0;
    const Var side = where(above, -x, x);
    const Var s = far_sigmoid(side);
    const Var slope = scaled_back(side, s * (1 + detail::bounded(side) * (1 - s)));
    return where(above, 1 - slope, slope);
  }
  static auto sample() { return domain(-4, 4); }
  static std::vector<Edge> edges() {
    return detail::both(
        detail::edge_rows(1, {{-80, -1.4438811102763322e-33, -1.425832596397878e-33},
                              {-20, -4.122307236380407e-08, -3.9161918660646786e-08},
                              {-5.5, -0.0223857574374287, -0.01822450660588759},
                              {0, 0, 0.5},
                              {0x1p-100, 0x1p-101, 0.5},
                              {20, 19.99999995877693, 1.0000000391619186},
                              {80, 80, 1},
                              {-inf, 0, 0},
                              {inf, inf, 1},
                              {nan, nan, nan}}),
        far_edges({{-91, -2.743111994409491e-38, -2.712967906558837e-38}}));
  }
};
constexpr detail::BuiltinElementwise<Silu> silu_op;

struct Mish {
  static constexpr auto name = "mish";
  static constexpr auto doc = "x tanh(softplus(x)).";
  static constexpr auto math =
      "y = x t, t = tanh(log(1 + e^x)); dy/dx = t + x sigmoid(x) (1 - t^2)";
  static constexpr Example example{"mish(g.constant(Tensor{0, 1}))", "[0.        0.8650984]"};
  // By e = e^-|x|: t = (e (2 + e)) / (2 + e (2 + e)) below 0, (1 + 2 e) / (1 + 2 e (1 + e)) above.
  static auto formula(auto x) {
    const auto inside = maximum(x, -1e4);  // 0 at -infinity
    const Tail tail(abs(inside));
    const auto e = tail.alone();
    const auto below = x < 0;
    return select(below, tail.times(inside) * (2 + e), inside * (1 + 2 * e)) /
           select(below, 2 + e * (2 + e), 1 + 2 * e * (1 + e));
  }
  static Factor partial(Var x, Var) {
    const Var s = softplus(x);
    const Var inside = detail::bounded(x);
    const Var rise = far_sigmoid(x);
    // Far above it is 1 + (4 x - 2) e^-2x, whose second term matters to the next slope.
    const Var above = 2 * s > far_size;
    const Var bell = logistic_density(where(above, 2 * s - far_shift, 2 * s));
    const Var near = where(above, 1 + detail::far_factor * ((4 * inside - 2) * bell),
                           tanh(s) + 4 * inside * rise * bell);
    return scaled_back(x, where(x < -far_size, rise + inside * rise, near));
  }
  static auto sample() { return domain(-4, 4); }
  static std::vector<Edge> edges() {
    return detail::both(
        detail::edge_rows(1, {{-80, -1.4438811102763322e-33, -1.425832596397878e-33},
                              {-20, -4.122307240628761e-08, -3.916191874348969e-08},
                              {-5.5, -0.02243131361636677, -0.01830696442607401},
                              {0, 0, 0.6},
                              {0x1p-100, 4.733165431326071e-31, 0.6},
                              {5.5, 5.499817776787424, 1.0003298255720623},
                              {80, 80, 1},
                              {-inf, 0, 0},
                              {inf, inf, 1},
                              {nan, nan, nan}}),
        far_edges({{-88.5, -3.249986988494812e-37, -3.2132639716756617e-37}}));
  }
};
constexpr detail::BuiltinElementwise<Mish> mish_op;

struct Selu {
  static constexpr auto name = "selu";
  static constexpr auto doc = "elu scaled so that layers keep mean 0 and variance 1.";
  static constexpr auto math =
      "y = l x where x > 0, else l a (e^x - 1), l = 1.0507..., a = 1.6732...; dy/dx = l where x > "
      "0, else l a e^x";
  static constexpr Example example{"selu(g.constant(Tensor{-1000, 1}))", "[-1.7580993  1.050701 ]"};
  static constexpr double scale = 1.0507009873554804934193349852946;
  static constexpr double alpha = 1.6732632423543772848170429916717;
  static auto formula(auto x) { return scale * select(x > 0, x, alpha * expm1(minimum(x, 0))); }
  static Factor partial(Var x, Var) {
    return where(x > 0, scale, detail::exp_times(scale * alpha, detail::not_positive(x)));
  }
  static auto sample() { return domain(-2, 2).avoid(0); }
  static std::vector<Edge> edges() {
    return detail::both(
        detail::edge_rows(1, {{-80, -1.7580993408473768, 3.173108035298498e-35},
                              {-20, -1.758099337223664, 3.6237128249944117e-09},
                              {-0x1p-100, -1.3868958374893259e-30, 1.7580993408473768},
                              {0, 0, 1.7580993408473768},
                              {0x1p-100, 8.288569320018552e-31, 1.0507009873554805},
                              {0x1p100, 1.331921737281568e30, 1.0507009873554805},
                              {-inf, -1.7580993408473768, 0},
                              {inf, inf, 1.0507009873554805},
                              {nan, nan, nan}}),
        far_edges({{-87.5, -1.7580993408473768, 1.7549964591140994e-38}}));
  }
};
constexpr detail::BuiltinElementwise<Selu> selu_op;

struct Celu {
  static constexpr auto name = "celu";
  static constexpr auto doc = "x where it is positive, alpha (e^(x/alpha) - 1) elsewhere.";
  static constexpr auto math =
      "y = x where x > 0, else alpha (e^(x/alpha) - 1); dy/dx = 1 where x > 0, else e^(x/alpha); "
      "with u = x/alpha, dy/dalpha = 0 where x > 0, else e^u - 1 - u e^u";
  static constexpr Example example{"celu(g.constant(Tensor{-1000, 2}), 2)", "[-2.  2.]"};
  static auto formula(auto x, auto alpha) {
    const auto u = minimum(x, 0) / alpha;
    // Near 0 both factors cancel, and the quotient may be too small for a float.
    return select(x > 0, x, select(abs(u) < 0x1p-60, minimum(x, 0), alpha * expm1(u)));
  }
  static Factor partial(std::size_t i, Operands in, Var) {
    // Replaced where the quotient is far out or not asked for: its slopes may be no numbers there.
    const Var x = detail::not_positive(in[0]);
    const Var far = x / in[1] < -1e4;
    const Var divisor = where(logical_or(far, in[0] > 0), 1, in[1]);
    const Var u = where(far, -1e4, x) / divisor;
    return i == 0 ? where(in[0] > 0, 1, exp(u)) : by_alpha(u);
  }
  static auto sample() { return std::array{domain(-2, 2).avoid(0), domain(0.5, 1.5)}; }
  static std::vector<Edge> edges() {
    return detail::edge_rows(
        2, {{-80, 2, -2, 4.248354255291589e-18, -1 + 0x1p-52},
            {-20, 2, -1.999909200140475, 4.5399929762484854e-05, -0.9995006007726127},
            {-1.25, 2, -0.9294771429620196, 0.5352614285189903, -0.13020017865664085},
            {-0.875, 2, -0.7087029471442159, 0.645648526427892, -0.07188024325990519},
            {-0x1p-20, 2, -9.536740890326107e-07, 0.9999995231629555, -1.1368680158155007e-13},
            {-0x1p-100, 2, -0x1p-100, 1, -0x1p-203},
            {-1, 0x1p127, -1, 1, -0x1p-255},
            {-1, inf, -1, 1, 0},
            {0, 2, 0, 1, 0},
            {0x1p-100, 2, 0x1p-100, 1, 0},
            {1, 0, 1, 1, 0},
            {-inf, 2, -2, 0, -1},
            {inf, 2, inf, 1, 0},
            // Where alpha is below 0, too: u = x / alpha is above.
            {-2, -1, -6.38905609893065, 7.38905609893065, -8.38905609893065},
            {-0.25, -1, -0.2840254166877415, 1.2840254166877414, -0.03698093748419395},
            {nan, 2, nan, nan, nan}});
  }

 private:
  // e^u - 1 - u e^u, which cancels near 0: there by its power series, -sum_k (k - 1) u^k / k!.
  static Var by_alpha(Var u) {
    constexpr int terms = 15;
    double factorial = 1;
    std::array<double, terms> coefficients{};
    for (int k = 2; k < terms + 2; ++k) {
      factorial *= k;
      coefficients[static_cast<std::size_t>(k - 2)] = (k - 1) / factorial;
    }
    const Var near = abs(u) < 0.5;  // u is above 0 where alpha is below
    const Var inside = where(near, u, 0);
    Var series = inside * coefficients[terms - 1];
    for (std::size_t k = terms - 1; k-- > 1;) series = inside * (series + coefficients[k]);
    const Var bounded = detail::bounded(u);
    return where(near, -square(inside) * (series + coefficients[0]),
                 expm1(u) - bounded * exp(bounded));
  }
};
constexpr detail::BuiltinElementwise<Celu> celu_op;

}  // namespace

Var sigmoid(In x) { return sigmoid_op(x); }
Var logistic_density(In x) { return logistic_density_op(x); }
Var logsigmoid(In x) { return logsigmoid_op(x); }
Var softplus(In x) { return softplus_op(x); }
Var relu(In x) { return relu_op(x); }
Var leaky_relu(In x, In slope) { return leaky_relu_op(x, slope); }
Var elu(In x, In alpha) { return elu_op(x, alpha); }
Var gelu(In x) { return gelu_op(x); }
Var silu(In x) { return silu_op(x); }
Var mish(In x) { return mish_op(x); }
Var selu(In x) { return selu_op(x); }
Var celu(In x, In alpha) { return celu_op(x, alpha); }

void detail::register_activations() {
  register_all(sigmoid_op, logistic_density_op, logsigmoid_op, softplus_op, relu_op, leaky_relu_op,
               elu_op, gelu_op, silu_op, mish_op, selu_op, celu_op);
  register_cut_activations();
}

}  // namespace dualtape
