// Tutorial 11: higher derivatives.
#include <algorithm>
#include <cmath>
#include <iomanip>
#include <iostream>
#include <utility>
#include <vector>

#include <dualtape/dualtape.hpp>

#include "common/tutorial.hpp"

namespace dt = dualtape;

namespace {

// [valley]
// Rosenbrock's valley in two dimensions: its floor is the parabola y = x^2.
dt::Var valley(dt::Var p) {
  const dt::Var x = p[0], y = p[1];
  return dt::square(1 - x) + 100 * dt::square(y - x * x);
}
// [/valley]

void look(const dt::docs::Tutorial& tutorial) {
  tutorial.section("look");
  // [look]
  const dt::Tensor p = dt::Tensor::of({-1.2, 1.0}, dt::float64);
  std::cout << "gradient " << dt::grad(valley)(p) << "\nHessian\n"
            << dt::hessian(valley)(p) << "\nv^T H "
            << dt::vhp(valley, p, dt::ones({2}, dt::float64)) << '\n';
  // [/look]
}

struct Path {
  std::vector<double> x, y, value;
  void add(const dt::Tensor& p, double f) {
    x.push_back(p.at({0}));
    y.push_back(p.at({1}));
    value.push_back(f);
  }
};

Path newton(const dt::docs::Tutorial& tutorial) {
  tutorial.section("newton");
  // [newton]
  // p - H^-1 g, where the Hessian is there for the asking.
  const auto step = dt::jit([](dt::Var p) -> std::vector<dt::Var> {
    const dt::Var g = dt::grad(valley)(p);
    const dt::Var h = dt::hessian(valley(p), p);
    return {p - dt::solve(h, g), valley(p)};
  });
  Path path;
  dt::Tensor p = dt::Tensor::of({-1.2, 1.0}, dt::float64);
  for (int i = 0; i < 7; ++i) {
    std::vector<dt::Tensor> next = step(p);
    path.add(p, next[1].item());
    std::cout << "step " << i << "  f " << std::scientific << std::setprecision(2) << next[1].item()
              << std::defaultfloat << '\n';
    p = next[0];
  }
  std::cout << "at " << p << '\n';
  // [/newton]
  return path;
}

// As many steps of plain descent at the largest rate that does not leave the valley.
Path descent(int steps) {
  const auto slope = dt::value_and_grad(valley);
  Path path;
  dt::Tensor p = dt::Tensor::of({-1.2, 1.0}, dt::float64);
  for (int i = 0; i < steps; ++i) {
    const auto [value, gradient] = slope(p);
    path.add(p, value.item());
    p = dt::eval([](dt::Var at, dt::Var g) { return at - 0.001 * g; }, {p, gradient});
  }
  return path;
}

void compare(const dt::docs::Tutorial& tutorial, const Path& second_order) {
  const Path first_order = descent(2000);
  dt::docs::Figure figure("valley", "Newton's steps and gradient descent in Rosenbrock's valley");
  figure.labels("x", "y").x_range(-1.6, 1.6).y_range(-3.5, 2.0);
  figure.contours(
      [](double x, double y) {
        return std::log10(1e-3 + (1 - x) * (1 - x) + 100 * (y - x * x) * (y - x * x));
      },
      {-1, 0, 1, 2, 3});
  figure.line("gradient descent, 2000 steps", first_order.x, first_order.y, {.colour = 0})
      .line("Newton, 7 steps", second_order.x, second_order.y, {.colour = 1})
      .points("", second_order.x, second_order.y, dt::docs::Mark::circle, {.colour = 1});
  tutorial.draw(figure);
  tutorial.section("compare");
  std::cout << "gradient descent after " << first_order.value.size() << " steps: f "
            << std::setprecision(2) << first_order.value.back() << '\n';
}

// [net]
// A net with one hidden layer of 8, as a function of all its 67 numbers in one vector.
struct Net {
  std::int64_t in = 4, hidden = 8, out = 3;
  std::int64_t size() const { return in * hidden + hidden + hidden * out + out; }
  dt::Var logits(dt::Var theta, dt::Var x) const {
    const auto parts = dt::split(theta, {in * hidden, hidden, hidden * out, out});
    const dt::Var h = dt::tanh(dt::matmul(x, dt::reshape(parts[0], {in, hidden})) + parts[1]);
    return dt::matmul(h, dt::reshape(parts[2], {hidden, out})) + parts[3];
  }
};
// [/net]

dt::Tensor sorted_eigenvalues(const dt::Tensor& h) {
  return dt::eval([](dt::Var m) { return dt::eigh(m).values; }, h);
}

void spectrum(const dt::docs::Tutorial& tutorial) {
  tutorial.section("spectrum");
  // [spectrum]
  const dt::Dataset iris = dt::load_iris();
  const dt::Tensor x = dt::standardise(iris.inputs);
  const Net net;
  const auto loss = [&](dt::Var theta) {
    return dt::cross_entropy(net.logits(theta, theta.graph().constant(x)),
                             theta.graph().constant(iris.labels)) +
           1e-3 * dt::sum(theta * theta);
  };
  const auto step = dt::jit([&](dt::Var theta) { return theta - 0.5 * dt::grad(loss)(theta); });
  const auto curvature = dt::hessian(loss);
  dt::Tensor theta = dt::normal(dt::Key{1}, {net.size()}, 0, 0.3);
  const dt::Tensor before = sorted_eigenvalues(curvature(theta));
  for (int i = 0; i < 2000; ++i) theta = step(theta);
  const dt::Tensor after = sorted_eigenvalues(curvature(theta));
  // [/spectrum]
  const auto count = [](const dt::Tensor& values, double above) {
    const std::span<const float> all = values.data<float>();
    return std::ranges::count_if(all, [=](float v) { return v > above; });
  };
  const auto negative = [](const dt::Tensor& values) {
    const std::span<const float> all = values.data<float>();
    return std::ranges::count_if(all, [](float v) { return v < -1e-3F; });
  };
  for (const auto& [name, values] : {std::pair{"at the start", &before}, {"trained", &after}})
    std::cout << std::left << std::setw(14) << name << std::right
              << *values[0].data<float>().rbegin() << " largest, " << count(*values, 0.1) << " of "
              << net.size() << " above 0.1, " << negative(*values) << " below 0\n";
  tutorial.aside();
  dt::docs::Figure::Values number, start, end;
  for (std::int64_t i = 0; i < net.size(); ++i) {
    number.push_back(static_cast<double>(i + 1));
    start.push_back(before.at({net.size() - 1 - i}));
    end.push_back(after.at({net.size() - 1 - i}));
  }
  dt::docs::Figure figure("spectrum", "Eigenvalues of the loss's Hessian, largest first");
  figure.labels("number", "eigenvalue");
  figure.points("at the start", number, start, dt::docs::Mark::circle, {.colour = 0})
      .points("after 2000 steps", number, end, dt::docs::Mark::dot, {.colour = 1});
  tutorial.draw(figure);
}

void budget(const dt::docs::Tutorial& tutorial) {
  tutorial.section("budget");
  // [budget]
  const auto waves = [](dt::Var x) { return dt::sin(x) * dt::sum(x); };
  const dt::Tensor x = dt::linspace(0, 1, 6);
  const dt::Tensor whole = dt::jacobian(waves)(x);
  const dt::Tensor pieces = dt::jacobian(waves, {.bytes = 100})(x);
  std::cout << "same bits in chunks: " << (dt::identical(whole, pieces) ? "yes" : "no") << '\n';
  // [/budget]
  tutorial.aside();
}

void body(const dt::docs::Tutorial& tutorial) {
  look(tutorial);
  const Path path = newton(tutorial);
  tutorial.aside();
  compare(tutorial, path);
  spectrum(tutorial);
  budget(tutorial);
}

}  // namespace

int main(int argc, char** argv) {
  return dt::docs::run_tutorial(argc, argv, "Tutorial 11: higher derivatives", body);
}
