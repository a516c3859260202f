// Holds a function of Vars against PyTorch's values and gradients in a file of fixtures.
#pragma once

#include <cmath>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/reduce.hpp>
#include <tests/fixtures/read.hpp>

#include "known.hpp"

namespace torch_cases {

namespace dt = dualtape;
using fixtures::waves;
using Vars = std::span<const dt::Var>;

// Values and gradients in float64 and float32, and forward mode against the gradients.
inline void check(const std::string& file, const std::string& name,
                  const std::vector<dt::Shape>& shapes,
                  const std::function<dt::Var(Vars)>& function) {
  CAPTURE(name);
  const auto wanted = fixtures::read_case(file, name);
  REQUIRE(wanted.size() == shapes.size() + 1);
  for (const dt::DType dtype : {dt::float64, dt::float32}) {
    CAPTURE(std::string(dt::name_of(dtype)));
    const double tolerance = dtype == dt::float64 ? 1e-12 : 2e-5;
    dt::Graph graph;
    std::vector<dt::Var> x;
    for (std::size_t k = 0; k < shapes.size(); ++k)
      x.push_back(graph.constant(waves(static_cast<int>(k), shapes[k]).to(dtype)));
    const dt::Var y = function(x);
    known::check_close(known::numbers(dt::eval(y)), wanted.at("y"), tolerance);
    const dt::Var loss = dt::sum(graph.constant(waves(9, y.shape()).to(dtype)) * y);
    const auto gradients = dt::reverse(loss, {x.begin(), x.end()});
    double slope = 0;
    double scale = 1;
    std::vector<dt::Var> directions;
    for (std::size_t k = 0; k < x.size(); ++k) {
      CAPTURE(k);
      const known::Numbers& gradient = wanted.at("d" + std::to_string(k));
      known::check_close(known::numbers(dt::eval(gradients[x[k]])), gradient, tolerance);
      const dt::Tensor direction = waves(static_cast<int>(k) + 20, shapes[k]);
      directions.push_back(graph.constant(direction.to(dtype)));
      const known::Numbers along = known::numbers(direction);
      for (std::size_t i = 0; i < along.size(); ++i) {
        slope += gradient[i] * along[i];
        scale += std::abs(gradient[i] * along[i]);
      }
    }
    CHECK(std::abs(dt::eval(dt::forward(loss, {x.begin(), x.end()}, directions)).item() - slope) <=
          tolerance * scale);
  }
}

}  // namespace torch_cases
