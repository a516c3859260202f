// Composite: a function made of operators that looks like one of them to its users.
//
//   Var cosine(In a, In b) {
//     const Composite c("cosine", {a, b});
//     const Var x = c[0], y = c[1];
//     return sum(x * y) / (norm(x) * norm(y));
//   }
//
// While it lives, every node that its graph gets and every error about an operand carries the line
// of the call of `cosine`, however deep the functions that make them: what stands between needs to
// pass no Location on. The thread that builds the graph makes it and ends it.
#pragma once

#include <initializer_list>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include <dualtape/core/graph.hpp>

namespace dualtape {

class [[nodiscard]] Composite {
 public:
  // Brings the operands into one graph: parameters are read there, tensors become constants, and
  // literals too, with the dtype of the first Var where that holds their value. The line is that of
  // the first operand that has one, or of the composite around it. Throws GraphError in the name of
  // `function` if no operand is in a graph, one is an undefined Var, or two are of different
  // graphs.
  Composite(std::string_view function, std::initializer_list<In> operands)
      : Composite(function, std::span<const In>(operands.begin(), operands.size())) {}
  Composite(std::string_view function, std::span<const In> operands);
  Composite(const Composite&) = delete;
  Composite& operator=(const Composite&) = delete;
  ~Composite();

  // GraphError where there is no operand i.
  Var operator[](std::size_t i) const {
    if (i >= operands_.size()) refuse(i);
    return operands_[i];
  }
  const std::vector<Var>& operands() const { return operands_; }
  // The graph that the operands share: a scratch graph where one of them is of it.
  Graph& graph() const {
    Graph* const graph = handle_.get();
    return graph != nullptr ? *graph : operands_.front().graph(where_);
  }
  // The user's line, for errors of the function's own.
  Location where() const { return where_; }

 private:
  [[noreturn]] void refuse(std::size_t i) const;

  Location where_;
  GraphHandle handle_;
  std::vector<Var> operands_;
  GraphHandle pinned_[2];  // a scratch graph and its parent; none where an outer one holds already
};

namespace detail {

// f(vars...), where f notes the line of `where` if it is one that takes In or a Location: an
// operator, a layer, or a function such as cholesky. A lambda of the user's notes lines of its own.
template <class F, class... Vars>
auto call_at(const F& f, Location where, Vars... vars) {
  constexpr bool is_function = std::is_pointer_v<F> || requires { F::op(); };
  if constexpr (is_function && std::is_invocable_v<const F&, decltype(In(vars, where))...>)
    return f(In(vars, where)...);
  else if constexpr (std::is_class_v<F> && std::is_invocable_v<const F&, Vars..., Location>)
    return f(vars..., where);
  else
    return f(vars...);
}

}  // namespace detail

}  // namespace dualtape
