#include <dualtape/modes/implicit/krylov.hpp>

#include <algorithm>
#include <span>
#include <vector>

#include <dualtape/modes/implicit/system.hpp>
#include <dualtape/modes/loops.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/creation.hpp>
#include <dualtape/ops/extremes.hpp>
#include <dualtape/ops/like.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape::detail {
namespace {

// A correction d of x for its residual r, and the steps taken: until the square of the residual's
// norm is at most `limit`, or there are `budget` of them.
struct Correction {
  Var d;
  Var steps;
};
struct Task {
  const Krylov& krylov;
  Var r;
  Var limit;
  Var budget;

  Var preconditioned(Var v) const { return krylov.preconditioner ? krylov.preconditioner(v) : v; }
};
// A step that gives no numbers, as after a division by zero, is not taken, and is the last.
Var is_number(Var x) { return equal(x * 0.0, 0.0); }

Correction by_cg(const Task& task) {
  const Var z = task.preconditioned(task.r);
  const auto goes_on = [&](std::span<const Var> s) {
    return logical_and(s[4] > task.limit, s[5] < task.budget);
  };
  const auto step = [&](std::span<const Var> s) -> std::vector<Var> {
    const Var d = s[0], r = s[1], p = s[2], rz = s[3];
    const Var q = task.krylov.a(p);
    const Var alpha = rz / inner(p, q);
    const Var left = r - alpha * q;
    const Var next = task.preconditioned(left);
    const Var now = inner(left, next);
    const Var rr = inner(left, left);
    const Var good = is_number(rr);
    return {where(good, d + alpha * p, d), left,    next + now / rz * p, now,
            where(good, rr, 0.0),          s[5] + 1};
  };
  const WhileResult found = while_loop(goes_on, step,
                                       {zeros_like(task.r), task.r, z, inner(task.r, z),
                                        inner(task.r, task.r), zeros_like(task.budget)},
                                       {.most = task.krylov.most});
  return {found.state[0], found.state[5]};
}

Correction by_bicgstab(const Task& task) {
  const Var shadow = task.r;
  const auto goes_on = [&](std::span<const Var> s) {
    return logical_and(s[4] > task.limit, s[5] < task.budget);
  };
  const auto step = [&](std::span<const Var> s) -> std::vector<Var> {
    const Var d = s[0], r = s[1], p = s[2], rho = s[3];
    const Var y = task.preconditioned(p);
    const Var v = task.krylov.a(y);
    const Var alpha = rho / inner(shadow, v);
    const Var half = r - alpha * v;
    const Var z = task.preconditioned(half);
    const Var t = task.krylov.a(z);
    const Var tt = inner(t, t);
    const Var omega = where(tt > 0.0, inner(t, half) / tt, 0.0);  // 0 where half is the solution
    const Var left = half - omega * t;
    const Var now = inner(shadow, left);
    const Var rr = inner(left, left);
    const Var good = is_number(rr);
    return {where(good, d + alpha * y + omega * z, d),
            left,
            left + now / rho * (alpha / omega) * (p - omega * v),
            now,
            where(good, rr, 0.0),
            s[5] + 1};
  };
  const Var rr = inner(task.r, task.r);
  const WhileResult found = while_loop(
      goes_on, step, {zeros_like(task.r), task.r, task.r, rr, rr, zeros_like(task.budget)},
      {.most = task.krylov.most});
  return {found.state[0], found.state[5]};
}

// One cycle. The directions z, rows of P, have images q = A z, rows of Q, that are orthonormal; the
// residual loses its part along each image. The next direction comes from the residual where that
// fell well, else from the last image, so that a residual that stays is no end.
Correction by_gmres(const Task& task) {
  const std::int64_t n = task.r.shape().count();
  const std::int64_t rows = std::min(task.krylov.restart, n);
  const Shape shape = task.r.shape();
  Graph& graph = task.r.graph();
  const Var number = reshape(graph.constant(arange(0, rows, 1, int64)), {rows, 1});
  const Var none = broadcast_to(zeros_like(reshape(task.r, {1, n})), Shape{rows, n});
  const double noise = task.r.dtype() == float64 ? 1e-15 : 1e-6;
  const auto goes_on = [&](std::span<const Var> s) {
    return logical_and(s[3] > task.limit, logical_and(s[4] < task.budget, s[4] < rows));
  };
  const auto step = [&](std::span<const Var> s) -> std::vector<Var> {
    const Var d = s[0], r = s[1], p = s[2], rr = s[3], j = s[4], directions = s[5], images = s[6];
    Var z = task.preconditioned(reshape(p, shape));
    Var q = reshape(task.krylov.a(z), {n});
    z = reshape(z, {n});
    const Var size = norm_of(q);
    for (int twice = 0; twice < 2; ++twice) {  // once leaves what rounding made of it
      const Var h = matmul(images, q);
      q = q - matmul(h, images);
      z = z - matmul(h, directions);
    }
    const Var rest = norm_of(q);
    const Var whole = rest > noise * size;  // else there is nothing new, and the cycle ends
    q = where(whole, q / rest, 0.0);
    z = where(whole, z / rest, 0.0);
    const Var alpha = inner(q, r);
    const Var left = r - alpha * q;
    const Var now = inner(left, left);
    const Var here = equal(number, j);
    return {d + alpha * z,
            left,
            where(now < 0.8 * rr, left, q),
            where(whole, now, 0.0),
            j + 1,
            where(here, reshape(z, {1, n}), directions),
            where(here, reshape(q, {1, n}), images)};
  };
  const Var r = reshape(task.r, {n});
  const WhileResult found = while_loop(
      goes_on, step, {zeros_like(r), r, r, inner(r, r), zeros_like(task.budget), none, none},
      {.most = rows});
  return {reshape(found.state[0], shape), found.state[4]};
}

Correction corrected(const Task& task) {
  switch (task.krylov.method) {
    case LinearMethod::cg: return by_cg(task);
    case LinearMethod::bicgstab: return by_bicgstab(task);
    default: return by_gmres(task);
  }
}

}  // namespace

Scaled scaled(Var b) {
  const Var most = max(abs(b));
  const Var scale = where(most > 0.0, most, 1.0);
  return {b / scale, scale};
}

// Corrections for the residual as it is, not as the method's recurrence has it, for as long as it
// falls: gmres starts anew in this way, and the others get past what rounding has done.
Solved solve_krylov(const Krylov& krylov, Var b) {
  if (b.shape().count() == 0) return {b, b.graph().constant(0, int64)};
  const Scaled of = scaled(b);
  const Var size = inner(of.unit, of.unit);
  const Var limit = krylov.tolerance * krylov.tolerance * size;
  const auto goes_on = [&](std::span<const Var> s) {
    return logical_and(logical_and(s[2] > limit, s[2] < 0.99 * s[3]), s[4] < krylov.most);
  };
  const auto step = [&](std::span<const Var> s) -> std::vector<Var> {
    const Var x = s[0], r = s[1], rr = s[2], steps = s[4];
    const Correction made = corrected({krylov, r, limit, krylov.most - steps});
    const Var next = x + made.d;
    const Var left = of.unit - krylov.a(next);
    const Var now = inner(left, left);
    const Var falls = now < rr;
    return {where(falls, next, x), where(falls, left, r), where(falls, now, rr), rr,
            steps + made.steps};
  };
  const WhileResult found = while_loop(
      goes_on, step, {zeros_like(of.unit), of.unit, size, 2.0 * size, b.graph().constant(0, int64)},
      {.most = krylov.most});
  return {found.state[0] * of.scale, found.state[4]};
}

}  // namespace dualtape::detail
