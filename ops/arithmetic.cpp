#include <dualtape/ops/arithmetic.hpp>

#include <array>

#include <dualtape/core/leaves.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/declare/builtin.hpp>
#include <dualtape/ops/declare/edge_rows.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/tails.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/special.hpp>

namespace dualtape {
namespace {

using detail::CompiledFor;
using detail::inf;
using detail::nan;
using Operands = std::span<const Var>;
using Active = std::span<const bool>;

// Operators on numbers of any dtype, integers included.
struct Numeric {
  static constexpr auto promotion = Promotion::common;
  static constexpr auto compiled_for = CompiledFor::numbers;
};

// 1 where the mask is true, else 0, in the dtype of `like`.
Var indicator(Var mask, Var like) { return cast(mask, like.dtype()); }

struct Add : Numeric {
  static constexpr auto name = "add";
  static constexpr auto doc = "Sum a + b.";
  static constexpr auto math = "y = a + b; dy/da = 1; dy/db = 1";
  static constexpr Example example{"g.constant(Tensor{1, 2}) + 0.5", "[1.5 2.5]"};
  static auto formula(auto a, auto b) { return a + b; }
  static Factor partial(std::size_t, Operands, Var) { return 1.0; }
  static bool linear_in(Active active) { return active[0] && active[1]; }
  static auto sample() { return domain(-2, 2); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(2, {{0x1p100, -0x1p100, 0, 1, 1},
                                 {1, 0x1p-100, 1, 1, 1},
                                 {0x1p127, 0x1p127, 0x1p128, 1, 1},
                                 {inf, -inf, nan, 1, 1},
                                 {nan, 0, nan, 1, 1}});
  }
};
constexpr detail::BuiltinElementwise<Add> add_op;

struct Sub : Numeric {
  static constexpr auto name = "sub";
  static constexpr auto doc = "Difference a - b.";
  static constexpr auto math = "y = a - b; dy/da = 1; dy/db = -1";
  static constexpr Example example{"1 - g.constant(Tensor{1, 2})", "[ 0. -1.]"};
  static auto formula(auto a, auto b) { return a - b; }
  static Factor partial(std::size_t i, Operands, Var) { return i == 0 ? 1.0 : -1.0; }
  static bool linear_in(Active active) { return active[0] && active[1]; }
  static auto sample() { return domain(-2, 2); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(2, {{0x1p100, 0x1p100, 0, 1, -1},
                                 {1, 0x1p-100, 1, 1, -1},
                                 {0x1p127, -0x1p127, 0x1p128, 1, -1},
                                 {inf, inf, nan, 1, -1},
                                 {nan, 0, nan, 1, -1}});
  }
};
constexpr detail::BuiltinElementwise<Sub> sub_op;

struct Mul : Numeric {
  static constexpr auto name = "mul";
  static constexpr auto doc = "Product a b, element by element.";
  static constexpr auto math = "y = a b; dy/da = b; dy/db = a";
  static constexpr Example example{"g.constant(Tensor{1, 2}) * 3", "[3. 6.]"};
  static auto formula(auto a, auto b) { return a * b; }
  static Factor partial(std::size_t i, Operands in, Var) { return in[1 - i]; }
  static bool linear_in(Active active) { return active[0] != active[1]; }
  static auto sample() { return domain(-2, 2); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(2, {{0x1p100, 0x1p-100, 1, 0x1p-100, 0x1p100},
                                 {0x1p100, 0x1p100, 0x1p200, 0x1p100, 0x1p100},
                                 {0x1p-100, 0x1p-100, 0x1p-200, 0x1p-100, 0x1p-100},
                                 {0, -3, 0, -3, 0},
                                 {0, inf, nan, inf, 0},
                                 {nan, 2, nan, 2, nan}});
  }
};
constexpr detail::BuiltinElementwise<Mul> mul_op;

struct Div {
  static constexpr auto name = "div";
  static constexpr auto doc = "Quotient a / b; integers become float32.";
  static constexpr auto math = "y = a / b; dy/da = 1 / b; dy/db = -y / b";
  static constexpr Example example{"g.constant(Tensor{1, 3}) / 2", "[0.5 1.5]"};
  static auto formula(auto a, auto b) { return a / b; }
  static Factor partial(std::size_t i, Operands in, Var y) {
    return i == 0 ? reciprocal(in[1]) : -(y / in[1]);
  }
  static bool linear_in(Active active) { return active[0] && !active[1]; }
  static auto sample() { return std::array{domain(-2, 2), Domain{-2, 2, {0}, 0.4}}; }
  static std::vector<Edge> edges() {
    return detail::edge_rows(2,
                             {{0x1p100, 0x1p100, 1, 0x1p-100, -0x1p-100},
                              {0x1p-100, 0x1p-98, 0.25, 0x1p98, -0x1p96},
                              {1, 3, 0.3333333333333333, 0.3333333333333333, -0.1111111111111111},
                              {0x1p-100, 0x1p100, 0x1p-200, 0x1p-100, -0x1p-300},
                              {0x1p100, 4, 0x1p98, 0.25, -0x1p96},
                              {1, 0, inf, inf, -inf},
                              {1, inf, 0, 0, 0},
                              {0, 0, nan, inf, nan},
                              {nan, 2, nan, 0.5, nan}});
  }
};
constexpr detail::BuiltinElementwise<Div> div_op;

struct Neg : Numeric {
  static constexpr auto name = "neg";
  static constexpr auto doc = "Negative -x.";
  static constexpr auto math = "y = -x; dy/dx = -1";
  static constexpr Example example{"-g.constant(Tensor{1, -2})", "[-1.  2.]"};
  static auto formula(auto x) { return -x; }
  static Factor partial(Var, Var) { return -1.0; }
  static bool linear_in(Active active) { return active[0]; }
  static auto sample() { return domain(-2, 2); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(
        1, {{-3, 3, -1}, {0, 0, -1}, {0x1p-100, -0x1p-100, -1}, {inf, -inf, -1}, {nan, nan, -1}});
  }
};
constexpr detail::BuiltinElementwise<Neg> neg_op;

struct Abs : Numeric {
  static constexpr auto name = "abs";
  static constexpr auto doc = "Absolute value |x|.";
  static constexpr auto math = "y = |x|; dy/dx = sign(x), which is 0 at 0";
  static constexpr Example example{"abs(g.constant(Tensor{1, -2}))", "[1. 2.]"};
  static auto formula(auto x) { return abs(x); }
  static Factor partial(Var x, Var) { return sign(x); }
  static auto sample() { return domain(-2, 2).avoid(0); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-3, 3, -1},
                                 {-0x1p-100, 0x1p-100, -1},
                                 {0, 0, 0},
                                 {0x1p-100, 0x1p-100, 1},
                                 {0x1p100, 0x1p100, 1},
                                 {-inf, inf, -1},
                                 {inf, inf, 1},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Abs> abs_op;

struct Sign : Numeric {
  static constexpr auto name = "sign";
  static constexpr auto doc = "-1, 0 or 1 as x is negative, zero or positive; NaN stays NaN.";
  static constexpr auto math = "y = sign(x); dy/dx = 0";
  static constexpr auto reason = "sign is constant between its jumps";
  static constexpr Example example{"sign(g.constant(Tensor{3, 0, -2}))", "[ 1.  0. -1.]"};
  static auto formula(auto x) {
    return select(x > 0, decltype(x)(1), select(x < 0, decltype(x)(-1), x));
  }
  static auto sample() { return domain(-2, 2).avoid(0); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-3, -1},
                                 {-0x1p-100, -1},
                                 {0, 0},
                                 {0x1p-100, 1},
                                 {0x1p100, 1},
                                 {-inf, -1},
                                 {inf, 1},
                                 {nan, nan}});
  }
};
constexpr detail::BuiltinZeroDerivative<Sign> sign_op;

