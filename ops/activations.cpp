#include <dualtape/ops/activations.hpp>

#include <array>
#include <numbers>

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/detail/builtin.hpp>
#include <dualtape/ops/detail/families.hpp>
#include <dualtape/ops/math.hpp>

namespace dualtape {
namespace {

using Operands = std::span<const Var>;

struct Sigmoid {
  static constexpr auto name = "sigmoid";
  static constexpr auto doc = "Logistic function 1 / (1 + e^-x).";
  static constexpr auto math = "y = 1 / (1 + e^-x); dy/dx = y (1 - y)";
  static constexpr Example example{"sigmoid(g.constant(Tensor{0, 1000}))", "[0.5 1. ]"};
  static auto formula(auto x) { return sigmoid(x); }
  static Factor partial(Var, Var y) { return y * (1 - y); }
  static auto sample() { return domain(-4, 4); }
};
constexpr detail::BuiltinElementwise<Sigmoid> sigmoid_op;

struct Logsigmoid {
  static constexpr auto name = "logsigmoid";
  static constexpr auto doc = "Logarithm of the logistic function.";
  static constexpr auto math = "y = min(x, 0) - log1p(e^-|x|); dy/dx = sigmoid(-x)";
  static constexpr Example example{"logsigmoid(g.constant(Tensor{0, -1000}))",
                                   "[-6.931472e-01 -1.000000e+03]"};
  static auto formula(auto x) { return minimum(x, 0) - log1p(exp(-abs(x))); }
  static Factor partial(Var x, Var) { return sigmoid(-x); }
  static auto sample() { return domain(-4, 4); }
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
};
constexpr detail::BuiltinElementwise<Softplus> softplus_op;

struct Relu {
  static constexpr auto name = "relu";
  static constexpr auto doc = "x where it is positive, else 0; NaN stays NaN.";
  static constexpr auto math = "y = max(x, 0); dy/dx = 1 where x > 0, else 0 (at 0 too)";
  static constexpr Example example{"relu(g.constant(Tensor{-1, 2}))", "[0. 2.]"};
  static auto formula(auto x) { return maximum(x, 0); }
  static Factor partial(Var x, Var) { return cast(x > 0, x.dtype()); }
  static auto sample() { return domain(-2, 2).avoid(0); }
};
constexpr detail::BuiltinElementwise<Relu> relu_op;

struct LeakyRelu {
  static constexpr auto name = "leaky_relu";
  static constexpr auto doc = "x where it is positive, slope x elsewhere.";
  static constexpr auto math =
      "y = x where x > 0, else slope x; dy/dx = 1 where x > 0, else slope; dy/dslope = min(x, 0)";
  static constexpr Example example{"leaky_relu(g.constant(Tensor{-1, 2}), 0.5)", "[-0.5  2. ]"};
  static auto formula(auto x, auto slope) { return select(x > 0, x, slope * x); }
  static Factor partial(std::size_t i, Operands in, Var) {
    return i == 0 ? where(in[0] > 0, 1, in[1]) : minimum(in[0], 0);
  }
  static auto sample() { return std::array{domain(-2, 2).avoid(0), domain(0, 0.5)}; }
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
    const Var x = minimum(in[0], 0);
    return i == 0 ? where(in[0] > 0, 1, in[1] * exp(x)) : expm1(x);
  }
  static auto sample() { return std::array{domain(-2, 2).avoid(0), domain(0.5, 1.5)}; }
};
constexpr detail::BuiltinElementwise<Elu> elu_op;

struct Gelu {
  static constexpr auto name = "gelu";
  static constexpr auto doc = "x Phi(x), Phi the distribution function of the standard normal.";
  static constexpr auto math =
      "y = x/2 (1 + erf(x/sqrt 2)); dy/dx = (1 + erf(x/sqrt 2))/2 + x e^(-x^2/2)/sqrt(2 pi)";
  static constexpr Example example{"gelu(g.constant(Tensor{0, 1}))", "[0.        0.8413447]"};
  static constexpr double half_root = 0.5 * std::numbers::sqrt2;
  static auto formula(auto x) { return 0.5 * x * (1 + erf(half_root * x)); }
  static Factor partial(Var x, Var) {
    constexpr double density = half_root * std::numbers::inv_sqrtpi;
    return 0.5 * (1 + erf(half_root * x)) + density * x * exp(-0.5 * square(x));
  }
  static auto sample() { return domain(-3, 3); }
};
constexpr detail::BuiltinElementwise<Gelu> gelu_op;

struct Silu {
  static constexpr auto name = "silu";
  static constexpr auto doc = "x sigmoid(x), also called swish.";
  static constexpr auto math = "y = x s, s = sigmoid(x); dy/dx = s (1 + x (1 - s))";
  static constexpr Example example{"silu(g.constant(Tensor{0, 1}))", "[0.        0.7310586]"};
  static auto formula(auto x) { return x * sigmoid(x); }
  static Factor partial(Var x, Var) {
    const Var s = sigmoid(x);
    return s * (1 + x * (1 - s));
  }
  static auto sample() { return domain(-4, 4); }
};
constexpr detail::BuiltinElementwise<Silu> silu_op;

struct Mish {
  static constexpr auto name = "mish";
  static constexpr auto doc = "x tanh(softplus(x)).";
  static constexpr auto math =
      "y = x t, t = tanh(log(1 + e^x)); dy/dx = t + x sigmoid(x) (1 - t^2)";
  static constexpr Example example{"mish(g.constant(Tensor{0, 1}))", "[0.        0.8650984]"};
  static auto formula(auto x) { return x * tanh(maximum(x, 0) + log1p(exp(-abs(x)))); }
  static Factor partial(Var x, Var) {
    const Var t = tanh(softplus(x));
    return t + x * sigmoid(x) * (1 - square(t));
  }
  static auto sample() { return domain(-4, 4); }
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
    return where(x > 0, scale, scale * alpha * exp(minimum(x, 0)));
  }
  static auto sample() { return domain(-2, 2).avoid(0); }
};
constexpr detail::BuiltinElementwise<Selu> selu_op;

