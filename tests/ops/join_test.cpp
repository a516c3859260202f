// Joining, splitting and slicing against loops and laws.
#include <algorithm>
#include <limits>

#include "moving.hpp"

#include <dualtape/core/program.hpp>
#include <dualtape/modes/functional.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/reduce.hpp>

using namespace dualtape;
using moving::check_derivatives;
using moving::check_refused;
using moving::counted;

namespace {

// Where Python's range(size)[begin:end:step] goes, by its definition: from begin in steps until end
// is reached, places outside 0 ... size-1 left out.
std::vector<std::int64_t> python_places(const Range& r, std::int64_t size) {
  const auto from_end = [size](std::int64_t i) { return i < 0 ? i + size : i; };
  std::vector<std::int64_t> places;
  const bool forward = r.step > 0;
  std::int64_t begin = r.begin ? from_end(*r.begin) : forward ? 0 : size - 1;
  if (forward && begin < 0) begin = 0;
  if (!forward && begin >= size) begin = size - 1;
  const std::int64_t end = r.end     ? std::max<std::int64_t>(from_end(*r.end), -1)
                           : forward ? size
                                     : -1;
  for (std::int64_t i = begin; forward ? i < end : i > end; i += r.step)
    if (i >= 0 && i < size) places.push_back(i);
  return places;
}

}  // namespace

TEST_CASE("slices along an axis are Python's") {
  const std::int64_t size = 5;
  const Tensor x = counted({size}, int64);
  std::vector<std::optional<std::int64_t>> bounds{std::nullopt};
  for (std::int64_t i = -7; i <= 7; ++i) bounds.push_back(i);
  Graph g;
  const Var v = g.constant(x);
  std::vector<Var> results;
  std::vector<std::vector<std::int64_t>> expected;
  for (const std::int64_t step : {1, 2, 3, 9, -1, -2, -9})
    for (const auto begin : bounds)
      for (const auto end : bounds) {
        results.push_back(slice(v, {Range{begin, end, step}}));
        expected.push_back(python_places({begin, end, step}, size));
      }
  Program program = compile(results);
  const Outputs outputs = program.run();
  for (std::size_t k = 0; k < results.size(); ++k) {
    const Tensor& y = outputs[results[k]];
    REQUIRE(y.count() == static_cast<std::int64_t>(expected[k].size()));
    for (std::size_t i = 0; i < expected[k].size(); ++i)
      REQUIRE(y.data<std::int64_t>()[i] == expected[k][i] + 1);
  }
}

TEST_CASE("slices of several axes at once are slices one after the other") {
  for (const DType dtype : {boolean, int32, int64, float32, float64}) {
    Graph g;
    const Var x = g.constant(counted({5, 6, 3}, dtype));
    const Var at_once = slice(x, {Range{1, {}, 2}, Range{{}, {}, -1}, Range{0, -1}});
    const Var in_turn = slice(slice(slice(x, 0, 1, 5, 2), {Range{}, Range{{}, {}, -1}}), -1, 0, 2);
    CHECK(at_once.shape() == Shape{2, 6, 2});
    CHECK(identical(eval(at_once), eval(in_turn)));
  }
  Graph g;
  const Tensor y = eval(slice(g.constant(counted({3, 4})), {Range{1, 3}, Range{1, 4, 2}}));
  CHECK(identical(y, Tensor{{6, 8}, {10, 12}}.to(float64)));
}

TEST_CASE("split takes apart what concat joined") {
  for (const DType dtype : {boolean, int32, int64, float32, float64})
    for (const std::int64_t axis : {0, 1, 2, -1}) {
      Graph g;
      const Tensor x = counted({4, 6, 8}, dtype);
      CHECK(identical(eval(concat(split(g.constant(x), 2, axis), axis)), x));
      const std::int64_t size = x.size(static_cast<int>(axis));
      const auto pieces = split(g.constant(x), {1, 0, size - 1}, axis);
      CHECK(identical(eval(concat(pieces, axis)), x));
    }
}

TEST_CASE("concat and stack put elements where they belong") {
  Graph g;
  const Var a = g.constant(Tensor{{1, 2}, {3, 4}});
  const Var b = g.constant(Tensor{{5}, {6}});
  CHECK(identical(eval(concat({a, b}, 1)), Tensor{{1, 2, 5}, {3, 4, 6}}));
  CHECK(identical(eval(concat({a, a})), Tensor{{1, 2}, {3, 4}, {1, 2}, {3, 4}}));
  const Var u = g.constant(Tensor{1, 2});
  const Var v = g.constant(Tensor{3, 4});
  CHECK(identical(eval(stack({u, v})), Tensor{{1, 2}, {3, 4}}));
  CHECK(identical(eval(stack({u, v}, -1)), Tensor{{1, 3}, {2, 4}}));
  CHECK(stack({a, a, a}, 1).shape() == Shape{2, 3, 2});
  CHECK(concat({u, g.constant(Tensor::of({7}))}).dtype() == float32);
  const auto one = split(g.constant(Tensor{1, 2, 3}), {3});
  CHECK(one.size() == 1);  // a list of one size, not three sections
}

