// Intervals of whole graphs: known figures, random graphs, graphs that other modes made.
#include <doctest/doctest.h>

#include <array>

#include "boxes.hpp"

using namespace boxes;

namespace {

using Ends = std::pair<double, double>;

// The bounds of f(x) or f(x, y), a number, in float64.
template <class F>
Ends bounds_of(F f, const std::vector<Ends>& boxes) {
  dt::Graph g;
  std::vector<dt::Var> in;
  Box box;
  for (const auto& [low, high] : boxes) {
    in.push_back(g.input("x" + std::to_string(in.size()), {}, dt::float64));
    box.low.push_back(dt::Tensor::scalar(low));
    box.high.push_back(dt::Tensor::scalar(high));
  }
  dt::Var y;
  if constexpr (std::is_invocable_v<F, dt::Var>)
    y = f(in[0]);
  else
    y = f(in[0], in[1]);
  const auto found = Bounded(g, in, {y}).bounds(box);
  return {found[0].first.at(0), found[0].second.at(0)};
}
// Outside of the right ends, by so little that no digit shown is another.
void check_ends(const Ends& got, double low, double high) {
  CAPTURE(got.first);
  CAPTURE(got.second);
  CHECK(got.first <= low);
  CHECK(got.second >= high);
  CHECK(got.first >= low - 4e-15 * std::max(1.0, std::abs(low)));
  CHECK(got.second <= high + 4e-15 * std::max(1.0, std::abs(high)));
}
void check_unknown(const Ends& got) {
  CHECK(std::isnan(got.first));
  CHECK(std::isnan(got.second));
}

// A graph of random steps on what came before, some of which leave their domain.
std::vector<dt::Var> random_steps(const std::vector<dt::Var>& in, dt::Key key, int steps) {
  std::vector<dt::Var> all = in;
  const Numbers draws = numbers(dt::uniform(key, {3 * steps}, 0, 1, dt::float64));
  for (int i = 0; i < steps; ++i) {
    const auto draw = [&](int which, std::size_t count) {
      const auto place = static_cast<std::size_t>(3 * i + which);
      return static_cast<std::size_t>(draws[place] * static_cast<double>(count));
    };
    const dt::Var a = all[all.size() - 1 - draw(0, std::min<std::size_t>(all.size(), 5))];
    const dt::Var b = all[draw(1, all.size())];
    switch (draw(2, 16)) {
      case 0: all.push_back(a + b); break;
      case 1: all.push_back(a - b); break;
      case 2: all.push_back(a * b); break;
      case 3: all.push_back(a / (1.5 + dt::sin(b))); break;
      case 4: all.push_back(dt::tanh(dt::matmul(a, b))); break;
      case 5: all.push_back(dt::exp(dt::minimum(a, 2))); break;
      case 6: all.push_back(dt::where(a > b, dt::sin(a), dt::cos(b))); break;
      case 7: all.push_back(dt::sqrt(dt::square(a) + 0.1)); break;
      case 8: all.push_back(dt::softmax(a) - 0.2 * b); break;
      case 9: all.push_back(dt::mean(a, {0}) + dt::transpose(b)); break;
      case 10: all.push_back(dt::cumsum(0.3 * a, 1)); break;
      case 11: all.push_back(dt::sort(dt::concat({a, b}, 0), 0).values[dt::range(0, 3)]); break;
      case 12: all.push_back(dt::gelu(a)); break;
      case 13: all.push_back(dt::log(dt::abs(a) + dt::abs(b))); break;
      case 14: all.push_back(dt::layer_norm(a)); break;
      default: all.push_back(dt::max(a, {1}, true) * dt::sigmoid(b)); break;
    }
  }
  return {all.end() - 3, all.end()};
}

struct Random {
  Random(std::uint64_t seed, dt::DType dtype) {
    for (const char* name : {"a", "b"}) in.push_back(graph.input(name, {3, 3}, dtype));
    bounded.emplace(graph, in, random_steps(in, dt::Key{seed}, 12));
  }
  dt::Graph graph;
  std::vector<dt::Var> in;
  std::optional<Bounded> bounded;
};
Box random_box(std::uint64_t seed, dt::DType dtype, double radius) {
  Box box;
  for (std::uint64_t i = 0; i < 2; ++i)
    add_around(box, dt::normal(dt::Key{seed}.fold(i), {3, 3}, 0, 1, dtype), radius, {});
  return box;
}

}  // namespace

