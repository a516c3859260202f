// Linearize once, apply often: a function at a point as the linear map it is nearby.
//
//   const auto [y, linear] = dt::linearize(f, x);
//   dt::Tensor dy = linear(v);               // J v, as jvp() gives
//   dt::Tensor dx = linear.transpose(c);     // J^T c, as a pullback does
//   const auto h = dt::linearize(dt::grad(f), x).linear;   // Hessian times vector, many times
//   const auto back = dt::transpose(a, {x.type()});        // of a function a that is linear
//   dt::Tensor at_c = back(c);                              // A^T c
//
// What depends on x alone is computed once, here, and kept: Parameters count as they are now. Each
// application then runs only what depends on the direction.
#pragma once

#include <concepts>
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

// What transpose() gives. Copies share their programs; any thread may call it.
class TransposedFunction {
 public:
  // A^T c for a cotangent c of the type of the function's value: one Var or Tensor for each
  // argument, of its type, and zero where the value does not depend on it. Given a Var, nodes are
  // added to its graph, so that it is differentiated, batched and transposed as any function of
  // Vars. DerivativeError, which names the operator and its line, where the function is not linear
  // in its arguments; ShapeError or TypeError for another c.
  std::vector<Var> all(Var c) const;
  std::vector<Tensor> all(const Tensor& c) const;
  // The same of a function of one argument; ValueError for one of several.
  Var operator()(Var c) const { return all(only(c))[0]; }
  Tensor operator()(const Tensor& c) const { return all(only(c))[0]; }

  // As transpose() makes it.
  TransposedFunction(VarFunction f, std::vector<Type> arguments, Location where);

 private:
  template <class T>
  const T& only(const T& c) const {
    require_one();
    return c;
  }
  void require_one() const;
  VarFunction f_;
  std::vector<Type> arguments_;
  Location where_;
  std::shared_ptr<detail::FunctionCache> cache_;  // of all copies
};

namespace detail {
// The derivative of y along directions of inputs, absent where there is none, made of the entries
// of reverse mode's tape: those are linear one by one, and what they read of the values is computed
// apart, for loops, too. Where a function on the way has a vjp of its own, whose entry is never
// run, by forward mode.
MaybeVar linear_along(Var y, const std::vector<Var>& inputs, const std::vector<Var>& directions,
                      Location where);
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

// The transpose of a function that is linear in all its arguments, which are of these types: c to
// A^T c. Its graph is built for each call, and the arguments have no values in it. A sum with
// anything but zeros, such as x + 1, is not linear. ValueError if there are no arguments, TypeError
// unless all are float32 or float64.
template <class F>
requires(!std::convertible_to<F, Var>) TransposedFunction
    transpose(F f, std::vector<Type> arguments, Location where = Location::current()) {
  return {detail::erase(std::move(f), {"transpose", where}), std::move(arguments), where};
}

}  // namespace dualtape
