// Steps of one length: the classical Runge-Kutta method.
#include <array>

#include <dualtape/core/composite.hpp>
#include <dualtape/modes/loops.hpp>
#include <dualtape/modes/odeint/odeint.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/slice.hpp>

namespace dualtape::detail {

std::vector<Var> weighted(Var h, std::span<const double> weights,
                          std::span<const std::vector<Var>> slopes, Location where) {
  const Composite line("odeint", {In(h, where)});
  std::vector<Var> made;
  for (std::size_t i = 0; i < slopes[0].size(); ++i) {
    Var sum;
    for (std::size_t k = 0; k < weights.size(); ++k) {
      if (weights[k] == 0) continue;
      const Var term = weights[k] == 1 ? slopes[k][i] : slopes[k][i] * weights[k];
      sum = sum.defined() ? sum + term : term;
    }
    made.push_back(h * sum);
  }
  return made;
}

std::vector<Var> advanced(std::span<const Var> y, Var h, std::span<const double> weights,
                          std::span<const std::vector<Var>> slopes, Location where) {
  std::vector<Var> made = weighted(h, weights, slopes, where);
  const Composite line("odeint", {In(h, where)});
  for (std::size_t i = 0; i < y.size(); ++i) made[i] = y[i] + made[i];
  return made;
}

namespace {

std::vector<Var> rk4_step(const Field& f, Var t, Var h, std::span<const Var> y) {
  const auto at = [&](double part) {
    const Composite line("odeint", {In(t, f.where)});
    return t + part * h;
  };
  const Location where = f.where;
  std::vector<std::vector<Var>> k{f(t, y)};
  k.push_back(f(at(0.5), advanced(y, h, std::array{0.5}, k, where)));
  k.push_back(f(at(0.5), advanced(y, h, std::array{0.0, 0.5}, k, where)));
  k.push_back(f(at(1.0), advanced(y, h, std::array{0.0, 0.0, 1.0}, k, where)));
  return advanced(y, h, std::array{1.0 / 6, 1.0 / 3, 1.0 / 3, 1.0 / 6}, k, where);
}

}  // namespace

OdeSolution solved_by_rk4(const Field& f, std::span<const Var> y0, Var times,
                          const OdeOptions& options) {
  const std::int64_t count = times.shape()[0];
  const Location where = f.where;
  Var starts, lengths;
  {
    const Composite line("odeint", {In(times, where)});
    starts = slice(times, 0, 0, count - 1);
    lengths = (slice(times, 0, 1, count) - starts) / static_cast<double>(options.steps);
  }
  const auto between = [&](std::span<const Var> y, std::span<const Var> slice) -> Step {
    const Var t = slice[0], h = slice[1];
    if (options.steps == 1) {
      const std::vector<Var> next = rk4_step(f, t, h, y);
      return {next, next};
    }
    const auto one = [&](Var i, std::span<const Var> at) {
      const Var now = t + cast({i, where}, t.dtype()) * h;
      return rk4_step(f, now, h, at);
    };
    const std::vector<In> begin(y.begin(), y.end());
    const std::vector<Var> next = fori(0, options.steps, begin, one, {}, where);
    return {next, next};
  };
  const std::vector<In> start(y0.begin(), y0.end());
  const Scanned all = scan(between, start, {In(starts, where), In(lengths, where)}, {}, where);
  const Composite line("odeint", {In(times, where)});
  OdeSolution made;
  for (std::size_t i = 0; i < y0.size(); ++i)
    made.y.push_back(concat({unsqueeze(y0[i], 0), all.out[i]}));
  Graph& graph = times.graph();
  made.steps = graph.constant(Tensor(std::int64_t{(count - 1) * options.steps}));
  made.reached = graph.constant(Tensor(true));
  return made;
}

}  // namespace dualtape::detail
