// Taylor mode: truncated power series, carried along the graph.
//
//   std::vector<dt::Tensor> c = dt::taylor(f, x, {v, w}, 4);  // f(x + v t + w t^2), c[k] of t^k
//   std::vector<dt::Tensor> d = dt::derivatives(g, 10)(t);    // g, g', g'' ... of one number
//   dt::Tensor m = dt::mixed_partial(f, {2, 0, 1})(x);        // d^3 f / dx_0^2 dx_2
//   auto c = dt::taylor(y, x, {v}, 4);                        // of Vars
//
// Coefficients are those of the powers of t, not derivatives: the k-th is the k-th derivative over
// k!. One sweep to order K takes the operations of some K^2 / 2 tangents where forward mode nested
// K times takes 2^K. Given Vars these add nodes to their graph, so that series nest with everything
// else; given Tensors functions keep programs as jit() does. laplacian() and its like are in
// modes/laplacian.hpp.
//
// Linear operators apply to each coefficient, bilinear ones make products of Cauchy, elementwise
// ones follow recurrences (modes/taylor/recurrences.cpp). For every other operator no rule is
// needed: the result's slope is its jvp at x(t) along dx/dt, so that coefficient k is coefficient
// k - 1 of that, over k. Calls and loops carry the series of their bodies. Branches (cond),
// implicit functions and functions with derivatives of their own go the general way, which nests
// their jvp: their cost grows with 2^K.
#pragma once

#include <array>
#include <concepts>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <dualtape/core/callable.hpp>
#include <dualtape/modes/functional.hpp>
#include <dualtape/modes/mode.hpp>
#include <dualtape/modes/wrt.hpp>

namespace dualtape {

// A Var as a function of t: the coefficients of t^0, t^1 ..., absent where zero. The first is the
// Var itself.
struct Series {
  std::vector<MaybeVar> terms;
};

namespace detail {
class Expansion;
}

// Series up to a power of t, in one graph. A rule of yours is given the series of the operands,
// which may be shorter than the order, and gives as many terms as they have.
class TaylorMode : public Mode<Series> {
 public:
  // ValueError unless order is 1 to 64.
  TaylorMode(Graph& graph, int order, Location where = Location::current());
  ~TaylorMode() override;

 protected:
  std::vector<MaybeState> elementwise(const NodeView& node,
                                      std::span<const MaybeState> in) override;
  std::vector<MaybeState> linear(const NodeView& node, std::span<const MaybeState> in) override;
  std::vector<MaybeState> bilinear(const NodeView& node, std::span<const MaybeState> in) override;
  std::vector<MaybeState> general(const NodeView& node, std::span<const MaybeState> in) override;
  void begin(Graph& graph, Location where) override;
  // A coefficient has the shape and dtype of its Var; DerivativeError otherwise.
  void check(const NodeView& node, std::span<const MaybeState> out) override;
  void visit(const Node& node, const std::function<void()>& rule) override;

