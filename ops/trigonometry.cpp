#include <dualtape/ops/trigonometry.hpp>

#include <array>

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/declare/builtin.hpp>
#include <dualtape/ops/declare/edge_rows.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/tails.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

using detail::inf;
using detail::nan;
using Operands = std::span<const Var>;

// 1 - x^2 for |x| <= 1: its value by the product, which does not cancel near 1, its slopes by the
// square, which do not cancel near 0. Far out the two are the same, and may be infinite.
Var one_less_square(Var x) {
  const Var plain = 1 - square(x);
  return plain + stop_gradient(where(abs(x) < 2, (1 - x) * (1 + x) - plain, 0));
}

struct Asin {
  static constexpr auto name = "asin";
  static constexpr auto doc = "Inverse sine, in radians; NaN outside [-1, 1].";
  static constexpr auto math = "y = asin(x); dy/dx = 1 / sqrt((1 - x)(1 + x))";
  static constexpr Example example{"asin(g.constant(Tensor{0, 1}))", "[0.        1.5707964]"};
  static auto formula(auto x) { return asin(x); }
  static Factor partial(Var x, Var) { return rsqrt(one_less_square(x)); }
  static auto sample() { return domain(-0.8, 0.8); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-1, -1.5707963267948966, inf},
                                 {1, 1.5707963267948966, inf},
                                 {-1 + 0x1p-20, -1.5694152587531343, 724.077516568578},
                                 {-0x1p-100, -0x1p-100, 1},
                                 {0, 0, 1},
                                 {0.5, 0.5235987755982989, 1.1547005383792515},
                                 {1 - 0x1p-20, 1.5694152587531343, 724.077516568578},
                                 {1.5, nan, nan},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Asin> asin_op;

struct Acos {
  static constexpr auto name = "acos";
  static constexpr auto doc = "Inverse cosine, in radians; NaN outside [-1, 1].";
  static constexpr auto math = "y = acos(x); dy/dx = -1 / sqrt((1 - x)(1 + x))";
  static constexpr Example example{"acos(g.constant(Tensor{0, 1}))", "[1.5707964 0.       ]"};
  static auto formula(auto x) { return acos(x); }
  static Factor partial(Var x, Var) { return -rsqrt(one_less_square(x)); }
  static auto sample() { return domain(-0.8, 0.8); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-1, 3.141592653589793, -inf},
                                 {1, 0, -inf},
                                 {-1 + 0x1p-20, 3.140211585548031, -724.077516568578},
                                 {-0x1p-100, 1.5707963267948966, -1},
                                 {0, 1.5707963267948966, -1},
                                 {0.5, 1.0471975511965979, -1.1547005383792515},
                                 {1 - 0x1p-20, 0.0013810680417624171, -724.077516568578},
                                 {1.5, nan, nan},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Acos> acos_op;

struct Atan {
  static constexpr auto name = "atan";
  static constexpr auto doc = "Inverse tangent, in radians.";
  static constexpr auto math = "y = atan(x); dy/dx = 1 / (1 + x^2)";
  static constexpr Example example{"atan(g.constant(Tensor{0, 1}))", "[0.        0.7853982]"};
  static auto formula(auto x) { return atan(x); }
  // x^2 and its own slope would leave the range where the slope of this does not.
  static Factor partial(Var x, Var) { return square(reciprocal(hypot(x, 1))); }
  static auto sample() { return domain(-3, 3); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-0x1p100, -1.5707963267948966, 0x1p-200},
                                 {-0x1p-100, -0x1p-100, 1},
                                 {0, 0, 1},
                                 {0.5, 0.4636476090008061, 0.8},
                                 {4096, 1.5705521861747473, 5.960464122267716e-08},
                                 {0x1p60, 1.5707963267948966, 0x1p-120},
                                 {-inf, -1.5707963267948966, 0},
                                 {inf, 1.5707963267948966, 0},
                                 {nan, nan, nan}});
  }
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
    const Var slope = direction(in[1 - i], in[i]) / hypot(in[0], in[1]);
    return i == 0 ? slope : -slope;
  }
  // Away from the origin and from the jump along the negative x axis.
  static auto sample() { return std::array{Domain{-2, 2, {0}, 0.4}, domain(-2, 2)}; }
  static std::vector<Edge> edges() {
    return detail::edge_rows(
        2,
        {{1, 1, 0.7853981633974483, 0.5, -0.5},
         {0x1p-68, 0x1p-68, 0.7853981633974483, 0x1p67, -0x1p67},
         {1, 2, 0.4636476090008061, 0.4, -0.2},
         {0x3p-100, 0x1p-100, 1.2490457723982544, 1.2676506002282295e29, -3.802951800684688e29},
         {0x3p100, 0x1p100, 1.2490457723982544, 7.888609052210118e-32, -2.3665827156630353e-31},
         {0x1p-40, -0x1p100, 3.141592653589793, -0x1p-100, -0x1p-240},
         {1, -0x1p-100, 1.5707963267948966, -0x1p-100, -1},
         {0x3p-600, 0x1p-601, 1.4056476493802699, 2.2429813885843206e179, -1.3457888331505924e180},
         {0x3p600, 0x1p601, 0.982793723247329, 3.7075690232352065e-182, -5.56135353485281e-182},
         {0, 0, 0, nan, nan},
         {1, inf, 0, 0, 0},
         {inf, 1, 1.5707963267948966, 0, 0},
         {nan, 1, nan, nan, nan},
         {1, nan, nan, nan, nan}});
  }
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
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-80, -2.770311192196755e34, 2.770311192196755e34},
                                 {-0x1p-100, -0x1p-100, 1},
                                 {0, 0, 1},
                                 {0x1p-100, 0x1p-100, 1},
                                 {0.5, 0.5210953054937474, 1.1276259652063807},
                                 {88, 8.258181274970009e37, 8.258181274970009e37},
                                 {709, 4.109203730777486e307, 4.109203730777486e307},
                                 {-inf, -inf, inf},
                                 {inf, inf, inf},
                                 {nan, nan, nan}});
  }
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
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-80, 2.770311192196755e34, -2.770311192196755e34},
                                 {-0x1p-100, 1, -0x1p-100},
                                 {0, 1, 0},
                                 {0x1p-100, 1, 0x1p-100},
                                 {0.5, 1.1276259652063807, 0.5210953054937474},
                                 {88, 8.258181274970009e37, 8.258181274970009e37},
                                 {709, 4.109203730777486e307, 4.109203730777486e307},
                                 {-inf, inf, -inf},
                                 {inf, inf, inf},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Cosh> cosh_op;

