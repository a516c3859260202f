// The operator of roots: where a function is zero, found by another. Its derivative is the linear
// system of the implicit function theorem, and knows nothing of how the root was found.
#include <array>
#include <string>
#include <utility>

#include <dualtape/core/kinds.hpp>
#include <dualtape/modes/calls/calls.hpp>
#include <dualtape/modes/implicit/solve_runner.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/batching.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/trigonometry.hpp>

namespace dualtape::detail {

RootProblem::RootProblem(const Attributes& attributes)
    : condition(attributes.get<FunctionPtr>("condition")),
      solve(attributes.get<FunctionPtr>("find")),
      terms(terms_of(attributes, "root_")) {
  if (attributes.has("matvec")) linear = LinearSystem(attributes);
  if (attributes.has("coefficients")) coefficients = attributes.get<FunctionPtr>("coefficients");
}

Attributes RootProblem::attributes() const {
  std::vector<Attributes::Entry> made = entries_of(terms, "root_");
  made.emplace_back("condition", condition);
  made.emplace_back("find", solve);
  if (coefficients != nullptr) made.emplace_back("coefficients", coefficients);
  if (linear.matvec != nullptr)
    for (const Attributes::Entry& entry : linear.entries()) made.push_back(entry);
  return Attributes(std::move(made));
}

namespace {
const Op& root_operator();
}

struct RootOp {
  static constexpr auto name = "root";
  static constexpr auto doc = "x where a Function F(x, a) is zero, found by another Function";
  static constexpr auto math =
      "F(x, a) = 0; dx = -F_x^-1 F_a da, one linear_solve, in reverse mode of the transpose";

  static void infer(Inference& inference) {
    infer_solve(inference, *RootProblem(inference.attributes).solve);
  }
  static Kernel kernel(const KernelRequest& request) {
    const RootProblem problem(request.attributes);
    return SolveRunner::kernel(problem.solve, problem.terms, root_operator(), request);
  }

  static std::vector<MaybeVar> jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    const RootProblem problem(node.attributes);
    std::vector<Var> inputs(node.in.begin(), node.in.end());
    inputs.back() = node.out[0];
    const MaybeVar moved = moved_by_constants(*problem.condition, inputs, tangents);
    if (!moved) return std::vector<MaybeVar>(node.out.size());
    if (problem.linear.matvec == nullptr) refuse(problem);
    std::vector<Var> operands;
    if (problem.coefficients != nullptr)
      operands = problem.coefficients->inlined(inputs, problem.condition->where());
    operands.push_back(neg(*moved));
    return {problem.linear.apply(operands)[0], {}, {}};
  }

  static std::optional<std::vector<Var>> batch(const BatchView& view) {
    RootProblem problem(view.node.attributes);
    std::vector<bool> batched;
    std::vector<Var> operands;
    for (std::size_t i = 0; i < view.in.size(); ++i) {
      const bool is_start = i + 1 == view.in.size();
      batched.push_back(view.in[i].has_value() || is_start);
      operands.push_back(is_start     ? batched_operand(view, i)
                         : view.in[i] ? *view.in[i]
                                      : view.node.in[i]);
    }
    problem.condition = batch_of(*problem.condition, batched, view.size);
    problem.solve = batch_of(*problem.solve, batched, view.size);
    if (problem.coefficients != nullptr)
      problem.coefficients = batch_of(*problem.coefficients, batched, view.size);
    if (problem.linear.matvec != nullptr)
      problem.linear =
          problem.linear.batch(std::vector<bool>(problem.linear.constants() + 1, true), view.size);
    return apply_root(problem, operands);
  }

  static std::vector<Case> cases();

 private:
  // What kept the linear system from being made, once more.
  [[noreturn]] static void refuse(const RootProblem& problem) {
    static_cast<void>(tangents_of(*problem.condition, {problem.constants()}));
    fail<DerivativeError>({.op = "root",
                           .what = "its function has no derivative by what is sought",
                           .where = problem.condition->where(),
                           .help = "make it of differentiable operators"});
  }
};

namespace {

class RootNode : public PlainOp<RootOp, Kind::general> {
 public:
  std::vector<MaybeVar> jvp(const NodeView& node,
                            std::span<const MaybeVar> tangents) const override {
    return RootOp::jvp(node, tangents);
  }
};
constexpr Callable<RootNode> root_op;
const Op& root_operator() { return root_op.op(); }

}  // namespace

std::vector<Var> apply_root(const RootProblem& problem, std::span<const Var> operands) {
  std::vector<In> in;
  for (const Var& operand : operands) in.emplace_back(operand, problem.condition->where());
  return apply_all(root_operator(), in, problem.attributes());
}

std::vector<Case> RootOp::cases() {
  const auto cubic = [](std::span<const Var> in) -> std::vector<Var> {
    return {root([&](Var x) { return x * x * x + 2.0 * x - in[0]; }, 0.1 * in[0])};
  };
  const auto point = [](std::span<const Var> in) -> std::vector<Var> {
    return {fixed_point([&](Var x) { return 0.5 * sin(x + in[0]) + in[1]; }, in[1])};
  };
  return {{"a cubic", {{Shape{3}}}, cubic}, {"a fixed point", {{Shape{3}}, {Shape{3}}}, point}};
}

}  // namespace dualtape::detail
