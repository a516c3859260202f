// Activations that are pieced together from lines, cut off at corners.
#include <array>

#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/declare/builtin.hpp>
#include <dualtape/ops/declare/edge_rows.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/tails.hpp>

namespace dualtape {
namespace {

using detail::inf, detail::nan;
using Operands = std::span<const Var>;

struct Hardtanh {
  static constexpr auto name = "hardtanh";
  static constexpr auto doc = "x cut off to low .. high.";
  static constexpr auto math =
      "y = min(max(x, low), high); dy/dx = 1 where low < x < high, else 0. Written as clamp, but "
      "with derivative 0 at the ends.";
  static constexpr Example example{"hardtanh(g.constant(Tensor{-3, 0.5, 3}))", "[-1.   0.5  1. ]"};
  static auto formula(auto x, auto low, auto high) { return minimum(maximum(x, low), high); }
  static Factor partial(std::size_t i, Operands in, Var y) {
    const Var x = in[0];
    const Var above = maximum(x, in[1]) >= in[2];
    const Var below = logical_and(x <= in[1], logical_not(above));
    const Var chosen = i == 0 ? logical_not(logical_or(above, below)) : i == 1 ? below : above;
    return detail::unless_nan(y, cast(chosen, x.dtype()));
  }
  static auto sample() {
    return std::array{domain(-3, 3).avoid(-1).avoid(1), domain(-1.04, -0.96), domain(0.96, 1.04)};
  }
  static std::vector<Edge> edges() {
    return detail::edge_rows(3, {{-2, -1, 1, -1, 0, 1, 0},
                                 {-1, -1, 1, -1, 0, 1, 0},
                                 {0.5, -1, 1, 0.5, 1, 0, 0},
                                 {1, -1, 1, 1, 0, 0, 1},
                                 {inf, -1, 1, 1, 0, 0, 1},
                                 {-inf, -1, 1, -1, 0, 1, 0},
                                 {nan, -1, 1, nan, nan, nan, nan},
                                 {0, nan, 1, nan, nan, nan, nan},
                                 {0.5, 2, 1, 1, 0, 0, 1}});
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
  // x + 3 is exact where the sum with a rounded x/6 would cancel.
  static auto formula(auto x) { return minimum(maximum(x + 3, 0), 6) / 6; }
  static Factor partial(Var x, Var) {
    return detail::unless_nan(x, cast(abs(x) < 3, x.dtype()) / 6);
  }
  static auto sample() { return domain(-5, 5).avoid(-3).avoid(3); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-4, 0, 0},
                                 {-3, 0, 0},
                                 {-3 + 0x1p-20, 1.5894571940104166e-07, 0.16666666666666666},
                                 {0, 0.5, 0.16666666666666666},
                                 {2.5, 0.9166666666666666, 0.16666666666666666},
                                 {3, 1, 0},
                                 {4, 1, 0},
                                 {-inf, 0, 0},
                                 {inf, 1, 0},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Hardsigmoid> hardsigmoid_op;

struct Hardswish {
  static constexpr auto name = "hardswish";
  static constexpr auto doc = "x hardsigmoid(x).";
  static constexpr auto math =
      "y = x min(max(x/6 + 1/2, 0), 1); dy/dx = x/3 + 1/2 where -3 < x < 3, 1 above, 0 below";
  static constexpr Example example{"hardswish(g.constant(Tensor{-4, 0, 3}))", "[-0.  0.  3.]"};
  static auto formula(auto x) { return maximum(x, -3) * (minimum(maximum(x + 3, 0), 6) / 6); }
  static Factor partial(Var x, Var) {
    const Var straight = cast(x > 0, x.dtype());
    return detail::unless_nan(x, where(abs(x) < 3, (2 * x + 3) / 6, straight));
  }
  static auto sample() { return domain(-5, 5).avoid(-3).avoid(3); }
  static std::vector<Edge> edges() {
    return detail::edge_rows(1, {{-4, 0, 0},
                                 {-3, 0, 0},
                                 {-3 + 0x1p-20, -4.768370066206747e-07, -0.4999996821085612},
                                 {-1.4999990463256836, -0.3749999999998484, 3.178914388020833e-07},
                                 {0, 0, 0.5},
                                 {0x1p-100, 0x1p-101, 0.5},
                                 {3, 3, 1},
                                 {0x1p100, 0x1p100, 1},
                                 {-inf, 0, 0},
                                 {inf, inf, 1},
                                 {nan, nan, nan}});
  }
};
constexpr detail::BuiltinElementwise<Hardswish> hardswish_op;

}  // namespace

Var hardtanh(In x, In low, In high) { return hardtanh_op(x, low, high); }
Var hardsigmoid(In x) { return hardsigmoid_op(x); }
Var hardswish(In x) { return hardswish_op(x); }

void detail::register_cut_activations() { register_all(hardtanh_op, hardsigmoid_op, hardswish_op); }

}  // namespace dualtape
