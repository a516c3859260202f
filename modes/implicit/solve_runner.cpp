#include <dualtape/modes/implicit/solve_runner.hpp>

#include <dualtape/modes/walk/vars.hpp>
#include <limits>
#include <sstream>
#include <utility>

namespace dualtape::detail {

std::vector<Attributes::Entry> entries_of(const Terms& terms, const std::string& prefix) {
  return {{prefix + "function", terms.function},
          {prefix + "tolerance", terms.tolerance},
          {prefix + "most", terms.most},
          {prefix + "failure", static_cast<std::int64_t>(terms.failure)},
          {prefix + "of_derivative", terms.of_derivative}};
}

Terms terms_of(const Attributes& attributes, const std::string& prefix) {
  return {attributes.get<std::string>(prefix + "function"),
          attributes.get<double>(prefix + "tolerance"),
          attributes.get<std::int64_t>(prefix + "most"),
          static_cast<Failure>(attributes.get<std::int64_t>(prefix + "failure")),
          attributes.get<bool>(prefix + "of_derivative")};
}

void infer_solve(Inference& inference, const Function& solve) {
  inference.require_count(solve.inputs().size());
  for (std::size_t i = 0; i < solve.inputs().size(); ++i)
    require_taken(inference, i, solve.inputs()[i].type(), solve.name());
  for (const Var& out : solve.outputs()) inference.out.push_back(out.type());
}

SolveRunner::SolveRunner(FunctionPtr solve, Terms terms, const Op& op,
                         const CompileOptions& options)
    : solve_(std::move(solve)),
      terms_(std::move(terms)),
      what_(terms_.of_derivative           ? "the derivative of " + terms_.function + " "
            : terms_.function != op.name() ? terms_.function + " "
                                           : std::string()),
      body_(solve_->inputs(), solve_->outputs(), of_functions(options), solve_->where()) {}

std::string SolveRunner::note() const {
  return (terms_.of_derivative ? what_ : terms_.function + " ") + "by " + solve_->name() +
         ", up to " + std::to_string(terms_.most) + " times, in " + body_.summary();
}

void SolveRunner::run(const KernelArgs& args) {
  body_.use(args.workspace);
  for (std::size_t i = 0; i < solve_->inputs().size(); ++i) body_.read(i, args.in[i]);
  for (std::size_t i = 0; i < solve_->outputs().size(); ++i) body_.write(i, args.out[i]);
  body_.run();
  if (terms_.failure == Failure::flag) return;
  const Type& type = solve_->outputs()[1].type();
  const auto members = static_cast<std::size_t>(type.shape.count());
  for (std::size_t member = 0; member < members; ++member)
    judge(args, member,
          type.dtype == float64 ? args.output<double>(1)[member]
                                : double{args.output<float>(1)[member]});
}

void SolveRunner::judge(const KernelArgs& args, std::size_t member, double residual) const {
  if (residual <= terms_.tolerance) return;  // false for NaN
  const Type& x = solve_->outputs()[0].type();
  if (terms_.failure == Failure::nan) {
    const auto size =
        static_cast<std::size_t>(x.shape.count() / solve_->outputs()[1].type().shape.count());
    for (std::size_t i = member * size; i < (member + 1) * size; ++i) {
      if (x.dtype == float64)
        args.output<double>(0)[i] = std::numeric_limits<double>::quiet_NaN();
      else
        args.output<float>(0)[i] = std::numeric_limits<float>::quiet_NaN();
    }
    return;
  }
  std::ostringstream text;
  text << what_ << "did not converge";
  if (solve_->outputs()[1].type().shape.rank() > 0) text << " for member " << member;
  text << ": the residual is " << residual;
  const std::int64_t steps = args.output<std::int64_t>(2)[member];
  if (steps >= 0) text << " after " << steps << (steps == 1 ? " step" : " steps");
  text << ", the tolerance " << terms_.tolerance;
  if (terms_.of_derivative)
    text << "; allow more steps or a larger tolerance in .linear, or take another method there";
  else if (terms_.function == "linear_solve")
    text
        << "; allow more steps, take another .method (cg is for symmetric positive definite maps), "
           "or a preconditioner (try_linear_solve gives a flag)";
  else
    text << "; start nearer, allow more steps, or take another solver (try_" << terms_.function
         << " gives a flag)";
  throw ValueError(text.str());
}

Kernel SolveRunner::kernel(const FunctionPtr& solve, const Terms& terms, const Op& op,
                           const KernelRequest& request) {
  const auto runner = std::make_shared<SolveRunner>(solve, terms, op, request.options);
  return {.run = [runner](const KernelArgs& args) { runner->run(args); },
          .workspace_bytes = runner->bytes(),
          .note = runner->note(),
          .bodies = {{runner, &runner->body_}}};
}

}  // namespace dualtape::detail
