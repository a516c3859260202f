#include <dualtape/ops/math.hpp>

#include <numbers>

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/detail/builtin.hpp>
#include <dualtape/ops/detail/families.hpp>

namespace dualtape {
namespace {

struct Exp {
  static constexpr auto name = "exp";
  static constexpr auto doc = "Exponential function e^x.";
  static constexpr auto math = "y = e^x; dy/dx = y";
  static constexpr Example example{"exp(g.constant(Tensor{0, 1}))", "[1.        2.7182817]"};
  static auto formula(auto x) { return exp(x); }
  static Factor partial(Var, Var y) { return y; }
  static auto sample() { return domain(-2, 2); }
};
constexpr detail::BuiltinElementwise<Exp> exp_op;

struct Expm1 {
  static constexpr auto name = "expm1";
  static constexpr auto doc = "e^x - 1, accurate near 0.";
  static constexpr auto math = "y = e^x - 1; dy/dx = y + 1";
  static constexpr Example example{"expm1(g.constant(Tensor{0, 1e-6}))",
                                   "[0.0000000e+00 1.0000005e-06]"};
  static auto formula(auto x) { return expm1(x); }
  static Factor partial(Var, Var y) { return y + 1; }
  static auto sample() { return domain(-2, 2); }
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
};
constexpr detail::BuiltinElementwise<Tan> tan_op;

struct Tanh {
  static constexpr auto name = "tanh";
  static constexpr auto doc = "Hyperbolic tangent.";
  static constexpr auto math = "y = tanh(x); dy/dx = 1 - y^2";
  static constexpr Example example{"tanh(g.constant(Tensor{0, 1}))", "[0.        0.7615942]"};
  static auto formula(auto x) { return tanh(x); }
  static Factor partial(Var, Var y) { return 1 - square(y); }
  static auto sample() { return domain(-3, 3); }
};
constexpr detail::BuiltinElementwise<Tanh> tanh_op;

struct Erf {
  static constexpr auto name = "erf";
  static constexpr auto doc = "Error function.";
  static constexpr auto math =
      "y = 2/sqrt(pi) integral of e^(-t^2) from 0 to x; dy/dx = 2/sqrt(pi) e^(-x^2)";
  static constexpr Example example{"erf(g.constant(Tensor{0, 1}))", "[0.        0.8427008]"};
  static auto formula(auto x) { return erf(x); }
  static Factor partial(Var x, Var) { return 2 * std::numbers::inv_sqrtpi * exp(-square(x)); }
  static auto sample() { return domain(-2, 2); }
};
constexpr detail::BuiltinElementwise<Erf> erf_op;

struct Floor {
  static constexpr auto name = "floor";
  static constexpr auto doc = "The next whole number at or below x.";
  static constexpr auto math = "y = floor(x); dy/dx = 0";
  static constexpr auto reason = "floor is constant between whole numbers";
  static constexpr Example example{"floor(g.constant(Tensor{1.5, -1.5}))", "[ 1. -2.]"};
  static auto formula(auto x) { return floor(x); }
  static auto sample() { return domain(-2, 2).avoid(-1).avoid(0).avoid(1); }
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
Var floor(In x) { return floor_op(x); }
Var ceil(In x) { return ceil_op(x); }
Var round(In x) { return round_op(x); }
Var trunc(In x) { return trunc_op(x); }
Var isnan(In x) { return isnan_op(x); }
Var isfinite(In x) { return isfinite_op(x); }

namespace detail {

void register_math() {
  register_all(exp_op, expm1_op, log_op, log1p_op, sin_op, cos_op, tan_op, tanh_op, erf_op,
               floor_op, ceil_op, round_op, trunc_op, isnan_op, isfinite_op);
}

}  // namespace detail
}  // namespace dualtape