TEST_CASE("pad and slice_scatter put a margin around") {
  Graph g;
  const Var x = g.constant(Tensor{{1, 2}, {3, 4}});
  CHECK(identical(eval(pad(x, {1, 0}, {0, 1})), Tensor{{0, 0, 0}, {1, 2, 0}, {3, 4, 0}}));
  CHECK(
      identical(eval(pad(x, {0, 2}, {1, 0}, 9)), Tensor{{9, 9, 1, 2}, {9, 9, 3, 4}, {9, 9, 9, 9}}));
  CHECK(identical(eval(pad(x, {0, 0}, {0, 0}, 9)), Tensor{{1, 2}, {3, 4}}));
  const double inf = std::numeric_limits<double>::infinity();
  const Tensor framed = eval(pad(x, {1, 0}, {0, 0}, -inf));
  CHECK(framed.at({0, 1}) == -inf);
  CHECK(framed.at({1, 1}) == 2);
  CHECK(identical(eval(pad(g.constant(Tensor::of({5})), {1}, {1}, 7)), Tensor::of({7, 5, 7})));
  CHECK(identical(eval(slice_scatter(x, {3, 3}, {2, 0}, {-2, 2})),
                  Tensor{{3, 0, 4}, {0, 0, 0}, {1, 0, 2}}));
}

TEST_CASE("flip turns axes round and roll moves entries on") {
  Graph graph;
  const Var x = graph.constant(Tensor{{1, 2, 3}, {4, 5, 6}});
  const auto same = [](Var y, const Tensor& wanted) { CHECK(identical(eval(y), wanted)); };
  same(flip(x), {{6, 5, 4}, {3, 2, 1}});
  same(flip(x, {0}), {{4, 5, 6}, {1, 2, 3}});
  same(flip(x, {-1}), {{3, 2, 1}, {6, 5, 4}});
  same(roll(x, 1), {{3, 1, 2}, {6, 4, 5}});
  same(roll(x, -1), {{2, 3, 1}, {5, 6, 4}});
  same(roll(x, 7), {{3, 1, 2}, {6, 4, 5}});
  same(roll(x, 1, 0), {{4, 5, 6}, {1, 2, 3}});
  same(roll(x, 0), {{1, 2, 3}, {4, 5, 6}});
  CHECK_THROWS_AS(flip(x, {2}), ShapeError);
  CHECK_THROWS_AS(roll(x, 1, -3), ShapeError);
  const Var truths = graph.constant(Tensor{1, 0, 0}) > 0;
  same(roll(truths, 1), eval(graph.constant(Tensor{0, 1, 0}) > 0));
}

TEST_CASE("more than 65 535 operands are joined and split, and so are their gradients") {
  constexpr std::int64_t count = 65537;
  const Tensor weights = counted({count});  // 1 ... count, whose sums are exact
  const double all = static_cast<double>(count * (count + 1) / 2);
  const auto repeated = [&](Var x) { return std::vector<Var>(count, x); };
  const auto joined = [&](Var x) { return sum(concat(repeated(x)) * weights); };
  const Tensor one = Tensor{2}.to(float64);
  CHECK(eval(joined(Graph().constant(one))).item() == 2 * all);
  CHECK(grad(joined)(one).item() == all);
  const auto stacked = [&](Var x) { return sum(stack(repeated(x)) * weights); };
  CHECK(identical(grad(stacked)(Tensor::scalar(2.0)), Tensor::scalar(all)));
  // Each piece by itself, in the opposite order.
  const auto turned = [&](Var x) {
    std::vector<Var> pieces = split(x, count);
    std::ranges::reverse(pieces);
    return sum(concat(pieces) * weights);
  };
  Graph g;
  CHECK(identical(grad(turned)(counted({count})), eval(flip(g.constant(weights)))));
}

