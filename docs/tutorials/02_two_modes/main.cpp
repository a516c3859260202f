// Tutorial 2: one graph, two modes.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <iomanip>
#include <iostream>
#include <limits>
#include <vector>

#include <dualtape/dualtape.hpp>

#include "common/tutorial.hpp"

namespace dt = dualtape;

namespace {

void forward_by_hand(const dt::docs::Tutorial& tutorial) {
  tutorial.section("jvp");
  // [jvp]
  const auto squares = [](dt::Var x) { return dt::square(x); };
  const auto [value, tangent] =
      dt::jvp(squares, dt::Tensor{5, 10}, dt::Tensor{0.6185, -1.1474});  // at x, along v
  std::cout << "value   " << value << "\ntangent " << tangent << '\n';
  // [/jvp]
}

void reverse_by_hand(const dt::docs::Tutorial& tutorial) {
  tutorial.section("vjp");
  // [vjp]
  const dt::Tensor x{{-1.5237, 0.8, -0.3973, -1.2430, 0.2},
                     {-0.5563, -2.6606, 1.1, -0.2563, -0.3247},
                     {0.5, -0.7983, -0.0370, 1.6, -2.5105}};
  const auto distance = [](dt::Var v) { return dt::mse(v, dt::relu(v)); };
  const auto [loss, pullback] = dt::vjp(distance, x);
  std::cout << "loss " << loss << "\ngradient\n" << pullback(dt::Tensor(1.0)) << '\n';
  // [/vjp]
}

void agree(const dt::docs::Tutorial& tutorial) {
  tutorial.section("agree");
  // [agree]
  // Two numbers in, three out.
  const auto f = [](dt::Var x) {
    const auto p = dt::split(x, 2);
    return dt::concat({p[0] * p[1], dt::sin(p[0]), dt::exp(p[1])});
  };
  const dt::Tensor at{2, 1};

  std::cout << "columns of the Jacobian, by forward mode\n"
            << dt::jvp(f, at, dt::Tensor{1, 0}).tangent << '\n'
            << dt::jvp(f, at, dt::Tensor{0, 1}).tangent << '\n';
  const auto pullback = dt::vjp(f, at).pullback;
  std::cout << "rows of the Jacobian, by reverse mode\n"
            << pullback(dt::Tensor{1, 0, 0}) << '\n'
            << pullback(dt::Tensor{0, 1, 0}) << '\n'
            << pullback(dt::Tensor{0, 0, 1}) << '\n';
  // [/agree]
}

// For drawings: without the pass that joins elementwise nodes, each node is seen.
const dt::CompileOptions apart{.without = {"fuse"}};

void look_at_forward(const dt::docs::Tutorial& tutorial) {
  tutorial.section("forward");
  // [forward]
  dt::Graph g;
  const dt::Var x = g.input("x", {4, 3});
  const dt::Var w = g.input("w", {3, 2});
  const dt::Var y = dt::sum(dt::tanh(dt::matmul(x, w)).named("h")).named("y");

  const dt::Var v = g.input("v", {3, 2});  // a direction for w
  const dt::Var dy = dt::forward(y, {w}, {v});
  std::cout << to_string(g);
  // [/forward]
  tutorial.aside();
  tutorial.draw_graph("forward", dt::compile({y, dy}, {}, apart).to_dot());
}

void look_at_reverse(const dt::docs::Tutorial& tutorial) {
  dt::Graph g;
  const dt::Var x = g.input("x", {4, 3});
  const dt::Var w = g.input("w", {3, 2});
  const dt::Var y = dt::sum(dt::tanh(dt::matmul(x, w)).named("h")).named("y");

  tutorial.section("tape");
  // [tape]
  const dt::Linearized linear({y}, {w});
  std::cout << to_string(linear.tape());
  // [/tape]

  tutorial.section("played");
  // [played]
  const dt::MaybeVar one = g.constant(1.0, dt::float32);  // dy/dy
  const dt::MaybeVar gradient = linear.transpose({&one, 1})[0];
  std::cout << to_string(g);
  // [/played]
  tutorial.aside();
  tutorial.draw_graph("reverse", dt::compile({y, *gradient}, {}, apart).to_dot());
}

// [chain]
struct Chain {
  dt::Graph g;
  dt::Var x, w, v, y;