 private:
  struct Parts;
  std::vector<MaybeState> expand(const NodeView& node, std::span<const MaybeState> in);
  std::unique_ptr<Parts> parts_;
};

// The series of `outputs` where wrt[i] is x_i + paths[i][0] t + paths[i][1] t^2 + ...: of each
// output the coefficients of t^0 to t^order, absent where zero. Paths may be of any length; what is
// beyond the order has no effect. Throws GraphError, ShapeError or TypeError unless there is a path
// for each input, of its type and graph, ValueError unless order is 1 to 64, and DerivativeError
// for an operator that has no derivative.
std::vector<std::vector<MaybeVar>> taylor_all(const std::vector<Var>& outputs, const WrtList& wrt,
                                              const std::vector<std::vector<MaybeVar>>& paths,
                                              int order, Location where = Location::current());

// The same for one of each, with zeros where a coefficient is absent.
std::vector<Var> taylor(Var y, Var x, const std::vector<Var>& path, int order,
                        Location where = Location::current());

// y and its derivatives by the single number x up to the order: order + 1 Vars of y's shape.
// ShapeError unless x is of rank 0.
std::vector<Var> derivatives(Var y, Var x, int order, Location where = Location::current());

// The derivative of y taken orders[i] times by element i of x, of y's shape, without the lower
// ones: a sum of Taylor coefficients along the directions of which x's elements with an order above
// 0 take nonnegative integers that add up to the total order d, all in one sweep (Griewank, Utke
// and Walther, Evaluating higher derivative tensors by forward propagation of univariate Taylor
// series, Mathematics of Computation 69, 2000). There are (n + d - 1)! / (d! (n - 1)!) of them for
// n such elements. ValueError unless there are as many orders as x has elements, none negative,
// adding up to 1 to 16.
Var mixed_partial(Var y, Var x, const std::vector<std::int64_t>& orders,
                  Location where = Location::current());
// By several numbers x[i] of rank 0.
Var mixed_partial(Var y, const std::vector<Var>& x, const std::vector<std::int64_t>& orders,
                  Location where = Location::current());

// ---- of functions of Vars -----------------------------------------------------------------------

namespace detail {

// What is made of a function's value and its arguments, as a function of Vars and of Tensors.
template <class F, class Make>
class MadeOfFunction {
 public:
  MadeOfFunction(F f, Make make, Called called)
      : f_(std::move(f)),
        make_(std::move(make)),
        called_(called),
        cache_(std::make_shared<FunctionCache>(CompileOptions{}, called.where)) {
    require_callable(!is_null(f_), called.function, called.where);
  }
  template <std::same_as<Var>... Vars>
  requires(sizeof...(Vars) > 0) auto operator()(Vars... x) const {
    const std::array<Var, sizeof...(Vars)> in{x...};
    return on_vars(in);
  }
  template <std::same_as<Tensor>... Tensors>
  requires(sizeof...(Tensors) > 0) auto operator()(const Tensors&... x) const {
    const std::array<Tensor, sizeof...(Tensors)> in{x...};
    require_callable(cache_ != nullptr, called_.function, called_.where);
    constexpr bool one = std::same_as<decltype(on_vars(std::span<const Var>())), Var>;
    std::vector<Tensor> made = cache_->run(
        [this](std::span<const Var> vars) -> std::vector<Var> { return {on_vars(vars)}; }, in);
    if constexpr (one)
      return std::move(made[0]);
    else
      return made;
  }

 private:
  auto on_vars(std::span<const Var> x) const {
    require_callable(cache_ != nullptr, called_.function, called_.where);
    const Var y = require_alive(call_with(f_, x, called_), called_.function,
                                "what the function returns", called_.where);
    return make_(y, x, called_.where);
  }

  F f_;
  Make make_;
  Called called_;
  std::shared_ptr<FunctionCache> cache_;  // of all copies
};

std::vector<Tensor> taylor_at(const VarFunction& f, const std::vector<Tensor>& x,
                              const std::vector<std::vector<Tensor>>& paths, int order,
                              Location where);
// ShapeError unless there is one argument.
Var only_argument(std::span<const Var> x, const char* function, Location where);
Var partial_by_arguments(Var y, std::span<const Var> x, const std::vector<std::int64_t>& orders,
                         Location where);

template <class F>
concept NoVar = !std::convertible_to<F, Var>;

}  // namespace detail

// The coefficients of f(x + path[0] t + path[1] t^2 + ...), of t^0 to t^order. Builds and runs a
// graph of its own.
template <detail::NoVar F>
std::vector<Tensor> taylor(F f, const Tensor& x, const std::vector<Tensor>& path, int order,
                           Location where = Location::current()) {
  return detail::taylor_at(detail::erase(std::move(f), {"taylor", where}), {x}, {path}, order,
                           where);
}
// Of a function of several arguments, each along a path of its own.
template <detail::NoVar F>
std::vector<Tensor> taylor(F f, const std::vector<Tensor>& x,
                           const std::vector<std::vector<Tensor>>& paths, int order,
                           Location where = Location::current()) {
  return detail::taylor_at(detail::erase(std::move(f), {"taylor", where}), x, paths, order, where);
}

// f and its derivatives by its one number, as a function of a Var or a Tensor of rank 0.
template <detail::NoVar F>
auto derivatives(F f, int order, Location where = Location::current()) {
  const auto make = [order](Var y, std::span<const Var> x, Location at) {
    return derivatives(y, detail::only_argument(x, "derivatives", at), order, at);
  };
  return detail::MadeOfFunction<F, decltype(make)>(std::move(f), make, {"derivatives", where});
}

// As a function of one argument, whose elements have an order each, or of several numbers.
template <detail::NoVar F>
auto mixed_partial(F f, std::vector<std::int64_t> orders, Location where = Location::current()) {
  const auto make = [orders = std::move(orders)](Var y, std::span<const Var> x, Location at) {
    return detail::partial_by_arguments(y, x, orders, at);
  };
  return detail::MadeOfFunction<F, std::decay_t<decltype(make)>>(std::move(f), make,
                                                                 {"mixed_partial", where});
}

}  // namespace dualtape
