// Tutorial 12: batching.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <iomanip>
#include <iostream>
#include <limits>
#include <optional>
#include <vector>

#include <dualtape/dualtape.hpp>

#include "common/tutorial.hpp"

namespace dt = dualtape;

namespace {

void rows(const dt::docs::Tutorial& tutorial) {
  tutorial.section("rows");
  // [rows]
  const auto length = [](dt::Var v) { return dt::sqrt(dt::sum(v * v)); };  // of one vector
  const dt::Tensor vectors{{3, 4}, {5, 12}, {8, 15}};
  std::cout << dt::vmap(length)(vectors) << "  by columns "
            << dt::vmap(length, {.in = {1}})(vectors) << '\n';
  // [/rows]
}

void pairs(const dt::docs::Tutorial& tutorial) {
  tutorial.section("pairs");
  // [pairs]
  const auto distance = [](dt::Var a, dt::Var b) { return dt::sum(dt::abs(a - b)); };
  const auto to_all = dt::vmap(distance, {.in = {std::nullopt, 0}});  // one a, every b
  const auto table = dt::vmap(to_all, {.in = {0, std::nullopt}});     // every a
  std::cout << table(dt::Tensor{{0, 0}, {1, 1}}, dt::Tensor{{0, 1}, {2, 2}, {5, 0}}) << '\n';
  // [/pairs]
}

void listing(const dt::docs::Tutorial& tutorial) {
  tutorial.section("listing");
  // [listing]
  dt::Graph g;
  const dt::Var x = g.input("x", {4, 3});
  const dt::Var w = g.input("w", {3, 2});
  const auto layer = [&](dt::Var row) {
    return dt::tanh(dt::reshape(dt::matmul(dt::reshape(row, {1, 3}), w), {2}));
  };
  const dt::Var y = dt::vmap(layer)(x).named("y");
  std::cout << to_string(y.type()) << '\n';
  // [/listing]
  tutorial.aside();
  tutorial.draw_graph("rows", dt::compile({y}, {}, {.without = {"fuse"}}).to_dot());
}

// Logistic regression of one flower: is it the third kind?
// [loss]
dt::Var loss_of_one(dt::Var w, dt::Var x, dt::Var is) {
  return dt::binary_cross_entropy_with_logits(dt::dot(w, x), is);
}
// [/loss]

struct Flowers {
  dt::Tensor x;   // (150, 4), standardised
  dt::Tensor is;  // (150,), 1 for the third kind
};
Flowers flowers() {
  const dt::Dataset iris = dt::load_iris();
  dt::Tensor is = dt::zeros({iris.labels.size(0)});
  for (std::int64_t i = 0; i < is.count(); ++i)
    is.data<float>()[static_cast<std::size_t>(i)] = iris.labels.at<float>({i}) == 2 ? 1 : 0;
  return {dt::standardise(iris.inputs), is};
}

void per_example(const dt::docs::Tutorial& tutorial) {
  tutorial.section("examples");
  const Flowers iris = flowers();
  // [examples]
  const auto slope = [](dt::Var w, dt::Var x, dt::Var is) {
    return dt::reverse(loss_of_one(w, x, is), {w})[w];
  };
  const auto slopes = dt::vmap(slope, {.in = {std::nullopt, 0, 0}});  // one w, every flower
  const dt::Tensor w = dt::zeros({4});
  const dt::Tensor each = slopes(w, iris.x, iris.is);  // (150, 4)
  const dt::Tensor mean = dt::eval([](dt::Var s) { return dt::mean(s, {0}); }, each);
  const dt::Tensor spread = dt::eval([](dt::Var s) { return dt::stddev(s, {0}); }, each);
  std::cout << "gradients " << each.shape() << "\nmean   " << mean << "\nspread " << spread << '\n';
  // [/examples]
}

void ensemble(const dt::docs::Tutorial& tutorial) {
  tutorial.section("ensemble");
  const Flowers iris = flowers();
  // [ensemble]
  const auto loss = [&](dt::Var w) {
    const dt::Var score = dt::matmul(w.graph().constant(iris.x), w);
    return dt::binary_cross_entropy_with_logits(score, w.graph().constant(iris.is));
  };
  // Five models at once, each with a start and a rate of its own.
  const auto step = [&](dt::Var w, dt::Var rate) { return w - rate * dt::grad(loss)(w); };
  const auto steps = dt::vmap(step);
  const auto losses = dt::vmap(loss);
  dt::Tensor w = dt::normal(dt::Key{1}, {5, 4});
  const dt::Tensor rates{0.01, 0.03, 0.1, 0.3, 1};
  for (int i = 0; i < 100; ++i) w = steps(w, rates);
  std::cout << "rates  " << rates << "\nlosses " << losses(w) << '\n';
  // [/ensemble]
}

void nets(const dt::docs::Tutorial& tutorial) {
  tutorial.section("nets");
  // [nets]
  // Three nets of one shape: a function of their weights and the input.
  const dt::Mlp net({2, 8, 1}, dt::Key{1});
  const std::vector<dt::Parameter> parameters = net.parameters();
  const auto outputs = dt::functional(net, parameters);
  std::vector<dt::Tensor> in;
  dt::VmapOptions axes;
  for (const dt::Parameter& parameter : parameters) {
    std::vector<dt::Tensor> of_each;  // weights of each net's own
    for (std::uint64_t k = 0; k < 3; ++k)
      of_each.push_back(dt::normal(dt::Key{k}.fold(in.size()), parameter.shape()));
    in.push_back(dt::jit([](std::span<const dt::Var> all) {
      return dt::stack({all.begin(), all.end()});
    })(of_each));
    axes.in.emplace_back(0);
  }
  in.push_back(dt::normal(dt::Key{9}, {5, 2}));
  axes.in.emplace_back(std::nullopt);  // one input for all
  std::cout << dt::vmap(outputs, axes)(in).shape() << '\n';
  // [/nets]
}

void keys(const dt::docs::Tutorial& tutorial) {
  tutorial.section("keys");
  // [keys]
  const auto masked = [](dt::Var row, dt::Var number) {
    const dt::Var key = dt::fold_key(dt::Key{7}.to_tensor(), number);
    return dt::where(dt::random_uniform(key, row.shape()) < 0.5, row, 0);
  };
  std::cout << dt::vmap(masked)(dt::ones({3, 8}), dt::Tensor::of({0, 1, 2})) << '\n';
  // [/keys]
}

void directions(const dt::docs::Tutorial& tutorial) {
  tutorial.section("directions");
  // [directions]
  const auto f = [](dt::Var x) { return dt::sum(dt::exp(x) * x); };
  const dt::Tensor x{0, 0.5, 1};
  const auto along = [&](dt::Var v, dt::Var at) { return dt::forward(f(at), {at}, {v}); };
  // A thousand directions in one sweep; what depends on x alone is computed once.
  const dt::Tensor v = dt::rademacher(dt::Key{3}, {1000, 3});
  const dt::Tensor slopes = dt::vmap(along, {.in = {0, std::nullopt}})(v, x);
  // (slope) v is the gradient on average.
  const dt::Tensor estimate = dt::eval(
      [](dt::Var s, dt::Var d) { return dt::mean(dt::unsqueeze(s, 1) * d, {0}); }, {slopes, v});
  std::cout << "estimate " << estimate << "\ngradient " << dt::grad(f)(x) << '\n';
  // [/directions]
  tutorial.aside();
}

// A step of a layer for K directions in one sweep and in K sweeps.
double seconds(dt::Program& program, const std::vector<dt::Feed>& feeds, int times) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i <= times; ++i) {
    const auto start = std::chrono::steady_clock::now();
    program.run(feeds);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (i > 0) best = std::min(best, took.count());
  }
  return best;
}
void cost(const dt::docs::Tutorial& tutorial) {
  const std::int64_t width = tutorial.choose<std::int64_t>(1024, 32);
  const int times = tutorial.choose(30, 2);
  dt::docs::Figure::Values counts, one_sweep, many_sweeps;
  std::cout << "\ndirections  one sweep  sweeps   (time over that of the value)\n";
  for (const std::int64_t k : {1, 2, 4, 8, 16}) {
    dt::Graph g;
    const dt::Var x = g.input("x", {1, width}), w = g.input("w", {width, width});
    const dt::Var v = g.input("v", {k, 1, width});
    dt::Var h = x;
    for (int i = 0; i < 4; ++i) h = dt::tanh(dt::matmul(h, w));
    const dt::Var y = dt::sum(h);
    const auto along = [&](dt::Var d) { return dt::forward(y, {x}, {d}); };
    std::vector<dt::Var> apart{y};
    for (std::int64_t i = 0; i < k; ++i) apart.push_back(along(v[i]));
    dt::Program value = dt::compile({y});
    dt::Program together = dt::compile({y, dt::vmap(along)(v)});
    dt::Program each = dt::compile(apart);
    const double scale = 1 / std::sqrt(static_cast<double>(width));
    const std::vector<dt::Feed> feeds{{x, dt::normal(dt::Key{1}, {1, width})},
                                      {w, dt::normal(dt::Key{2}, {width, width}, 0, scale)}};
    std::vector<dt::Feed> with_v = feeds;
    with_v.emplace_back(v, dt::normal(dt::Key{3}, {k, 1, width}));
    const double base = seconds(value, feeds, times);
    counts.push_back(static_cast<double>(k));
    one_sweep.push_back(seconds(together, with_v, times) / base);
    many_sweeps.push_back(seconds(each, with_v, times) / base);
    std::cout << std::setw(10) << k << std::fixed << std::setprecision(2) << std::setw(11)
              << one_sweep.back() << std::setw(8) << many_sweeps.back() << '\n';
  }
  dt::docs::Figure figure("directions", "Directions in one sweep and in a sweep each");
  figure.labels("directions", "times the value's time");
  figure.line("one sweep", counts, one_sweep, {.colour = 0})
      .line("a sweep each", counts, many_sweeps, {.colour = 1});
  tutorial.draw(figure);
}

void body(const dt::docs::Tutorial& tutorial) {
  rows(tutorial);
  pairs(tutorial);
  listing(tutorial);
  per_example(tutorial);
  ensemble(tutorial);
  nets(tutorial);
  keys(tutorial);
  directions(tutorial);
  cost(tutorial);
}

}  // namespace

int main(int argc, char** argv) {
  return dt::docs::run_tutorial(argc, argv, "Tutorial 12: batching", body);
}
