#include <dualtape/ops/trigonometry.hpp>

#include <array>

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/detail/builtin.hpp>
#include <dualtape/ops/detail/families.hpp>
#include <dualtape/ops/math.hpp>

namespace dualtape {
namespace {

using Operands = std::span<const Var>;

struct Asin {
  static constexpr auto name = "asin";
  static constexpr auto doc = "Inverse sine, in radians; NaN outside [-1, 1].";
  static constexpr auto math = "y = asin(x); dy/dx = 1 / sqrt((1 - x)(1 + x))";
  static constexpr Example example{"asin(g.constant(Tensor{0, 1}))", "[0.        1.5707964]"};
  static auto formula(auto x) { return asin(x); }
  static Factor partial(Var x, Var) { return rsqrt((1 - x) * (1 + x)); }
  static auto sample() { return domain(-0.8, 0.8); }
};
constexpr detail::BuiltinElementwise<Asin> asin_op;

struct Acos {
  static constexpr auto name = "acos";
  static constexpr auto doc = "Inverse cosine, in radians; NaN outside [-1, 1].";
  static constexpr auto math = "y = acos(x); dy/dx = -1 / sqrt((1 - x)(1 + x))";
  static constexpr Example example{"acos(g.constant(Tensor{0, 1}))", "[1.5707964 0.       ]"};
  static auto formula(auto x) { return acos(x); }
  static Factor partial(Var x, Var) { return -rsqrt((1 - x) * (1 + x)); }
  static auto sample() { return domain(-0.8, 0.8); }
};
constexpr detail::BuiltinElementwise<Acos> acos_op;

struct Atan {
  static constexpr auto name = "atan";
  static constexpr auto doc = "Inverse tangent, in radians.";
  static constexpr auto math = "y = atan(x); dy/dx = 1 / (1 + x^2)";
  static constexpr Example example{"atan(g.constant(Tensor{0, 1}))", "[0.        0.7853982]"};
  static auto formula(auto x) { return atan(x); }
  static Factor partial(Var x, Var) { return reciprocal(1 + square(x)); }
  static auto sample() { return domain(-3, 3); }
};
constexpr detail::BuiltinElementwise<Atan> atan_op;

struct Atan2 {
  static constexpr auto name = "atan2";
  static constexpr auto doc = "The angle of the point (x, y), in radians from -pi to pi.";
  static constexpr auto math =
      "z = atan2(y, x); dz/dy = x / (x^2 + y^2); dz/dx = -y / (x^2 + y^2), NaN at the origin";
  static constexpr Example example{"atan2(g.constant(Tensor{0, 1}), -1)", "[3.1415927 2.3561945]"};
  static auto formula(auto y, auto x) { return atan2(y, x); }
  static Factor partial(std::size_t i, Operands in, Var) {
    const Var squares = square(in[0]) + square(in[1]);
    return i == 0 ? in[1] / squares : -(in[0] / squares);
  }
  // Away from the origin and from the jump along the negative x axis.
  static auto sample() { return std::array{Domain{-2, 2, {0}, 0.4}, domain(-2, 2)}; }
};
constexpr detail::BuiltinElementwise<Atan2> atan2_op;

struct Sinh {
  static constexpr auto name = "sinh";
  static constexpr auto doc = "Hyperbolic sine (e^x - e^-x) / 2.";
  static constexpr auto math = "y = sinh(x); dy/dx = cosh(x)";
  static constexpr Example example{"sinh(g.constant(Tensor{0, 1}))", "[0.        1.1752012]"};
  static auto formula(auto x) { return sinh(x); }
  static Factor partial(Var x, Var) { return cosh(x); }
  static auto sample() { return domain(-2, 2); }
};
constexpr detail::BuiltinElementwise<Sinh> sinh_op;

struct Cosh {
  static constexpr auto name = "cosh";
  static constexpr auto doc = "Hyperbolic cosine (e^x + e^-x) / 2.";
  static constexpr auto math = "y = cosh(x); dy/dx = sinh(x)";
  static constexpr Example example{"cosh(g.constant(Tensor{0, 1}))", "[1.        1.5430806]"};
  static auto formula(auto x) { return cosh(x); }
  static Factor partial(Var x, Var) { return sinh(x); }
  static auto sample() { return domain(-2, 2); }
};
constexpr detail::BuiltinElementwise<Cosh> cosh_op;

struct Mod {
  static constexpr auto promotion = Promotion::common;
  static constexpr auto compiled_for = detail::CompiledFor::numbers;
  static constexpr auto name = "mod";
  static constexpr auto doc = "Remainder of a / b with the sign of b, as in Python.";
  static constexpr auto math = "y = a - floor(a / b) b; dy/da = 1; dy/db = -floor(a / b)";
  static constexpr Example example{"mod(g.constant(Tensor{-1, 5.5}), 3)", "[2.  2.5]"};
  static auto formula(auto a, auto b) { return mod(a, b); }
  // a / b may be rounded up to a whole number that y says it has not reached, so the quotient comes
  // from y.
  static Factor partial(std::size_t i, Operands in, Var y) {
    return i == 0 ? Factor(1.0) : Factor(round((y - in[0]) / in[1]));
  }
  // Quotients between -2.5 and -2.
  static auto sample() { return std::array{domain(-2.4, -2.1), domain(0.97, 1.03)}; }
};
constexpr detail::BuiltinElementwise<Mod> mod_op;

}  // namespace

Var asin(In x) { return asin_op(x); }
Var acos(In x) { return acos_op(x); }
Var atan(In x) { return atan_op(x); }
Var atan2(In y, In x) { return atan2_op(y, x); }
Var sinh(In x) { return sinh_op(x); }
Var cosh(In x) { return cosh_op(x); }
Var mod(In a, In b) { return mod_op(a, b); }

namespace detail {

void register_trigonometry() {
  register_all(asin_op, acos_op, atan_op, atan2_op, sinh_op, cosh_op, mod_op);
}

}  // namespace detail
}  // namespace dualtape