  explicit Chain(std::int64_t depth, std::int64_t width = 64) {
    x = g.input("x", {width, width});
    w = g.input("w", {width, width});  // the same weights in every layer
    v = g.input("v", {width, width});
    dt::Var h = x;
    for (std::int64_t i = 0; i < depth; ++i) h = dt::tanh(dt::matmul(h, w));
    y = dt::mean(h);
  }
  dt::Program value() { return dt::compile({y}); }
  dt::Program forward() { return dt::compile({y, dt::forward(y, {w}, {v})}); }
  dt::Program reverse() { return dt::compile({y, dt::reverse(y, {w})[w]}); }
};
// [/chain]

void memory(const dt::docs::Tutorial& tutorial) {
  tutorial.section("memory");
  dt::docs::Figure::Values depths;
  dt::docs::Figure::Values values;
  dt::docs::Figure::Values forwards;
  dt::docs::Figure::Values reverses;
  // [memory]
  const auto kib = [](const dt::Program& program) {
    return static_cast<double>(program.memory().peak_activation_bytes) / 1024;
  };
  std::cout << "depth  value  forward  reverse   (KiB of activations and derivatives)\n";
  for (const std::int64_t depth : {1, 2, 4, 8, 16, 32, 64, 128, 256}) {
    Chain chain(depth);
    depths.push_back(static_cast<double>(depth));
    values.push_back(kib(chain.value()));
    forwards.push_back(kib(chain.forward()));
    reverses.push_back(kib(chain.reverse()));
    std::cout << std::fixed << std::setprecision(1) << std::setw(5) << depth << std::setw(7)
              << values.back() << std::setw(9) << forwards.back() << std::setw(9) << reverses.back()
              << '\n';
  }
  // [/memory]
  tutorial.aside();
  dt::docs::Figure figure("memory", "Memory against depth");
  figure.labels("layers", "KiB").log_x().log_y();
  figure.line("value alone", depths, values, {.colour = dt::docs::ink, .dashed = true})
      .line("forward", depths, forwards, {.colour = 0})
      .line("reverse", depths, reverses, {.colour = 1});
  tutorial.draw(figure);
  tutorial.csv("memory.csv", {{"depth", depths},
                              {"value_kib", values},
                              {"forward_kib", forwards},
                              {"reverse_kib", reverses}});
}

struct Timed {
  dt::Program program;
  std::vector<dt::Feed> feeds;
  double best = std::numeric_limits<double>::infinity();  // seconds
};

// The quickest of several runs of each, in turns: what other work on the machine disturbs least.
void race(std::span<Timed> timed, int times) {
  for (int i = 0; i <= times; ++i) {
    for (Timed& one : timed) {
      const auto start = std::chrono::steady_clock::now();
      one.program.run(one.feeds);
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      if (i > 0) one.best = std::min(one.best, took.count());  // the first run allocates
    }
  }
}

void cost(const dt::docs::Tutorial& tutorial) {
  const std::vector<std::int64_t> widths =
      tutorial.choose<std::vector<std::int64_t>>({16, 32, 64, 128, 256}, {16, 32});
  dt::docs::Figure::Values x_axis;
  dt::docs::Figure::Values forwards;
  dt::docs::Figure::Values reverses;
  std::cout << "\nwidth  forward  reverse   (time of value and derivative over value alone)\n";
  for (const std::int64_t width : widths) {
    Chain chain(8, width);
    const double scale = 1 / std::sqrt(static_cast<double>(width));
    const std::vector<dt::Feed> feeds{{chain.x, dt::normal(dt::Key{1}, {width, width})},
                                      {chain.w, dt::normal(dt::Key{2}, {width, width}, 0, scale)}};
    std::vector<dt::Feed> with_direction = feeds;
    with_direction.emplace_back(chain.v, dt::normal(dt::Key{3}, {width, width}));
    std::array<Timed, 3> timed{Timed{chain.value(), feeds}, Timed{chain.forward(), with_direction},
                               Timed{chain.reverse(), feeds}};
    race(timed, tutorial.choose(40, 3));
    const double forward = timed[1].best / timed[0].best;
    const double reverse = timed[2].best / timed[0].best;
    std::cout << std::setw(5) << width << std::fixed << std::setprecision(2) << std::setw(9)
              << forward << std::setw(9) << reverse << '\n';
    x_axis.push_back(static_cast<double>(width));
    forwards.push_back(forward);
    reverses.push_back(reverse);
  }
  dt::docs::Figure figure("cost", "Time of value and derivative over that of the value");
  figure.labels("width and batch", "times the value's time").log_x().y_range(0, 6);
  figure.line("forward, one direction", x_axis, forwards, {.colour = 0})
      .line("reverse, the whole gradient", x_axis, reverses, {.colour = 1});
  tutorial.draw(figure);
  tutorial.csv("cost.csv", {{"width", x_axis}, {"forward", forwards}, {"reverse", reverses}});
}

void nest(const dt::docs::Tutorial& tutorial) {
  tutorial.section("nest");
  // [nest]
  // Rosenbrock's valley, (1 - x)^2 + 100 (y - x^2)^2.
  const auto valley = [](dt::Var xy) {
    const auto p = dt::split(xy, 2);
    return dt::sum(dt::square(1 - p[0]) + 100 * dt::square(p[1] - dt::square(p[0])));
  };
  const dt::Tensor at{0.88226926, 0.91500396};
  std::cout << "value    " << dt::eval(valley, at) << "\ngradient " << dt::grad(valley)(at)
            << "\nHessian  " << dt::hvp(valley, at, dt::Tensor{1, 0}) << "\n         "
            << dt::hvp(valley, at, dt::Tensor{0, 1}) << '\n';
  // [/nest]
  tutorial.aside();
}

void body(const dt::docs::Tutorial& tutorial) {
  forward_by_hand(tutorial);
  reverse_by_hand(tutorial);
  agree(tutorial);
  look_at_forward(tutorial);
  look_at_reverse(tutorial);
  nest(tutorial);
  memory(tutorial);
  cost(tutorial);
}

}  // namespace

int main(int argc, char** argv) {
  return dt::docs::run_tutorial(argc, argv, "Tutorial 2: one graph, two modes", body);
}