TEST_CASE("intervals have the known ends") {
  check_ends(bounds_of([](dt::Var x, dt::Var y) { return x + y; }, {{1, 2}, {3, 4}}), 4, 6);
  check_ends(bounds_of([](dt::Var x, dt::Var y) { return x - y; }, {{1, 2}, {3, 4}}), -3, -1);
  check_ends(bounds_of([](dt::Var x, dt::Var y) { return x * y; }, {{-1, 2}, {3, 4}}), -4, 8);
  check_ends(bounds_of([](dt::Var x, dt::Var y) { return x / y; }, {{1, 2}, {-4, -2}}), -1, -0.25);
  // Operands are taken for independent, even where both are one Var.
  check_ends(bounds_of([](dt::Var x) { return dt::square(x); }, {{-1, 2}}), 0, 4);
  check_ends(bounds_of([](dt::Var x) { return x * x; }, {{-1, 2}}), -2, 4);
  check_ends(bounds_of([](dt::Var x) { return x * (1 - x); }, {{0, 1}}), 0, 1);
  check_ends(bounds_of([](dt::Var x) { return dt::sin(x); }, {{0, 4}}), std::sin(4.0), 1);
  check_ends(bounds_of([](dt::Var x) { return dt::cos(x); }, {{3, 6}}), -1, std::cos(6.0));
  check_ends(bounds_of([](dt::Var x) { return dt::cosh(x); }, {{-2, 1}}), 1, std::cosh(2.0));
  check_ends(bounds_of([](dt::Var x) { return dt::pow(x, 3); }, {{-2, 1}}), -8, 1);
  check_ends(bounds_of([](dt::Var x) { return dt::pow(x, 4); }, {{-2, 1}}), 0, 16);
  check_ends(bounds_of([](dt::Var x) { return dt::pow(x, -1.5); }, {{0.25, 4}}), 0.125, 8);
  check_ends(bounds_of([](dt::Var x) { return dt::relu(x) + dt::floor(x); }, {{-1.5, 2.5}}), -2,
             4.5);
  check_ends(bounds_of([](dt::Var x, dt::Var y) { return dt::atan2(x, y); }, {{1, 1}, {-1, 1}}),
             std::atan2(1.0, 1.0), std::atan2(1.0, -1.0));
  check_ends(bounds_of([](dt::Var x) { return dt::where(x > 0, x, -2 * x); }, {{-1, 0.5}}), -1, 2);
}

TEST_CASE("of what may be no number nothing is known") {
  check_unknown(bounds_of([](dt::Var x) { return dt::log(x); }, {{-1, 2}}));
  check_unknown(bounds_of([](dt::Var x) { return dt::sqrt(x) + 5; }, {{-1, 2}}));
  check_unknown(bounds_of([](dt::Var x, dt::Var y) { return x / y; }, {{1, 2}, {-1, 2}}));
  check_unknown(bounds_of([](dt::Var x) { return dt::tan(x); }, {{1, 2}}));
  check_unknown(bounds_of([](dt::Var x) { return dt::maximum(dt::log(x), 0); }, {{-1, 2}}));
  check_unknown(bounds_of([](dt::Var x, dt::Var y) { return x - y; },
                          {{1, dt::infinity}, {1, dt::infinity}}));
  check_unknown(bounds_of([](dt::Var x) { return dt::sin(x); }, {{1, dt::infinity}}));
  // A comparison with it may say either.
  check_ends(bounds_of([](dt::Var x) { return dt::where(dt::sqrt(x) < 9, 1.0, 2.0); }, {{-1, 4}}),
             1, 2);
  check_ends(bounds_of([](dt::Var x) { return dt::where(dt::sqrt(x) < 9, 1.0, 2.0); }, {{1, 4}}), 1,
             1);
}

