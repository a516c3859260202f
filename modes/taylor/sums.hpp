// Sums over directions of the highest Taylor coefficient. Private. Adds nodes to the graph; one
// thread at a time.
#pragma once

#include <optional>
#include <vector>

#include <dualtape/modes/wrt.hpp>

namespace dualtape::detail {

// Directions of one input: (directions) + the shape of the input behind its points.
struct DirectionsOf {
  Var input;
  Var directions;
};

// sum_k weights[k] * the coefficient of t^order of y where each input moves along its direction k;
// without weights each counts 1. Of y's shape. All inputs have as many directions;
// throws what taylor_all() does.
Var sum_over_directions(Var y, const std::vector<DirectionsOf>& along,
                        const std::optional<Tensor>& weights, int order, Location where);

// n!
double factorial(std::int64_t n);

}  // namespace dualtape::detail
