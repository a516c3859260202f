#include <dualtape/modes/implicit.hpp>

#include <array>
#include <string_view>
#include <utility>

#include <dualtape/core/base/enumeration.hpp>
#include <dualtape/core/callable.hpp>
#include <dualtape/core/composite.hpp>
#include <dualtape/modes/batching.hpp>
#include <dualtape/modes/implicit/find.hpp>
#include <dualtape/modes/implicit/system.hpp>
#include <dualtape/modes/loops/closure.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/modes/walk/dependence.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/like.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

using detail::Failure;
using detail::Terms;

// The right side or the start, in a graph.
Var in_graph(const char* function, In in, Location where) {
  const Composite operands(function, {in});
  if (operands.graph().parent() == nullptr) return operands[0];
  fail<GraphError>({.op = function,
                    .what = "it is made on the tape of reverse mode",
                    .where = where,
                    .help = "make it outside of a rule's linear part"});
}

void check_linear(const char* function, const LinearOptions& options, Location where) {
  detail::require_listed(function, "LinearMethod", options.method, 4,
                         "LinearMethod::automatic, cg, gmres or bicgstab", where);
  detail::require_steps(function, "most", options.most, where);
  detail::require_steps(function, "restart", options.restart, where);
}

Solution solution(const std::vector<Var>& found, double tolerance, Location where) {
  return {found[0], less_equal(In(found[1], where), In(Number(tolerance, where))), found[1],
          found[2]};
}

Solution solved_system(const VarMap& map, In right, const LinearOptions& options, Failure failure,
                       Location where) {
  const char* const function = "linear_solve";
  detail::require_callable(!detail::is_null(map), function, where);
  check_linear(function, options, where);
  const Var b = in_graph(function, right, where);
  const double tolerance = detail::tolerance_for(function, options.tolerance, b.type(), where);
  const detail::BuiltSystem built = detail::build_system(
      b.graph(), map, b.type(), options, {function, tolerance, options.most, failure}, where);
  std::vector<Var> operands = built.constants;
  operands.push_back(b);
  return solution(built.system.apply(operands), tolerance, where);
}

// What root(), fixed_point() and argmin() have in common.
class Finding {
 public:
  Finding(const char* function, const VarMap& f, In start, const ImplicitOptions& options,
          Failure failure, Location where)
      : function_(function), options_(options), where_(where) {
    detail::require_callable(!detail::is_null(f), function, where);
    check_linear(function, options.linear, where);
    start_ = in_graph(function, start, where);
    limits_ = {detail::tolerance_for(function, options.tolerance, start_.type(), where),
               options.most == 0 ? 100 : options.most};
    detail::require_steps(function, "most", limits_.most, where);
    terms_ = {function, limits_.tolerance, limits_.most, failure};
    const Var x = stand_in();
    const Var y = detail::require_alive(f(x), function, "what the function returns", where);
    if (std::string_view(function) == "root" && !detail::depends_on(y, x))
      fail<DerivativeError>({.op = function,
                             .label = y.label(),
                             .what = "the function does not depend on its argument",
                             .where = where,
                             .help = "compute it from the Var that it is given"});
    f_ = detail::close_map(function, graph(), x, y, where);
  }
  virtual ~Finding() = default;

  Solution found() {
    detail::Closing closing(graph(), f_.captured, where_);
    const Var x = stand_in();
    const Var zero = condition(x);
    const Var begin = stand_in();
    const std::vector<Var> results = solver_results(begin);
    const std::optional<detail::BuiltSystem> linear = system(x, zero);
    closing.capture(x, std::array{zero});
    if (linear) closing.capture(x, linear->constants);
    closing.capture(begin, results);

    detail::RootProblem problem;
    problem.terms = terms_;
    problem.condition = closing.function(function_, x, std::array{zero});
    problem.solve =
        closing.function(options_.solver ? "a solver of one's own" : solver_name(), begin, results);
    if (linear) {
      problem.linear = linear->system;
      if (!linear->constants.empty())
        problem.coefficients = closing.function("coefficients", x, linear->constants);
    }
    std::vector<Var> operands = closing.constants();
    operands.push_back(start_);
    return solution(detail::apply_root(problem, operands), terms_.tolerance, where_);
  }

 protected:
  virtual Var condition(Var x) const = 0;  // zero at the solution
  virtual Var residual(Var x, Var begin) const = 0;
  virtual Solved solve(Var begin) const = 0;
  virtual const char* solver_name() const = 0;
  virtual LinearOptions linear() const { return options_.linear; }

  Graph& graph() const { return start_.graph(); }
  Var f(Var x) const { return f_(x); }
  VarMap map() const { return f_; }
  const detail::Limits& limits() const { return limits_; }
  void set_most(std::int64_t most) {
    if (options_.most == 0) limits_.most = terms_.most = most;
  }
  Var stand_in() const { return detail::stand_in_of_type(start_.graph(), start_.type(), where_); }
  const Type& type() const { return start_.type(); }
  Location where() const { return where_; }
  const Type& result_type() const { return f_.function->outputs()[0].type(); }

