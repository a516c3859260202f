// Evaluations of GradBench (github.com/gradbench/gradbench, MIT) that have loops, with worked
// figures: a recurrent net, an equation in time, and optimisers that differentiate programs with
// loops whose ends are found out as they run, one inside the other.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include <dualtape/dualtape.hpp>
#include <tests/modes/gradbench.hpp>

namespace dt = dualtape;
using namespace gradbench;

namespace {

// lstm
// ----

// One step of the benchmark's cells, whose gates are elementwise: main_params and state have two
// rows for each layer. Returns the rows of the next state; the last hidden one but one is h.
std::vector<dt::Var> lstm_cells(dt::Var main, std::span<const dt::Var> state, dt::Var z) {
  const std::int64_t b = z.shape()[0];
  std::vector<dt::Var> next;
  for (std::int64_t l = 0; 2 * l < main.shape()[0]; ++l) {
    const dt::Var h = state[static_cast<std::size_t>(2 * l)];
    const dt::Var cell = state[static_cast<std::size_t>(2 * l + 1)];
    const auto gate = [&](dt::Var x, std::int64_t k) {
      const auto part = dt::range(k * b, (k + 1) * b);
      return x * main[{2 * l, part}] + main[{2 * l + 1, part}];
    };
    const dt::Var forget = dt::sigmoid(gate(z, 0)), in = dt::sigmoid(gate(h, 1));
    const dt::Var out = dt::sigmoid(gate(z, 2)), change = dt::tanh(gate(h, 3));
    const dt::Var kept = cell * forget + in * change;
    z = out * dt::tanh(kept);
    next.push_back(z);
    next.push_back(kept);
  }
  return next;
}

// Of {main_params, extra_params}.
auto lstm_loss(dt::Tensor state, dt::Tensor sequence) {
  return [state, sequence](std::span<const dt::Var> in) {
    const dt::Var main = in[0], extra = in[1];
    dt::Graph& graph = main.graph();
    const std::int64_t steps = sequence.size(0) - 1, b = sequence.size(1);
    const dt::Var begin = graph.constant(state), bits = graph.constant(sequence);
    std::vector<dt::In> start;
    for (std::int64_t i = 0; i < state.size(0); ++i) start.emplace_back(begin[i]);
    const auto step = [&](std::span<const dt::Var> s, std::span<const dt::Var> now) -> dt::Step {
      std::vector<dt::Var> next = lstm_cells(main, s, now[0] * extra[0]);
      const dt::Var y = next[next.size() - 2] * extra[1] + extra[2];
      return {next, {y - dt::log(2.0 + dt::sum(dt::exp(y)))}};
    };
    const dt::Scanned all = dt::scan(step, start, {bits[dt::range(0, steps)]});
    return dt::sum(bits[dt::range(1, steps + 1)] * all.out[0]) *
           (-1.0 / static_cast<double>(b * steps));
  };
}

// ode
// ---

// y_0' = x_0, y_i' = x_i y_{i-1} from 0 to 2, in s steps.
auto growth(std::int64_t steps) {
  return [steps](dt::Var x) {
    const std::int64_t n = x.shape()[0];
    const auto f = [&](dt::Var, dt::Var y) {
      return x * dt::concat({dt::ones_like(y[dt::range(0, 1)]), y[dt::range(0, n - 1)]});
    };
    return dt::odeint(f, dt::zeros_like(x), dt::Tensor{0.0, 2.0},
                      {.method = dt::OdeMethod::rk4, .steps = steps})
        .y[1];
  };
}

// particle and saddle
// -------------------

using Derivative = std::function<dt::Var(const std::function<dt::Var(dt::Var)>&, dt::Var)>;

// The gradient of a function of a few numbers by forward mode, a direction for each.
// Differentiated is by a node of its own: f may capture the Var that x is.
dt::Var forward_gradient(const std::function<dt::Var(dt::Var)>& f, dt::Var at) {
  const dt::Var x = at * 1.0;
  const dt::Var y = f(x);
  if (x.rank() == 0) return dt::forward(y, {x}, {dt::ones_like(x)});
  std::vector<dt::Var> parts;
  const dt::Tensor unit = dt::eye(x.shape()[0], x.shape()[0], 0, x.dtype());
  for (std::int64_t i = 0; i < x.shape()[0]; ++i)
    parts.push_back(dt::forward(y, {x}, {x.graph().constant(unit.row(i))}));
  return dt::stack(parts);
}
dt::Var reverse_gradient(const std::function<dt::Var(dt::Var)>& f, dt::Var at) {
  const dt::Var x = at * 1.0;
  return dt::reverse(f(x), {x})[x];
}

struct Descent {
  dt::Var x, value, accepted, rejected;
};
// The benchmark's gradient descent, as a loop: steps that do not lower f are tried again at half
// the rate; after ten that do, the rate doubles.
Descent descend(const std::function<dt::Var(dt::Var)>& f, dt::Var start, const Derivative& slope,
                std::int64_t most) {
  const auto size = [](dt::Var v) { return dt::sqrt(dt::sum(dt::square(v))); };
  dt::Graph& graph = start.graph();
  const dt::Var zero = graph.constant(dt::Tensor(std::int64_t{0}));
  const dt::Var eta = graph.constant(dt::Tensor::scalar(1e-5));
  enum : std::size_t { x, value, g, rate, since, accepted, rejected, done };
  const auto goes_on = [&](std::span<const dt::Var> s) {
    return dt::logical_and(size(s[g]) > 1e-5, dt::logical_not(s[done]));
  };
  const auto step = [&](std::span<const dt::Var> s) -> std::vector<dt::Var> {
    const dt::Var full = dt::equal(s[since], 10);
    const dt::Var now = dt::where(full, s[rate] * 2.0, s[rate]);
    const dt::Var next = s[x] - now * s[g];
    const dt::Var close = size(s[x] - next) <= 1e-5;
    const dt::Var there = f(next);
    const dt::Var lower = there < s[value];
    const dt::Var count = dt::where(full, 0, s[since]);
    const std::vector<dt::Var> moved = dt::cond(
        dt::logical_and(lower, dt::logical_not(close)),
        [&] {
          return std::vector<dt::Var>{next,      there,           slope(f, next), now,
                                      count + 1, s[accepted] + 1, s[rejected],    s[done]};
        },
        [&] {
          return std::vector<dt::Var>{s[x],
                                      s[value],
                                      s[g],
                                      dt::where(close, now, now / 2.0),
                                      dt::where(close, count, 0),
                                      s[accepted],
                                      s[rejected] + dt::where(close, 0, 1),
                                      close};
        });
    return moved;
  };
  const std::vector<dt::In> begin{
      start, f(start), slope(f, start), eta, zero, zero, zero, graph.constant(dt::Tensor(false))};
  const dt::WhileResult end = dt::while_loop(goes_on, step, begin, {.most = most});
  return {end.state[x], end.state[value], end.state[accepted], end.state[rejected]};
}

// A particle that falls past two charges; where it comes to the ground, squared.
dt::Var landing(dt::Var w, const Derivative& slope, dt::Var* steps = nullptr) {
  dt::Graph& graph = w.graph();
  const double dt_ = 0.1;
  const auto potential = [&](dt::Var at) {
    const dt::Var first = dt::stack({graph.constant(dt::Tensor::scalar(10.0)), 10.0 - w});
    const dt::Var second = graph.constant(tensor({10, 0}, {2}));
    const auto near = [&](dt::Var c) { return dt::rsqrt(dt::sum(dt::square(at - c))); };
    return near(first) + near(second);
  };
  const auto falls = [](std::span<const dt::Var> s) { return s[0][1] > 0.0; };
  const auto step = [&](std::span<const dt::Var> s) -> std::vector<dt::Var> {
    const dt::Var a = -slope(potential, s[0]);
    const dt::Var next = s[0] + dt_ * s[1];
    return {next, dt::where(next[1] > 0.0, s[1] + dt_ * a, s[1])};
  };
  const dt::WhileResult end = dt::while_loop(
      falls, step, {graph.constant(tensor({0, 8}, {2})), graph.constant(tensor({.75, 0}, {2}))},
      {.most = 1000});
  const dt::Var x = end.state[0], v = end.state[1];
  if (steps != nullptr) *steps = end.steps;
  return dt::square((x - x[1] / v[1] * v)[0]);
}

std::vector<dt::Tensor> values_of(const std::vector<dt::Var>& vars, dt::Var in,
                                  const dt::Tensor& at) {
  dt::Program program = dt::compile(vars);
  const dt::Outputs out = program.run({{in, at}});
  std::vector<dt::Tensor> made;
  for (const dt::Var& var : vars) made.push_back(out[var].copy());
  return made;
}

// Outer derivative and inner one.
const std::vector<std::pair<Derivative, Derivative>> nestings{{reverse_gradient, reverse_gradient},
                                                              {forward_gradient, forward_gradient},
                                                              {forward_gradient, reverse_gradient},
                                                              {reverse_gradient, forward_gradient}};

}  // namespace

