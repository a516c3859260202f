// Linearize once, apply often: a function at a point as the linear map it is nearby.
//
//   const auto [y, linear] = dt::linearize(f, x);
//   dt::Tensor dy = linear(v);               // J v, as jvp() gives
//   dt::Tensor dx = linear.transpose(c);     // J^T c, as a pullback does
//   const auto h = dt::linearize(dt::grad(f), x).linear;   // Hessian times vector, many times
//
// What depends on x alone is computed once, here, and kept: Parameters count as they are now. Each
// application then runs only what depends on the direction.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include <dualtape/modes/functional.hpp>

namespace dualtape {

// Copies share what they keep; one that was made by default is empty, and a call a GraphError. Any
// thread, one at a time.
class LinearMap {
 public:
  // J v for a direction of the inputs' types; J^T c for a cotangent of the value's. ShapeError or
  // TypeError for others.
  Tensor operator()(const Tensor& v, Location where = Location::current()) const;
  Tensor operator()(const std::vector<Tensor>& v, Location where = Location::current()) const;
  Tensor transpose(const Tensor& c, Location where = Location::current()) const;  // of one input
  std::vector<Tensor> transpose_all(const Tensor& c, Location where = Location::current()) const;

 private:
  friend struct LinearizeAt;
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

struct Linearization {
  Tensor value;
  LinearMap linear;
};

namespace detail {
Linearization linearize_at(const VarFunction& f, const std::vector<Tensor>& x, Location where);
}  // namespace detail

// Throws what building and running f throws; TypeError for an integer argument.
template <class F>
Linearization linearize(F f, const Tensor& x, Location where = Location::current()) {
  return detail::linearize_at(detail::erase(std::move(f), {"linearize", where}), {x}, where);
}
template <class F>
Linearization linearize(F f, const std::vector<Tensor>& x, Location where = Location::current()) {
  return detail::linearize_at(detail::erase(std::move(f), {"linearize", where}), x, where);
}

}  // namespace dualtape
