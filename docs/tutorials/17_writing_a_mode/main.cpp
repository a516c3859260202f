// Tutorial 17: writing a mode.
#include <algorithm>
#include <cmath>
#include <iomanip>
#include <iostream>
#include <utility>
#include <vector>

#include <dualtape/dualtape.hpp>

#include "common/tutorial.hpp"
#include "examples/costs.hpp"
#include "examples/interval_rules.hpp"
#include "examples/relevance.hpp"
#include "examples/tracer.hpp"

namespace dt = dualtape;
using intervals::Interval;

namespace {

// [degree]
// The degree of each value as a polynomial in the inputs; absent: it does not depend on them.
class Degree : public dt::Mode<int> {
  using States = std::vector<MaybeState>;
  using In = std::span<const MaybeState>;

 protected:
  // Sums, moves and products by coefficients: the largest degree of any operand.
  States linear(const dt::NodeView& node, In in) override {
    int largest = 0;
    for (const MaybeState& degree : in) largest = std::max(largest, degree.value_or(0));
    return States(node.out.size(), largest);
  }
  // Sums of products.
  States bilinear(const dt::NodeView&, In in) override {
    return {in[0].value_or(0) + in[1].value_or(0)};
  }
  // The operator's formula, one primitive after the other.
  States elementwise(const dt::NodeView& node, In in) override {
    std::vector<int> operands;
    for (const MaybeState& degree : in) operands.push_back(degree.value_or(0));
    const auto literal = [](double) { return 0; };
    const auto step = [&](const dt::Recording::Step& now, std::span<const int> x) {
      const int largest = std::ranges::max(x);
      switch (now.prim) {
        case dt::Prim::add:
        case dt::Prim::sub:
        case dt::Prim::neg: return largest;
        case dt::Prim::mul: return x[0] + x[1];
        case dt::Prim::div:
          if (x[1] == 0) return x[0];
          break;
        default: break;
      }
      if (largest > 0) dt::refuse_node(node, "a degree", "it is no polynomial");
      return 0;
    };
    return {dt::replay<int>(*node.op.recording(), operands, literal, step)};
  }
  States general(const dt::NodeView& node, In) override {
    dt::refuse_node(node, "a degree", "no rule tells what it does to one");
  }
};
// [/degree]

void first_mode(const dt::docs::Tutorial& tutorial) {
  tutorial.section("degree");
  // [use-degree]
  dt::Graph g;
  const dt::Var x = g.input("x", {3, 3}), c = g.input("c", {3});
  const dt::Var y = dt::matmul(x * x, c) + 2 * dt::sum(x);
  const std::vector<dt::Var> inputs{x}, outputs{y, dt::tanh(c), dt::sum(dt::det(x) * y)};
  const std::vector<int> states{1};
  Degree mode;
  // A rule for a single operator is asked before its kind: the determinant of an n x n matrix.
  mode.set_rule(dt::require_op("det"),
                [](const dt::NodeView& node, std::span<const Degree::MaybeState> in) {
                  const auto n = static_cast<int>(node.in[0].shape().back());
                  return std::vector<Degree::MaybeState>{n * *in[0]};
                });
  for (const auto& degree : mode.run(g, inputs, states, outputs))
    std::cout << (degree ? std::to_string(*degree) : "none") << '\n';
  // [/use-degree]
  tutorial.section("refused");
  // [refused]
  const std::vector<dt::Var> curved{dt::tanh(x).named("h")};
  try {
    mode.run(g, inputs, states, curved);
  } catch (const dt::GraphError& error) {
    std::cout << error.what() << '\n';
  }
  // [/refused]
}

void first_bounds(const dt::docs::Tutorial& tutorial) {
  tutorial.section("first-bounds");
  // [first-bounds]
  dt::Graph g;
  const dt::Var x = g.input("x", {2}, dt::float64);
  const dt::Var y = dt::exp(-x * x) * dt::sin(x);
  intervals::IntervalMode mode;
  const std::vector<dt::Var> inputs{x}, outputs{y};
  const std::vector<Interval> boxes{{x - 0.1, x + 0.1}};  // 0.1 about each element
  const Interval bound = *mode.run(g, inputs, boxes, outputs)[0];
  const dt::Tensor at = dt::Tensor::of({0.5, 1.5}, dt::float64);
  std::cout << "from " << dt::eval(bound.low, {{x, at}}) << " to "
            << dt::eval(bound.high, {{x, at}}) << '\n';
  // [/first-bounds]
}

// [net]
// A net 4-8-3 for iris, as a function of all its numbers in one vector.
constexpr std::int64_t net_size = 4 * 8 + 8 + 8 * 3 + 3;
dt::Var logits_of(dt::Var theta, dt::Var x) {
  const auto parts = dt::split(theta, {4 * 8, 8, 8 * 3, 3});
  const dt::Var h = dt::relu(dt::matmul(x, dt::reshape(parts[0], {4, 8})) + parts[1]);
  return dt::matmul(h, dt::reshape(parts[2], {8, 3})) + parts[3];
}
// [/net]

// [worst]
// The logits that are worst for the labels where each measurement may be off by `error`: the least
// of the right class, the greatest of the others.
dt::Var worst_logits(dt::Var theta, dt::Var x, dt::Var labels, double error) {
  const std::vector<dt::Var> inputs{x}, outputs{logits_of(theta, x)};
  const std::vector<Interval> boxes{{x - error, x + error}};
  intervals::IntervalMode mode;
  const Interval bound = *mode.run(x.graph(), inputs, boxes, outputs)[0];
  return dt::where(dt::one_hot(labels, 3, dt::boolean), bound.low, bound.high);
}
// [/worst]

struct Flowers {
  dt::Dataset iris = dt::load_iris();
  dt::Tensor x = dt::standardise(iris.inputs).to(dt::float64);
};

dt::Tensor trained(const Flowers& flowers, double error) {
  // [train]
  const auto loss = [&](dt::Var theta) {
    dt::Graph& g = theta.graph();
    const dt::Var x = g.constant(flowers.x), labels = g.constant(flowers.iris.labels);
    const dt::Var logits = error > 0 ? worst_logits(theta, x, labels, error) : logits_of(theta, x);
    return dt::cross_entropy(logits, labels);
  };
  const auto step = dt::jit([&](dt::Var theta) { return theta - 0.1 * dt::grad(loss)(theta); });
  // [/train]
  dt::Tensor theta = dt::normal(dt::Key{3}, {net_size}, 0, 0.5, dt::float64);
  for (int i = 0; i < 1000; ++i) theta = step(theta);
  return theta;
}

// Of the 150 flowers, how many are certainly told right.
std::int64_t certain(const Flowers& flowers, const dt::Tensor& theta, double error) {
  // [certain]
  const auto count = [&](dt::Var weights, dt::Var x, dt::Var labels) {
    const dt::Var guess = dt::argmax(worst_logits(weights, x, labels, error));
    return dt::sum(dt::cast(dt::equal(guess, labels), dt::int64));
  };
  return dt::eval(count, {theta, flowers.x, flowers.iris.labels}).item<std::int64_t>();
  // [/certain]
}
// How many are told right at `tries` random corners of their boxes, all of them.
std::int64_t at_corners(const Flowers& flowers, const dt::Tensor& theta, double error, int tries) {
  const auto right = [&](dt::Var weights, dt::Var x, dt::Var labels) {
    return dt::equal(dt::argmax(logits_of(weights, x)), labels);
  };
  const auto corner = [&](dt::Var x, dt::Var sign) { return x + error * sign; };
  std::vector<bool> all(150, true);
  for (int i = 0; i < tries; ++i) {
    const dt::Tensor sign = dt::rademacher(dt::Key{9}.fold(static_cast<std::uint64_t>(i)),
                                           flowers.x.shape(), dt::float64);
    const dt::Tensor at = dt::eval(corner, {flowers.x, sign});
    const dt::Tensor told = dt::eval(right, {theta, at, flowers.iris.labels});
    for (std::size_t k = 0; k < all.size(); ++k) all[k] = all[k] && told.data<bool>()[k];
  }
  return std::ranges::count(all, true);
}

dt::Tensor certify(const dt::docs::Tutorial& tutorial, const Flowers& flowers) {
  tutorial.section("certify");
  const dt::Tensor plain = trained(flowers, 0), guarded = trained(flowers, 0.3);
  dt::docs::Figure::Values errors, of_plain, of_guarded, corners;
  std::cout << "error  plain: certain  at corners  trained on bounds: certain  at corners\n";
  for (const double error : {0.0, 0.1, 0.2, 0.3, 0.4, 0.5}) {
    errors.push_back(error);
    of_plain.push_back(static_cast<double>(certain(flowers, plain, error)));
    of_guarded.push_back(static_cast<double>(certain(flowers, guarded, error)));
    corners.push_back(static_cast<double>(at_corners(flowers, plain, error, 200)));
    std::cout << std::setw(5) << error << std::setw(16) << of_plain.back() << std::setw(12)
              << corners.back() << std::setw(28) << of_guarded.back() << std::setw(12)
              << at_corners(flowers, guarded, error, 200) << '\n';
  }
  tutorial.aside();
  dt::docs::Figure figure("certain", "Flowers told right whatever the error");
  figure.labels("error of each measurement, in standard deviations", "of 150 flowers");
  figure.line("plain, certainly", errors, of_plain, {.colour = 0})
      .line("trained on bounds, certainly", errors, of_guarded, {.colour = 1})
      .points("plain, at 200 corners", errors, corners, dt::docs::Mark::circle, {.colour = 2});
  tutorial.draw(figure);
  return plain;
}

void hold(const dt::docs::Tutorial& tutorial) {
  tutorial.section("hold");
  // [hold]
  // The gradient's graph is a graph like any other.
  dt::Graph g;
  const dt::Var theta = g.input("theta", {net_size}), x = g.input("x", {150, 4});
  const dt::Var loss = dt::mean(dt::square(logits_of(theta, x)));
  const std::vector<dt::Var> inputs{theta}, outputs{dt::reverse(loss, {theta})[theta]};
  const std::vector<Interval> boxes{{theta - 1e-3, theta + 1e-3}};
  intervals::IntervalMode mode;
  const Interval bound = *mode.run(g, inputs, boxes, outputs)[0];
  dt::Program bounds = dt::compile({bound.low, bound.high});
  dt::Program gradient = dt::compile(outputs);

  const dt::Tensor measured = dt::standardise(dt::load_iris().inputs);
  const dt::Tensor centre = dt::normal(dt::Key{1}, {net_size}, 0, 0.3);
  const auto ends = bounds.run({{theta, centre}, {x, measured}});
  std::int64_t inside = 0, all = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const dt::Tensor drawn = dt::uniform(dt::Key{2}.fold(i), {net_size}, -1e-3, 1e-3);
    const dt::Tensor point = dt::eval([](dt::Var a, dt::Var b) { return a + b; }, {centre, drawn});
    const auto at_point = gradient.run({{theta, point}, {x, measured}});
    for (std::size_t k = 0; k < net_size; ++k, ++all) {
      const float value = at_point[outputs[0]].data<float>()[k];
      const float low = ends[bound.low].data<float>()[k], high = ends[bound.high].data<float>()[k];
      inside += low <= value && value <= high ? 1 : 0;
    }
  }
  std::cout << inside << " of " << all << " lie inside\n";
  // [/hold]
}