 private:
  std::vector<Var> solver_results(Var begin) const {
    Solved solved = options_.solver ? options_.solver(map(), begin) : solve(begin);
    const Var x =
        detail::require_same_type(function_, "what the solver returns", solved.x, type(), where_);
    return {x, residual(x, begin), detail::steps_of(function_, solved, where_)};
  }
  // Without a derivative by x there are values, but no derivatives.
  std::optional<detail::BuiltSystem> system(Var x, Var zero) const {
    const LinearOptions options = linear();
    const double tolerance = detail::tolerance_for(function_, options.tolerance, type(), where_);
    try {
      return detail::build_system(
          graph(), detail::derivative_of(zero, x, where_), type(), options,
          {function_, tolerance, options.most, terms_.of_derivatives(), true}, where_);
    } catch (const DerivativeError&) {
      return {};
    }
  }

  const char* function_;
  const ImplicitOptions& options_;
  Location where_;
  Var start_;
  detail::Limits limits_{};
  Terms terms_;
  detail::ClosedMap f_;
};

class Root : public Finding {
 public:
  Root(const VarMap& f, In start, const ImplicitOptions& options, Failure failure, Location where)
      : Finding("root", f, start, options, failure, where) {
    require_result("root", result_type(), type(), where);
  }
  static void require_result(const char* function, const Type& given, const Type& type,
                             Location where) {
    if (given == type) return;
    const Complaint complaint{
        .op = function,
        .what = "the function returns " + to_string(given) + " for " + to_string(type),
        .where = where,
        .help = "return the shape and dtype of the argument"};
    if (given.shape != type.shape) fail<ShapeError>(complaint);
    fail<TypeError>(complaint);
  }

 protected:
  Var condition(Var x) const override { return f(x); }
  Var residual(Var x, Var begin) const override { return detail::residual_of_zero(f(x), f(begin)); }
  Solved solve(Var begin) const override {
    return detail::newton(map(), begin, limits(), linear());
  }
  const char* solver_name() const override { return "Newton's method"; }
};

class FixedPoint : public Finding {
 public:
  FixedPoint(const VarMap& f, In start, const ImplicitOptions& options, Failure failure,
             Location where)
      : Finding("fixed_point", f, start, options, failure, where) {
    Root::require_result("fixed_point", result_type(), type(), where);
    set_most(1000);
    if (options.memory < 0) detail::require_steps("fixed_point", "memory", options.memory, where);
    memory_ = options.memory;
  }

 protected:
  Var condition(Var x) const override { return x - f(x); }
  Var residual(Var x, Var) const override { return detail::residual_of_fixed_point(x, f(x)); }
  Solved solve(Var begin) const override {
    return memory_ == 0 ? detail::iterate(map(), begin, limits())
                        : detail::mix(map(), begin, limits(), memory_);
  }
  const char* solver_name() const override {
    return memory_ == 0 ? "iteration" : "Anderson's iteration";
  }

 private:
  std::int64_t memory_ = 0;
};

class Argmin : public Finding {
 public:
  Argmin(const VarMap& f, In start, const ImplicitOptions& options, Failure failure, Location where)
      : Finding("argmin", f, start, options, failure, where) {
    const Complaint complaint{.op = "argmin",
                              .what = "the function returns " + to_string(result_type()),
                              .where = where,
                              .help = "reduce it to one number, with sum or mean"};
    set_most(1000);
    if (result_type().shape.rank() != 0) fail<ShapeError>(complaint);
    if (result_type().dtype != type().dtype) fail<TypeError>(complaint);
  }

 protected:
  Var gradient(Var x) const {
    const Var y = f(x);
    return reverse(y, {x}, Unreachable::error, where())[x];
  }
  Var condition(Var x) const override { return gradient(x); }
  Var residual(Var x, Var begin) const override {
    return detail::residual_of_zero(gradient(x), gradient(begin));
  }
  Solved solve(Var begin) const override {
    return detail::newton_cg(
        map(), [this](Var x) { return gradient(x); }, begin, limits());
  }
  const char* solver_name() const override { return "Newton's method"; }
  LinearOptions linear() const override {
    LinearOptions options = Finding::linear();
    options.symmetric = true;
    if (options.method == LinearMethod::automatic) options.method = LinearMethod::cg;
    return options;
  }
};

}  // namespace

Var linear_solve(const VarMap& map, In b, const LinearOptions& options, Location where) {
  return solved_system(map, b, options, Failure::error, where).x;
}
Solution try_linear_solve(const VarMap& map, In b, const LinearOptions& options, Location where) {
  return solved_system(map, b, options, Failure::flag, where);
}

Var root(const VarMap& f, In start, const ImplicitOptions& options, Location where) {
  return Root(f, start, options, Failure::error, where).found().x;
}
Solution try_root(const VarMap& f, In start, const ImplicitOptions& options, Location where) {
  return Root(f, start, options, Failure::flag, where).found();
}

Var fixed_point(const VarMap& f, In start, const ImplicitOptions& options, Location where) {
  return FixedPoint(f, start, options, Failure::error, where).found().x;
}
Solution try_fixed_point(const VarMap& f, In start, const ImplicitOptions& options,
                         Location where) {
  return FixedPoint(f, start, options, Failure::flag, where).found();
}

Var argmin(const VarMap& f, In start, const ImplicitOptions& options, Location where) {
  return Argmin(f, start, options, Failure::error, where).found().x;
}
Solution try_argmin(const VarMap& f, In start, const ImplicitOptions& options, Location where) {
  return Argmin(f, start, options, Failure::flag, where).found();
}

}  // namespace dualtape