TEST_CASE("truth values and whole numbers have bounds") {
  const auto positive = [](dt::Var x) { return x > 0; };
  check_ends(
      bounds_of([=](dt::Var x, dt::Var y) { return dt::logical_xor(positive(x), positive(y)); },
                {{1, 2}, {-2, -1}}),
      1, 1);
  check_ends(
      bounds_of([=](dt::Var x, dt::Var y) { return dt::logical_xor(positive(x), positive(y)); },
                {{1, 2}, {-2, 1}}),
      0, 1);
  check_ends(bounds_of([](dt::Var x) { return dt::cast(x, dt::int64); }, {{-1.5, 2.5}}), -1, 2);
  check_ends(bounds_of([](dt::Var x) { return dt::cast(x, dt::boolean); }, {{-1.5, 2.5}}), 0, 1);
  check_ends(bounds_of([](dt::Var x) { return dt::cast(x, dt::boolean); }, {{0.5, 2.5}}), 1, 1);
  // What may be NaN becomes 0, or any other number.
  const Ends any = bounds_of([](dt::Var x) { return dt::cast(dt::log(x), dt::int32); }, {{-1, 9}});
  CHECK(any.first <= -1000);
  CHECK(any.second >= 1000);
  // Of three elements one may be the largest beside the first; how many are above 1?
  dt::Graph g;
  const dt::Var x = g.input("x", {4}, dt::float64);
  Box box;
  add_around(box, dt::Tensor::of({3, 1, 2.9, 0}, dt::float64), 0.1, {});
  const auto bounds =
      Bounded(g, {x}, {dt::argmax(x), dt::sum(dt::cast(x > 1, dt::int64))}).bounds(box);
  CHECK(bounds[0].first[0] == 0);
  CHECK(bounds[0].second[0] == 2);
  CHECK(bounds[1].first[0] == 2);
  CHECK(bounds[1].second[0] == 3);
}

TEST_CASE("a float32 sum into places counts all that may be added") {
  dt::Graph g;
  const std::int64_t n = 4096;
  const dt::Var x = g.input("x", {1}), more = g.input("more", {n});
  const dt::Var index = g.constant(dt::Tensor(dt::Shape{n}, dt::int64));
  Box box;
  add_around(box, dt::Tensor{1}, 0, {});
  add_around(box, dt::full({n}, 0x1p-25), 0, {});
  const auto bounds = Bounded(g, {x, more}, {dt::index_add(x, index, more)}).bounds(box);
  CHECK(bounds[0].second[0] >= 1 + static_cast<double>(n) * 0x1p-25);
}

TEST_CASE("a linear layer's bounds are W m + b and |W| r about it") {
  dt::Graph g;
  const dt::Tensor w = dt::normal(dt::Key{1}, {4, 3}, 0, 1, dt::float64);
  const dt::Tensor m = dt::normal(dt::Key{2}, {2, 4}, 0, 1, dt::float64);
  const dt::Var x = g.input("x", {2, 4}, dt::float64);
  Box box;
  add_around(box, m, 0.125, {});
  const auto bounds = Bounded(g, {x}, {dt::matmul(x, g.constant(w)), dt::sum(x, {1})}).bounds(box);
  for (std::int64_t i = 0; i < 2; ++i)
    for (std::int64_t j = 0; j < 3; ++j) {
      double middle = 0, radius = 0;
      for (std::int64_t k = 0; k < 4; ++k) {
        middle += m.at({i, k}) * w.at({k, j});
        radius += 0.125 * std::abs(w.at({k, j}));
      }
      const auto place = static_cast<std::size_t>(3 * i + j);
      CHECK(bounds[0].first[place] <= middle - radius);
      CHECK(bounds[0].second[place] >= middle + radius);
      CHECK(bounds[0].second[place] - bounds[0].first[place] <= 2 * radius + 1e-13);
    }
  CHECK(bounds[1].second[0] - bounds[1].first[0] <= 1 + 1e-13);
}

TEST_CASE("a float32 sum that rounds a great deal stays between its bounds") {
  // Exactly 1 + n / 2^25, each of whose small terms alone is rounded away.
  dt::Graph g;
  const std::int64_t n = 4096;
  const dt::Var x = g.input("x", {n + 1});
  Box box;
  dt::Tensor value = dt::full({n + 1}, 0x1p-25);
  value.data<float>()[0] = 1;
  add_around(box, value, 0, {});
  const auto bounds = Bounded(g, {x}, {dt::sum(x), dt::cumsum(x, 0)}).bounds(box);
  const double exact = 1 + static_cast<double>(n) * 0x1p-25;
  CHECK(bounds[0].first[0] <= exact);
  CHECK(bounds[0].second[0] >= exact);
  CHECK(bounds[0].second[0] <= exact * 1.001);
  CHECK(bounds[1].second.back() >= exact);
  CHECK(bounds[1].first.back() > 0);
}