struct Square : Numeric {
  static constexpr auto name = "square";
  static constexpr auto doc = "Square x^2.";
  static constexpr auto math = "y = x^2; dy/dx = 2 x";
  static constexpr Example example{"square(g.constant(Tensor{3, -2}))", "[9. 4.]"};
  static auto formula(auto x) { return x * x; }
  static Factor partial(Var x, Var) { return 2 * x; }
  static auto sample() { return domain(-2, 2); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-3, 9, -6},
                                 {0, 0, 0},
                                 {0x1p-100, 0x1p-200, 0x1p-99},
                                 {0x1p-60, 0x1p-120, 0x1p-59},
                                 {0x1p60, 0x1p120, 0x1p61},
                                 {0x1p100, 0x1p200, 0x1p101},
                                 {-inf, inf, -inf},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Square> square_op;

struct Sqrt {
  static constexpr auto name = "sqrt";
  static constexpr auto doc = "Square root.";
  static constexpr auto math = "y = sqrt(x); dy/dx = 1 / (2 y)";
  static constexpr Example example{"sqrt(g.constant(Tensor{4, 9}))", "[2. 3.]"};
  static auto formula(auto x) { return sqrt(x); }
  static Factor partial(Var, Var y) { return 0.5 / y; }
  static auto sample() { return domain(0.2, 3); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{0x1p-100, 0x1p-50, 0x1p49},
                                 {2, 1.4142135623730951, 0.3535533905932738},
                                 {0x1p100, 0x1p50, 0x1p-51},
                                 {0x1p-126, 0x1p-63, 0x1p62},
                                 {0x1p-1022, 0x1p-511, 0x1p510},
                                 {0, 0, inf},
                                 {-1, nan, nan},
                                 {inf, inf, 0},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Sqrt> sqrt_op;

struct Rsqrt {
  static constexpr auto name = "rsqrt";
  static constexpr auto doc = "Reciprocal square root.";
  static constexpr auto math = "y = 1 / sqrt(x); dy/dx = -y / (2 x)";
  static constexpr Example example{"rsqrt(g.constant(Tensor{4, 0.25}))", "[0.5 2. ]"};
  static auto formula(auto x) { return 1 / sqrt(x); }
  static Factor partial(Var x, Var y) { return -0.5 * y / x; }
  static auto sample() { return domain(0.2, 3); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{0x1p-60, 0x1p30, -0x1p89},
                                 {2, 0.7071067811865476, -0.1767766952966369},
                                 {0x1p60, 0x1p-30, -0x1p-91},
                                 {0x1p-126, 0x1p63, -0x1p188},
                                 {0, inf, -inf},
                                 {-1, nan, nan},
                                 {inf, 0, 0},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Rsqrt> rsqrt_op;

struct Reciprocal {
  static constexpr auto name = "reciprocal";
  static constexpr auto doc = "Reciprocal 1 / x.";
  static constexpr auto math = "y = 1 / x; dy/dx = -y^2";
  static constexpr Example example{"reciprocal(g.constant(Tensor{4, -2}))", "[ 0.25 -0.5 ]"};
  static auto formula(auto x) { return 1 / x; }
  static Factor partial(Var, Var y) { return -square(y); }
  static auto sample() { return Domain{-2, 2, {0}, 0.4}; }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-3, -0.3333333333333333, -0.1111111111111111},
                                 {0x1p-60, 0x1p60, -0x1p120},
                                 {0x1p60, 0x1p-60, -0x1p-120},
                                 {0x1p-126, 0x1p126, -0x1p252},
                                 {0, inf, -inf},
                                 {inf, 0, 0},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Reciprocal> reciprocal_op;

// The value of a rank-0 constant, such as a literal exponent.
std::optional<double> literal_of(Var var) {
  const Node& node = var.node();
  if (node.op != &constant_op() || var.rank() != 0) return std::nullopt;
  return node.attributes.get<Tensor>("value").item();
}

struct Pow {
  static constexpr auto name = "pow";
  static constexpr auto doc = "Power a^b; NaN for negative a with a fraction as b.";
  static constexpr auto math =
      "y = a^b; dy/da = b a^(b-1), 0 where b = 0; dy/db = y log(a), 0 where a or y is 0";
  static constexpr Example example{"pow(g.constant(Tensor{1, 2, 3}), 3)", "[ 1.  8. 27.]"};
  static auto formula(auto a, auto b) { return pow(a, b); }
  static Factor partial(std::size_t i, Operands in, Var y) {
    return i == 0 ? by_base(in[0], in[1]) : Factor(by_exponent(in[0], in[1], y));
  }
  static auto sample() { return std::array{domain(0.3, 2), domain(-2, 2)}; }
  static std::vector<Edge> edges() {
    // The mixed second slope has no value at these.
    std::vector<Edge> unmixed = detail::edge_rows(
        2, {{0, 0.5, 0, inf, 0}, {0, -1, inf, -inf, 0}, {nan, 0, 1, 0, nan}, {1, nan, 1, nan, 0}});
    for (Edge& edge : unmixed) edge.mixed = false;
    return detail::both(
        detail::edge_rows(
            2, {{2, 0.5, 1.4142135623730951, 0.3535533905932738, 0.9802581434685472},
                {0x1p60, -1.5, 0x1p-90, -0x3p-151, 3.3595190004198024e-26},
                {0x1p-40, -2, 0x1p80, -0x1p121, -3.351854093488005e25},
                {1 + 0x1p-20, 0x1p20, 2.718280532282396, 2850321.009140606, 2.5923530922947463e-06},
                {0x1p-66, 2, 0x1p-132, 0x1p-65, -8.40252801131506e-39},
                {0x1p-80, 1.75, 0x1p-140, 0x1.cp-60, -3.978469702327206e-41},
                {0x1p64, -1.984375, 0x1p-127, -0x1.fcp-191, 2.6073299041171578e-37},
                {0x1p-600, 2, 0, 0x1p-599, 0},
                {3, 0, 1, 0, 1.0986122886681098},
                {0, 0, 1, 0, 0},
                {0, 1, 0, 1, 0},
                {0, 2, 0, 0, 0},
                {1, inf, 1, inf, 0},
                {-2, 3, -8, 12, nan},
                {inf, -1, 0, 0, 0},
                {0.5, inf, 0, 0, 0},
                {nan, 2, nan, nan, nan},
                {2, nan, nan, nan, nan}}),
        unmixed);
  }

 private:
  static Factor by_base(Var a, Var b) {
    if (const auto literal = literal_of(b)) {
      if (*literal == 0 || *literal == 1) return *literal;
      if (*literal == 2) return 2 * a;
      if (!(std::abs(*literal) >= from_where_all_are_even(a)))
        return *literal * pow(a, *literal - 1);
    }
    // At 0 the exponent counts as a constant, as in the other slope: a^(b-1) (1 + b log(a)) has no
    // limit that could be given for both. Each branch is given bases of its own alone, since the
    // slopes of the other one may be infinite and would meet a 0.
    const Var zero = equal(a, 0);
    return where(zero, times_power(where(zero, a, 1), stop_gradient(b)),
                 times_power(where(zero, 1, a), b));
  }
  // b - 1 would be rounded to an even number.
  static double from_where_all_are_even(Var a) { return a.dtype() == float64 ? 0x1p53 : 0x1p24; }
  // b a^(b-1)
  static Var times_power(Var a, Var b) {
    // a^0 is 1 whatever a is: where a^-1 has no finite value, 1^-1 is taken.
    const Var flat = logical_and(equal(b, 0), logical_or(equal(a, 0), isnan(a)));
    // b a^b / a where b - 1 is no float, and near b = 0, where a^(b-2), of the next slope, may be
    // infinite while b is next to nothing.
    const Var size = abs(b);
    const Var far = logical_and(size >= from_where_all_are_even(a), isfinite(b));
    const Var divides =
        logical_and(logical_or(far, size < 0x1p-8), logical_and(isfinite(a), not_equal(a, 0)));
    const Var power = pow(where(flat, 1, a), where(divides, b, b - 1));
    const Var limit = logical_and(equal(power, 0), logical_not(isfinite(b)));
    const Var product = where(limit, 0, b) * power;
    const Var quotient = where(divides, product, 0) / where(divides, a, 1);
    return where(divides, quotient, product);
  }
  // 0 is the limit where a power vanishes: at a = 0, and at infinite a or b.
  static Var by_exponent(Var a, Var b, Var y) {
    const Var zero = equal(a, 0);
    // Where y is merely too small to be a number, its slopes may still be some: there it is taken
    // as the square of a^(b/2).
    const Var faint =
        logical_and(logical_and(equal(y, 0), a > 0), logical_and(isfinite(a), isfinite(b)));
    const Var limit = logical_and(logical_or(equal(y, 0), logical_and(zero, logical_not(isnan(y)))),
                                  logical_not(faint));
    // Not y itself: its slope at a = 0 may be infinite and would meet a 0.
    const Var power = pow(where(zero, 1, a), where(zero, 1, where(faint, 0.5 * b, b)));
    // Of y log(a), xlogy takes the slope y / a in one quotient.
    const Var slope = xlogy(where(limit, 0, power), where(limit, 1, a));
    return where(faint, where(faint, power, 0) * where(faint, slope, 0), slope);
  }
};
constexpr detail::BuiltinElementwise<Pow> pow_op;

// 1 where a > b, 1/2 where they are equal, else 0; NaN where the result y is.
Var share(Var a, Var b, Var y) {
  return detail::unless_nan(y, 0.5 * (indicator(a > b, y) + indicator(a >= b, y)));
}

struct Maximum : Numeric {
  static constexpr auto name = "maximum";
  static constexpr auto doc = "The larger of a and b; NaN if either is.";
  static constexpr auto math = "y = max(a, b); dy/da = 1 where a > b, 1/2 where a = b, else 0";
  static constexpr Example example{"maximum(g.constant(Tensor{1, 3}), 2)", "[2. 3.]"};
  static auto formula(auto a, auto b) { return maximum(a, b); }
  static Factor partial(std::size_t i, Operands in, Var y) { return share(in[i], in[1 - i], y); }
  static auto sample() { return domain(-2, 2); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(2, {{1, 2, 2, 0, 1},
                                 {2, 1, 2, 1, 0},
                                 {-3, -3, -3, 0.5, 0.5},
                                 {0, 0, 0, 0.5, 0.5},
                                 {0x1p-100, 0, 0x1p-100, 1, 0},
                                 {inf, inf, inf, 0.5, 0.5},
                                 {-inf, 1, 1, 0, 1},
                                 {nan, 1, nan, nan, nan},
                                 {1, nan, nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Maximum> maximum_op;

struct Minimum : Numeric {
  static constexpr auto name = "minimum";
  static constexpr auto doc = "The smaller of a and b; NaN if either is.";
  static constexpr auto math = "y = min(a, b); dy/da = 1 where a < b, 1/2 where a = b, else 0";
  static constexpr Example example{"minimum(g.constant(Tensor{1, 3}), 2)", "[1. 2.]"};
  static auto formula(auto a, auto b) { return minimum(a, b); }
  static Factor partial(std::size_t i, Operands in, Var y) { return share(in[1 - i], in[i], y); }
  static auto sample() { return domain(-2, 2); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(2, {{1, 2, 1, 1, 0},
                                 {2, 1, 1, 0, 1},
                                 {-3, -3, -3, 0.5, 0.5},
                                 {0, 0, 0, 0.5, 0.5},
                                 {0x1p-100, 0, 0, 0, 1},
                                 {inf, inf, inf, 0.5, 0.5},
                                 {-inf, 1, -inf, 1, 0},
                                 {nan, 1, nan, nan, nan},
                                 {1, nan, nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Minimum> minimum_op;

struct Clamp : Numeric {
  static constexpr auto name = "clamp";
  static constexpr auto doc = "x kept within [low, high]; NaN stays NaN.";
  static constexpr auto math =
      "y = min(max(x, low), high); dy/dx = 1 where low <= x <= high; dy/dlow = 1 where x < low <= "
      "high; dy/dhigh = 1 where max(x, low) > high; else 0";
  static constexpr Example example{"clamp(g.constant(Tensor{-3, 0.5, 3}), -1, 1)",
                                   "[-1.   0.5  1. ]"};
  static auto formula(auto x, auto low, auto high) { return minimum(maximum(x, low), high); }
  static Factor partial(std::size_t i, Operands in, Var y) {
    const Var x = in[0];
    const Var low = in[1];
    const Var high = in[2];
    const Var chosen = i == 0   ? logical_and(x >= low, x <= high)
                       : i == 1 ? logical_and(x < low, low <= high)
                                : maximum(x, low) > high;
    return detail::unless_nan(y, indicator(chosen, y));
  }
  static auto sample() {  // x stays away from both ends
    return std::array{Domain{-2, 2, {-0.9, 0.9}, 0.15}, domain(-1, -0.8), domain(0.8, 1)};
  }
  static std::vector<Edge> edges() {
    return detail::edge_rows(3, {{-2, -1, 1, -1, 0, 1, 0},
                                 {-1, -1, 1, -1, 1, 0, 0},
                                 {0.5, -1, 1, 0.5, 1, 0, 0},
                                 {1, -1, 1, 1, 1, 0, 0},
                                 {inf, -1, 1, 1, 0, 0, 1},
                                 {-inf, -1, 1, -1, 0, 1, 0},
                                 {0.5, 2, 1, 1, 0, 0, 1},
                                 {nan, -1, 1, nan, nan, nan, nan},
                                 {0, nan, 1, nan, nan, nan, nan},
                                 {0, -1, nan, nan, nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Clamp> clamp_op;

}  // namespace

Var add(In a, In b) { return add_op(a, b); }
Var sub(In a, In b) { return sub_op(a, b); }
Var mul(In a, In b) { return mul_op(a, b); }
Var div(In a, In b) { return div_op(a, b); }
Var neg(In x) { return neg_op(x); }
Var abs(In x) { return abs_op(x); }
Var sign(In x) { return sign_op(x); }
Var square(In x) { return square_op(x); }
Var sqrt(In x) { return sqrt_op(x); }
Var rsqrt(In x) { return rsqrt_op(x); }
Var reciprocal(In x) { return reciprocal_op(x); }
Var pow(In a, In b) { return pow_op(a, b); }
Var maximum(In a, In b) { return maximum_op(a, b); }
Var minimum(In a, In b) { return minimum_op(a, b); }
Var clamp(In x, In low, In high) { return clamp_op(x, low, high); }

namespace detail {

void register_arithmetic() {
  register_all(add_op, sub_op, mul_op, div_op, neg_op, abs_op, sign_op, square_op, sqrt_op,
               rsqrt_op, reciprocal_op, pow_op, maximum_op, minimum_op, clamp_op);
}

}  // namespace detail
}  // namespace dualtape
