// Graphs and tapes as text and as drawings.
#include <doctest/doctest.h>

#include <sstream>
#include <string>

#include <dualtape/core/listing.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dt = dualtape;

TEST_CASE("a graph is listed one node a line") {
  dt::Graph g;
  const dt::Var x = g.input("x", {2});
  dt::square(x).named("y");
  CHECK(to_string(g) ==
        "%0 = input {name=x, shape=(2,), dtype=float32} : float32 (2,)  'x'\n"
        "%1 = square %0 : float32 (2,)  'y'\n");
}

TEST_CASE("a Var is printed as its line, a Type as in error texts") {
  dt::Graph g;
  const dt::Var x = g.input("x", {2});
  const auto text = [](const auto& value) {
    std::ostringstream out;
    out << value;
    return out.str();
  };
  CHECK(text(x) == "%0 = input : float32 (2,)  'x'");
  CHECK(text(dt::square(x)) == "%1 = square : float32 (2,)");
  CHECK(text(dt::Var{}) == "Var of no graph");
  CHECK(text(x.type()) == "float32 (2,)");
}

TEST_CASE("a tape is listed and drawn with the labels of the nodes it belongs to") {
  dt::Graph g;
  const dt::Var x = g.input("x", {2});
  dt::Var h = x;
  for (int i = 0; i < 40; ++i) h = dt::sin(h).named("layer " + std::to_string(i));
  const dt::Linearized linear({h}, {x});
  const std::string text = to_string(linear.tape());
  // Each entry multiplies the tangent before it by a coefficient of the graph.
  CHECK(text.find("%40 = mul ^") != std::string::npos);
  CHECK(text.find("'layer 39'  (tangent)") != std::string::npos);
  CHECK(text.find("%0 = input {name=d0") == 0);
  const std::string drawing = to_dot(linear.tape());
  CHECK(drawing.find("layer 39") != std::string::npos);
  CHECK(drawing.find("  o") != std::string::npos);
}
