// What the tests of GradBench's evaluations share.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include <dualtape/core/tensor.hpp>

namespace gradbench {

using Numbers = std::vector<double>;

// The benchmark's uniform numbers: NumPy's legacy generator with the seed 31337.
class Draws {
 public:
  dualtape::Tensor operator()(dualtape::Shape shape) {
    dualtape::Tensor made(std::move(shape), dualtape::float64);
    for (double& u : made.data<double>()) {
      const auto high = static_cast<double>(generator_() >> 5);
      u = (high * 67108864.0 + static_cast<double>(generator_() >> 6)) / 9007199254740992.0;
    }
    return made;
  }

 private:
  std::mt19937 generator_{31337};
};

inline dualtape::Tensor tensor(const Numbers& values, dualtape::Shape shape) {
  return dualtape::Tensor::from(values, std::move(shape));
}
inline void check_numbers(const dualtape::Tensor& got, const Numbers& wanted,
                          double relative = 1e-11) {
  const std::span<const double> values = got.data<double>();
  REQUIRE(values.size() == wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    CAPTURE(i);
    CHECK(std::abs(values[i] - wanted[i]) <= relative * std::max(1.0, std::abs(wanted[i])));
  }
}

}  // namespace gradbench
