// The operator of linear systems that are known by their products, and how one is made.
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include <dualtape/core/kinds.hpp>
#include <dualtape/core/leaves.hpp>
#include <dualtape/modes/batching.hpp>
#include <dualtape/modes/calls/calls.hpp>
#include <dualtape/modes/implicit/krylov.hpp>
#include <dualtape/modes/implicit/solve_runner.hpp>
#include <dualtape/modes/loops/closure.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/batching.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/trigonometry.hpp>

namespace dualtape::detail {

LinearSystem::LinearSystem(const Attributes& attributes)
    : matvec(attributes.get<FunctionPtr>("matvec")),
      solve(attributes.get<FunctionPtr>("solve")),
      symmetric(attributes.get<bool>("symmetric")),
      terms(terms_of(attributes, "")) {
  if (attributes.has("transposed")) transposed = attributes.get<FunctionPtr>("transposed");
}

std::vector<Attributes::Entry> LinearSystem::entries() const {
  std::vector<Attributes::Entry> made = entries_of(terms, "");
  made.emplace_back("matvec", matvec);
  made.emplace_back("solve", solve);
  made.emplace_back("symmetric", symmetric);
  if (transposed != nullptr) made.emplace_back("transposed", transposed);
  return made;
}

LinearSystem LinearSystem::transpose() const {
  LinearSystem made = *this;
  if (symmetric) return made;
  made.matvec = transpose_of(*matvec, constants());
  if (transposed == nullptr)
    fail<DerivativeError>({.op = "linear_solve",
                           .what = "its solver or its preconditioner has no transpose, which "
                                   "reverse mode asks for",
                           .where = matvec->where(),
                           .help = "make it of linear operators, or use forward mode"});
  std::swap(made.solve, made.transposed);
  return made;
}

LinearSystem LinearSystem::batch(const std::vector<bool>& batched, std::int64_t size) const {
  LinearSystem made = *this;
  made.matvec = batch_of(*matvec, batched, size);
  made.solve = batch_of(*solve, batched, size);
  if (transposed != nullptr) made.transposed = batch_of(*transposed, batched, size);
  return made;
}

std::vector<Var> LinearSystem::apply(std::span<const Var> operands) const {
  std::vector<In> in;
  for (const Var& operand : operands) in.emplace_back(operand, matvec->where());
  return apply_all(linear_solve_operator(), in, Attributes(entries()));
}

struct LinearSolveOp {
  static constexpr auto name = "linear_solve";
  static constexpr auto doc = "x with A x = b, of a linear Function v -> A v";
  static constexpr auto math =
      "x = A^-1 b; dx = A^-1 (db - dA x), a linear_solve; the transpose is A^-T c, another one";

  static void infer(Inference& inference) {
    infer_solve(inference, *LinearSystem(inference.attributes).solve);
  }
  static Kernel kernel(const KernelRequest& request) {
    const LinearSystem system(request.attributes);
    return SolveRunner::kernel(system.solve, system.terms, linear_solve_operator(), request);
  }

  static std::vector<MaybeVar> jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    LinearSystem system(node.attributes);
    const std::size_t last = node.in.size() - 1;
    std::vector<Var> inputs(node.in.begin(), node.in.end());
    inputs[last] = node.out[0];
    MaybeVar right = tangents[last];
    if (const MaybeVar moved = moved_by_constants(*system.matvec, inputs, tangents))
      right = right ? MaybeVar(sub(*right, *moved)) : MaybeVar(neg(*moved));
    if (!right) return std::vector<MaybeVar>(node.out.size());
    inputs[last] = *right;
    system.terms.failure = system.terms.of_derivatives();
    return {system.apply(inputs)[0], {}, {}};
  }

  static std::optional<std::vector<Var>> batch(const BatchView& view) {
    std::vector<bool> batched;
    std::vector<Var> operands;
    for (std::size_t i = 0; i < view.in.size(); ++i) {
      const bool is_right_side = i + 1 == view.in.size();
      batched.push_back(view.in[i].has_value() || is_right_side);
      operands.push_back(is_right_side ? batched_operand(view, i)
                         : view.in[i]  ? *view.in[i]
                                       : view.node.in[i]);
    }
    return LinearSystem(view.node.attributes).batch(batched, view.size).apply(operands);
  }

  static std::vector<Case> cases();
};

namespace {

class LinearSolveNode : public PlainOp<LinearSolveOp, Kind::general> {
 public:
  std::vector<MaybeVar> jvp(const NodeView& node,
                            std::span<const MaybeVar> tangents) const override {
    return LinearSolveOp::jvp(node, tangents);
  }
  std::vector<MaybeVar> transpose_all(const NodeView& node, const std::vector<bool>&,
                                      std::span<const MaybeVar> cotangents) const override {
    std::vector<MaybeVar> found(node.in.size());
    if (!cotangents[0]) return found;
    const LinearSystem system(node.attributes);
    std::vector<Var> operands(node.in.begin(), node.in.end());
    operands.back() = broadcast_as(*cotangents[0], system.solve->outputs()[0].shape());
    found.back() = system.transpose().apply(operands)[0];
    return found;
  }
  bool linear_in(const NodeView& node, std::span<const bool> active) const override {
    const std::size_t last = active.size() - 1;
    for (std::size_t i = 0; i < last; ++i)
      if (active[i]) return false;
    return active[last] || is_zero_constant(node.in[last]);
  }
};
constexpr Callable<LinearSolveNode> linear_solve_op;

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

const Op& linear_solve_operator() { return linear_solve_op.op(); }

BuiltSystem build_system(Graph& graph, const VarMap& map, const Type& type,
                         const LinearOptions& options, const Terms& terms, Location where) {
  return SystemBuilder(graph, map, type, options, terms, where).built();
}

std::vector<Case> LinearSolveOp::cases() {
  const auto near_one = [](LinearMethod method) {
    return [method](std::span<const Var> in) -> std::vector<Var> {
      const auto map = [&](Var v) { return 4.0 * v + sin(in[0]) * sum(v * in[1]); };
      return {linear_solve(map, in[1], {.method = method})};
    };
  };
  return {{"gmres", {{Shape{3}}, {Shape{3}}}, near_one(LinearMethod::gmres)},
          {"bicgstab", {{Shape{3}}, {Shape{3}}}, near_one(LinearMethod::bicgstab)}};
}

}  // namespace dualtape::detail
