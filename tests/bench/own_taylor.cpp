// Taylor mode: Laplacians and biharmonics of a net whose sums the planner collapses, beside the
// same without that and by other modes; and a series of high order beside nested forward mode.
#include <array>
#include <memory>
#include <optional>

#include <dualtape/core/program.hpp>
#include <dualtape/core/random.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/laplacian.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/modes/vmap.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/creation.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/trigonometry.hpp>

#include <tests/bench/own.hpp>

namespace dualtape::bench {
namespace {

// A graph, what it is fed and the program of it.
struct Session {
  Graph graph;
  std::vector<Feed> feeds;
  std::optional<Program> program;

  Var fed(const std::string& name, const Tensor& value) {
    const Var var = graph.input(name, value.shape(), value.dtype());
    feeds.emplace_back(var, value);
    return var;
  }
};

// Made when it is first run.
Mode timed(const std::string& name, const std::function<std::vector<Var>(Session&)>& build,
           const std::vector<std::string>& without = {}) {
  const auto session = std::make_shared<Session>();
  const auto ready = [session, build, without]() -> Session& {
    if (!session->program)
      session->program = compile(build(*session), {}, CompileOptions{.without = without});
    return *session;
  };
  return {name,
          [ready](std::int64_t times) {
            for (std::int64_t i = 0; i < times; ++i) ready().program->run(ready().feeds);
          },
          [ready] {
            const MemoryUse use = ready().program->memory();
            return static_cast<std::int64_t>(use.arena_bytes + use.workspace_bytes);
          }};
}

Tensor normal_numbers(const Shape& shape, std::uint64_t number, double deviation) {
  return normal(Key{2505}.fold(number), shape, 0, deviation);
}

// ---- the net of Dangel et al. -------------------------------------------------------------------

// tanh between layers of D, 768, 768, 512, 512 and 1 units, at `points` points.
struct Net {
  Net(Session& session, std::int64_t dimensions, std::int64_t points_at_once)
      : points(points_at_once) {
    const std::array<std::int64_t, 6> sizes{dimensions, 768, 768, 512, 512, 1};
    x = session.fed("x", normal_numbers({points, dimensions}, 0, 1));
    Var h = x;
    for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
      const double deviation = 1 / std::sqrt(static_cast<double>(sizes[i]));
      weights.push_back(session.fed("w" + std::to_string(i),
                                    normal_numbers({sizes[i], sizes[i + 1]}, i + 1, deviation)));
      const Var bias =
          session.fed("b" + std::to_string(i), normal_numbers({sizes[i + 1]}, i + 10, 0.1));
      if (i > 0) h = tanh(h);
      h = matmul(h, weights.back()) + bias;
    }
    y = reshape(h, {points});
  }
  std::int64_t points;
  Var x, y;
  std::vector<Var> weights;
};

constexpr std::int64_t dimensions = 50, points = 4;

std::vector<Var> laplacian_of_net(Session& session) {
  const Net net(session, dimensions, points);
  return {laplacian(net.y, net.x, {.points = 1})};
}
// v^T H v for all unit vectors v at once, added up: a product with the Hessian for each.
std::vector<Var> by_forward_over_reverse(Session& session) {
  const Net net(session, dimensions, points);
  const Var slope = reverse(sum(net.y), {net.x})[net.x];
  const auto curvature = [&](Var v) {
    const Var direction = broadcast_to(v, net.x.shape());
    return sum(*forward_all({slope}, {net.x}, {direction})[0] * v, {1});
  };
  return {sum(vmap(curvature)(session.graph.constant(eye(dimensions))), {0})};
}
// The products of so many rows a point with the weights, layer by layer, and nothing else.
Mode products(const std::string& name, std::int64_t inputs, std::int64_t rows) {
  return timed(name, [inputs, rows](Session& session) -> std::vector<Var> {
    const Net net(session, inputs, points);
    Var h = session.fed("rows", normal_numbers({rows * points, inputs}, 20, 1));
    for (const Var& w : net.weights) h = matmul(h, w);
    return {h};
  });
}

Work laplacian_work() {
  Work work;
  work.modes = {timed("collapsed", laplacian_of_net),
                timed("standard", laplacian_of_net, {"collapse"}),
                timed("forward_over_reverse", by_forward_over_reverse, {"collapse"}),
                products("products", dimensions, 2 + dimensions),
                products("products_standard", dimensions, 1 + 2 * dimensions)};
  return work;
}

constexpr std::int64_t few = 5;

std::vector<Var> biharmonic_of_net(Session& session) {
  const Net net(session, few, points);
  return {biharmonic(net.y, net.x, {.points = 1})};
}
Work biharmonic_work() {
  constexpr std::int64_t directions = few * few;
  Work work;
  work.modes = {timed("collapsed", biharmonic_of_net),
                timed("standard", biharmonic_of_net, {"collapse"}),
                products("products", few, 2 + 3 * directions),
                products("products_standard", few, 1 + 4 * directions)};
  return work;
}

// ---- one number through twenty operators --------------------------------------------------------

Var chain(Var x) {
  for (int i = 0; i < 4; ++i) x = sin(exp(-0.5 * square(x)) + x);
  return x;
}
constexpr int order = 8;

std::vector<Var> series_of_chain(Session& session) {
  const Var x = session.fed("x", Tensor::scalar(0.3));
  return {derivatives(chain(x), x, order).back()};
}
std::vector<Var> nested_in_chain(Session& session) {
  const Var x = session.fed("x", Tensor::scalar(0.3));
  const Var one = session.graph.constant(1.0, float64);
  Var y = chain(x);
  for (int i = 0; i < order; ++i) y = forward(y, {x}, {one});
  return {y};
}
Work chain_work() {
  Work work;
  work.modes = {timed("series", series_of_chain), timed("nested", nested_in_chain)};
  return work;
}

}  // namespace

std::vector<Workload> taylor_workloads() {
  return {{"laplacian_50", laplacian_work},
          {"biharmonic_5", biharmonic_work},
          {"series_8", chain_work}};
}

}  // namespace dualtape::bench