// [hadamard]
// The Walsh-Hadamard transform of a vector of 2^k numbers: its coefficients are 1 and -1.
struct Hadamard {
  static constexpr auto name = "hadamard";
  static constexpr auto doc = "the Walsh-Hadamard transform of a vector";
  static void infer(dt::Inference& inference) {
    inference.require_count(1);
    inference.out = {inference.in[0]};
  }
  static void apply(std::span<const dt::Tensor> in, std::span<dt::Tensor> out,
                    const dt::Attributes&) {
    out[0].assign(in[0]);
    dt::dispatch(in[0].dtype(), [&]<class T>() {
      const auto y = out[0].data<T>();
      for (std::size_t half = 1; half < y.size(); half *= 2)
        for (std::size_t i = 0; i < y.size(); ++i)
          if ((i & half) == 0) {
            const T a = y[i], b = y[i + half];
            y[i] = a + b;
            y[i + half] = a - b;
          }
    });
  }
  static dt::Var transpose(const dt::NodeView& node, std::size_t i, dt::Var cotangent);
  static std::vector<dt::Case> cases();
};
inline constexpr dt::Linear<Hadamard> hadamard;
// [/hadamard]
dt::Var Hadamard::transpose(const dt::NodeView& /*node*/, std::size_t /*i*/, dt::Var cotangent) {
  return hadamard(cotangent);  // which is symmetric
}
std::vector<dt::Case> Hadamard::cases() {
  return {{"8", {{dt::Shape{8}}}, [](std::span<const dt::Var> in) {
             return std::vector<dt::Var>{hadamard(in[0])};
           }}};
}

