// Holds a function of Vars against PyTorch's values and gradients in a file of fixtures.
#pragma once

#include <cmath>
#include <functional>
#include <map>
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

using Wanted = std::map<std::string, known::Numbers>;

inline std::vector<dt::Var> directions(std::span<const dt::Var> x) {
  std::vector<dt::Var> all;
  for (const dt::Var operand : x)
    all.push_back(operand.graph().constant(
        waves(static_cast<int>(all.size()) + 20, operand.shape()).to(operand.dtype())));
  return all;
}

// By forward mode, the derivative of y (of rank 0) along the directions is that of `wanted`, the
// gradients that are called by the letter.
inline void check_along(dt::Var y, Vars x, const Wanted& wanted, char letter, double tolerance) {
  double slope = 0;
  double scale = 1;
  for (std::size_t k = 0; k < x.size(); ++k) {
    const known::Numbers along = known::numbers(waves(static_cast<int>(k) + 20, x[k].shape()));
    const known::Numbers& gradient = wanted.at(letter + std::to_string(k));
    for (std::size_t i = 0; i < along.size(); ++i) {
      slope += gradient[i] * along[i];
      scale += std::abs(gradient[i] * along[i]);
    }
  }
  CHECK(std::abs(dt::eval(dt::forward(y, {x.begin(), x.end()}, directions(x))).item() - slope) <=
        tolerance * scale);
}

// Second derivatives: those of the derivative along the directions, which forward mode and reverse
// mode give, by reverse mode and by forward mode.
inline void check_twice(dt::Var loss, Vars x, const Wanted& wanted, double tolerance) {
  const std::vector<dt::Wrt> wrt{x.begin(), x.end()};
  const std::vector<dt::Var> along = directions(x);
  const auto gradients = dt::reverse(loss, wrt);
  std::vector<dt::Var> slopes;
  for (std::size_t k = 0; k < x.size(); ++k) slopes.push_back(dt::sum(along[k] * gradients[x[k]]));
  dt::Var slope = slopes[0];
  for (std::size_t k = 1; k < slopes.size(); ++k) slope = slope + slopes[k];
  for (const dt::Var first : {slope, dt::forward(loss, wrt, along)}) {
    const auto second = dt::reverse(first, wrt);
    for (std::size_t k = 0; k < x.size(); ++k) {
      CAPTURE(k);
      known::check_close(known::numbers(dt::eval(second[x[k]])), wanted.at("h" + std::to_string(k)),
                         tolerance);
    }
    check_along(first, x, wanted, 'h', tolerance);
  }
}

// Values and gradients in float64 and float32, and forward mode against the gradients; second
// derivatives in float64, where the file has them.
inline void check(const std::string& file, const std::string& name,
                  const std::vector<dt::Shape>& shapes,
                  const std::function<dt::Var(Vars)>& function) {
  CAPTURE(name);
  const Wanted wanted = fixtures::read_case(file, name);
  REQUIRE((wanted.size() == shapes.size() + 1 || wanted.size() == 2 * shapes.size() + 1));
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
    for (std::size_t k = 0; k < x.size(); ++k) {
      CAPTURE(k);
      known::check_close(known::numbers(dt::eval(gradients[x[k]])),
                         wanted.at("d" + std::to_string(k)), tolerance);
    }
    check_along(loss, x, wanted, 'd', tolerance);
    if (dtype == dt::float64 && wanted.contains("h0")) check_twice(loss, x, wanted, tolerance);
  }
}

}  // namespace torch_cases
