// Sample calls of an operator: what check_op and the generated tests run. Plain values.
#pragma once

#include <functional>
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

}  // namespace dualtape