struct Celu {
  static constexpr auto name = "celu";
  static constexpr auto doc = "x where it is positive, alpha (e^(x/alpha) - 1) elsewhere.";
  static constexpr auto math =
      "y = x where x > 0, else alpha (e^(x/alpha) - 1); dy/dx = 1 where x > 0, else e^(x/alpha); "
      "with u = min(x, 0)/alpha, dy/dalpha = e^u - 1 - u e^u";
  static constexpr Example example{"celu(g.constant(Tensor{-1000, 2}), 2)", "[-2.  2.]"};
  static auto formula(auto x, auto alpha) {
    return select(x > 0, x, alpha * expm1(minimum(x, 0) / alpha));
  }
  static Factor partial(std::size_t i, Operands in, Var) {
    const Var u = minimum(in[0], 0) / in[1];
    return i == 0 ? where(in[0] > 0, 1, exp(u)) : expm1(u) - u * exp(u);
  }
  static auto sample() { return std::array{domain(-2, 2).avoid(0), domain(0.5, 1.5)}; }
};
constexpr detail::BuiltinElementwise<Celu> celu_op;

struct Hardtanh {
  static constexpr auto name = "hardtanh";
  static constexpr auto doc = "x cut off to low .. high.";
  static constexpr auto math =
      "y = min(max(x, low), high); dy/dx = 1 where low < x < high, else 0. Written as clamp, but "
      "with derivative 0 at the ends.";
  static constexpr Example example{"hardtanh(g.constant(Tensor{-3, 0.5, 3}))", "[-1.   0.5  1. ]"};
  static auto formula(auto x, auto low, auto high) { return minimum(maximum(x, low), high); }
  static Factor partial(std::size_t i, Operands in, Var) {
    const Var x = in[0];
    const Var above = logical_not(logical_or(x < in[2], isnan(x)));
    const Var below = logical_not(logical_or(x > in[1], isnan(x)));
    if (i == 0) return cast(logical_not(logical_or(above, below)), x.dtype());
    if (i == 2) return cast(above, x.dtype());
    return cast(logical_and(below, logical_not(above)), x.dtype());
  }
  static auto sample() {
    return std::array{domain(-3, 3).avoid(-1).avoid(1), domain(-1.04, -0.96), domain(0.96, 1.04)};
  }
};
constexpr detail::BuiltinElementwise<Hardtanh> hardtanh_op;

struct Hardsigmoid {
  static constexpr auto name = "hardsigmoid";
  static constexpr auto doc = "x/6 + 1/2 cut off to 0 .. 1.";
  static constexpr auto math =
      "y = min(max(x/6 + 1/2, 0), 1); dy/dx = 1/6 where -3 < x < 3, else 0";
  static constexpr Example example{"hardsigmoid(g.constant(Tensor{-4, 0, 1.5}))",
                                   "[0.   0.5  0.75]"};
  static auto formula(auto x) { return minimum(maximum(x / 6 + 0.5, 0), 1); }
  static Factor partial(Var x, Var) { return cast(abs(x) < 3, x.dtype()) / 6; }
  static auto sample() { return domain(-5, 5).avoid(-3).avoid(3); }
};
constexpr detail::BuiltinElementwise<Hardsigmoid> hardsigmoid_op;

struct Hardswish {
  static constexpr auto name = "hardswish";
  static constexpr auto doc = "x hardsigmoid(x).";
  static constexpr auto math =
      "y = x min(max(x/6 + 1/2, 0), 1); dy/dx = x/3 + 1/2 where -3 < x < 3, 1 above, 0 below";
  static constexpr Example example{"hardswish(g.constant(Tensor{-4, 0, 3}))", "[-0.  0.  3.]"};
  static auto formula(auto x) { return x * minimum(maximum(x / 6 + 0.5, 0), 1); }
  static Factor partial(Var x, Var) {
    return where(abs(x) < 3, x / 3 + 0.5, cast(x > 0, x.dtype()));
  }
  static auto sample() { return domain(-5, 5).avoid(-3).avoid(3); }
};
constexpr detail::BuiltinElementwise<Hardswish> hardswish_op;

}  // namespace

Var sigmoid(In x) { return sigmoid_op(x); }
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
Var hardtanh(In x, In low, In high) { return hardtanh_op(x, low, high); }
Var hardsigmoid(In x) { return hardsigmoid_op(x); }
Var hardswish(In x) { return hardswish_op(x); }

namespace detail {

void register_activations() {
  register_all(sigmoid_op, logsigmoid_op, softplus_op, relu_op, leaky_relu_op, elu_op, gelu_op,
               silu_op, mish_op, selu_op, celu_op, hardtanh_op, hardsigmoid_op, hardswish_op);
}

}  // namespace detail
}  // namespace dualtape
