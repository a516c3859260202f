// Lists of what modes differentiate by.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <dualtape/core/random.hpp>
#include <dualtape/modes/estimators.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/reduce.hpp>
#include <tests/errors.hpp>

namespace dt = dualtape;
using dt::testing::error_of;
using dt::testing::has;

TEST_CASE("what is listed twice is refused by every mode, by name") {
  dt::Graph g;
  const dt::Parameter w("weight", dt::ones({3}));
  const dt::Var x = g.input("x", {3});
  const dt::Var key = g.input("key", {}, dt::int64);
  const dt::Var read = g.read(w);
  const dt::Var loss = dt::sum(read * x);
  const dt::Var ones = g.constant(dt::ones({3}));
  for (const dt::WrtList& list :
       {dt::WrtList{w, w}, dt::WrtList{w, x, w}, dt::WrtList{w, read}, dt::WrtList{x, w, x}}) {
    const std::vector<dt::Var> tangents(list.size(), ones);
    const std::string name = list.front().parameter() ? "'weight'" : "'x'";
    for (const std::string& text :
         {error_of<dt::GraphError>([&] { static_cast<void>(dt::reverse(loss, list)); }),
          error_of<dt::GraphError>(
              [&] { static_cast<void>(dt::reverse(loss, list, dt::Unreachable::zero)); }),
          error_of<dt::GraphError>([&] { static_cast<void>(dt::forward(loss, list, tangents)); }),
          error_of<dt::GraphError>(
              [&] { static_cast<void>(dt::forward_gradient(loss, list, key)); }),
          error_of<dt::GraphError>([&] {
            static_cast<void>(dt::forward_gradient(loss, list, key,
                                                   {.directions = dt::Directions::per_parameter}));
          })}) {
      CHECK(has(text, "listed twice"));
      CHECK(has(text, name));
      CHECK(has(text, "wrt_test.cpp"));
    }
  }
  // Equal parameters are not one, and outputs of one node are not, either.
  const dt::Parameter other("weight", dt::ones({3}));
  const dt::Var both = dt::sum(read * g.read(other));
  CHECK(dt::reverse(both, {w, other}).size() == 2);
}

TEST_CASE("a gradient of another shape or dtype than its input is refused where it is given") {
  dt::Graph g;
  const dt::Var x = g.input("x", {3});
  dt::Gradients gradients;
  gradients.add(x, x, x * 2.0);
  CHECK(gradients.size() == 1);
  const std::string shape = error_of<dt::ShapeError>([&] { gradients.add(x, x, dt::sum(x)); });
  CHECK(has(shape, "[gradients 'x'] the input is float32 (3,), its gradient is float32 ()"));
  CHECK(has(shape, "wrt_test.cpp:"));
  CHECK_THROWS_AS(gradients.add(x, x, g.constant(dt::ones({3}, dt::float64))), dt::TypeError);
  CHECK(gradients.size() == 1);
}