TEST_CASE("GradBench: lstm, by a scan") {
  const std::int64_t l = 2, b = 2;
  Numbers entries;
  for (int i = 0; i < 38; ++i) entries.push_back((7 * i % 11) / 10.0 - .5);
  const dt::Tensor main = tensor({entries.begin(), entries.begin() + 32}, {2 * l, 4 * b});
  const dt::Tensor extra = tensor({entries.begin() + 32, entries.end()}, {3, b});
  const dt::Tensor state = tensor({.1, .2, .3, .4, .5, .6, .7, .8}, {2 * l, b});
  const auto loss = lstm_loss(state, tensor({1, 0, 0, 1, 1, 1, 0, 1}, {4, b}));
  CHECK(dt::eval(loss, {main, extra}).item() == doctest::Approx(.9229992028666819).epsilon(1e-14));
  const std::vector<dt::Tensor> slopes = dt::grad(loss)({main, extra});
  check_numbers(slopes[0],
                {1.3567877148055656e-06,  -1.3961292891033972e-05, -1.492033718589632e-06,
                 3.916714957051377e-06,   3.539517482949201e-06,   -1.7767723073881685e-05,
                 -4.265906044814365e-06,  6.464735046821258e-05,   -8.8368395551162e-06,
                 8.342718807765168e-05,   -1.4363116204244316e-05, 2.4342423288621122e-05,
                 -2.0809390955074267e-05, 9.48838218705759e-05,    -4.1466919657534655e-05,
                 0.00040079994937775916,  0.00012323482588468497,  0.0006559810205281788,
                 -0.0003578159683580584,  0.001479606992051806,    -2.9469548491468334e-05,
                 0.0008571498085567097,   0.0006745901100718999,   0.005476695636583339,
                 0.0006975540141970596,   0.006574473703099536,    -0.0009911748467256367,
                 0.003532043222942722,    -0.00011977426771619778, 0.008995511397608753,
                 0.0033276612315715458,   0.013752855705634172},
                1e-14);
  check_numbers(slopes[1],
                {3.2444210910786273e-06, -5.076116687915422e-06, -0.0024984041602026785,
                 -0.08831384246636187, 0.06424937977950736, -0.34988770628459737},
                1e-14);
}

