// Tensors and Vars of one number, as many as another one has. What makes a Tensor may be called
// from any thread; a graph may be built by one thread at a time.
#pragma once

#include <type_traits>

#include <dualtape/core/graph.hpp>

namespace dualtape {

namespace detail {
// GraphError for an empty Var.
void check_like(Var x, Location where);
}  // namespace detail

// Of x's shape and dtype: Tensors of their own, or constants of the graph, which take the memory of
// one element. For a Parameter p say zeros_like(p.value()).
Tensor zeros_like(const Tensor& x, Location where = Location::current());
Tensor ones_like(const Tensor& x, Location where = Location::current());
Var zeros_like(Var x, Location where = Location::current());
Var ones_like(Var x, Location where = Location::current());

// Each of them `value`; a Var is cast and broadcast. ShapeError unless that fits.
template <class T>
requires std::is_arithmetic_v<T> Tensor full_like(const Tensor& x, T value,
                                                  Location where = Location::current()) {
  return full(x.shape(), Number(value, where), x.dtype(), where);
}
Var full_like(Var x, Var value, Location where = Location::current());
template <class T>
requires std::is_arithmetic_v<T> Var full_like(Var x, T value,
                                               Location where = Location::current()) {
  detail::check_like(x, where);
  return full_like(x, x.graph().constant(full({}, Number(value, where), x.dtype(), where), where),
                   where);
}

}  // namespace dualtape
