// The operator of linear systems that are known by their products.
#include <optional>
#include <string>
#include <utility>

#include <dualtape/core/kinds.hpp>
#include <dualtape/core/leaves.hpp>
#include <dualtape/modes/calls/calls.hpp>
#include <dualtape/modes/implicit/solve_runner.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/batching.hpp>
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

}  // namespace

const Op& linear_solve_operator() { return linear_solve_op.op(); }

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
