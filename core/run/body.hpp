// Body: a program that runs inside a step of another one, on its caller's memory.
//
// A kernel that runs a function (a call, a loop, a branch) keeps a Body: planned like any program,
// but its arena and scratch are part of the kernel's workspace, its inputs are read where they are,
// and its results are written where the caller wants them. Nothing is copied and nothing allocated.
// Private. One thread at a time, as for Program.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include <dualtape/core/kernel.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/core/run/profiler.hpp>

namespace dualtape::detail {

class Body {
 public:
  // Plans `outputs` of a graph whose inputs are `inputs`. Throws what compile() throws.
  Body(const std::vector<Var>& inputs, const std::vector<Var>& outputs,
       const CompileOptions& options, Location where);
  Body(Body&&) noexcept;
  Body& operator=(Body&&) noexcept;
  ~Body();

  // Bytes to be lent, 64-byte aligned.
  std::size_t bytes() const;
  // Where it works from now on; costs next to nothing for memory that it has already.
  void use(void* memory);
  // Where input and output i are from now on. An output that is equal to an earlier one is copied.
  void read(std::size_t input, const void* from);
  void write(std::size_t output, void* to);
  // Every input and output must have its place. Throws what kernels find, with the name of the
  // step.
  void run();

  const Program::Impl& program() const { return *impl_; }
  // Times its steps from now on, or no more. Null where it does not.
  std::shared_ptr<Profiler> profile(bool on);
  // For a kernel's note: "7 steps".
  std::string summary() const;

 private:
  struct Copy {
    std::size_t output;  // to write
    std::size_t equal;   // the earlier output it is equal to
    std::size_t bytes;
  };
  std::unique_ptr<Program::Impl> impl_;
  std::vector<std::size_t> slot_of_input_;   // in Impl::inputs; unread_ where nobody reads it
  std::vector<std::size_t> slot_of_output_;  // in Impl::result_slots
  std::vector<void*> written_;               // by output
  std::vector<Copy> copies_;
};

}  // namespace dualtape::detail