TEST_CASE("GradBench: ode, by rk4") {
  const dt::Tensor exact = tensor({2, 3, .5}, {3});
  const dt::Tensor cut = tensor({.5, 2, -1, 1.5, 1}, {5});
  const auto last = [](std::int64_t steps) {
    return [f = growth(steps)](dt::Var x) { return f(x)[-1]; };
  };
  check_numbers(dt::eval(growth(1), exact), {4, 12, 4}, 1e-14);
  check_numbers(dt::grad(last(1))(exact), {2, 4.0 / 3, 8}, 1e-14);
  check_numbers(dt::eval(growth(2), cut), {1, 2, -4.0 / 3, -1, -.375}, 1e-14);
  check_numbers(dt::grad(last(2))(cut), {-.75, -.1875, .375, -.25, -.375}, 1e-14);
  // The default workloads draw one stream: 1000 numbers for 1 step, 1000 for 10, 10 000 for 1 ...
  struct Case {
    std::int64_t n, steps;
    Numbers first;
    double sum;
    std::int64_t last_nonzero;
  };
  Draws draws;
  for (const Case& wanted : std::vector<Case>{
           {1000,
            1,
            {1.4437042148481627, 1.3952546553233522, .2688647059316496, .023034476432477417, 0},
            3.130858052535642,
            3},
           {1000,
            10,
            {1.6576149693392301, 1.165473872528714, .5082777803905257, .07689527712594522,
             .00681768633159323},
            3.416025743136253,
            39},
           {10000,
            1,
            {1.9953476661837415, .9956724799757078, .04269182370906069, .014483276383354983, 0},
            3.048195246251865,
            3},
           {1000,
            100,
            {1.6207829961665703, 1.3728428166506987, .38381638474566604, .04373401818528652,
             .01316071544364774},
            3.4368196270787252,
            170},
           {10000,
            10,
            {.4126796509407025, .08994174660484068, .038490780595134055, .00747816734972181,
             .002353101864536948},
            .5517335496720241,
            39},
           {100000,
            1,
            {1.988484125001898, .4307583732237526, .22075853457958203, .06360449830471022, 0},
            2.7036055311099427,
            3},
           {10000,
            100,
            {1.6672053837699656, .5851867027087841, .15319146999404426, .04830826519135673,
             .01448006352566358},
            2.473709265617442,
            165},
           {100000,
            10,
            {.7805354865381305, .3688888939880353, .1805632138009497, .027642407935573717,
             .010102769892568097},
            1.370057425258018,
            39},
           {100000,
            100,
            {.060124716127227286, .02446088406595078, .011333872825106638, .001985680353098566,
             .000783518475420907},
            .0987565269037394,
            170}}) {
    CAPTURE(wanted.n);
    CAPTURE(wanted.steps);
    const dt::Tensor x = draws({wanted.n});
    const dt::Tensor y = dt::eval(growth(wanted.steps), x);
    check_numbers(y.rows(0, 5), wanted.first, 1e-14);
    const std::span<const double> all = y.data<double>();
    double sum = 0;
    std::int64_t nonzero = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
      sum += all[i];
      if (all[i] != 0) nonzero = static_cast<std::int64_t>(i);
    }
    CHECK(sum == doctest::Approx(wanted.sum).epsilon(1e-13));
    // Programs flush denormal numbers, which the last of the figures count.
    CHECK(nonzero <= wanted.last_nonzero);
    CHECK((nonzero == wanted.last_nonzero ||
           std::abs(all[static_cast<std::size_t>(nonzero)]) < 1e-304));
    if (wanted.n * wanted.steps > 1000000) continue;  // they keep 4 slopes of every step
    const dt::Tensor slopes = dt::grad(last(wanted.steps))(x);
    for (const double slope : slopes.data<double>()) REQUIRE(slope == 0);
  }
}

