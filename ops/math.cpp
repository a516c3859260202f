#include <dualtape/ops/math.hpp>

#include <array>
#include <numbers>

#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/declare/builtin.hpp>
#include <dualtape/ops/declare/edge_rows.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/tails.hpp>

namespace dualtape {
namespace {

using detail::inf;
using detail::nan;
struct Exp {
  static constexpr auto name = "exp";
  static constexpr auto doc = "Exponential function e^x.";
  static constexpr auto math = "y = e^x; dy/dx = y";
  static constexpr Example example{"exp(g.constant(Tensor{0, 1}))", "[1.        2.7182817]"};
  static auto formula(auto x) { return exp(x); }
  static Factor partial(Var, Var y) { return y; }
  static auto sample() { return domain(-2, 2); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-745, 0, 0},
                                 {-87, 1.6458114310822737e-38, 1.6458114310822737e-38},
                                 {-20, 2.061153622438558e-09, 2.061153622438558e-09},
                                 {0, 1, 1},
                                 {0x1p-100, 1, 1},
                                 {88, 1.6516362549940018e38, 1.6516362549940018e38},
                                 {709, 8.218407461554972e307, 8.218407461554972e307},
                                 {710, inf, inf},
                                 {-inf, 0, 0},
                                 {inf, inf, inf},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Exp> exp_op;

struct Expm1 {
  static constexpr auto name = "expm1";
  static constexpr auto doc = "e^x - 1, accurate near 0.";
  static constexpr auto math = "y = e^x - 1; dy/dx = e^x";
  static constexpr Example example{"expm1(g.constant(Tensor{0, 1e-6}))",
                                   "[0.0000000e+00 1.0000005e-06]"};
  static auto formula(auto x) { return expm1(x); }
  static Factor partial(Var x, Var) { return exp(x); }  // y + 1 cancels below 0
  static auto sample() { return domain(-2, 2); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-87, -1, 1.6458114310822737e-38},
                                 {-20, -0.9999999979388464, 2.061153622438558e-09},
                                 {-0x1p-100, -0x1p-100, 1},
                                 {0, 0, 1},
                                 {0x1p-100, 0x1p-100, 1},
                                 {0x1p-20, 9.536747711537455e-07, 1.0000009536747712},
                                 {88, 1.6516362549940018e38, 1.6516362549940018e38},
                                 {-inf, -1, 0},
                                 {inf, inf, inf},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Expm1> expm1_op;

struct Log {
  static constexpr auto name = "log";
  static constexpr auto doc = "Natural logarithm; -inf at 0, NaN below.";
  static constexpr auto math = "y = log(x); dy/dx = 1 / x";
  static constexpr Example example{"log(g.constant(Tensor{1, 2}))", "[0.        0.6931472]"};
  static auto formula(auto x) { return log(x); }
  static Factor partial(Var x, Var) { return reciprocal(x); }
  static auto sample() { return domain(0.2, 3); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{0x1p-100, -69.31471805599453, 0x1p100},
                                 {1 - 0x1p-20, -9.5367477115389e-07, 1.000000953675226},
                                 {1, 0, 1},
                                 {1 + 0x1p-20, 9.536738616591883e-07, 0.9999990463265931},
                                 {0x1p100, 69.31471805599453, 0x1p-100},
                                 {0, -inf, inf},
                                 {inf, inf, 0},
                                 {-1, nan, -1},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Log> log_op;

struct Log1p {
  static constexpr auto name = "log1p";
  static constexpr auto doc = "log(1 + x), accurate near 0.";
  static constexpr auto math = "y = log(1 + x); dy/dx = 1 / (1 + x)";
  static constexpr Example example{"log1p(g.constant(Tensor{0, 1}))", "[0.        0.6931472]"};
  static auto formula(auto x) { return log1p(x); }
  static Factor partial(Var x, Var) { return reciprocal(1 + x); }
  static auto sample() { return domain(-0.7, 3); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-1 + 0x1p-20, -13.862943611198906, 0x1p20},
                                 {-0x1p-100, -0x1p-100, 1},
                                 {0, 0, 1},
                                 {0x1p-100, 0x1p-100, 1},
                                 {0x1p100, 69.31471805599453, 0x1p-100},
                                 {-1, -inf, inf},
                                 {inf, inf, 0},
                                 {-2, nan, -1},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Log1p> log1p_op;

struct Sin {
  static constexpr auto name = "sin";
  static constexpr auto doc = "Sine of x radians.";
  static constexpr auto math = "y = sin(x); dy/dx = cos(x)";
  static constexpr Example example{"sin(g.constant(Tensor{0, 1}))", "[0.         0.84147096]"};
  static auto formula(auto x) { return sin(x); }
  static Factor partial(Var x, Var) { return cos(x); }
  static auto sample() { return domain(-4, 4); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{0x1p-100, 0x1p-100, 1},
                                 {0, 0, 1},
                                 {3.140625, 0.0009676534387822795, -0.9999995318233016},
                                 {1024.5, 0.3342364104037093, 0.942489268883441},
                                 {0x1p20, 0.3304931400217347, 0.943808393901312},
                                 {0x1p70, -0.9981794021933068, 0.060314849224819785},
                                 {inf, nan, nan},
                                 {-inf, nan, nan},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Sin> sin_op;

struct Cos {
  static constexpr auto name = "cos";
  static constexpr auto doc = "Cosine of x radians.";
  static constexpr auto math = "y = cos(x); dy/dx = -sin(x)";
  static constexpr Example example{"cos(g.constant(Tensor{0, 1}))", "[1.        0.5403023]"};
  static auto formula(auto x) { return cos(x); }
  static Factor partial(Var x, Var) { return -sin(x); }
  static auto sample() { return domain(-4, 4); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{0x1p-100, 1, -0x1p-100},
                                 {0, 1, 0},
                                 {1.5703125, 0.0004838267760202487, -0.9999998829558185},
                                 {1024.5, 0.942489268883441, -0.3342364104037093},
                                 {0x1p20, 0.943808393901312, -0.3304931400217347},
                                 {0x1p70, 0.060314849224819785, 0.9981794021933068},
                                 {inf, nan, nan},
                                 {-inf, nan, nan},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Cos> cos_op;

struct Tan {
  static constexpr auto name = "tan";
  static constexpr auto doc = "Tangent of x radians.";
  static constexpr auto math = "y = tan(x); dy/dx = 1 + y^2";
  static constexpr Example example{"tan(g.constant(Tensor{0}))", "[0.]"};
  static auto formula(auto x) { return tan(x); }
  static Factor partial(Var, Var y) { return 1 + square(y); }
  static auto sample() { return domain(-1.2, 1.2); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{0x1p-100, 0x1p-100, 1},
                                 {0, 0, 1},
                                 {1.5703125, 2066.8551897466036, 4271891.375382468},
                                 {-1.5703125, -2066.8551897466036, 4271891.375382468},
                                 {1024.5, 0.3546315289082032, 1.1257635212957697},
                                 {0x1p20, 0.350169740126609, 1.1226188469003369},
                                 {inf, nan, nan},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Tan> tan_op;

struct Tanh {
  static constexpr auto name = "tanh";
  static constexpr auto doc = "Hyperbolic tangent.";
  static constexpr auto math = "y = tanh(x); dy/dx = 1 - y^2 = 1 / cosh(x)^2";
  static constexpr Example example{"tanh(g.constant(Tensor{0, 1}))", "[0.        0.7615942]"};
  static auto formula(auto x) { return tanh(x); }
  // 1 - y^2 cancels where y is close to 1.
  static Factor partial(Var x, Var) { return 4 * logistic_density(2 * x); }
  static auto sample() { return domain(-3, 3); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-40, -1, 7.219405551381661e-35},
                                 {-9, -0.999999969540041, 6.091991712323229e-08},
                                 {-4.5, -0.9997532108480275, 0.0004935173990593956},
                                 {-0x1p-100, -0x1p-100, 1},
                                 {0, 0, 1},
                                 {0x1p-100, 0x1p-100, 1},
                                 {0.5, 0.46211715726000974, 0.7864477329659274},
                                 {4.5, 0.9997532108480275, 0.0004935173990593956},
                                 {9, 0.999999969540041, 6.091991712323229e-08},
                                 {40, 1, 7.219405551381661e-35},
                                 {-inf, -1, 0},
                                 {inf, 1, 0},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Tanh> tanh_op;

struct Erf {
  static constexpr auto name = "erf";
  static constexpr auto doc = "Error function.";
  static constexpr auto math =
      "y = 2/sqrt(pi) integral of e^(-t^2) from 0 to x; dy/dx = 2/sqrt(pi) e^(-x^2)";
  static constexpr Example example{"erf(g.constant(Tensor{0, 1}))", "[0.        0.8427008]"};
  static auto formula(auto x) { return erf(x); }
  static Factor partial(Var x, Var) { return 2 * std::numbers::inv_sqrtpi * detail::bell(x, 1); }
  static auto sample() { return domain(-2, 2); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-9, -1, 7.492073428245974e-36},
                                 {-5.5, -0.9999999999999927, 8.223316045262922e-14},
                                 {-3, -0.9999779095030014, 0.00013925305194674786},
                                 {0x1p-100, 8.901342111874974e-31, 1.1283791670955126},
                                 {0, 0, 1.1283791670955126},
                                 {0.5, 0.5204998778130465, 0.8787825789354448},
                                 {2.25, 0.9985372834133188, 0.007142319022017983},
                                 {5.5, 0.9999999999999927, 8.223316045262922e-14},
                                 {9, 1, 7.492073428245974e-36},
                                 {-inf, -1, 0},
                                 {inf, 1, 0},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Erf> erf_op;

struct Erfc {
  static constexpr auto name = "erfc";
  static constexpr auto doc =
      "Complementary error function 1 - erf(x), accurate where it is small.";
  static constexpr auto math =
      "y = 2/sqrt(pi) integral of e^(-t^2) from x to infinity; dy/dx = -2/sqrt(pi) e^(-x^2)";
  static constexpr Example example{"erfc(g.constant(Tensor{0, -30}))", "[1. 2.]"};
  static auto formula(auto x) { return erfc(x); }
  static Factor partial(Var x, Var) { return -2 * std::numbers::inv_sqrtpi * detail::bell(x, 1); }
  static auto sample() { return domain(-2, 2); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-5.5, 1.9999999999999927, -8.223316045262922e-14},
                                 {-0.5, 1.5204998778130465, -0.8787825789354448},
                                 {0, 1, -1.1283791670955126},
                                 {0x1p-100, 1, -1.1283791670955126},
                                 {0.46875, 0.507386526782062, -0.9057931367751159},
                                 {0.5, 0.4795001221869535, -0.8787825789354448},
                                 {1, 0.15729920705028513, -0.4151074974205947},
                                 {3, 2.209049699858544e-05, -0.00013925305194674786},
                                 {5.5, 7.357847917974398e-15, -8.223316045262922e-14},
                                 {9, 4.13703174651381e-37, -7.492073428245974e-36},
                                 {26, 5.663192408856143e-296, -2.9470349932662697e-294},
                                 {-inf, 2, 0},
                                 {inf, 0, 0},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Erfc> erfc_op;

struct NormalCdf {
  static constexpr auto name = "normal_cdf";
  static constexpr auto doc =
      "Distribution function of the standard normal, accurate where it is small.";
  static constexpr auto math =
      "y = 1/sqrt(2 pi) integral of e^(-t^2/2) from -infinity to x; dy/dx = e^(-x^2/2)/sqrt(2 pi)";
  static constexpr Example example{"normal_cdf(g.constant(Tensor{0, 30}))", "[0.5 1. ]"};
  static auto formula(auto x) { return normal_cdf(x); }
  static Factor partial(Var x, Var) {
    return std::numbers::inv_sqrtpi / std::numbers::sqrt2 * detail::bell(x, 0.5);
  }
  static auto sample() { return domain(-3, 3); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-37, 5.725571222524577e-300, 2.1200065515246056e-298},
                                 {-12.5, 3.732564298877713e-36, 4.695195357975146e-35},
                                 {-7.25, 2.0838581586720695e-13, 1.538537950561275e-12},
                                 {-3, 0.0013498980316300946, 0.0044318484119380075},
                                 {-0.6875, 0.24588385038026145, 0.3149735354265933},
                                 {-0x1p-100, 0.5, 0.3989422804014327},
                                 {0, 0.5, 0.3989422804014327},
                                 {0.75, 0.7733726476231318, 0.30113743215480443},
                                 {3, 0.9986501019683699, 0.0044318484119380075},
                                 {9, 1, 1.0279773571668915e-18},
                                 {-inf, 0, 0},
                                 {inf, 1, 0},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<NormalCdf> normal_cdf_op;

struct ExpProduct {
  static constexpr auto name = "exp_product";
  static constexpr auto doc = "e^(a b) as if a b were not rounded.";
  static constexpr auto math = "y = e^(a b); dy/da = b y; dy/db = a y, 0 where y = 0";
  static constexpr Example example{"exp_product(g.constant(Tensor{0, -30}), Tensor{7, 30})",
                                   "[1. 0.]"};
  static auto formula(auto a, auto b) { return exp_product(a, b); }
  static Factor partial(std::size_t i, std::span<const Var> in, Var y) {
    return where(equal(y, 0), 0, in[1 - i]) * y;  // a power of 0 takes infinite factors with it
  }
  static auto sample() { return std::array{domain(-1.5, 1.5), domain(-1.5, 1.5)}; }
  static std::vector<Edge> edges() {
    return detail::edge_rows(2, {{-8.125, 8.125, 2.1368711865702458e-29, 1.7362078390883247e-28,
                                  -1.7362078390883247e-28},
                                 {-25.3125, 25.3125, 5.4662055682799295e-279,
                                  1.383633284470857e-277, -1.383633284470857e-277},
                                 {9 + 0x1p-11, 9 + 0x1p-11, 1.5193932022803762e35,
                                  1.3675280711735436e36, 1.3675280711735436e36},
                                 {0, 0x1p100, 1, 0x1p100, 0},
                                 {0x1p-100, 0x1p-100, 1, 0x1p-100, 0x1p-100},
                                 {-0x1p100, 0x1p100, 0, 0, 0},
                                 {-inf, 2, 0, 0, 0},
                                 {3, -inf, 0, 0, 0},
                                 {-inf, inf, 0, 0, 0},
                                 {inf, 2, inf, inf, inf},
                                 {0, inf, nan, nan, nan},
                                 {nan, 1, nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<ExpProduct> exp_product_op;

struct Floor {
  static constexpr auto name = "floor";
  static constexpr auto doc = "The next whole number at or below x.";
  static constexpr auto math = "y = floor(x); dy/dx = 0";
  static constexpr auto reason = "floor is constant between whole numbers";
  static constexpr Example example{"floor(g.constant(Tensor{1.5, -1.5}))", "[ 1. -2.]"};
  static auto formula(auto x) { return floor(x); }
  static auto sample() { return domain(-2, 2).avoid(-1).avoid(0).avoid(1); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-1.5, -2},
                                 {-1, -1},
                                 {-0x1p-100, -1},
                                 {0, 0},
                                 {0x1p-100, 0},
                                 {0.5, 0},
                                 {2.5, 2},
                                 {8388609, 8388609},
                                 {0x1p60, 0x1p60},
                                 {-inf, -inf},
                                 {inf, inf},
                                 {nan, nan}});
  }
};
constexpr detail::BuiltinZeroDerivative<Floor> floor_op;

struct Ceil {
  static constexpr auto name = "ceil";
  static constexpr auto doc = "The next whole number at or above x.";
  static constexpr auto math = "y = ceil(x); dy/dx = 0";
  static constexpr auto reason = "ceil is constant between whole numbers";
  static constexpr Example example{"ceil(g.constant(Tensor{1.5, -1.5}))", "[ 2. -1.]"};
  static auto formula(auto x) { return ceil(x); }
  static auto sample() { return domain(-2, 2).avoid(-1).avoid(0).avoid(1); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-1.5, -1},
                                 {-1, -1},
                                 {-0x1p-100, 0},
                                 {0, 0},
                                 {0x1p-100, 1},
                                 {0.5, 1},
                                 {2.5, 3},
                                 {8388609, 8388609},
                                 {0x1p60, 0x1p60},
                                 {-inf, -inf},
                                 {inf, inf},
                                 {nan, nan}});
  }
};
constexpr detail::BuiltinZeroDerivative<Ceil> ceil_op;

struct Round {
  static constexpr auto name = "round";
  static constexpr auto doc = "The nearest whole number, of two the even one.";
  static constexpr auto math = "y = round(x); dy/dx = 0";
  static constexpr auto reason = "round is constant between halves";
  static constexpr Example example{"round(g.constant(Tensor{0.5, 1.5, -0.7}))", "[ 0.  2. -1.]"};
  static auto formula(auto x) { return round(x); }
  static auto sample() { return domain(-1.4, 1.4).avoid(-0.5).avoid(0.5); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-1.5, -2},
                                 {-0.5, 0},
                                 {0, 0},
                                 {0.5, 0},
                                 {0.49999999999999994, 0},
                                 {1.5, 2},
                                 {2.5, 2},
                                 {8388609, 8388609},
                                 {0x1p60, 0x1p60},
                                 {-inf, -inf},
                                 {inf, inf},
                                 {nan, nan}});
  }
};
constexpr detail::BuiltinZeroDerivative<Round> round_op;

struct Trunc {
  static constexpr auto name = "trunc";
  static constexpr auto doc = "x without its fraction.";
  static constexpr auto math = "y = trunc(x); dy/dx = 0";
  static constexpr auto reason = "trunc is constant between whole numbers";
  static constexpr Example example{"trunc(g.constant(Tensor{1.5, -1.5}))", "[ 1. -1.]"};
  static auto formula(auto x) { return trunc(x); }
  static auto sample() { return domain(-2, 2).avoid(-1).avoid(1); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-1.5, -1},
                                 {-1, -1},
                                 {-0x1p-100, 0},
                                 {0, 0},
                                 {0.5, 0},
                                 {2.5, 2},
                                 {8388609, 8388609},
                                 {0x1p60, 0x1p60},
                                 {-inf, -inf},
                                 {inf, inf},
                                 {nan, nan}});
  }
};
constexpr detail::BuiltinZeroDerivative<Trunc> trunc_op;

struct Isnan {
  static constexpr auto name = "isnan";
  static constexpr auto doc = "Whether x is NaN.";
  static constexpr auto math = "y = x is NaN; dy/dx = 0";
  static constexpr auto reason = "a truth value has no derivative but zero";
  static constexpr Example example{"isnan(sqrt(g.constant(Tensor{1, -1})))", "[False  True]"};
  static auto formula(auto x) { return isnan(x); }
  static auto sample() { return domain(-2, 2); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{0, 0}, {0x1p100, 0}, {inf, 0}, {-inf, 0}, {nan, 1}});
  }
};
constexpr detail::BuiltinZeroDerivative<Isnan> isnan_op;

struct Isfinite {
  static constexpr auto name = "isfinite";
  static constexpr auto doc = "Whether x is neither NaN nor infinite.";
  static constexpr auto math = "y = |x| < inf; dy/dx = 0";
  static constexpr auto reason = "a truth value has no derivative but zero";
  static constexpr Example example{"isfinite(log(g.constant(Tensor{1, 0})))", "[ True False]"};
  static auto formula(auto x) { return isfinite(x); }
  static auto sample() { return domain(-2, 2); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{0, 1}, {0x1p127, 1}, {inf, 0}, {-inf, 0}, {nan, 0}});
  }
};
constexpr detail::BuiltinZeroDerivative<Isfinite> isfinite_op;

}  // namespace

Var exp(In x) { return exp_op(x); }
Var expm1(In x) { return expm1_op(x); }
Var log(In x) { return log_op(x); }
Var log1p(In x) { return log1p_op(x); }
Var sin(In x) { return sin_op(x); }
Var cos(In x) { return cos_op(x); }
Var tan(In x) { return tan_op(x); }
Var tanh(In x) { return tanh_op(x); }
Var erf(In x) { return erf_op(x); }
Var erfc(In x) { return erfc_op(x); }
Var normal_cdf(In x) { return normal_cdf_op(x); }
Var exp_product(In a, In b) { return exp_product_op(a, b); }
Var floor(In x) { return floor_op(x); }
Var ceil(In x) { return ceil_op(x); }
Var round(In x) { return round_op(x); }
Var trunc(In x) { return trunc_op(x); }
Var isnan(In x) { return isnan_op(x); }
Var isfinite(In x) { return isfinite_op(x); }

namespace detail {

void register_math() {
  register_all(exp_op, expm1_op, log_op, log1p_op, sin_op, cos_op, tan_op, tanh_op, erf_op, erfc_op,
               normal_cdf_op, exp_product_op, floor_op, ceil_op, round_op, trunc_op, isnan_op,
               isfinite_op);
}

}  // namespace detail
}  // namespace dualtape
