#include <dualtape/ops/like.hpp>

#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {

Tensor zeros_like(const Tensor& x, Location where) { return zeros(x.shape(), x.dtype(), where); }
Tensor ones_like(const Tensor& x, Location where) { return ones(x.shape(), x.dtype(), where); }

void detail::check_like(Var x, Location where) {
  if (!x.defined())
    fail<GraphError>({.op = "full_like",
                      .what = "it was given an empty Var",
                      .where = where,
                      .help = "give a Var of a graph, or a Tensor"});
}

Var zeros_like(Var x, Location where) { return full_like(x, 0, where); }
Var ones_like(Var x, Location where) { return full_like(x, 1, where); }

Var full_like(Var x, Var value, Location where) {
  detail::check_like(x, where);
  detail::check_like(value, where);
  const Var same = value.dtype() == x.dtype() ? value : cast({value, where}, x.dtype());
  return broadcast_to({same, where}, x.shape());
}

}  // namespace dualtape