void own_operator(const dt::docs::Tutorial& tutorial) {
  tutorial.section("hadamard");
  dt::check_op(hadamard);
  // [teach]
  intervals::IntervalMode mode;
  mode.set_rule(hadamard.op(), [](const dt::NodeView& node, intervals::Intervals in) {
    // The transform of the middle, and about it the absolute transform of the radius: all
    // coefficients are 1 there, so that it is the sum. Each number is rounded once in each of the
    // k stages, and the middle, the radius and the ends once more.
    const dt::Var middle = 0.5 * in[0]->low + 0.5 * in[0]->high;
    const dt::Var radius = dt::maximum(in[0]->high - middle, middle - in[0]->low);
    const dt::Var size = dt::sum(magnitude(*in[0]).high);
    const double stages = std::log2(static_cast<double>(node.in[0].shape()[0]));
    const dt::Var about = dt::sum(radius) + intervals::rounding(stages, size) * size;
    const dt::Var y = hadamard(middle);
    return std::vector<intervals::MaybeInterval>{Interval{y - about, y + about}};
  });
  // [/teach]
  dt::Graph g;
  const dt::Var x = g.input("x", {4}, dt::float64);
  const std::vector<dt::Var> inputs{x}, outputs{hadamard(x)};
  const std::vector<Interval> boxes{{x - 0.125, x + 0.125}};
  const Interval bound = *mode.run(g, inputs, boxes, outputs)[0];
  const dt::Tensor at = dt::Tensor::of({1, 2, 3, 4}, dt::float64);
  std::cout << "from " << dt::eval(bound.low, {{x, at}}) << " to "
            << dt::eval(bound.high, {{x, at}}) << '\n';
}

