// A graph with other values in the place of some: what depends on them is built again.
//
//   // A net as a function of its weights and its input, all of them Vars.
//   const auto net = dt::functional(mlp, mlp.parameters());
//   const auto outputs = dt::vmap(net, {.in = {0, 0, 0, 0, std::nullopt}});  // many sets of
//   weights
//
// Graphs are built by one thread at a time.
#pragma once

#include <array>
#include <concepts>
#include <span>
#include <utility>
#include <vector>

#include <dualtape/core/callable.hpp>
#include <dualtape/modes/functional.hpp>

namespace dualtape {

// `outputs` with `now` in the place of `before`, one for each, of its type and of the same graph.
// An output that depends on none of them stays what it is. Throws GraphError, ShapeError,
// TypeError.
std::vector<Var> substitute(const std::vector<Var>& outputs, const std::vector<Var>& before,
                            const std::vector<Var>& now, Location where = Location::current());

namespace detail {
// What stands in the place of Vars while a function's graph is built.
std::vector<Var> stand_ins(std::span<const Var> vars, Location where);
// GraphError unless y depends on each of the Parameters that are read.
void require_read(Var y, const std::vector<Var>& reads, Location where);
}  // namespace detail

// A function that reads Parameters as one of (a Var for each Parameter, its own arguments).
template <class F>
class Functional {
 public:
  Functional(F f, std::vector<Parameter> parameters, Location where)
      : f_(std::move(f)), parameters_(std::move(parameters)), where_(where) {
    detail::require_callable(!detail::is_null(f_), "functional", where);
  }
  // ValueError for fewer Vars than Parameters and one argument.
  Var operator()(std::span<const Var> x) const {
    const std::size_t weights = parameters_.size();
    if (x.size() <= weights)
      detail::require_arguments(weights + 1, x.size(), {"functional", where_});
    std::vector<Var> before = read(x[weights]);
    // The arguments may depend on the Parameters, too, and stay what they are.
    const std::vector<Var> arguments = detail::stand_ins(x.subspan(weights), where_);
    const Var y = detail::call_with(f_, arguments, {"functional", where_});
    detail::require_read(y, before, where_);
    before.insert(before.end(), arguments.begin(), arguments.end());
    return substitute({y}, before, {x.begin(), x.end()}, where_)[0];
  }
  template <std::same_as<Var>... Vars>
  requires(sizeof...(Vars) > 1) Var operator()(Vars... x) const {
    const std::array<Var, sizeof...(Vars)> in{x...};
    return (*this)(std::span<const Var>(in));
  }

 private:
  std::vector<Var> read(Var x) const {
    std::vector<Var> reads;
    for (const Parameter& parameter : parameters_)
      reads.push_back(x.graph(where_).read(parameter, where_));
    return reads;
  }

  F f_;
  std::vector<Parameter> parameters_;
  Location where_;
};

// GraphError for a null function.
template <class F>
Functional<F> functional(F f, std::vector<Parameter> parameters,
                         Location where = Location::current()) {
  return Functional<F>(std::move(f), std::move(parameters), where);
}

}  // namespace dualtape
