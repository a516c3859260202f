#include <dualtape/modes/implicit/find.hpp>

#include <array>
#include <span>
#include <vector>

#include <dualtape/modes/implicit/system.hpp>
#include <dualtape/modes/loops.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/creation.hpp>
#include <dualtape/ops/extremes.hpp>
#include <dualtape/ops/like.hpp>
#include <dualtape/ops/linalg.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape::detail {
namespace {

constexpr std::int64_t most_halvings = 40;

VarMap derivative_at(const VarMap& f, Var x) { return derivative_of(f(x), x, Location::current()); }

Var no_steps(Var x) { return x.graph().constant(0, int64); }

}  // namespace

Var residual_of_zero(Var zero, Var at_start) {
  return norm_of(zero) / maximum(norm_of(at_start), 1.0);
}
Var residual_of_fixed_point(Var x, Var image) { return norm_of(image - x) / (norm_of(x) + 1.0); }

Solved iterate(const VarMap& f, Var start, const Limits& limits) {
  const auto goes_on = [&](std::span<const Var> s) {
    return residual_of_fixed_point(s[0], s[1]) > limits.tolerance;
  };
  const auto step = [&](std::span<const Var> s) -> std::vector<Var> { return {s[1], f(s[1])}; };
  const WhileResult found = while_loop(goes_on, step, {start, f(start)}, {.most = limits.most});
  return {found.state[0], found.steps};
}

Solved mix(const VarMap& f, Var start, const Limits& limits, std::int64_t memory) {
  const std::int64_t n = start.shape().count();
  if (n == 0) return iterate(f, start, limits);
  Graph& graph = start.graph();
  const auto row = [n](Var x) { return reshape(x, {1, n}); };
  const Var none = broadcast_to(row(zeros_like(start)), Shape{memory, n});
  const Var number = reshape(graph.constant(arange(0, memory, 1, int64)), {memory, 1});
  const Var unit = graph.constant(eye(memory, memory, 0, start.dtype()));
  const double ridge = start.dtype() == float64 ? 1e-14 : 1e-6;
  const auto goes_on = [&](std::span<const Var> s) {
    return residual_of_fixed_point(s[0], s[1]) > limits.tolerance;
  };
  // The images' changes are mixed so that those of f(x) - x cancel it as well as they can.
  const auto step = [&](std::span<const Var> s) -> std::vector<Var> {
    const Var x = s[0], image = s[1], changes = s[2], moves = s[3], slot = s[4];
    const Var left = row(image - x);
    const Var products = matmul(changes, transpose(changes));
    const Var size = sum(products * unit);
    const Var weight = where(size > 0.0, ridge * size, 1.0);
    const Var mixed = solve(products + weight * unit, matmul(changes, reshape(left, {n})));
    const Var next = image - reshape(matmul(mixed, moves), start.shape());
    const Var now = f(next);
    const Var here = equal(number, slot);
    return {next, now, where(here, row(now - next) - left, changes),
            where(here, row(now - image), moves),
            where(slot + 1 < memory, slot + 1, zeros_like(slot))};
  };
  const WhileResult found = while_loop(
      goes_on, step, {start, f(start), none, none, no_steps(start)}, {.most = limits.most});
  return {found.state[0], found.steps};
}