TEST_CASE("places and steps at the ends of int64 overflow nothing") {
  constexpr std::int64_t low = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t high = std::numeric_limits<std::int64_t>::max();
  Graph g;
  const Var x = g.constant(Tensor{1, 2, 3});
  const auto same = [](Var y, const Tensor& wanted) { CHECK(identical(eval(y), wanted)); };
  same(slice(x, 0, low, high), {1, 2, 3});
  same(slice(x, 0, 1, high, high), {2});
  same(slice(x, {Range{{}, {}, low}}), {3});
  same(slice(x, {Range{high, low, low}}), {3});
  same(slice_scatter(g.constant(Tensor{5}), {3}, {1}, {high}), {0, 5, 0});
  CHECK(eval(slice(x, 0, high, low)).count() == 0);
  check_refused<ShapeError>([&] { slice_scatter(x, {3}, {0}, {high}); }, {"leave axis 0"});
  check_refused<ShapeError>([&] { slice_scatter(x, {3}, {high}, {1}); }, {"leave axis 0"});
  for (const std::int64_t shift : {low, high})
    CHECK(identical(eval(roll(x, shift)), eval(roll(x, shift % 3))));
  check_refused<ShapeError>([&] { roll(x, 1, low); }, {"roll", "axis"});
}

// In the name of the operator that was called, with its operands and the bytes.
TEST_CASE("results too large to be counted are refused by name") {
  constexpr std::int64_t high = std::numeric_limits<std::int64_t>::max();
  Graph g;
  const Var x = g.input("x", {std::int64_t{1} << 58});
  const std::vector<Var> many(9, x);
  const std::string line = "join_test.cpp:" + std::to_string(__LINE__ + 1);
  check_refused<ShapeError>([&] { concat(many); },
                            {"[concat", "(288230376151711744,)", "bytes", line});
  check_refused<ShapeError>([&] { stack(many); },
                            {"[stack", "(288230376151711744,)", "5 more", "bytes", "at "});
  const Var y = g.input("y", {2, 3});
  check_refused<ShapeError>(
      [&] {
        pad(y, {high, 0}, {high, 0});
      },
      {"[pad", "(2, 3)", "bytes", "at "});
  check_refused<ShapeError>([&] { pad(y, {0, 0}, {0, high}, 1.5); }, {"[pad", "(2, 3)", "bytes"});
}

TEST_CASE("gradients reach only the pieces that were used") {
  const auto f = [](Var x) {
    const auto pieces = split(x, {1, 2, 1, 2});
    return sum(pieces[1] * pieces[1]) + sum(3 * pieces[3]);
  };
  const Tensor x{1, 2, 3, 4, 5, 6};
  CHECK(identical(grad(f)(x), Tensor{0, 4, 6, 0, 3, 3}));
  const auto joined = [](Var v) { return sum(concat({v, v * v})); };
  CHECK(identical(grad(joined)(Tensor{1, 2}), Tensor{3, 5}));
  const auto reversed = [](Var v) {
    return sum(slice(v, {Range{{}, {}, -2}}) * Tensor{1, 10, 100});
  };
  CHECK(identical(grad(reversed)(Tensor{0, 0, 0, 0, 0}), Tensor{100, 0, 10, 0, 1}));
}

TEST_CASE("mistakes in joining and slicing name shapes, axes and the line") {
  Graph g;
  const Var x = g.input("x", {2, 3});
  const Var y = g.input("y", {3, 3});
  const std::string line = "join_test.cpp:" + std::to_string(__LINE__ + 1);
  check_refused<ShapeError>([&] { concat({x, y}, 1); }, {"concat", "(3, 3)", "(2, 3)", line});
  check_refused<ShapeError>([&] { concat({x, y}, 2); }, {"axis 2", "out of range"});
  check_refused<GraphError>([&] { concat(std::vector<Var>{}); }, {"concat", "at least one"});
  check_refused<ShapeError>([&] { stack({x, y}); }, {"stack", "(3, 3)", "one shape"});
  check_refused<ShapeError>([&] { split(x, {1, 1}, 1); }, {"split", "[1, 1]", "add up to 3"});
  check_refused<ShapeError>([&] { split(x, {4, -1}, 1); }, {"split", "[4, -1]"});
  check_refused<ShapeError>([&] { split(x, 2, 1); }, {"split", "2 equal sections"});
  check_refused<ShapeError>([&] { split(x, 0, 1); }, {"split", "0 equal sections"});
  check_refused<ValueError>([&] { slice(x, 0, 0, 2, 0); }, {"slice", "step", "0"});
  check_refused<ShapeError>([&] { slice(x, 2, 0, 1); }, {"slice", "axis 2"});
  check_refused<ShapeError>([&] { slice(x, std::vector<Range>(3)); }, {"3 ranges", "2 axes"});
  check_refused<ShapeError>([&] { slice_scatter(x, {2, 2}, {0, 0}, {1, 1}); }, {"leave axis 1"});
  check_refused<ShapeError>([&] { pad(x, {1}, {1}); }, {"pad", "(2, 3)"});
  check_refused<ShapeError>([&] { pad(x, {1, -1}, {0, 0}); }, {"pad", "[1, -1]"});
}

TEST_CASE("the derivatives of joining and slicing hold in every mode") {
  check_derivatives({"concat", "stack", "split", "slice", "slice_scatter", "pad"});
}