TEST_CASE("random graphs compute what lies between their bounds, which shrink with the box") {
  Tally large, small;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const Random wide(seed, dt::float64), narrow(seed, dt::float32);
    CAPTURE(seed);
    for (const double radius : {1e-3, 1e-1}) {
      const Box box = random_box(seed, dt::float32, radius);
      const dt::Key key = dt::Key{99}.fold(seed);
      const Tally of_wide =
          held(*wide.bounded, *wide.bounded, random_box(seed, dt::float64, radius), key, 20);
      (radius > 0.01 ? large : small) += of_wide;
      Tally others = held(*narrow.bounded, *narrow.bounded, box, key, 20);
      others += held(*narrow.bounded, *wide.bounded, box, key, 20);
      CAPTURE(of_wide.first);
      CAPTURE(others.first);
      CHECK(of_wide.outside + others.outside == 0);
      CHECK(of_wide.numbers > 0);
    }
  }
  CHECK(small.unknown < small.numbers / 4);
  CHECK(small.unknown <= large.unknown);
  CHECK(small.width < 0.1 * large.width);
}

TEST_CASE("the bounds of a gradient hold the gradients in the box") {
  for (const dt::DType dtype : {dt::float64, dt::float32}) {
    dt::Graph g;
    const dt::Var x = g.input("x", {5, 4}, dtype);
    const dt::Var w = g.input("w", {4, 6}, dtype), b = g.input("b", {6}, dtype);
    const dt::Var v = g.input("v", {6, 3}, dtype);
    const dt::Var labels = g.input("labels", {5}, dt::int64);
    const dt::Var loss = dt::cross_entropy(dt::matmul(dt::tanh(dt::matmul(x, w) + b), v), labels);
    const dt::Gradients slopes = dt::reverse(loss, {x, w, b, v});
    const dt::Var curved = dt::forward(slopes[b], {b}, {dt::ones_like(b)});
    const Bounded bounded(g, {x, w, b, v, labels},
                          {loss, slopes[x], slopes[w], slopes[b], slopes[v], curved});
    for (const double radius : {1e-4, 1e-2}) {
      Box box;
      std::uint64_t i = 0;
      for (const dt::Var& in : {x, w, b, v})
        add_around(box, dt::normal(dt::Key{5}.fold(i++), in.shape(), 0, 0.5, dtype), radius, {});
      add_around(box, dt::Tensor::of({0, 2, 1, 1, 0}), 0, {});
      const Tally tally = held(bounded, bounded, box, dt::Key{17}, 200);
      CAPTURE(tally.first);
      CHECK(tally.outside == 0);
      CHECK(tally.unknown == 0);
      // No wider than thirty times the box, so that they tell something.
      CHECK(tally.width / static_cast<double>(tally.numbers) < 30 * radius);
    }
  }
}

TEST_CASE("bounds are nodes: they have derivatives themselves") {
  // d/dr of the width of exp over [1 - r, 1 + r] is 2 e cosh(r), as that of e^(1+r) - e^(1-r).
  dt::Graph g;
  const dt::Var x = g.input("x", {}, dt::float64), r = g.input("r", {}, dt::float64);
  IntervalMode mode;
  const std::vector<dt::Var> in{x}, out{dt::exp(x)};
  const std::vector<Interval> boxes{{1 - r, 1 + r}};
  const Interval bound = *mode.run(g, in, boxes, out)[0];
  const dt::Var slope = dt::reverse(bound.high - bound.low, {r})[r];
  const double got = dt::eval(slope, {{r, dt::Tensor::scalar(0.5)}}).item();
  CHECK(got == doctest::Approx(2 * std::exp(1.0) * std::cosh(0.5)).epsilon(1e-13));
}

TEST_CASE("an operator without intervals is refused by name and line, and may be taught") {
  dt::Graph g;
  const dt::Var x = g.input("x", {3}, dt::float64);
  const dt::Var y = dt::lgamma(x).named("energy");
  const std::vector<dt::Var> in{x}, out{y};
  const std::vector<Interval> boxes{{x - 0.5, x + 0.5}};
  IntervalMode mode;
  try {
    mode.run(g, in, boxes, out);
    FAIL("nothing was thrown");
  } catch (const dt::GraphError& error) {
    const std::string text = error.what();
    CHECK(text.find("[lgamma 'energy'] an interval cannot go through it") == 0);
    CHECK(text.find("interval_graphs_test.cpp:") != std::string::npos);
  }
  mode.set_rule(dt::require_op("lgamma"), [](const dt::NodeView& node, intervals::Intervals box) {
    return intervals::monotone(node, box);  // from 1.4617 on
  });
  const Interval bound = *mode.run(g, in, boxes, out)[0];
  const auto low = numbers(dt::eval(bound.low, {{x, dt::Tensor::of({2, 3, 4}, dt::float64)}}));
  CHECK(low[0] == doctest::Approx(std::lgamma(1.5)).epsilon(1e-14));
}
