// Tensors made of a rule, grids, repetitions and Kronecker's product by their definitions.
#include <doctest/doctest.h>

#include <limits>

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/creation.hpp>
#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/random.hpp>
#include <dualtape/ops/shapes.hpp>

#include "gradient.hpp"

using namespace known;

namespace {

constexpr std::int64_t lowest = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t highest = std::numeric_limits<std::int64_t>::max();

TEST_CASE("unit matrices and their like") {
  CHECK(numbers(dt::eye(2)) == Numbers{1, 0, 0, 1});
  CHECK(dt::eye(2).dtype() == dt::float32);
  CHECK(numbers(dt::eye(2, 3, 1, dt::int64)) == Numbers{0, 1, 0, 0, 0, 1});
  CHECK(numbers(dt::eye(3, 2, -1, dt::boolean)) == Numbers{0, 0, 1, 0, 0, 1});
  CHECK(numbers(dt::eye(2, 2, 5)) == Numbers{0, 0, 0, 0});
  CHECK(dt::eye(0).count() == 0);
  for (const std::int64_t end : {lowest, highest})
    CHECK(numbers(dt::eye(2, 2, end)) == Numbers{0, 0, 0, 0});
}

TEST_CASE("ranges of numbers") {
  CHECK(numbers(dt::arange(3)) == Numbers{0, 1, 2});
  CHECK(dt::arange(3).dtype() == dt::int64);
  CHECK(numbers(dt::arange(1, 2, 0.25, dt::float64)) == Numbers{1, 1.25, 1.5, 1.75});
  CHECK(numbers(dt::arange(3, 0, -1)) == Numbers{3, 2, 1});
  CHECK(dt::arange(1, 0).count() == 0);
  CHECK(dt::arange(-4).count() == 0);
  CHECK(dt::arange(0, 100, 0.1, dt::float64).at({-1}) == 999 * 0.1);
  CHECK(has(error_of<dt::ValueError>([] { dt::arange(0, 1, 0); }), "arange"));
  // Beyond what doubles tell apart, and at the ends.
  const dt::Tensor odd = dt::arange(9007199254740993, 9007199254740999, 2, dt::int64);
  CHECK(identical(odd, dt::Tensor::of({9007199254740993, 9007199254740995, 9007199254740997})));
  const dt::Tensor ends = dt::arange(lowest, highest, highest, dt::int64);
  CHECK(identical(ends, dt::Tensor::of({lowest, -1, highest - 1})));
  CHECK(identical(dt::arange(highest, lowest, lowest, dt::int64), dt::Tensor::of({highest, -1})));
  CHECK(dt::arange(highest, lowest).count() == 0);
  CHECK(has(error_of<dt::ValueError>([] { dt::arange(lowest, highest); }), "too many"));
  CHECK_THROWS_AS(dt::arange(0, std::numeric_limits<double>::infinity()), dt::ValueError);
  CHECK(numbers(dt::linspace(0, 1, 5)) == Numbers{0, 0.25, 0.5, 0.75, 1});
  CHECK(dt::linspace(0, 0.7, 8, dt::float64).at({-1}) == 0.7);
  CHECK(numbers(dt::linspace(2, 3, 1)) == Numbers{2});
  CHECK(dt::linspace(2, 3, 0).count() == 0);
  CHECK(has(error_of<dt::ValueError>([] { dt::linspace(0, 1, -1); }), "linspace"));
}

TEST_CASE("grids") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({1, 2}));
  const dt::Var y = graph.constant(tensor({3, 4, 5}));
  const std::vector<dt::Var> grid = dt::meshgrid({x, y});
  REQUIRE(grid.size() == 2);
  CHECK(grid[0].shape() == dt::Shape{2, 3});
  CHECK(numbers(dt::eval(grid[0])) == Numbers{1, 1, 1, 2, 2, 2});
  CHECK(numbers(dt::eval(grid[1])) == Numbers{3, 4, 5, 3, 4, 5});
  CHECK(gradient(grid[1], y) == Numbers{2, 2, 2});
  const dt::Tensor plain{7, 8};
  CHECK(numbers(dt::eval(dt::meshgrid({x, plain})[1])) == Numbers{7, 8, 7, 8});
  CHECK(has(error_of<dt::ShapeError>([&] { dt::meshgrid({x, grid[0]}); }), "meshgrid"));
}

TEST_CASE("tiles and repeats") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({1, 2, 3, 4}).reshape({2, 2}));
  CHECK(numbers(dt::eval(dt::tile(x, {2}))) == Numbers{1, 2, 1, 2, 3, 4, 3, 4});
  CHECK(numbers(dt::eval(dt::tile(x, {2, 1}))) == Numbers{1, 2, 3, 4, 1, 2, 3, 4});
  CHECK(dt::tile(x, {2, 1, 3}).shape() == dt::Shape{2, 2, 6});
  CHECK(dt::tile(x, {0}).shape() == dt::Shape{2, 0});
  CHECK(gradient(dt::tile(x, {2, 3}), x) == Numbers{6, 6, 6, 6});
  CHECK(numbers(dt::eval(dt::repeat(x, 2))) == Numbers{1, 1, 2, 2, 3, 3, 4, 4});
  CHECK(numbers(dt::eval(dt::repeat(x, 2, 0))) == Numbers{1, 2, 1, 2, 3, 4, 3, 4});
  CHECK(dt::repeat(x, 0).shape() == dt::Shape{2, 0});
  CHECK(gradient(dt::repeat(x, 3, 0), x) == Numbers{3, 3, 3, 3});
  CHECK(has(error_of<dt::ShapeError>([&] { dt::tile(x, {-1}); }), "tile"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::repeat(x, -1); }), "repeat"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::repeat(x, 1, 2); }), "repeat"));
}

