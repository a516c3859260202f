// Sparse Jacobians: one evaluation beside evaluations of the function, and how many colours
// patterns take.
#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <random>

#include <dualtape/core/program.hpp>
#include <dualtape/core/random.hpp>
#include <dualtape/modes/sparsity.hpp>
#include <dualtape/modes/sparsity/colouring.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/slice.hpp>
#include <dualtape/ops/subscript.hpp>

#include <tests/bench/own.hpp>
#include <tests/bench/patterns.hpp>

namespace dualtape::bench {

// ---- patterns -----------------------------------------------------------------------------------

namespace {

using Index = std::int64_t;
using Rows = std::vector<std::vector<Index>>;

std::size_t place(Index i) { return static_cast<std::size_t>(i); }

SparsityPattern pattern_of(Rows rows, Index columns) {
  SparsityPattern made;
  made.row_count = static_cast<Index>(rows.size());
  made.column_count = columns;
  for (auto& row : rows) {
    std::ranges::sort(row);
    row.erase(std::unique(row.begin(), row.end()), row.end());
    made.columns.insert(made.columns.end(), row.begin(), row.end());
    made.row_starts.push_back(made.entries());
  }
  return made;
}

struct Grid {
  Index n, axes;
  bool corners = false;  // whether neighbours across corners count
  bool periodic = false;
  Index species = 1;  // at each point, each of which depends on the others there
};
// Each point and its neighbours.
SparsityPattern stencil(const Grid& grid) {
  Index points = 1, boxes = 1;
  for (Index d = 0; d < grid.axes; ++d) points *= grid.n, boxes *= 3;
  Rows rows(place(points * grid.species));
  for (Index p = 0; p < points; ++p) {
    for (Index box = 0; box < boxes; ++box) {
      Index to = 0, stride = 1, moved = 0;
      bool inside = true;
      for (Index d = 0, at = p, step = box; d < grid.axes; ++d, at /= grid.n, step /= 3) {
        Index place_on_axis = at % grid.n + step % 3 - 1;
        moved += step % 3 == 1 ? 0 : 1;
        if (grid.periodic) place_on_axis = (place_on_axis + grid.n) % grid.n;
        inside = inside && place_on_axis >= 0 && place_on_axis < grid.n;
        to += place_on_axis * stride;
        stride *= grid.n;
      }
      if (!inside || (moved > 1 && !grid.corners)) continue;
      for (Index s = 0; s < grid.species; ++s)
        rows[place(p + s * points)].push_back(to + s * points);
    }
    for (Index s = 0; s < grid.species; ++s)
      for (Index other = 0; other < grid.species; ++other)
        rows[place(p + s * points)].push_back(p + other * points);
  }
  return pattern_of(std::move(rows), points * grid.species);
}

// So many entries drawn for each row.
SparsityPattern drawn(Index rows, Index columns, Index in_row, bool symmetric = false) {
  std::mt19937_64 random(static_cast<std::uint64_t>(rows + columns + in_row));
  Rows made(place(rows));
  for (Index i = 0; i < rows; ++i) {
    if (symmetric) made[place(i)].push_back(i);
    for (Index k = 0; k < in_row; ++k) {
      const auto j = static_cast<Index>(random() % static_cast<std::uint64_t>(columns));
      made[place(i)].push_back(j);
      if (symmetric) made[place(j)].push_back(i);
    }
  }
  return pattern_of(std::move(made), columns);
}

}  // namespace

Patterns twenty_patterns() {
  const SparsityPattern five = stencil({40, 2}), nine = stencil({40, 2, true});
  const SparsityPattern seven = stencil({12, 3}), cube = stencil({10, 3, true});
  const auto brusselator = [](Index n) { return stencil({n, 2, false, true, 2}); };
  return {{brusselator(6), brusselator(16), brusselator(32), five, nine, seven, cube,
           drawn(1000, 1000, 3), drawn(1000, 1000, 5), drawn(1000, 1000, 10), drawn(2000, 300, 4),
           drawn(300, 2000, 12)},
          {five, nine, seven, cube, stencil({500, 1}), drawn(1000, 1000, 1, true),
           drawn(1000, 1000, 2, true), drawn(1000, 1000, 4, true)}};
}

// ---- functions ----------------------------------------------------------------------------------

namespace {

// The Brusselator on a periodic grid, u of shape (2, n, n): Hairer and Wanner, Solving Ordinary
// Differential Equations II, section IV.10.
Var brusselator(Var u) {
  const auto spread = [](Var a) {
    return roll(a, 1, 0) + roll(a, -1, 0) + roll(a, 1, 1) + roll(a, -1, 1) - 4.0 * a;
  };
  const Var a = u[0], b = u[1];
  return stack(
      {1.0 + a * a * b - 4.4 * a + 10.0 * spread(a), 3.4 * a - a * a * b + 10.0 * spread(b)});
}

struct Neighbours {
  Var left, right;
};
Neighbours neighbours_of(Var x) {
  const Var padded = pad(x, {1}, {1});
  const std::int64_t n = x.shape()[0];
  return {padded[range(0, n)], padded[range(2, n + 2)]};
}
// Bratu's problem, u'' + e^u = 0.
Var bratu(Var u) {
  const auto [left, right] = neighbours_of(u);
  return left - 2.0 * u + right + 1e-10 * exp(u);
}
// Broyden's tridiagonal function: More, Garbow, Hillstrom, Testing unconstrained optimization
// software, 1981.
Var broyden(Var x) {
  const auto [left, right] = neighbours_of(x);
  return (3.0 - 2.0 * x) * x - left - 2.0 * right + 1.0;
}

using Function = Var (*)(Var);

struct Ready {
  Graph graph;
  std::vector<Feed> feeds;
  std::optional<Program> program;
};
Mode timed(const std::string& name, const Tensor& at, const std::function<Var(Var)>& result) {
  const auto ready = std::make_shared<Ready>();
  return {name, [ready, at, result](std::int64_t times) {
            if (!ready->program) {
              const Var x = ready->graph.input("x", at.shape(), at.dtype());
              ready->feeds.emplace_back(x, at);
              ready->program = compile({result(x)});
            }
            for (std::int64_t i = 0; i < times; ++i) ready->program->run(ready->feeds);
          }};
}
void add(std::vector<Mode>& modes, const std::string& name, const Shape& shape, Function f) {
  const Tensor at = uniform(Key{2026}, shape, 0, 1, float64);
  modes.push_back(timed(name, at, f));
  modes.push_back(
      timed(name + "_jacobian", at, [f](Var x) { return sparse_jacobian(f(x), x).values; }));
}

// 18 MB read and written: of 300000 entries three constants, the products twice, the entries and
// their places, of 100000 inputs three times their numbers.
Mode copy_of_bytes(const std::string& name) {
  const auto from = std::make_shared<Tensor>(zeros({9'000'000}, boolean));
  const auto to = std::make_shared<Tensor>(zeros({9'000'000}, boolean));
  return {name, [from, to](std::int64_t times) {
            for (std::int64_t i = 0; i < times; ++i) {
              std::memcpy(to->raw(), from->raw(), from->bytes());
              asm volatile("" : : "r"(to->raw()) : "memory");
            }
          }};
}

std::int64_t our_colours() {
  const Patterns patterns = twenty_patterns();
  std::int64_t sum = 0;
  for (const SparsityPattern& pattern : patterns.columns)
    sum += detail::colour_columns(pattern).count;
  for (const SparsityPattern& pattern : patterns.symmetric)
    sum += detail::colour_star(pattern).count;
  return sum;
}
Mode counted(const std::string& name, const std::function<std::int64_t()>& count) {
  return {name,
          [count](std::int64_t times) {
            for (std::int64_t i = 0; i < times; ++i) count();
          },
          count};
}

Work sparsity_work() {
  constexpr std::int64_t n = 100'000;
  Work work;
  add(work.modes, "brusselator", {2, 32, 32}, brusselator);
  add(work.modes, "bratu", {n}, bratu);
  add(work.modes, "broyden", {n}, broyden);
  work.modes.push_back(copy_of_bytes("broyden_copy"));
  work.modes.push_back(counted("colours", our_colours));
  if (colpack_colours({}) >= 0)
    work.modes.push_back(
        counted("colours_colpack", [] { return colpack_colours(twenty_patterns()); }));
  return work;
}

}  // namespace

std::vector<Workload> sparsity_workloads() { return {{"sparsity", sparsity_work}}; }

}  // namespace dualtape::bench