TEST_CASE("GradBench: particle, a descent over a loop that differentiates") {
  for (const auto& nesting : nestings) {
    const Derivative &outer = nesting.first, &inner = nesting.second;
    const auto f = [&](dt::Var w) { return landing(w, inner); };
    const auto slope = [&](dt::Var w) { return outer(f, w); };
    const dt::Tensor zero = dt::Tensor::scalar(0.0), fifth = dt::Tensor::scalar(0.2);
    CHECK(dt::eval(f, zero).item() == doctest::Approx(3.1990790025082054).epsilon(1e-12));
    CHECK(dt::eval(slope, zero).item() == doctest::Approx(-19.404636450028217).epsilon(1e-10));
    CHECK(dt::eval(f, fifth).item() == doctest::Approx(0.006913102590703894).epsilon(1e-10));
    CHECK(dt::eval(slope, fifth).item() == doctest::Approx(-1.9019812914882477).epsilon(1e-10));
    const auto steps = [&](dt::Var w) {
      dt::Var count;
      static_cast<void>(landing(w, inner, &count));
      return count;
    };
    CHECK(dt::eval(steps, zero).item<std::int64_t>() == 353);
    CHECK(dt::eval(steps, fifth).item<std::int64_t>() == 354);
    dt::Graph g;
    const dt::Var w = g.input("w", {}, dt::float64);
    const Descent end = descend(f, w, outer, 200);
    const std::vector<dt::Tensor> found = values_of({end.x, end.accepted, end.rejected}, w, zero);
    CHECK(found[0].item() == doctest::Approx(0.20719187464861202).epsilon(1e-9));
    CHECK(found[1].item<std::int64_t>() == 83);
    CHECK(found[2].item<std::int64_t>() == 0);
  }
}

TEST_CASE("GradBench: saddle, a descent over a descent") {
  struct Case {
    Numbers start, wanted;
    std::int64_t steps;
  };
  for (const Case& example :
       std::vector<Case>{{{1, 1}, {8.246324826140356e-06, 8.246324826140356e-06}, 154},
                         {{3, -2}, {8.526040164243038e-06, -5.684026776162024e-06}, 155}}) {
    for (const auto& nesting : nestings) {
      const Derivative &outer = nesting.first, &inner = nesting.second;
      dt::Graph g;
      const dt::Var start = g.input("start", {2}, dt::float64);
      const auto loss = [](dt::Var x, dt::Var y) {
        return dt::sum(dt::square(x)) - dt::sum(dt::square(y));
      };
      const auto best = [&](dt::Var x) {  // argmax of loss(x, .)
        return descend([&](dt::Var y) { return -loss(x, y); }, start, inner, 400);
      };
      const Descent end = descend([&](dt::Var x) { return loss(x, best(x).x); }, start, outer, 400);
      const Descent other = descend([&](dt::Var y) { return -loss(end.x, y); }, start, outer, 400);
      const std::vector<dt::Tensor> found = values_of({end.x, other.x, end.accepted, end.rejected},
                                                      start, tensor(example.start, {2}));
      check_numbers(found[0], {example.wanted[0], example.wanted[1]}, 1e-15);
      check_numbers(found[1], {example.wanted[0], example.wanted[1]}, 1e-15);
      CHECK(found[2].item<std::int64_t>() == example.steps);
      CHECK(found[3].item<std::int64_t>() == 0);
    }
  }
}
