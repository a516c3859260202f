// Jacobians and Hessians.
//
//   dt::Tensor J = dt::jacobian(f)(x);              // of shape f(x).shape() + x.shape()
//   dt::Tensor H = dt::hessian(f)(x);               // f scalar
//   auto [a, b] = dt::jacrev(h)(x, y);              // of a function of two, by each
//   dt::Tensor d = dt::derivative(g)(t);            // by one number t
//   dt::Var j = dt::jacfwd(y, x);                   // of Vars
//
// jacfwd carries a tangent for each element of x, jacrev a cotangent for each element of y, all in
// one sweep (modes/batching.hpp): what depends on x alone is computed once, and weights are read
// once for all directions. jacobian takes whichever is fewer. Given Vars these add nodes to their
// graph, so that they nest with everything else; given Tensors they keep programs as jit() does,
// and any thread may call them. Results are zero where y does not depend on x.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <dualtape/core/callable.hpp>
#include <dualtape/modes/functional.hpp>

namespace dualtape {

struct JacobianOptions {
  // The most memory that a program of this Jacobian works in, arena and workspace (MemoryUse);
  // neither its result nor what it is fed belongs to them. 0: no limit. The sweep is then made in
  // chunks of directions, one after the other, as large as fit and of one direction at least, which
  // is found by compiling the first two chunks for a few sizes. Inside a function that vmap is
  // building nothing can be compiled: there each direction is taken to need what its largest
  // operator reads and writes.
  std::int64_t bytes = 0;
};

// dy/dx, of shape y.shape() + x.shape(). Throws GraphError, TypeError unless both are floating and
// of one graph, ValueError for negative bytes.
Var jacfwd(Var y, Var x, const JacobianOptions& options = {}, Location where = Location::current());
Var jacrev(Var y, Var x, const JacobianOptions& options = {}, Location where = Location::current());
Var jacobian(Var y, Var x, const JacobianOptions& options = {},
             Location where = Location::current());
// dy/dx of any y by a single number x of rank 0, of y's shape; ShapeError for another x.
Var derivative(Var y, Var x, const JacobianOptions& options = {},
               Location where = Location::current());
// d^2y/dx^2 of a scalar, of shape x.shape() + x.shape(): forward over reverse. ShapeError unless y
// has one element.
Var hessian(Var y, Var x, const JacobianOptions& options = {},
            Location where = Location::current());

// The vector with the Hessian of a scalar y: v^T H, reverse over reverse. ShapeError or TypeError
// unless v is of the type of x.
Var vhp(Var y, Var x, Var v, Location where = Location::current());

namespace detail {

using JacobianOf = Var (*)(Var, Var, const JacobianOptions&, Location);

// By each argument, of a function of plain Vars.
template <class F>
class JacobianFunction {
 public:
  JacobianFunction(F f, JacobianOf by, const JacobianOptions& options, Called called)
      : f_(std::move(f)),
        by_(by),
        options_(options),
        called_(called),
        cache_(std::make_shared<FunctionCache>(CompileOptions{}, called.where)) {
    require_callable(!is_null(f_), called.function, called.where);
  }
  Var operator()(Var x) const { return by_all(std::span<const Var>(&x, 1))[0]; }
  Tensor operator()(const Tensor& x) const { return on_tensors(std::span(&x, 1))[0]; }

  template <std::same_as<Var>... Vars>
  requires(sizeof...(Vars) > 1) std::array<Var, sizeof...(Vars)>
  operator()(Vars... x) const {
    const std::array<Var, sizeof...(Vars)> in{x...};
    std::array<Var, sizeof...(Vars)> result;
    std::ranges::copy(by_all(in), result.begin());
    return result;
  }
  template <std::same_as<Tensor>... Tensors>
  requires(sizeof...(Tensors) > 1) std::array<Tensor, sizeof...(Tensors)>
  operator()(const Tensors&... x) const {
    const std::array<Tensor, sizeof...(Tensors)> in{x...};
    std::array<Tensor, sizeof...(Tensors)> result;
    std::ranges::copy(on_tensors(in), result.begin());
    return result;
  }
  std::vector<Tensor> operator()(const std::vector<Tensor>& x) const { return on_tensors(x); }

 private:
  std::vector<Var> by_all(std::span<const Var> x) const {
    require_callable(cache_ != nullptr, called_.function, called_.where);
    const Var y = require_alive(call_with(f_, x, called_), called_.function,
                                "what the function returns", called_.where);
    std::vector<Var> result;
    for (const Var& by : x) result.push_back(by_(y, by, options_, called_.where));
    return result;
  }
  std::vector<Tensor> on_tensors(std::span<const Tensor> x) const {
    require_callable(cache_ != nullptr, called_.function, called_.where);
    return cache_->run([this](std::span<const Var> in) { return by_all(in); }, x);
  }

  F f_;
  JacobianOf by_;
  JacobianOptions options_;
  Called called_;
  std::shared_ptr<FunctionCache> cache_;  // of all copies
};

template <class F>
concept FunctionOfVars = !std::convertible_to<F, Var>;

}  // namespace detail

template <detail::FunctionOfVars F>
auto jacfwd(F f, const JacobianOptions& options = {}, Location where = Location::current()) {
  return detail::JacobianFunction<F>(std::move(f), static_cast<detail::JacobianOf>(&jacfwd),
                                     options, {"jacfwd", where});
}
template <detail::FunctionOfVars F>
auto jacrev(F f, const JacobianOptions& options = {}, Location where = Location::current()) {
  return detail::JacobianFunction<F>(std::move(f), static_cast<detail::JacobianOf>(&jacrev),
                                     options, {"jacrev", where});
}
template <detail::FunctionOfVars F>
auto jacobian(F f, const JacobianOptions& options = {}, Location where = Location::current()) {
  return detail::JacobianFunction<F>(std::move(f), static_cast<detail::JacobianOf>(&jacobian),
                                     options, {"jacobian", where});
}
template <detail::FunctionOfVars F>
auto derivative(F f, const JacobianOptions& options = {}, Location where = Location::current()) {
  return detail::JacobianFunction<F>(std::move(f), static_cast<detail::JacobianOf>(&derivative),
                                     options, {"derivative", where});
}
// Of a function of several arguments, the blocks on the diagonal: by each of them twice.
template <detail::FunctionOfVars F>
auto hessian(F f, const JacobianOptions& options = {}, Location where = Location::current()) {
  return detail::JacobianFunction<F>(std::move(f), static_cast<detail::JacobianOf>(&hessian),
                                     options, {"hessian", where});
}
// v^T H of a scalar function at x.
template <detail::FunctionOfVars F>
Tensor vhp(F f, const Tensor& x, const Tensor& v, Location where = Location::current()) {
  const auto product = [f = std::move(f), where](Var at, Var along) {
    return vhp(detail::call_with(f, std::span<const Var>(&at, 1), {"vhp", where}), at, along,
               where);
  };
  return Jit<decltype(product)>(product, CompileOptions{}, where)(x, v);
}

}  // namespace dualtape
