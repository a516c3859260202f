// Sample calls of an operator, and calls at the edges of its domain: what check_op and the
// generated tests run. Plain values.
#pragma once

#include <functional>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <dualtape/core/graph.hpp>
#include <dualtape/core/random.hpp>

namespace dualtape {

// Where an operator's input may be drawn from: an interval, and points (kinks, poles) to keep away
// from by `margin`.
struct Domain {
  double low = -2;
  double high = 2;
  std::vector<double> avoided = {};
  double margin = 0.05;

  Domain avoid(double point) const {
    Domain copy = *this;
    copy.avoided.push_back(point);
    return copy;
  }
};
inline Domain domain(double low, double high) { return {low, high}; }

// One argument of a sample call. A floating argument is drawn in the dtype under test; an integer
// or bool one is drawn from `domain` as it is. `make` overrides the draw (well-conditioned
// matrices...), giving float64 values that are converted.
struct Arg {
  Shape shape;
  Domain domain = {};
  DType dtype = float64;  // float64 stands for "the floating dtype under test"
  std::function<Tensor(Key)> make = {};
};

struct Case {
  std::string name;
  std::vector<Arg> args;
  // Builds the call on the given inputs; every floating output is checked.
  std::function<std::vector<Var>(std::span<const Var>)> build;
};

// The values of an argument: drawn from `key`, equal for equal keys.
Tensor draw(const Arg& arg, Key key, DType floating);

// A call at an edge of the operator's domain, where random samples never look: tails where a value
// or a derivative cancels, zeros and ties, infinities, NaN, denormals, huge and tiny scales,
// limits. The right numbers come from closed forms in wider arithmetic, never from the operator
// itself.
//
//   static std::vector<dt::Edge> edges() {
//     return {dt::edge("far below", {-5.5}, -1.0444258776e-7, {-6.9e-7}),
//             dt::edge("limit", {-dt::infinity}, 0, {0})};
//   }
//
// check_op runs each in float64, and in float32 where float32 holds the numbers of `at` exactly.
// Beside the numbers, laws are held: forward mode against reverse mode, the four nestings of second
// order against each other, constants against feeds.
struct Edge {
  std::string name;
  std::vector<Tensor> at;           // one an argument; floating ones in float64
  std::vector<Tensor> values = {};  // the outputs (booleans as 0 and 1); empty: laws alone
  std::vector<Tensor> slopes = {};  // of the sum of all outputs by each floating argument
  double ulp = 4;                   // allowed error of values, in units of the last place
  double slope_ulp = 16;            // of slopes
  bool second_order = true;         // whether the four nestings must agree; say why where not
  bool mixed = true;                // and mixed second slopes in either order of two arguments
  // The call; by default the operator on its arguments, without attributes.
  std::function<std::vector<Var>(std::span<const Var>)> build = {};
};

inline constexpr double infinity = std::numeric_limits<double>::infinity();
inline constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

// One number an operand, as most elementwise operators want.
Edge edge(std::string name, const std::vector<double>& at, double value,
          const std::vector<double>& slopes = {});
// The same with other allowances than Edge's, in units of the last place.
Edge edge(std::string name, const std::vector<double>& at, double value,
          const std::vector<double>& slopes, double ulp, double slope_ulp);

}  // namespace dualtape
