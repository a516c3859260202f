// How a linear system is made of a user's map: its functions and their constants, and its solver.
#include <algorithm>
#include <optional>
#include <utility>

#include <dualtape/modes/batching.hpp>
#include <dualtape/modes/calls/calls.hpp>
#include <dualtape/modes/implicit/krylov.hpp>
#include <dualtape/modes/implicit/system.hpp>
#include <dualtape/modes/loops/closure.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>

namespace dualtape::detail {
namespace {

// A solver's (x, residual, steps) for the map and the right side.
std::vector<Var> judged(const VarMap& map, Var b, const Solved& solved, Location where) {
  const char* const function = "linear_solve";
  const Var x = require_same_type(function, "what the solver returns", solved.x, b.type(), where);
  Var residual = sum_to(b, Shape{});
  if (b.shape().count() > 0) {
    const Scaled of = scaled(b);
    const Var size = norm_of(of.unit);
    residual = norm_of(of.unit - map(x) / of.scale) / dualtape::where(size > 0.0, size, 1.0);
  }
  return {x, residual, steps_of(function, solved, where)};
}

const char* name_of_method(LinearMethod method) {
  switch (method) {
    case LinearMethod::cg: return "cg";
    case LinearMethod::bicgstab: return "bicgstab";
    default: return "gmres";
  }
}

// What is needed to make the solver of a system and of its transpose.
class SystemBuilder {
 public:
  SystemBuilder(Graph& graph, const VarMap& map, const Type& type, const LinearOptions& options,
                const Terms& terms, Location where)
      : graph_(graph), type_(type), options_(options), where_(where) {
    const Var v = stand_in_of_type(graph, type, where);
    const Var image =
        require_same_type("linear_solve", "what the map returns", map(v), type, where);
    matvec_ = close_map("map", graph, v, image, where);
    require_linear("the map", *matvec_.function, where);
    made_.constants = matvec_.captured;
    if (options.preconditioner) {
      const Var r = stand_in_of_type(graph, type, where);
      preconditioner_ =
          close_map("preconditioner", graph, r,
                    require_same_type("linear_solve", "what the preconditioner returns",
                                      options.preconditioner(r), type, where),
                    where);
      require_linear("the preconditioner", *preconditioner_->function, where);
      add_constants(preconditioner_->captured);
    }
    made_.system.terms = terms;
    made_.system.symmetric = options.symmetric || options.method == LinearMethod::cg;
  }

  BuiltSystem built() {
    LinearSystem& system = made_.system;
    if (!options_.solver) {
      system.matvec = with_all_constants(matvec_);
      system.solve = by_method(false);
      if (!system.symmetric) system.transposed = if_possible([&] { return by_method(true); });
      return made_;
    }
    Closing closing(graph_, made_.constants, where_);
    const Own plain = by_own_solver(closing, false);
    const std::optional<Own> back = transposed_solver(closing);
    made_.constants = closing.constants();
    system.matvec = with_all_constants(matvec_);
    system.solve = closing.function("a solver of one's own", plain.b, plain.outputs);
    if (back) system.transposed = closing.function("a solver of one's own", back->b, back->outputs);
    return made_;
  }

 private:
  struct Own {
    Var b;
    std::vector<Var> outputs;
  };

  void add_constants(const std::vector<Var>& vars) {
    for (const Var& var : vars)
      if (std::ranges::find(made_.constants, var) == made_.constants.end())
        made_.constants.push_back(var);
  }
  std::vector<Type> types() const {
    std::vector<Type> all;
    for (const Var& var : made_.constants) all.push_back(var.type());
    all.push_back(type_);
    return all;
  }
  // The same map as a function of all constants.
  FunctionPtr with_all_constants(const ClosedMap& map) const {
    const auto body = [&](std::span<const Var> x) {
      std::vector<Var> arguments;
      for (const Var& var : map.captured)
        arguments.push_back(x[static_cast<std::size_t>(std::ranges::find(made_.constants, var) -
                                                       made_.constants.begin())]);
      arguments.push_back(x.back());
      return map.function->inlined(arguments, where_);
    };
    return Function::make(map.function->name(), types(), body, where_);
  }
  // Without a transpose there is no reverse mode, but there is forward mode.
  template <class F>
  auto if_possible(const F& f) const -> decltype(f()) {
    try {
      return f();
    } catch (const DerivativeError&) {
      return {};
    }
  }

  FunctionPtr by_method(bool transposed) const {
    const std::size_t count = made_.constants.size();
    const auto form = [&](const FunctionPtr& f) {
      return transposed ? transpose_of(*f, count) : f;
    };
    const FunctionPtr map = form(made_.system.matvec);
    const FunctionPtr near =
        preconditioner_ ? form(with_all_constants(*preconditioner_)) : FunctionPtr();
    const auto body = [&](std::span<const Var> x) {
      const auto on = [&](const FunctionPtr& f) -> VarMap {
        return [&, f](Var v) {
          std::vector<Var> arguments(x.begin(), x.end());
          arguments.back() = v;
          return f->inlined(arguments, where_)[0];
        };
      };
      const Krylov krylov{options_.method,
                          on(map),
                          near ? on(near) : VarMap(),
                          made_.system.terms.tolerance,
                          options_.most,
                          options_.restart};
      return judged(krylov.a, x.back(), solve_krylov(krylov, x.back()), where_);
    };
    return Function::make(name_of_method(options_.method), types(), body, where_);
  }

  Own by_own_solver(Closing& closing, bool transposed) {
    const VarMap map = [&, transposed](Var v) {
      std::vector<Var> arguments = matvec_.captured;
      arguments.push_back(v);
      const FunctionPtr f =
          transposed ? transpose_of(*matvec_.function, matvec_.captured.size()) : matvec_.function;
      return f->inlined(arguments, where_)[0];
    };
    Own own;
    own.b = stand_in_of_type(graph_, type_, where_);
    own.outputs = judged(map, own.b, options_.solver(map, own.b), where_);
    closing.capture(own.b, own.outputs);
    return own;
  }
  std::optional<Own> transposed_solver(Closing& closing) {
    if (made_.system.symmetric) return {};
    try {
      return by_own_solver(closing, true);
    } catch (const DerivativeError&) {
      return {};
    }
  }

  Graph& graph_;
  Type type_;
  const LinearOptions& options_;
  Location where_;
  ClosedMap matvec_;
  std::optional<ClosedMap> preconditioner_;
  BuiltSystem made_;
};

}  // namespace

BuiltSystem build_system(Graph& graph, const VarMap& map, const Type& type,
                         const LinearOptions& options, const Terms& terms, Location where) {
  return SystemBuilder(graph, map, type, options, terms, where).built();
}

}  // namespace dualtape::detail
