// Tutorial 13: loops.
#include <cmath>
#include <iomanip>
#include <iostream>
#include <span>
#include <vector>

#include <dualtape/dualtape.hpp>

#include "common/tutorial.hpp"

namespace dt = dualtape;

namespace {

dt::docs::Figure::Values column(const dt::Tensor& t, std::int64_t k) {
  dt::docs::Figure::Values made;
  for (std::int64_t i = 0; i < t.size(0); ++i) made.push_back(t.at<double>({i, k}));
  return made;
}

void loops(const dt::docs::Tutorial& tutorial) {
  tutorial.section("loops");
  // [loops]
  // Newton's method for a square root, until it changes nothing: how often depends on a.
  const auto root = [](dt::Var a) {
    return dt::while_loop([&](dt::Var x) { return dt::abs(x * x - a) > 1e-12 * a; },
                          [&](dt::Var x) { return (x + a / x) / 2.0; }, a, {.most = 60})
        .state;
  };
  const dt::Tensor numbers = dt::Tensor::of({2, 100, 1e6}, dt::float64);
  std::cout << dt::vmap(root)(numbers) << "  slopes " << dt::vmap(dt::grad(root))(numbers) << '\n';
  // [/loops]
}

// Furs of hares and lynxes, in thousands, that the Hudson's Bay Company took from 1900 to 1920, as
// in B. Carpenter, "Predator-prey population dynamics: the Lotka-Volterra model in Stan", 2018.
const dt::Tensor furs = dt::Tensor::of(
    {{30.0, 4.0},  {47.2, 6.1},  {70.2, 9.8},  {77.4, 35.2}, {36.3, 59.4}, {20.6, 41.7},
     {18.1, 19.0}, {21.4, 13.0}, {22.0, 8.3},  {25.4, 9.1},  {27.1, 7.4},  {40.3, 8.0},
     {57.0, 12.3}, {76.6, 19.5}, {52.3, 45.7}, {19.5, 51.1}, {11.2, 29.7}, {7.6, 15.8},
     {14.6, 9.7},  {16.2, 10.1}, {24.7, 8.6}},
    dt::float64);

void hares(const dt::docs::Tutorial& tutorial) {
  tutorial.section("hares");
  // [hares]
  // Logarithms of four rates and of both numbers in 1900.
  dt::Parameter logs("logs", dt::Tensor::of({-0.6, -3.6, -3.6, -0.2, 3.4, 1.4}, dt::float64));
  dt::Graph g;
  const dt::Var p = dt::exp(g.read(logs));
  const dt::Var rates = p[dt::range(0, 4)], start = p[dt::range(4, 6)];
  const auto change = [&](dt::Var, dt::Var y) {
    const dt::Var meet = y[0] * y[1];
    return dt::stack({rates[0] * y[0] - rates[1] * meet, rates[2] * meet - rates[3] * y[1]});
  };
  const dt::Tensor years = dt::arange(0, 21).to(dt::float64);
  const dt::Var y = dt::odeint(change, start, years).y;  // (21, 2)
  const dt::Var loss = dt::mean(dt::square(dt::log(y) - dt::log(g.constant(furs))));
  dt::Lbfgs lbfgs({logs}, loss, dt::reverse(loss, {logs}));
  const double before = dt::eval(loss).item();
  const dt::LbfgsResult fitted = lbfgs.minimise();
  std::cout << std::fixed << std::setprecision(3) << "loss " << before << " -> " << fitted.loss
            << "\nrates";
  const dt::Tensor found = dt::eval(rates);
  for (const double rate : found.data<double>()) std::cout << "  " << rate;
  std::cout << '\n';
  // [/hares]
  tutorial.aside();
  const dt::Tensor fine = dt::linspace(0, 20, 401, dt::float64);
  const dt::Tensor curve = dt::eval(dt::odeint(change, start, fine).y);
  dt::docs::Figure::Values dates, at;
  for (int i = 0; i <= 20; ++i) dates.push_back(1900 + i);
  for (const double t : fine.data<double>()) at.push_back(1900 + t);
  dt::docs::Figure figure("hares", "Furs of hares and lynxes, and the equation that was fitted");
  figure.labels("year", "thousands");
  figure.line("hares", at, column(curve, 0), {.colour = 0})
      .line("lynxes", at, column(curve, 1), {.colour = 1})
      .points("", dates, column(furs, 0), dt::docs::Mark::dot, {.colour = 0})
      .points("", dates, column(furs, 1), dt::docs::Mark::dot, {.colour = 1});
  tutorial.draw(figure);
}

void stone(const dt::docs::Tutorial& tutorial) {
  tutorial.section("stone");
  // [stone]
  // A stone thrown at an angle, slowed by the air: how far does it go, and at which angle farthest?
  const auto distance = [](dt::Var angle) {
    const dt::Var zero = dt::zeros_like(angle);
    const dt::Var start = dt::stack({zero, zero, 20.0 * dt::cos(angle), 20.0 * dt::sin(angle)});
    const auto flies = [](dt::Var, dt::Var s) {
      const dt::Var drag = -0.02 * dt::hypot(s[2], s[3]);
      return dt::stack({s[2], s[3], drag * s[2], drag * s[3] - 9.81});
    };
    const auto height = [](dt::Var, dt::Var s) { return s[1]; };
    return dt::odeint_event(flies, height, start, 0.0, 10.0, {.rtol = 1e-9}).y[0];
  };
  const auto newton = dt::jit([&](dt::Var angle) {
    const auto slope = dt::grad(distance);
    return angle - slope(angle) / dt::grad(slope)(angle);
  });
  dt::Tensor angle = dt::Tensor::scalar(0.7);  // float64
  for (int i = 0; i < 5; ++i) angle = newton(angle);
  std::cout << std::fixed << std::setprecision(3) << angle.item() * 180 / std::acos(-1.0)
            << " degrees: " << dt::eval(distance, angle).item() << " m\n";
  // [/stone]
}

// Draws of +1 and -1, and whether +1 came more often.
struct Draws {
  dt::Tensor inputs;  // (count, length, 1)
  dt::Tensor labels;  // (count,)
};
Draws draws(dt::Key key, std::int64_t count, std::int64_t length) {
  Draws made{dt::rademacher(key, {count, length, 1}), dt::Tensor(dt::Shape{count}, dt::int64)};
  for (std::int64_t i = 0; i < count; ++i) {
    float sum = 0;
    for (std::int64_t t = 0; t < length; ++t) sum += made.inputs.at<float>({i, t, 0});
    made.labels.data<std::int64_t>()[static_cast<std::size_t>(i)] = sum > 0;
  }
  return made;
}

void recurrent(const dt::docs::Tutorial& tutorial) {
  tutorial.section("recurrent");
  const Draws train = draws(dt::Key{1}, 512, 15), test = draws(dt::Key{2}, 512, 15);
  const Draws longer = draws(dt::Key{3}, 512, 45);
  // [recurrent]
  const dt::nn::LSTM lstm("lstm", 1, 16, dt::Key{4});
  const dt::nn::Linear out("out", 16, 2, dt::Key{4});
  const auto last = [](dt::Var h) { return h[{dt::range(), -1}]; };  // (batch, length, 16)
  const dt::nn::Sequential net{lstm, last, out};
  dt::Trainer trainer(net, dt::cross_entropy,
                      {.optimiser = dt::Adam{}, .schedule = dt::constant_rate(0.02)});
  dt::Batches batches({train.inputs, train.labels, {}, {}, "draws"}, 64, dt::Key{5});
  trainer.fit(batches, {.epochs = 25});
  std::cout << std::boolalpha
            << "of 15 draws right: " << (trainer.evaluate(test.inputs, test.labels).accuracy > 0.95)
            << ", of 45: " << (trainer.evaluate(longer.inputs, longer.labels).accuracy > 0.9)
            << '\n';
  // [/recurrent]
  tutorial.aside();
  dt::Graph g;
  const dt::Var sequence = g.constant(longer.inputs)[dt::range(0, 1)];
  const dt::Tensor chance = dt::eval(dt::softmax(out(lstm(sequence)))[0]);
  dt::docs::Figure::Values places, sums, chances;
  double sum = 0;
  for (std::int64_t t = 0; t < 45; ++t) {
    sum += static_cast<double>(longer.inputs.at<float>({0, t, 0}));
    places.push_back(static_cast<double>(t + 1));
    sums.push_back(sum);
    chances.push_back(static_cast<double>(chance.at<float>({t, 1})));
  }
  dt::docs::Figure figure("counting", "What the net says after each draw, and their sum");
  figure.labels("draws", "");
  figure.line("sum of the draws", places, sums, {.colour = 0})
      .line("chance of more ones, by the net", places, chances, {.colour = 1});
  tutorial.draw(figure);
}

// [descent]
// Losses of a descent with momentum in a bent valley, one for each step.
dt::Var descent(dt::Var rate, dt::Var momentum, std::int64_t steps) {
  const auto valley = [](dt::Var x) {
    return dt::square(1.0 - x[0]) + 10.0 * dt::square(x[1] - x[0] * x[0]);
  };
  const dt::Tensor start = dt::Tensor::of({-1.0, 1.5}, dt::float64);
  const auto step = [&](std::span<const dt::Var> s, std::span<const dt::Var>) -> dt::Step {
    const dt::Var loss = valley(s[0]);
    const dt::Var v = momentum * s[1] - rate * dt::reverse(loss, {s[0]})[s[0]];
    return {{s[0] + v, v}, {loss}};
  };
  return dt::scan(step, {start, rate * dt::zeros({2}, dt::float64)}, {}, {.length = steps}).out[0];
}
// [/descent]

void optimiser(const dt::docs::Tutorial& tutorial) {
  tutorial.section("optimiser");
  // [optimiser]
  const std::int64_t steps = 60;
  // By the logarithm of the rate, and the momentum before a sigmoid: both stay in their bounds.
  const auto settings = [](dt::Var p) { return std::pair{dt::exp(p[0]), dt::sigmoid(p[1])}; };
  const auto losses = dt::jit([&](dt::Var p) {
    const auto [rate, momentum] = settings(p);
    return descent(rate, momentum, steps);
  });
  const auto score = dt::value_and_grad([&](dt::Var p) {
    const auto [rate, momentum] = settings(p);
    return dt::log(dt::mean(descent(rate, momentum, steps)));
  });
  dt::Tensor p = dt::Tensor::of({-5.0, 0.0}, dt::float64);
  const dt::Tensor before = losses(p);
  const auto down = dt::jit([](dt::Var at, dt::Var slope) { return at - 0.2 * slope; });
  for (int i = 0; i < 40; ++i) p = down(p, score(p).gradient);
  const dt::Tensor after = losses(p);
  std::cout << std::defaultfloat << std::setprecision(2) << "last loss " << before.at({steps - 1})
            << " -> " << after.at({steps - 1}) << "\nrate " << std::exp(p.at({0})) << ", momentum "
            << 1 / (1 + std::exp(-p.at({1}))) << '\n';
  // [/optimiser]
  tutorial.aside();
  dt::docs::Figure::Values at, first, last;
  for (std::int64_t i = 0; i < steps; ++i) {
    at.push_back(static_cast<double>(i));
    first.push_back(before.at({i}));
    last.push_back(after.at({i}));
  }
  dt::docs::Figure figure("descent", "A descent before and after its settings were learned");
  figure.labels("step", "loss").log_y();
  figure.line("before", at, first, {.colour = 0}).line("after", at, last, {.colour = 1});
  tutorial.draw(figure);
}

void body(const dt::docs::Tutorial& tutorial) {
  loops(tutorial);
  hares(tutorial);
  stone(tutorial);
  recurrent(tutorial);
  optimiser(tutorial);
}

}  // namespace

int main(int argc, char** argv) {
  return dt::docs::run_tutorial(argc, argv, "Tutorial 13: loops", body);
}
