// The kernel of what solves a problem: a function run on the caller's memory, and its residual
// looked at. Private. One thread at a time, as for any kernel of a program.
#pragma once

#include <string>

#include <dualtape/core/run/body.hpp>
#include <dualtape/modes/implicit/system.hpp>

namespace dualtape::detail {

class SolveRunner {
 public:
  // `solve` returns (x, residual, steps), each with the batch axis in front if there is one.
  SolveRunner(FunctionPtr solve, Terms terms, const Op& op, const CompileOptions& options);
  std::size_t bytes() const { return body_.bytes(); }
  std::string note() const;
  // ValueError for what did not converge, where that is an error.
  void run(const KernelArgs& args);

  static Kernel kernel(const FunctionPtr& solve, const Terms& terms, const Op& op,
                       const KernelRequest& request);

 private:
  void judge(const KernelArgs& args, std::size_t member, double residual) const;

  FunctionPtr solve_;
  Terms terms_;
  std::string what_;  // did not converge, where the operator's name does not say it
  Body body_;
};

// Of terms as attributes, whose names begin so.
std::vector<Attributes::Entry> entries_of(const Terms& terms, const std::string& prefix);
Terms terms_of(const Attributes& attributes, const std::string& prefix);
// Operand by operand, what the function takes: ShapeError or TypeError.
void infer_solve(Inference& inference, const Function& solve);

}  // namespace dualtape::detail
