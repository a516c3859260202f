// Dropout: how much is dropped, that all modes and runs drop alike, and errors.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/dropout.hpp>
#include <dualtape/ops/random.hpp>
#include <dualtape/ops/reduce.hpp>

#include "known.hpp"
#include "moving.hpp"

using namespace known;
using moving::check_refused;

namespace {

TEST_CASE("elements are dropped with probability p and the others scaled up") {
  for (const dt::DType dtype : {dt::float32, dt::float64})
    for (const double p : {0.1, 0.5, 0.9}) {
      dt::Graph graph;
      constexpr std::int64_t count = 40000;
      const dt::Var y = dt::dropout(graph.constant(dt::ones({count}, dtype)), p, dt::Key{5});
      CHECK(y.dtype() == dtype);
      double dropped = 0;
      for (const double value : numbers(dt::eval(y))) {
        if (value == 0)
          ++dropped;
        else
          REQUIRE(value == doctest::Approx(1 / (1 - p)).epsilon(1e-6));
      }
      const double deviation = std::sqrt(count * p * (1 - p));
      CHECK(std::abs(dropped - count * p) < 4 * deviation);
    }
}

TEST_CASE("one key drops alike in both modes and every run, another key otherwise") {
  dt::Graph graph;
  const dt::Var x = graph.constant(dt::ones({200}, dt::float64));
  const dt::Var key = graph.input("key", {}, dt::int64);
  const dt::Var y = dt::dropout(x, 0.5, key);
  const dt::Var slope =
      dt::forward_all({y}, {x}, {graph.constant(dt::ones({200}, dt::float64))})[0].value();
  const dt::Var gradient = dt::reverse(dt::sum(y), {x})[x];
  dt::Program program = dt::compile({y, slope, gradient});
  const auto run = [&](std::uint64_t seed) {
    const auto out = program.run({{key, dt::Key{seed}.to_tensor()}});
    const Numbers values = numbers(out[y]);
    CHECK(numbers(out[slope]) == values);
    CHECK(numbers(out[gradient]) == values);
    return values;
  };
  const Numbers first = run(1);
  CHECK(run(2) != first);
  CHECK(run(1) == first);
  dt::Graph other;
  const dt::Var single = dt::dropout(other.constant(dt::ones({200})), 0.5, dt::Key{1});
  CHECK(numbers(dt::eval(single)) == first);
  CHECK(numbers(dt::eval(
            dt::dropout(other.constant(dt::ones({200}, dt::float64)), 0.5, dt::Key{1}))) == first);
}

TEST_CASE("nothing happens with p = 0 and while evaluating") {
  dt::Graph graph;
  const dt::Var x = graph.input("x", {3});
  CHECK(dt::dropout(x, 0, dt::Key{1}) == x);
  CHECK(dt::dropout(x, 0.5, dt::Key{1}, false) == x);
  CHECK(dt::dropout(x, 0.5, dt::Key{1}) != x);
}

TEST_CASE("what is dropped is zero even where x is NaN") {
  dt::Graph graph;
  const dt::Tensor values = dt::full({100}, std::numeric_limits<double>::quiet_NaN());
  const dt::Tensor y = dt::eval(dt::dropout(graph.constant(values), 0.5, dt::Key{3}));
  std::size_t zeros = 0;
  for (const double value : numbers(y)) zeros += value == 0 ? 1 : 0;
  CHECK(zeros > 20);
  CHECK(zeros < 80);
}

TEST_CASE("probabilities and keys that are none are refused") {
  dt::Graph graph;
  const dt::Var x = graph.input("x", {3});
  check_refused<dt::ValueError>([&] { dt::dropout(x, 1, dt::Key{1}); }, {"dropout", "p is 1"});
  check_refused<dt::ValueError>([&] { dt::dropout(x, -0.5, dt::Key{1}); }, {"p is -0.5"});
  check_refused<dt::ValueError>([&] { dt::dropout(x, NAN, dt::Key{1}, false); }, {"p is"});
  check_refused<dt::TypeError>([&] { dt::dropout(x, 0.5, graph.input("k", {})); }, {"int64"});
}

TEST_CASE("the derivatives hold in every mode") { moving::check_derivatives({"dropout"}); }

}  // namespace
