// A line search that ends at the strong Wolfe conditions: Nocedal and Wright, Numerical
// Optimization, second edition, algorithms 3.5 and 3.6.
#pragma once

#include <cmath>
#include <functional>
#include <optional>
#include <vector>

namespace dualtape::detail {

// The loss at a distance along a line.
struct Trial {
  double step = 0;
  double loss = 0;
  double slope = 0;  // derivative of the loss by the step
  std::vector<double> point = {};
  std::vector<double> gradient = {};

  bool finite() const { return std::isfinite(loss) && std::isfinite(slope); }
};

struct Wolfe {
  double c1 = 1e-4;
  double c2 = 0.9;
};

// A trial that meets both conditions; failing that the lowest that meets the first; nothing where
// there is none, or where `at` returns none any more. `start` is at step 0 and falls.
std::optional<Trial> search_line(const std::function<std::optional<Trial>(double step)>& at,
                                 const Trial& start, double first_step, const Wolfe& wolfe);

}  // namespace dualtape::detail