struct Asinh {
  static constexpr auto name = "asinh";
  static constexpr auto doc = "Inverse hyperbolic sine.";
  static constexpr auto math = "y = log(x + sqrt(x^2 + 1)); dy/dx = 1 / sqrt(x^2 + 1)";
  static constexpr Example example{"asinh(g.constant(Tensor{0, 1}))", "[0.        0.8813736]"};
  static auto formula(auto x) { return asinh(x); }
  static Factor partial(Var x, Var) { return reciprocal(hypot(x, 1)); }
  static auto sample() { return domain(-3, 3); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-0x1p100, -70.00786523655448, 0x1p-100},
                                 {-5.5, -2.4060591252980172, 0.17888543819998318},
                                 {-0x1p-100, -0x1p-100, 1},
                                 {0, 0, 1},
                                 {0x1p-100, 0x1p-100, 1},
                                 {0x1p-12, 0.00024414062257468086, 0.999999970197679},
                                 {0.5, 0.48121182505960347, 0.8944271909999159},
                                 {0x1p120, 83.87080884775338, 0x1p-120},
                                 {0x1p600, 416.5814555165271, 0x1p-600},
                                 {-inf, -inf, 0},
                                 {inf, inf, 0},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Asinh> asinh_op;

struct Acosh {
  static constexpr auto name = "acosh";
  static constexpr auto doc = "Inverse hyperbolic cosine, at least 0; NaN below 1.";
  static constexpr auto math = "y = log(x + sqrt(x^2 - 1)); dy/dx = 1 / sqrt((x - 1)(x + 1))";
  static constexpr Example example{"acosh(g.constant(Tensor{1, 2}))", "[0.       1.316958]"};
  static auto formula(auto x) { return acosh(x); }
  static Factor partial(Var x, Var) { return rsqrt(x - 1) * rsqrt(x + 1); }
  static auto sample() { return domain(1.3, 4); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{1 + 0x1p-23, 0.0004882812451493617, 2047.9999389648465},
                                 {1 + 0x1p-50, 4.214684851089403e-08, 23726566.406062882},
                                 {1.5, 0.9624236501192069, 0.8944271909999159},
                                 {5.5, 2.3895264345742184, 0.1849000654084097},
                                 {0x1p100, 70.00786523655448, 0x1p-100},
                                 {0x1p120, 83.87080884775338, 0x1p-120},
                                 {0x1p600, 416.5814555165271, 0x1p-600},
                                 {1, 0, inf},
                                 {0.5, nan, nan},
                                 {inf, inf, 0},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Acosh> acosh_op;

struct Atanh {
  static constexpr auto name = "atanh";
  static constexpr auto doc = "Inverse hyperbolic tangent; infinite at -1 and 1, NaN beyond.";
  static constexpr auto math = "y = log((1 + x) / (1 - x)) / 2; dy/dx = 1 / ((1 - x)(1 + x))";
  static constexpr Example example{"atanh(g.constant(Tensor{0, 0.5}))", "[0.         0.54930615]"};
  static auto formula(auto x) { return atanh(x); }
  static Factor partial(Var x, Var) { return reciprocal(one_less_square(x)); }
  static auto sample() { return domain(-0.8, 0.8); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-1, -inf, inf},
                                 {1, inf, inf},
                                 {-1 + 0x1p-23, -8.31776613691702, 4194304.250000015},
                                 {-0x1p-100, -0x1p-100, 1},
                                 {0, 0, 1},
                                 {0x1p-100, 0x1p-100, 1},
                                 {0.5, 0.5493061443340549, 1.3333333333333333},
                                 {1 - 0x1p-20, 7.27804515746079, 524288.2500001192},
                                 {1 - 0x1p-50, 17.675253104278607, 562949953421312.2},
                                 {0x1p100, nan, -0x1p-200},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Atanh> atanh_op;

struct Direction {
  static constexpr auto name = "direction";
  static constexpr auto doc = "a / sqrt(a^2 + b^2), the cosine of the angle of the point (a, b).";
  static constexpr auto math =
      "y = a / r, r = sqrt(a^2 + b^2); dy/da = b^2 / r^3; dy/db = -a b / r^3; all 0 at the origin";
  static constexpr Example example{"direction(g.constant(Tensor{3, 0}), Tensor{4, 0})",
                                   "[0.6 0. ]"};
  // Both are divided by the larger size first. Of one infinite leg the limit; two have none.
  static auto formula(auto a, auto b) {
    const auto size = maximum(abs(a), abs(b));
    const auto regular = (size > 0) & isfinite(size);
    const auto scale = select(regular, size, 1);
    const auto u = a / scale;
    const auto v = b / scale;
    const auto far = select(abs(a) > abs(b), select(a > 0, 1, -1), a - a);
    const auto limit = select(size == 0, 0, select(isnan(size), size, far));
    return select(regular, u / sqrt(u * u + v * v), limit);
  }
  static Factor partial(std::size_t i, Operands in, Var y) {
    const Var length = hypot(in[0], in[1]);
    const Var other = direction(in[1], in[0]) / where(equal(length, 0), 1, length);
    return i == 0 ? direction(in[1], in[0]) * other : -(y * other);
  }
  static auto sample() { return std::array{Domain{-2, 2, {0}, 0.4}, domain(-2, 2)}; }
  static std::vector<Edge> edges() {
    return detail::edge_rows(
        2, {{3, 4, 0.6, 0.128, -0.096},
            {0x3p-100, 0x1p-98, 0.6, 1.6225927682921337e29, -1.2169445762191003e29},
            {0x3p100, -0x1p102, 0.6, 1.0097419586828951e-31, 7.573064690121713e-32},
            {-8192, 1, -0.9999999925494195, 1.8189893628882758e-12, 1.4901160860780755e-08},
            {1, -8192, 0.00012207031159050531, 0.00012207030977151595, 1.4901160860780755e-08},
            {0x3p-700, 0x1p-698, 0.6, 6.732973953981918e209, -5.049730465486439e209},
            {0x3p700, 0x1p702, 0.6, 2.4333972048578046e-212, -1.8250479036433535e-212},
            {0, 0, 0, 0, 0},
            {-inf, 1, -1, 0, 0},
            {1, inf, 0, 0, 0},
            {inf, inf, nan, nan, nan},
            {nan, 1, nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Direction> direction_op;

struct Hypot {
  static constexpr auto name = "hypot";
  static constexpr auto doc = "sqrt(a^2 + b^2) without overflow or underflow on the way.";
  static constexpr auto math =
      "y = sqrt(a^2 + b^2); dy/da = a / y; dy/db = b / y, both 0 at the origin";
  static constexpr Example example{"hypot(g.constant(Tensor{3, 3e30}), Tensor{4, 4e30})",
                                   "[5.e+00 5.e+30]"};
  static auto formula(auto a, auto b) { return hypot(a, b); }
  static Factor partial(std::size_t i, Operands in, Var) { return direction(in[i], in[1 - i]); }
  static auto sample() { return std::array{Domain{-2, 2, {0}, 0.4}, domain(-2, 2)}; }
  static std::vector<Edge> edges() {
    return detail::edge_rows(
        2, {{3, 4, 5, 0.6, 0.8},
            {0x3p-100, 0x1p-98, 0x5p-100, 0.6, 0.8},
            {0x3p100, -0x1p102, 0x5p100, 0.6, -0.8},
            {1, 0x1p-100, 1, 1, 0x1p-100},
            {0x3p-125, 0x1p-123, 0x5p-125, 0.6, 0.8},
            {0x3p-700, 0x1p-698, 0x5p-700, 0.6, 0.8},
            {0x3p700, 0x1p702, 0x5p700, 0.6, 0.8},
            {0x3p125, 0x1p126, 1.5336319025871185e38, 0.8320502943378437, 0.5547001962252291},
            {0, 0, 0, 0, 0},
            {0, -2, 2, 0, -1},
            {-inf, 1, inf, -1, 0},
            {1, inf, inf, 0, 1},
            {nan, 1, nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Hypot> hypot_op;

struct Mod {
  static constexpr auto promotion = Promotion::common;
  static constexpr auto compiled_for = detail::CompiledFor::numbers;
  static constexpr auto name = "mod";
  static constexpr auto doc = "Remainder of a / b with the sign of b, as in Python.";
  static constexpr auto math = "y = a - floor(a / b) b; dy/da = 1; dy/db = -floor(a / b)";
  static constexpr Example example{"mod(g.constant(Tensor{-1, 5.5}), 3)", "[2.  2.5]"};
  static auto formula(auto a, auto b) { return mod(a, b); }
  // a / b may be rounded up to a whole number that y says it has not reached: there the quotient
  // comes from y. Elsewhere it does not, since y may be too small a number to be one.
  static Factor partial(std::size_t i, Operands in, Var y) {
    if (i == 0) return 1.0;
    const Var ratio = in[0] / in[1];
    const Var whole = floor(ratio);
    return where(equal(ratio, whole), round((y - in[0]) / in[1]), -whole);
  }
  // Quotients between -2.5 and -2.
  static auto sample() { return std::array{domain(-2.4, -2.1), domain(0.97, 1.03)}; }
  static std::vector<Edge> edges() {
    return detail::edge_rows(2, {{-1, 3, 2, 1, 1},
                                 {5.5, 3, 2.5, 1, -1},
                                 {5.5, -3, -0.5, 1, 2},
                                 {7, 3, 1, 1, -2},
                                 {1048576.5, 0.75, 0, 1, -1398102},
                                 {0.25, 0x1p100, 0.25, 1, 0},
                                 {1048576.5, 1, 0.5, 1, -0x1p20},
                                 {-0x1p-123, 0x1.cp-125, 0x1.4p-125, 1, 3},
                                 {-0x1.4p-125, 0x1p-125, 0x1.8p-126, 1, 2},
                                 {0x1.fp-126, 0x1p-126, 0x1.ep-127, 1, -1},
                                 {-0x1.4p-1021, 0x1p-1021, 0x1.8p-1022, 1, 2},
                                 {1, 0, nan, 1, nan},
                                 {inf, 2, nan, 1, nan},
                                 {nan, 2, nan, 1, nan}});
  }
};
constexpr detail::BuiltinElementwise<Mod> mod_op;

}  // namespace

Var asin(In x) { return asin_op(x); }
Var acos(In x) { return acos_op(x); }
Var atan(In x) { return atan_op(x); }
Var atan2(In y, In x) { return atan2_op(y, x); }
Var sinh(In x) { return sinh_op(x); }
Var cosh(In x) { return cosh_op(x); }
Var asinh(In x) { return asinh_op(x); }
Var acosh(In x) { return acosh_op(x); }
Var atanh(In x) { return atanh_op(x); }
Var hypot(In a, In b) { return hypot_op(a, b); }
Var direction(In a, In b) { return direction_op(a, b); }
Var mod(In a, In b) { return mod_op(a, b); }

namespace detail {

void register_trigonometry() {
  register_all(asin_op, acos_op, atan_op, atan2_op, sinh_op, cosh_op, asinh_op, acosh_op, atanh_op,
               hypot_op, direction_op, mod_op);
}

}  // namespace detail
}  // namespace dualtape
