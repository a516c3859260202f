// Tutorial 14: implicit functions.
#include <cmath>
#include <cstdint>
#include <functional>
#include <iomanip>
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include <dualtape/dualtape.hpp>

#include "common/tutorial.hpp"

namespace dt = dualtape;

namespace {

// [kepler]
// Kepler's equation E = M + e sin E: the angle E of a planet by the time M and the eccentricity e.
dt::Var angle(dt::Var m, dt::Var e) {
  return dt::fixed_point([&](dt::Var x) { return m + e * dt::sin(x); }, m);
}
// [/kepler]

dt::Tensor number(double x) { return dt::Tensor::of({x}, dt::float64).reshape({}); }

void kepler(const dt::docs::Tutorial& tutorial) {
  tutorial.section("slopes");
  // [slopes]
  const dt::Tensor m = number(1.0), e = number(0.6);
  const double at = dt::eval([](auto in) { return angle(in[0], in[1]); }, {m, e}).item();
  const auto [by_m, by_e] = dt::grad(angle)(m, e);
  std::cout << std::setprecision(8) << "E " << at << "\nby M " << by_m.item() << ", by hand "
            << 1 / (1 - 0.6 * std::cos(at)) << "\nby e " << by_e.item() << ", by hand "
            << std::sin(at) / (1 - 0.6 * std::cos(at)) << '\n';
  // [/slopes]
}

void memory(const dt::docs::Tutorial& tutorial) {
  tutorial.section("memory");
  // [memory]
  const auto bytes = [](const auto& found) {
    dt::Graph g;
    const dt::Var m = g.input("m", {1000}), e = g.input("e", {1000});
    const dt::Var slope = dt::reverse(dt::sum(found(m, e)), {e})[e];
    return dt::compile({slope}).memory().arena_bytes / 1000;
  };
  for (const std::int64_t most : {10, 10000}) {
    const auto by_theorem = [&](dt::Var m, dt::Var e) {
      return dt::fixed_point([&](dt::Var x) { return m + e * dt::sin(x); }, m, {.most = most});
    };
    const auto by_steps = [&](dt::Var m, dt::Var e) {
      return dt::fori(0, most, m, [&](dt::Var, dt::Var x) { return m + e * dt::sin(x); });
    };
    std::cout << most << " steps: fixed_point " << bytes(by_theorem) << " KB, a loop "
              << bytes(by_steps) << " KB\n";
  }
  // [/memory]
}

void failure(const dt::docs::Tutorial& tutorial) {
  tutorial.section("failure");
  // [failure]
  const auto runs_away = [](dt::Var x) { return 2.0 * x + 1.0; };
  try {
    dt::eval([&](dt::Var x) { return dt::fixed_point(runs_away, x, {.most = 50}); }, number(1));
  } catch (const dt::ValueError& error) {
    std::cout << error.what() << '\n';
  }
  const auto flag = [&](dt::Var x) { return dt::try_fixed_point(runs_away, x).converged; };
  std::cout << "converged: " << dt::eval(flag, number(1)) << '\n';
  // [/failure]
}

void own_solver(const dt::docs::Tutorial& tutorial) {
  tutorial.section("own");
  // [own]
  // Bisection: sure to find a root between 0 and 4, and nothing that has a derivative.
  const dt::Solver bisection = [](const dt::VarMap& f, dt::Var x) {
    return dt::fori(0, 60, std::vector<dt::In>{0.0 * x, 0.0 * x + 4.0},
                    [&](dt::Var, std::span<const dt::Var> ends) -> std::vector<dt::Var> {
                      const dt::Var middle = 0.5 * (ends[0] + ends[1]);
                      const dt::Var left = f(middle) > 0.0;
                      return {dt::where(left, ends[0], middle), dt::where(left, middle, ends[1])};
                    })[0];
  };
  const auto root = [&](dt::Var a) {
    return dt::root([&](dt::Var x) { return x * x * x - a; }, a, {.solver = bisection});
  };
  const dt::Tensor a = number(8);
  std::cout << std::setprecision(8) << "root " << dt::eval(root, a).item() << "  slope "
            << dt::grad(root)(a).item() << "  curvature " << dt::grad(dt::grad(root))(a).item()
            << '\n';
  // [/own]
}

// [layer]
// z = tanh(W z + U x + b) for a batch of rows: a layer as deep as it needs to be.
struct Equilibrium {
  dt::Parameter w, u, b;
  Equilibrium(std::int64_t in, std::int64_t width, dt::Key key)
      : w("w", dt::normal(key.fold(0), {width, width})),
        u("u", dt::glorot_uniform(key.fold(1), {in, width})),
        b("b", dt::zeros({width})) {}
  dt::Var operator()(dt::Var x) const {
    const dt::Var inner = x.graph().read(w);
    // Of norm 0.9, so that there is one fixed point and the iteration finds it.
    const dt::Var contraction = 0.9 * inner / dt::sqrt(dt::sum(dt::square(inner)));
    const dt::Var drive = dt::matmul(x, u) + b;
    return dt::fixed_point([&](dt::Var z) { return dt::tanh(dt::matmul(z, contraction) + drive); },
                           drive);
  }
};
// [/layer]

// Two spirals, each a class.
struct Spirals {
  dt::Tensor x = dt::zeros({120, 2}), is = dt::zeros({120});
  Spirals() {
    for (std::size_t i = 0; i < 120; ++i) {
      const double t = 0.3 + 5.0 * static_cast<double>(i % 60) / 60;
      const double side = i < 60 ? 1.0 / 3 : -1.0 / 3;
      x.data<float>()[2 * i] = static_cast<float>(side * t * std::cos(t));
      x.data<float>()[2 * i + 1] = static_cast<float>(side * t * std::sin(t));
      is.data<float>()[i] = i < 60 ? 1.0F : 0.0F;
    }
  }
};

// The losses of a number of steps of Adam.
dt::docs::Figure::Values trained(const std::function<dt::Var(dt::Var)>& body,
                                 std::vector<dt::Parameter> weights, int steps) {
  const Spirals data;
  // [train]
  const dt::nn::Linear head("head", 24, 1, dt::Key{2});
  for (const dt::Parameter& parameter : head.parameters()) weights.push_back(parameter);
  dt::Graph g;
  const dt::Var scores = dt::reshape(head(body(g.constant(data.x))), {-1});
  const dt::Var loss = dt::binary_cross_entropy_with_logits(scores, g.constant(data.is));
  dt::Adam adam;
  dt::Program step =
      dt::compile({loss}, adam.update(weights, dt::reverse(loss, dt::WrtList(weights)), 0.01));
  dt::docs::Figure::Values losses;
  for (int i = 0; i < steps; ++i) losses.push_back(step.run()[loss].item());
  // [/train]
  return losses;
}

void layer(const dt::docs::Tutorial& tutorial) {
  tutorial.section("train");
  constexpr int steps = 1000;
  const Equilibrium deep(2, 24, dt::Key{1}), flat(2, 24, dt::Key{1});
  const auto once = [&](dt::Var x) { return dt::tanh(dt::matmul(x, flat.u) + flat.b); };
  const auto of_deep = trained(deep, {deep.w, deep.u, deep.b}, steps);
  const auto of_flat = trained(once, {flat.u, flat.b}, steps);
  std::cout << std::setprecision(1) << "loss of the equilibrium " << of_deep.back()
            << ", of one layer " << of_flat.back() << '\n';
  tutorial.aside();
  dt::docs::Figure::Values number;
  for (int i = 0; i < steps; ++i) number.push_back(i + 1);
  dt::docs::Figure figure("layer", "Loss on two spirals");
  figure.labels("step", "loss").log_y();
  figure.line("tanh(U x + b)", number, of_flat, {.colour = 0})
      .line("z = tanh(W z + U x + b)", number, of_deep, {.colour = 1});
  tutorial.draw(figure);
}

// [chain]
// A chain of 16 links of length 1 hangs between two nails, `width` apart. At rest its energy, the
// sum of its joints' heights, is least among the angles of the links that end at the second nail.
constexpr std::int64_t links = 16;

struct Joints {
  dt::Var x, y;
};
Joints joints(dt::Var angles) {
  return {dt::cumsum(dt::cos(angles), 0), dt::cumsum(dt::sin(angles), 0)};
}
dt::Var energy(dt::Var angles) { return dt::sum(joints(angles).y); }

// The angles at rest, then the pull on the nail, along and up: where Lagrange's function, the
// energy less pull times what is missing to the nail, is stationary.
dt::Var at_rest(dt::Var width) {
  const auto lagrange = [&](dt::Var u) {
    const dt::Var angles = u[dt::range(0, links)];
    const Joints at = joints(angles);
    return energy(angles) - u[links] * (at.x[-1] - width) - u[links + 1] * at.y[-1];
  };
  // A shape to start from: that of the pull along `along`, which is a guess.
  const dt::Var along = dt::reshape(0.25 * width, {1}), up = 0.0 * along + links / 2.0;
  const dt::Var angles = dt::atan(dt::linspace(-7.5, 7.5, links, dt::float64) / along);
  return dt::root(dt::grad(lagrange), dt::concat({angles, along, up}),
                  {.linear = {.symmetric = true}});
}
// [/chain]

void chain(const dt::docs::Tutorial& tutorial) {
  tutorial.section("rest");
  // [rest]
  const auto least = [](dt::Var width) { return energy(at_rest(width)[dt::range(0, links)]); };
  const dt::Tensor width = number(10);
  const double pull = dt::eval(at_rest, width).at({links});
  std::cout << std::setprecision(8) << "energy by the width " << dt::grad(least)(width).item()
            << ", the pull along " << pull << "\nwhat the pull grows by "
            << dt::grad(dt::grad(least))(width).item() << '\n';
  // [/rest]
  tutorial.aside();
  dt::docs::Figure figure("chain", "A chain at rest, and how it moves as a nail is pulled away");
  figure.labels("x", "y").square();
  int colour = 0;
  for (const double apart : {6.0, 10.0, 14.0}) {
    const auto places = [](dt::Var w) {
      const Joints at = joints(at_rest(w)[dt::range(0, links)]);
      return dt::stack(std::vector{at.x, at.y});
    };
    const auto [at, move] = dt::jvp(places, number(apart), number(1));
    dt::docs::Figure::Values x{0}, y{0}, dx{0}, dy{0};
    for (std::int64_t i = 0; i < links; ++i) {
      x.push_back(at.at({0, i}));
      y.push_back(at.at({1, i}));
      dx.push_back(move.at({0, i}));
      dy.push_back(move.at({1, i}));
    }
    const std::string name = "width " + std::to_string(static_cast<int>(apart));
    figure.line(name, x, y, {.colour = colour})
        .points("", x, y, dt::docs::Mark::dot, {.colour = colour})
        .arrows("", x, y, dx, dy, {.colour = dt::docs::ink, .width = 1, .faint = true});
    ++colour;
  }
  tutorial.draw(figure);
}

void body(const dt::docs::Tutorial& tutorial) {
  kepler(tutorial);
  memory(tutorial);
  own_solver(tutorial);
  failure(tutorial);
  layer(tutorial);
  chain(tutorial);
}

}  // namespace

int main(int argc, char** argv) {
  return dt::docs::run_tutorial(argc, argv, "Tutorial 14: implicit functions", body);
}