TEST_CASE("Kronecker's product mixes with the matrix product") {
  dt::Graph graph;
  const auto drawn = [&](std::uint64_t seed, const dt::Shape& shape) {
    return graph.constant(dt::uniform(dt::Key{seed}, shape, -1.0, 1.0, dt::float64));
  };
  const dt::Var a = drawn(1, {2, 3}), b = drawn(2, {4, 2}), c = drawn(3, {3, 2}),
                d = drawn(4, {2, 5});
  const dt::Var left = dt::matmul(dt::kron(a, b), dt::kron(c, d));
  const dt::Var right = dt::kron(dt::matmul(a, c), dt::matmul(b, d));
  REQUIRE(left.shape() == dt::Shape{8, 10});
  CHECK(dt::all_close(dt::eval(left), dt::eval(right), 1e-13, 1e-14));
  const dt::Var v = graph.constant(tensor({1, 2}));
  CHECK(numbers(dt::eval(dt::kron(v, dt::Tensor{1, 10, 100}))) == Numbers{1, 10, 100, 2, 20, 200});
  CHECK(gradient(dt::kron(v, graph.constant(tensor({3, 4}))), v) == Numbers{7, 7});
}

TEST_CASE("tensors that cannot be made are told at the user's line") {
  const auto refused = [](const char* part, auto call) {
    const std::string text = error_of<dt::Error>(call);
    CHECK(has(text, part));
    CHECK(has(text, "creation_test.cpp:"));
  };
  constexpr auto strange = static_cast<dt::DType>(99);
  refused("[eye] negative size -1", [] { dt::eye(-1); });
  refused("[eye] negative size -2", [] { dt::eye(3, -2); });
  refused("[eye] too many elements", [] { dt::eye(highest); });
  refused("[eye] there is no dtype", [] { dt::eye(3, 2, 0, strange); });
  refused("[arange] the step is 0", [] { dt::arange(0, 5, 0); });
  refused("[arange] from 0", [] { dt::arange(0.0, 1.0, 0.0); });
  refused("[arange] 5000000000 does not fit int32",
          [] { dt::arange(5000000000, 5000000001, 1, dt::int32); });
  refused("[arange] too many", [] { dt::arange(highest); });
  refused("[arange] there is no dtype", [] { dt::arange(0, 3, 1, strange); });
  refused("[linspace] -1 values", [] { dt::linspace(0, 1, -1); });
  refused("[linspace] from 0", [] { dt::linspace(0, std::numeric_limits<double>::infinity(), 3); });
  refused("[linspace] too many", [] { dt::linspace(0, 1, highest); });
  dt::Graph graph;
  const dt::Var x = graph.input("x", {2, 3});
  refused("negative size -1", [&] { dt::broadcast_to(x, dt::Shape{-1}); });
  refused("[cast] there is no dtype", [&] { dt::cast(x, strange); });
  refused("[random_uniform] ", [&] { dt::random_uniform(graph, dt::Key{1}, {2}, 0, 1, strange); });
  refused("[one_hot] there is no dtype",
          [&] { dt::one_hot(graph.input("labels", {2}, dt::int64), 3, strange); });
}

TEST_CASE("results too large to be counted are refused by name") {
  dt::Graph graph;
  const dt::Var x = graph.input("x", {2, 3});
  const dt::Var tall = graph.input("tall", {std::int64_t{1} << 40, 1}, dt::float64);
  const dt::Var wide = graph.input("wide", {1, std::int64_t{1} << 40}, dt::float64);
  const auto refused = [](const char* name, const char* shape, const char* bytes, auto call) {
    const std::string text = error_of<dt::ShapeError>(call);
    for (const char* part : {name, shape, bytes, " at "}) CHECK(has(text, part));
  };
  refused("[tile]", "(2, 3)", "bytes", [&] { dt::tile(x, {highest, 1}); });
  refused("[tile]", "(2, 3)", "bytes", [&] { dt::tile(x, {highest, highest, 1, 1}); });
  refused("[repeat]", "(2, 3)", "bytes", [&] { dt::repeat(x, highest); });
  refused("[kron]", "(1099511627776, 1), (1099511627776, 1)", "bytes",
          [&] { dt::kron(tall, tall); });
  refused("[add]", "(1099511627776, 1)", "bytes", [&] { tall + wide; });
  refused("[meshgrid]", "", "bytes", [&] {
    const dt::Var line = dt::reshape(wide, {-1});
    dt::meshgrid({line, line});
  });
  refused("[one_hot]", "(1099511627776,)", "bytes", [&] {
    dt::one_hot(graph.input("labels", {std::int64_t{1} << 40}, dt::int64), std::int64_t{1} << 40);
  });
}

}  // namespace
