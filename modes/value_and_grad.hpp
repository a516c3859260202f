// The value of a scalar function with its gradients, from one program; by its arguments, or by the
// Parameters that it reads.
//
//   auto [y, dy] = dt::value_and_grad(f)(x);
//   auto [z, slopes] = dt::value_and_grad(h)(x, y);  // slopes[0] by x, slopes[1] by y
//   auto step = dt::value_and_grad(loss, mlp.parameters());
//   auto [l, gradients] = step(inputs, labels);      // gradients[i] by parameter i
//   auto g = dt::grad(loss, mlp.parameters())(inputs, labels);
//
// What these return keeps its programs as jit() does, and reads Parameters in every call; any
// thread may call it. Functions are those of modes/functional.hpp. Errors name the line of
// value_and_grad() or grad(); a null function is a GraphError.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <dualtape/core/callable.hpp>
#include <dualtape/modes/functional.hpp>

namespace dualtape {

template <class V, class G>
struct ValueAndGradient {
  V value;
  G gradient;
};

namespace detail {

class Gradient {
 public:
  Gradient(VarFunction f, std::optional<std::vector<Parameter>> by, Called called);

  // The value, then the gradients.
  std::vector<Var> operator()(std::span<const Var> x) const;
  std::vector<Tensor> operator()(std::span<const Tensor> x) const;

 private:
  VarFunction f_;
  std::optional<std::vector<Parameter>> by_;  // the arguments if there are none
  Called called_;
  std::shared_ptr<FunctionCache> cache_;  // of all copies
};

template <class F>
Gradient gradient_of(F f, std::optional<std::vector<Parameter>> by, Called called) {
  require_callable(!is_null(f), called.function, called.where);
  return {
      [f = std::move(f), called](std::span<const Var> x) -> Var { return call_with(f, x, called); },
      std::move(by), called};
}

}  // namespace detail

class ValueAndGrad {
 public:
  explicit ValueAndGrad(detail::Gradient gradient) : gradient_(std::move(gradient)) {}

  ValueAndGradient<Var, Var> operator()(Var x) const {
    const std::vector<Var> all = gradient_(std::span<const Var>(&x, 1));
    return {all[0], all[1]};
  }
  ValueAndGradient<Tensor, Tensor> operator()(const Tensor& x) const {
    const std::vector<Tensor> all = gradient_(std::span<const Tensor>(&x, 1));
    return {all[0], all[1]};
  }
  template <std::same_as<Tensor>... Tensors>
  requires(sizeof...(Tensors) > 1) ValueAndGradient<Tensor, std::array<Tensor, sizeof...(Tensors)>>
  operator()(const Tensors&... x) const {
    const std::array<Tensor, sizeof...(Tensors)> in{x...};
    const std::vector<Tensor> all = gradient_(std::span<const Tensor>(in));
    ValueAndGradient<Tensor, std::array<Tensor, sizeof...(Tensors)>> result;
    result.value = all[0];
    std::copy(all.begin() + 1, all.end(), result.gradient.begin());
    return result;
  }
  ValueAndGradient<Tensor, std::vector<Tensor>> operator()(const std::vector<Tensor>& x) const {
    const std::vector<Tensor> all = gradient_(std::span<const Tensor>(x));
    return {all[0], {all.begin() + 1, all.end()}};
  }

 private:
  detail::Gradient gradient_;
};
template <class F>
ValueAndGrad value_and_grad(F f, Location where = Location::current()) {
  return ValueAndGrad(detail::gradient_of(std::move(f), std::nullopt, {"value_and_grad", where}));
}

class ParameterValueAndGrad {
 public:
  explicit ParameterValueAndGrad(detail::Gradient gradient) : gradient_(std::move(gradient)) {}

  template <std::same_as<Tensor>... Tensors>
  requires(sizeof...(Tensors) > 0) ValueAndGradient<Tensor, std::vector<Tensor>>
  operator()(const Tensors&... x) const { return (*this)(std::vector<Tensor>{x...}); }
  ValueAndGradient<Tensor, std::vector<Tensor>> operator()(const std::vector<Tensor>& x) const {
    const std::vector<Tensor> all = gradient_(std::span<const Tensor>(x));
    return {all[0], {all.begin() + 1, all.end()}};
  }

 private:
  detail::Gradient gradient_;
};
template <class F>
ParameterValueAndGrad value_and_grad(F f, std::vector<Parameter> parameters,
                                     Location where = Location::current()) {
  return ParameterValueAndGrad(
      detail::gradient_of(std::move(f), std::move(parameters), {"value_and_grad", where}));
}

// The gradients alone.
class ParameterGrad {
 public:
  explicit ParameterGrad(ParameterValueAndGrad both) : both_(std::move(both)) {}

  template <std::same_as<Tensor>... Tensors>
  requires(sizeof...(Tensors) > 0) std::vector<Tensor>
  operator()(const Tensors&... x) const { return both_(x...).gradient; }
  std::vector<Tensor> operator()(const std::vector<Tensor>& x) const { return both_(x).gradient; }

 private:
  ParameterValueAndGrad both_;
};
template <class F>
ParameterGrad grad(F f, std::vector<Parameter> parameters, Location where = Location::current()) {
  return ParameterGrad(ParameterValueAndGrad(
      detail::gradient_of(std::move(f), std::move(parameters), {"grad", where})));
}

}  // namespace dualtape