Solved newton(const VarMap& f, Var start, const Limits& limits, const LinearOptions& linear) {
  const Var first = f(start);
  // A step along `direction` by 1, 1/2, 1/4 ...: until |f| is less by a part of it.
  const auto line = [&](Var x, Var y, Var direction) {
    const Var size = norm_of(y);
    const auto goes_on = [&](std::span<const Var> s) {
      return logical_not(norm_of(s[2]) <= (1.0 - 1e-4 * s[0]) * size);
    };
    const auto halve = [&](std::span<const Var> s) -> std::vector<Var> {
      const Var t = 0.5 * s[0];
      const Var at = x - t * direction;
      return {t, at, f(at)};
    };
    const Var full = x - direction;
    const Var one = size.graph().constant(1.0, size.dtype());
    return while_loop(goes_on, halve, {one, full, f(full)}, {.most = most_halvings}).state;
  };
  // Ends where |f| falls no more, too.
  const auto goes_on = [&](std::span<const Var> s) {
    const Var size = residual_of_zero(s[1], first);
    return logical_and(size > limits.tolerance, size < s[2]);
  };
  const auto step = [&](std::span<const Var> s) -> std::vector<Var> {
    const Var x = s[0], y = s[1];
    const Var direction = try_linear_solve(derivative_at(f, x), y, linear).x;
    const std::vector<Var> found = line(x, y, direction);
    const Var falls = norm_of(found[2]) < norm_of(y);
    return {where(falls, found[1], x), where(falls, found[2], y), residual_of_zero(y, first),
            s[3] + 1};
  };
  const Var at_once = residual_of_zero(first, first) + 1.0;
  const WhileResult found =
      while_loop(goes_on, step, {start, first, at_once, no_steps(start)}, {.most = limits.most});
  return {found.state[0], found.state[3]};
}

namespace {

// Near H^-1 (-g) by conjugate gradients: to where the curvature is not positive, and the more
// exactly the nearer the minimum.
Var newton_direction(const VarMap& hessian, Var g) {
  const Var gg = inner(g, g);
  const Var limit = gg * minimum(0.25, maximum(gg, 1e-6));
  const auto goes_on = [&](std::span<const Var> s) { return s[3] > limit; };
  const auto step = [&](std::span<const Var> s) -> std::vector<Var> {
    const Var d = s[0], r = s[1], p = s[2], rr = s[3];
    const Var q = hessian(p);
    const Var curvature = inner(p, q);
    const Var bends = curvature > 0.0;
    const Var alpha = where(bends, rr / curvature, 0.0);
    const Var left = r - alpha * q;
    const Var now = inner(left, left);
    const Var at_first = inner(d, d) <= 0.0;
    const Var straight = where(at_first, p, d);  // the steepest descent where nothing bends
    return {where(bends, d + alpha * p, straight), left, left + now / rr * p,
            where(bends, now, 0.0)};
  };
  const std::int64_t most = 10 * g.shape().count() + 10;
  return while_loop(goes_on, step, {zeros_like(g), -g, -g, gg}, {.most = most}).state[0];
}

}  // namespace

Solved newton_cg(const VarMap& f, const VarMap& gradient, Var start, const Limits& limits) {
  const double noise = start.dtype() == float64 ? 1e-14 : 1e-6;
  // Armijo's rule, but for what rounding makes of f.
  const auto line = [&](Var x, Var value, Var slope, Var direction) {
    const Var slack = noise * (abs(value) + 1.0);
    const auto goes_on = [&](std::span<const Var> s) {
      return logical_not(f(s[1]) <= value + 1e-4 * s[0] * slope + slack);
    };
    const auto halve = [&](std::span<const Var> s) -> std::vector<Var> {
      const Var t = 0.5 * s[0];
      return {t, x + t * direction};
    };
    const Var one = value.graph().constant(1.0, value.dtype());
    return while_loop(goes_on, halve, {one, x + direction}, {.most = most_halvings}).state[1];
  };
  const Var first = gradient(start);
  const auto goes_on = [&](std::span<const Var> s) {
    return residual_of_zero(s[1], first) > limits.tolerance;
  };
  const auto step = [&](std::span<const Var> s) -> std::vector<Var> {
    const Var x = s[0], g = s[1];
    const Var direction = newton_direction(derivative_at(gradient, x), g);
    const Var next = line(x, f(x), inner(g, direction), direction);
    return {next, gradient(next)};
  };
  const WhileResult found = while_loop(goes_on, step, {start, first}, {.most = limits.most});
  return {found.state[0], found.steps};
}

}  // namespace dualtape::detail
