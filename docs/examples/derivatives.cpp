// The first program in README.md, and those in docs/functions.md; a test holds the pages equal.
#include <array>
#include <iostream>
#include <optional>
#include <span>
#include <vector>

#include <dualtape/dualtape.hpp>
namespace dt = dualtape;

namespace {

void first() {
  // [first]
  const auto f = [](dt::Var x) { return dt::sum(dt::exp(-dt::square(x))); };  // your function
  const dt::Tensor x{0.5, 1, 2};
  const auto [y, slope] = dt::jvp(f, x, dt::Tensor{1, 0, 0});  // forward mode: along one direction
  const dt::Tensor gradient = dt::grad(f)(x);                  // reverse mode: all at once
  std::cout << y << "  " << slope << "  " << gradient << '\n';
  // [/first]
}

void gradients() {
  // [gradients]
  const auto loss = [](dt::Var w, dt::Var b) {
    const dt::Tensor x{{1, 2}, {3, 4}};
    return dt::mean(dt::square(dt::matmul(x, w) + b));
  };
  const dt::Tensor w{0.5, -1};
  const dt::Tensor b = 0.25;
  const auto [value, slopes] = dt::value_and_grad(loss)(w, b);
  const auto [dw, db] = dt::grad(loss)(w, b);
  std::cout << value << "  " << slopes[0] << "  " << db << '\n';
  // [/gradients]
}

void some_arguments() {
  // [some]
  const auto loss = [](dt::Var w, dt::Var x) { return dt::mean(dt::square(dt::matmul(x, w))); };
  const dt::Tensor data{{1, 2}, {3, 4}};
  const auto by_w = dt::grad([&](dt::Var w) { return loss(w, w.graph().constant(data)); });
  std::cout << by_w(dt::Tensor{0.5, -1}) << '\n';
  // [/some]
}

void parameters() {
  // [parameters]
  const dt::nn::Linear model("model", 2, 1, dt::Key{1});
  const auto error = [&](dt::Var x, dt::Var y) { return dt::mse(model(x), y); };
  const auto step = dt::value_and_grad(error, model.parameters());
  const dt::Tensor x{{1, 2}, {3, 4}};
  const auto [value, slopes] = step(x, dt::Tensor{{1}, {2}});
  std::cout << slopes[0].shape() << ' ' << slopes[1].shape() << '\n';
  // [/parameters]
}

void compiled() {
  // [jit]
  // Newton's step for a function of one number, compiled once.
  const auto f = [](dt::Var x) { return dt::sum(x * x * x - 2.0); };
  const auto newton = dt::jit([f](dt::Var x) { return x - f(x) / dt::grad(f)(x); });
  dt::Tensor x = dt::Tensor::scalar(1.0);
  for (int i = 0; i < 6; ++i) x = newton(x);
  std::cout << x << '\n';
  // [/jit]
}

void parts() {
  // [parts]
  const auto smoothness = [](dt::Var x) {
    const dt::Var steps = x[dt::range(1, {})] - x[dt::range({}, -1)];
    dt::Var total = dt::sum(dt::square(steps));
    total += dt::square(x[0]) + dt::square(x[-1]);  // both ends held at 0
    return total;
  };
  std::cout << dt::grad(smoothness)(dt::Tensor{1, 2, 4}) << '\n';
  // [/parts]
}

void batches() {
  // [batches]
  const auto loss = [](dt::Var w, dt::Var x, dt::Var y) { return dt::square(dt::dot(w, x) - y); };
  const auto by_w = [&](dt::Var w, dt::Var x, dt::Var y) {
    return dt::grad([&](dt::Var v) { return loss(v, x, y); })(w);
  };
  const auto each = dt::vmap(by_w, {.in = {std::nullopt, 0, 0}});  // one w, a batch of x and y
  std::cout << each(dt::Tensor{1, 1}, dt::Tensor{{1, 0}, {0, 2}}, dt::Tensor{0, 1}) << '\n';
  // [/batches]
}

void weights() {
  // [weights]
  // The gradient of each example by a net's own Parameters.
  const dt::Mlp net({2, 3, 1}, dt::Key{1});
  const auto slopes = dt::vmap([&](dt::Var x, dt::Var y) {
    return dt::reverse(dt::mse(net(x), y), net.parameters()).all();
  });
  const std::vector<dt::Tensor> each = slopes(dt::Tensor{{1, 2}, {3, 4}}, dt::Tensor{{1}, {2}});
  // The same net with two sets of weights, which stand in front of its input.
  const auto many = dt::vmap(dt::functional(net, net.parameters()), {.in = {0, 0, 0, 0, {}}});
  std::vector<dt::Tensor> in;
  for (const dt::Tensor& two : each) in.push_back(dt::normal(dt::Key{in.size()}, two.shape()));
  in.push_back(dt::Tensor{{1, 2}});
  std::cout << each[0].shape() << ' ' << many(in).shape() << '\n';
  // [/weights]
}

void results() {
  // [results]
  // Two results, the first with the members on its last axis.
  const auto both = [](dt::Var row) { return std::array{2 * row, dt::sum(row)}; };
  const auto [twice, sums] = dt::vmap(both, {.out = {-1, 0}})(dt::Tensor{{1, 2, 3}, {4, 5, 6}});
  // Each member's own draws: a key by its number.
  const auto noise = [](dt::Var number) {
    return dt::random_uniform(dt::fold_key(dt::Key{1}.to_tensor(), number), {2});
  };
  const dt::Tensor draws = dt::vmap(noise)(dt::Tensor::of({0, 1, 2}));
  std::cout << twice << ' ' << sums << ' ' << draws.shape() << '\n';
  // [/results]
}

void matrices() {
  // [matrices]
  const auto f = [](dt::Var x) { return dt::sin(x) * dt::sum(x); };
  const auto g = [&](dt::Var x) { return dt::sum(f(x)); };
  const dt::Tensor x{0, 1};
  std::cout << dt::jacobian(f)(x) << '\n' << dt::hessian(g)(x) << '\n';
  // [/matrices]
}

void series() {
  // [series]
  const auto f = [](dt::Var t) { return dt::exp(t) * dt::sin(t); };
  for (const dt::Tensor& d : dt::derivatives(f, 4)(dt::Tensor(0.0))) std::cout << d << ' ';
  // d^3 / dx_0^2 dx_1 of x_0^3 x_1^2, and f along a curve: the coefficients of (1 + 2t + 3t^2)^2.
  const auto g = [](dt::Var x) { return dt::pow(x[0], 3) * dt::square(x[1]); };
  std::cout << dt::mixed_partial(g, {2, 1})(dt::Tensor{1, 2}) << '\n';
  const auto square = [](dt::Var x) { return x * x; };
  const auto c = dt::taylor(square, dt::Tensor(1.0), {dt::Tensor(2.0), dt::Tensor(3.0)}, 4);
  for (const dt::Tensor& term : c) std::cout << term << ' ';
  std::cout << '\n';
  // [/series]
}

void laplacians() {
  // [laplacians]
  const auto f = [](dt::Var x) { return dt::square(dt::sum(dt::square(x))); };  // |x|^4
  const dt::Tensor x{1, 2, 2};
  std::cout << dt::laplacian(f)(x) << ' ' << dt::biharmonic(f)(x) << '\n';
  // Of a net of rows to one number each, at every row.
  const dt::Mlp net({3, 8, 1}, dt::Key{1}, {.activation = dt::Activation::tanh});
  std::cout << dt::laplacian(net, {.points = 1})(dt::uniform(dt::Key{2}, {5, 3})).shape() << '\n';
  // [/laplacians]
}

void sparse() {
  // [sparse]
  // What each number is more than the square of the one before it.
  const auto steps = [](dt::Var x) {
    return dt::slice(x, 0, 1, 5) - dt::square(dt::slice(x, 0, 0, 4));
  };
  const auto jacobian = dt::sparse_jacobian(steps);
  const dt::Tensor x{1, 2, 3, 4, 5};
  const dt::Csr<dt::Tensor> j = jacobian(x);
  std::cout << j.row_starts << ' ' << j.columns << ' ' << j.values << ", in "
            << jacobian.prepare(x).forward_sweeps << " directions\n";
  // [/sparse]
}

void linear() {
  // [linear]
  const auto f = [](dt::Var x) { return dt::sum(dt::exp(x)); };
  // The Hessian at x as a linear map, e^x here: what x alone decides is computed once.
  const auto [slope, h] = dt::linearize(dt::grad(f), dt::Tensor{0, 1});
  std::cout << h(dt::Tensor{1, 0}) << ' ' << h.transpose(dt::Tensor{0, 1}) << '\n';
  // [/linear]
}

void transposed() {
  // [transposed]
  // What each number is more than the one before it; transposed, what each of them is taken for.
  const auto steps = [](dt::Var x) { return dt::slice(x, 0, 1, 3) - dt::slice(x, 0, 0, 2); };
  const dt::Tensor x{1, 2, 4};
  std::cout << dt::transpose(steps, {x.type()})(dt::Tensor{1, 10}) << '\n';
  // [/transposed]
}

void rules() {
  // [rules]
  // log(1 + e^x): by the formula's own steps the slope at 100 would be infinity over infinity.
  const auto softplus =
      dt::custom_jvp([](dt::Var x) { return dt::where(x > 30, x, dt::log(1 + dt::exp(x))); },
                     [](dt::Var x, dt::Var /*y*/, dt::Var dx) { return dt::sigmoid(x) * dx; });
  // A gradient that is cut off on its way back.
  const auto clipped =
      dt::custom_vjp([](dt::Var x) { return x; },
                     [](dt::Var /*x*/, dt::Var /*y*/, dt::Var c) { return dt::clamp(c, -1, 1); });
  const auto f = [&](dt::Var x) { return dt::sum(softplus(x) + clipped(5 * x)); };
  std::cout << dt::grad(f)(dt::Tensor{0, 100}) << '\n';
  // [/rules]
}

void implicit() {
  // [implicit]
  // The y at which cos(a y) is y, and how it moves with a: by the equation, not through the loop.
  const auto f = [](dt::Var a) {
    return dt::fixed_point([&](dt::Var y) { return dt::cos(a * y); }, a);
  };
  const dt::Tensor a = dt::Tensor::scalar(0.5);
  std::cout << dt::eval(f, a) << ' ' << dt::grad(f)(a) << ' ' << dt::grad(dt::grad(f))(a) << '\n';
  // [/implicit]
}

void systems() {
  // [systems]
  // Heat that leaves a rod at both ends, one implicit step: (1 + k L) u = b without the matrix.
  const auto step = [](dt::Var b, dt::Var k) {
    const auto map = [&](dt::Var u) {
      const dt::Var wide = dt::pad(u, {1}, {1});
      return u + k * (2 * u - wide[dt::range(2, {})] - wide[dt::range({}, -2)]);
    };
    return dt::linear_solve(map, b, {.method = dt::LinearMethod::cg});
  };
  const auto middle = [&](dt::Var b, dt::Var k) { return step(b, k)[2]; };
  const auto [by_b, by_k] = dt::grad(middle)(dt::Tensor{0, 0, 1, 0, 0}, dt::Tensor(0.5));
  std::cout << by_b << ' ' << by_k << '\n';
  // [/systems]
}

void equations() {
  // [equations]
  // How fast it decays, from what was left at four times: a descent by the gradient through odeint.
  const dt::Tensor times{0, 0.5, 1, 2}, left{1, 0.7, 0.5, 0.25};
  const auto loss = [&](dt::Var rate) {
    const auto decays = [&](dt::Var, dt::Var y) { return -rate * y; };
    const dt::Var y = dt::odeint(decays, dt::ones_like(rate), times).y;  // (4,)
    return dt::mean(dt::square(y - left));
  };
  const auto slope = dt::grad(loss);
  dt::Tensor rate(1.0);
  for (int i = 0; i < 50; ++i) rate = dt::Tensor(rate.item() - 5 * slope(rate).item());
  std::cout << rate << '\n';
  // [/equations]
}

void crossings() {
  // [crossings]
  // When a pendulum of length 1 first hangs straight down, and how that changes with the angle at
  // which it is let go.
  const auto time = [](dt::Var angle) {
    const auto swings = [](dt::Var, dt::Var y) { return dt::stack({y[1], -9.81 * dt::sin(y[0])}); };
    const auto hangs = [](dt::Var, dt::Var y) { return y[0]; };
    const dt::Var start = dt::stack({angle, dt::zeros_like(angle)});
    return dt::odeint_event(swings, hangs, start, 0.0, 10.0).t;
  };
  const auto [t, by_angle] = dt::value_and_grad(time)(dt::Tensor(1.0));
  std::cout << t << ' ' << by_angle << '\n';
  // [/crossings]
}

}  // namespace

int main() {
  first();
  gradients();
  some_arguments();
  parameters();
  compiled();
  parts();
  batches();
  weights();
  results();
  matrices();
  series();
  laplacians();
  sparse();
  linear();
  transposed();
  rules();
  implicit();
  systems();
  equations();
  crossings();
  return 0;
}
