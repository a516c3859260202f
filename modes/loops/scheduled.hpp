// A loop run back to front from some of its states: what reverse mode does where it may not keep
// more. Private to the files of loops.
#pragma once

#include <vector>

#include <dualtape/modes/loops/dual.hpp>

namespace dualtape::detail {

// The node's layout. Operands: those of the loop, then cotangents of its moving outputs. Outputs:
// cotangents of the operands for the moving inputs of the body.
struct BackLoop {
  Loop loop;
  Moving moving;

  BackLoop(Loop of, std::vector<bool> inputs) : loop(std::move(of)), moving(loop, inputs) {}
  explicit BackLoop(const Attributes& attributes);
  Attributes attributes() const;

  // One step of it: (inputs of the body, cotangents of moving carried outputs, sums for moving
  // constants, cotangents of moving stacked outputs) -> (cotangents of moving carried inputs, sums,
  // cotangents of moving slices).
  FunctionPtr step() const;
  // A step for the next state alone.
  FunctionPtr advance() const;

  std::vector<std::size_t> carried() const { return inputs_in(0, loop.carried); }
  std::vector<std::size_t> sliced() const {
    return inputs_in(loop.carried, loop.carried + loop.sliced);
  }
  std::vector<std::size_t> constant() const {
    return inputs_in(loop.carried + loop.sliced, moving.inputs.size());
  }
  std::vector<std::size_t> stacked() const {
    return Moving::marked(moving.outputs, loop.carried, moving.outputs.size());
  }
  std::int64_t kept_states() const;
  std::int64_t advances() const;  // of all its steps, where their number is known

 private:
  std::vector<std::size_t> inputs_in(std::size_t first, std::size_t last) const {
    return Moving::marked(moving.inputs, first, last);
  }
};

// A node of it; one cotangent for each moving output.
std::vector<Var> apply_back(const BackLoop& back, std::span<const Var> operands,
                            std::span<const Var> cotangents);

// What computes it.
Kernel back_kernel(const BackLoop& back, const CompileOptions& options);

}  // namespace dualtape::detail