void backward(const dt::docs::Tutorial& tutorial, const Flowers& flowers, const dt::Tensor& theta) {
  tutorial.section("backward");
  // [backward]
  dt::Graph g;
  const dt::Var x = g.input("x", {1, 4}, dt::float64);
  const dt::Var score = logits_of(g.constant(theta), x)[{0, 2}];  // of the third kind
  const std::vector<dt::Var> outputs{score}, states{score}, inputs{x};
  relevance::Relevance mode;
  const dt::Var shares = *mode.run(g, outputs, states, inputs)[0];
  const dt::Tensor flower = flowers.x.rows(149, 150);
  const dt::Tensor found = dt::eval(shares, {{x, flower}});
  // [/backward]
  const double total = dt::eval(score, {{x, flower}}).item();
  double sum = 0;
  const char* const names[]{"sepal length", "sepal width", "petal length", "petal width"};
  std::cout << std::fixed << std::setprecision(3);
  for (std::int64_t i = 0; i < 4; ++i) {
    std::cout << std::left << std::setw(14) << names[i] << std::right << std::setw(7)
              << found.at({0, i}) << '\n';
    sum += found.at({0, i});
  }
  std::cout << std::left << std::setw(14) << "biases" << std::right << std::setw(7) << total - sum
            << "\nscore         " << std::setw(7) << total << '\n'
            << std::defaultfloat;
}

void count(const dt::docs::Tutorial& tutorial) {
  tutorial.section("costs");
  // [use-costs]
  dt::Graph g;
  const dt::Var x = g.input("x", {32, 4}), labels = g.input("labels", {32}, dt::int64);
  const dt::Var theta = g.input("theta", {net_size});
  const dt::Var loss = dt::cross_entropy(logits_of(theta, x), labels);
  costs::print(std::cout, costs::costs_of({loss, dt::reverse(loss, {theta})[theta]}));
  // [/use-costs]
}

void trace(const dt::docs::Tutorial& tutorial) {
  tutorial.section("trace");
  // [use-tracer]
  dt::Graph g;
  const dt::Var x = g.input("x", {4});
  const dt::Var p = dt::softmax(x);
  const dt::Var entropy = -dt::sum(p * dt::log(p).named("log p"));
  const dt::Tensor far{0, 1, 2, 200};
  if (const auto place = tracer::find({entropy}, {{x, far}})) std::cout << *place << '\n';
  // [/use-tracer]
  tutorial.aside();
}

void body(const dt::docs::Tutorial& tutorial) {
  first_mode(tutorial);
  first_bounds(tutorial);
  const Flowers flowers;
  const dt::Tensor theta = certify(tutorial, flowers);
  hold(tutorial);
  own_operator(tutorial);
  backward(tutorial, flowers, theta);
  count(tutorial);
  trace(tutorial);
}

}  // namespace

int main(int argc, char** argv) {
  return dt::docs::run_tutorial(argc, argv, "Tutorial 17: writing a mode", body);
}
