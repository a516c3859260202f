// Functions that optimisers are tried on, with their minima.
//
// Each takes points along the last axis, (..., n) to (...), so a grid for a contour plot or many
// runs side by side are one call. float32 or float64. ShapeError for a scalar or an n it is not
// defined for. Graphs are built by one thread at a time.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <dualtape/core/graph.hpp>

namespace dualtape {

// (1.5 - x + xy)^2 + (2.25 - x + xy^2)^2 + (2.625 - x + xy^3)^2, n = 2: flat along curved valleys.
// E. M. L. Beale, 1958.
Var beale(In x);
// sum_i 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2, n of 2 or more: a bent, narrow valley. H. H.
// Rosenbrock, The Computer Journal 3, 1960; in n dimensions K. A. De Jong, 1975.
Var rosenbrock(In x);
// sum_i x_i^2, any n.
Var sphere(In x);
// sum_i (x_i^4 - 16 x_i^2 + 5 x_i) / 2, any n: 2^n local minima. M. Styblinski and T.-S. Tang,
// Neural Networks 3, 1990.
Var styblinski_tang(In x);

struct TestFunction {
  std::string_view name;
  Var (*of)(In x);
  std::int64_t least_size;  // of n
  bool any_size;            // or exactly least_size
  double low;               // the usual domain of each coordinate
  double high;
  double (*minimum)(std::int64_t n);
  std::vector<double> (*minimiser)(std::int64_t n);
};

// All of the above.
const std::vector<TestFunction>& test_functions();

}  // namespace dualtape
