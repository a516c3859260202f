// Tutorial 16: Taylor series.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iomanip>
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include <dualtape/dualtape.hpp>

#include "common/tutorial.hpp"

namespace dt = dualtape;

namespace {

using Values = dt::docs::Figure::Values;

void derivatives(const dt::docs::Tutorial& tutorial) {
  tutorial.section("derivatives");
  // [derivatives]
  const auto tangent = [](dt::Var x) { return dt::tan(x); };
  std::cout << "tan and its derivatives at 0:";
  for (const dt::Tensor& d : dt::derivatives(tangent, 11)(dt::Tensor::scalar(0.0)))
    std::cout << ' ' << d.item();
  std::cout << '\n';
  // [/derivatives]
}

// The sum of the first powers at x.
double at(const std::vector<dt::Tensor>& c, std::size_t powers, double x) {
  double sum = 0;
  for (std::size_t k = powers; k-- > 0;) sum = sum * x + c[k].item();
  return sum;
}

void radius(const dt::docs::Tutorial& tutorial) {
  tutorial.section("radius");
  // [radius]
  // 1 / (1 + x^2) is smooth, and yet its series around 1/2 ends somewhere: where?
  const auto bell = [](dt::Var x) { return 1.0 / (1.0 + dt::square(x)); };
  const dt::Tensor middle = dt::Tensor::scalar(0.5), ahead = dt::Tensor::scalar(1.0);
  const std::vector<dt::Tensor> c = dt::taylor(bell, middle, {ahead}, 60);
  // By the root test it is the lowest that |c_k|^(-1/k) comes to.
  double radius = 10;
  for (std::size_t k = 40; k <= 60; ++k)
    radius = std::min(radius, std::pow(std::abs(c[k].item()), -1 / static_cast<double>(k)));
  std::cout << std::fixed << std::setprecision(2) << "radius about " << radius
            << ", from 1/2 to i: " << std::sqrt(1.25) << '\n';
  // [/radius]
  tutorial.aside();
  dt::docs::Figure figure("radius", "A function and the sums of its series around 1/2");
  figure.labels("x", "").x_range(-1.5, 2.5).y_range(-0.5, 1.5);
  const Values x = dt::docs::linear_steps(-1.5, 2.5, 401);
  Values exact;
  for (const double one : x) exact.push_back(1 / (1 + one * one));
  figure.line("1 / (1 + x^2)", x, exact, {.colour = dt::docs::ink, .width = 3});
  int colour = 0;
  for (const std::size_t order : {4U, 12U, 60U}) {
    Values sums;
    for (const double one : x) sums.push_back(at(c, order + 1, one - 0.5));
    figure.line("order " + std::to_string(order), x, sums, {.colour = colour++});
  }
  tutorial.draw(figure);
}

// [step]
// The series of the solution of y' = f(y): its coefficient k + 1 is that of f(y(t)), k, over k + 1.
// Returns the solution after a time h.
template <class F>
dt::Var series_step(const F& f, dt::Var y, double h, int order) {
  const dt::Var slope = f(y);
  std::vector<dt::Var> path{slope};
  for (int k = 1; k < order; ++k)
    path.push_back(dt::taylor(slope, y, path, k).back() / static_cast<double>(k + 1));
  dt::Var next = path.back();  // the sum, by Horner
  for (std::size_t k = path.size() - 1; k-- > 0;) next = path[k] + h * next;
  return y + h * next;
}
// [/step]

void orbit(const dt::docs::Tutorial& tutorial) {
  tutorial.section("orbit");
  // [orbit]
  // A planet around the sun, with an eccentricity of 0.5: position, then velocity.
  const auto pull = [](dt::Var y) {
    const dt::Var r = y[dt::range(0, 2)], v = y[dt::range(2, 4)];
    return dt::concat({v, -r / dt::pow(dt::sum(dt::square(r)), 1.5)});
  };
  const dt::Tensor start = dt::Tensor::of({0.5, 0.0, 0.0, std::sqrt(3.0)}, dt::float64);
  const double period = 2 * std::acos(-1.0);
  const auto missed = [&](const dt::Tensor& y) {
    double most = 0;
    for (std::int64_t i = 0; i < 4; ++i) most = std::max(most, std::abs(y.at({i}) - start.at({i})));
    return most;
  };
  for (const int order : {4, 8, 16, 24}) {
    constexpr int steps = 50;  // a year
    const auto step =
        dt::jit([&](dt::Var y) { return series_step(pull, y, period / steps, order); });
    dt::Tensor y = start;
    for (int i = 0; i < 10 * steps; ++i) y = step(y);
    std::cout << "order " << std::setw(2) << order << ": after ten years right to "
              << static_cast<int>(-std::log10(missed(y))) << " digits\n";
  }
  // [/orbit]
}

// [net]
// What is 0 at the edge of the unit square, whatever the net.
struct Solution {
  dt::Mlp net{{2, 32, 32, 1}, dt::Key{1}, {.activation = dt::Activation::tanh}};
  dt::Var operator()(dt::Var x) const {  // (points, 2) to (points)
    const dt::Var edge = dt::prod(x * (1.0 - x), {1});
    return edge * dt::reshape(net(x), {-1});
  }
};
// [/net]

void poisson(const dt::docs::Tutorial& tutorial) {
  tutorial.section("poisson");
  // [poisson]
  const Solution u;
  dt::Graph g;
  const dt::Var key = g.input("key", {}, dt::int64), rate = g.input("rate", {});
  const dt::Var x = dt::random_uniform(key, {64, 2});  // other points in every step
  const double pi = std::acos(-1.0);
  const dt::Var force = 2 * pi * pi * dt::prod(dt::sin(pi * x), {1});
  const dt::Var residual = dt::laplacian(u(x), x, {.points = 1}) + force;
  const dt::Var loss = dt::mean(dt::square(residual));
  constexpr int steps = 2000;
  dt::Adam adam;
  const auto weights = u.net.parameters();
  dt::Program step = dt::compile({loss}, adam.update(weights, dt::reverse(loss, weights), rate));
  for (int i = 0; i < steps; ++i) {
    const float now = 0.01F * static_cast<float>(steps - i) / static_cast<float>(steps);
    step.run({{key, dt::Tensor::scalar(std::int64_t{i})}, {rate, dt::Tensor(now)}});
  }
  // [/poisson]
  // [error]
  // Against sin(pi x) sin(pi y), whose Laplacian is what was asked for.
  const dt::Tensor places = dt::uniform(dt::Key{2}, {1000, 2});
  const auto error = [&](dt::Var at) {
    return dt::max(dt::abs(u(at) - dt::prod(dt::sin(pi * at), {1})));
  };
  std::cout << std::boolalpha
            << "largest error below 0.002: " << (dt::eval(error, places).item() < 0.002) << '\n';
  // [/error]
  tutorial.aside();
  std::cout << "largest error " << dt::eval(error, places).item() << '\n';
  const dt::Tensor line = dt::linspace(0, 1, 201);
  dt::docs::Figure figure("poisson", "The solution along three lines, and what the net says");
  figure.labels("x", "u");
  int colour = 0;
  for (const double y : {0.5, 0.25, 0.1}) {
    const dt::Tensor found = dt::eval(
        [&](dt::Var t) {
          return u(dt::stack({t, 0.0 * t + y}, 1));
        },
        line);
    Values xs, net, exact;
    for (std::int64_t i = 0; i <= 200; ++i) {
      const double t = static_cast<double>(i) / 200;
      xs.push_back(t);
      exact.push_back(std::sin(pi * t) * std::sin(pi * y));
      net.push_back(static_cast<double>(found.at<float>({i})));
    }
    const std::string name = "y = " + std::to_string(y).substr(0, 4);
    figure.line(name, xs, exact, {.colour = colour, .width = 4, .faint = true});
    figure.line("", xs, net, {.colour = colour++, .dashed = true});
  }
  tutorial.draw(figure);
}

void collapsed(const dt::docs::Tutorial& tutorial) {
  tutorial.section("collapsed");
  // [collapsed]
  dt::Graph g;
  const dt::Var x = g.input("x", {8, 20});
  const dt::Mlp net({20, 64, 64, 1}, dt::Key{3}, {.activation = dt::Activation::tanh});
  const dt::Var l = dt::laplacian(net(x), x, {.points = 1});
  // Rows that go through the first square layer, in all its products.
  const auto rows = [&](const dt::CompileOptions& options) {
    std::int64_t count = 0;
    const dt::Plan plan = dt::optimised_plan(std::vector{l}, {}, options);
    for (const dt::PlanNode& node : plan.nodes) {
      const dt::Shape& shape = plan.values[node.first_value].shape;
      const bool product = node.op->name() == "matmul" && shape.back() == 64;
      if (product && plan.values[plan.operands_of(node)[0]].shape.back() == 64)
        count += shape.count() / 64;
    }
    return count;
  };
  std::cout << "as written " << rows({.without = {"collapse"}}) << " rows, collapsed " << rows({})
            << " rows\n";
  // [/collapsed]
  tutorial.aside();
}

void body(const dt::docs::Tutorial& tutorial) {
  derivatives(tutorial);
  radius(tutorial);
  orbit(tutorial);
  poisson(tutorial);
  collapsed(tutorial);
}

}  // namespace

int main(int argc, char** argv) {
  return dt::docs::run_tutorial(argc, argv, "Tutorial 16: Taylor series", body);
}
