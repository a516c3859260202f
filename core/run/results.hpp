// The memory of a program's results, which the program shares with whoever keeps them.
//
// A run writes where nobody else looks: into tensors that no handle of the user's shares, in a set
// that no Outputs holds. So results stay as they are for as long as they are kept, may be fed to
// any program, and outlive theirs. What was kept comes back when it is let go of, and loops that
// keep a few results allocate nothing after their first runs. Private. One thread at a time, as for
// Program; Outputs may be kept and dropped by any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <dualtape/core/plan.hpp>
#include <dualtape/core/program.hpp>

namespace dualtape {

struct Outputs::Results {
  using Names = std::vector<std::pair<Var, std::uint32_t>>;  // which of the tensors; in order

  std::shared_ptr<const Names> names;
  std::vector<Tensor> tensors;
};

namespace detail {

class ResultMemory {
 public:
  // outputs[i] is of values[i]; those that are one value are one tensor.
  void build(std::span<const Var> outputs, const Plan& plan, const Placement& placement);

  // For the next run to write. MemoryError if there is none, then nothing has changed.
  std::shared_ptr<Outputs::Results> next();

 private:
  static constexpr std::size_t most_sets = 4;    // looked after; older ones are their holders'
  static constexpr std::size_t most_spares = 4;  // of each result

  std::shared_ptr<Outputs::Results> free_set();
  void replace(Tensor& tensor, std::size_t result);

  std::shared_ptr<const Outputs::Results::Names> names_;
  std::vector<Type> types_;
  std::vector<std::shared_ptr<Outputs::Results>> sets_;
  std::vector<std::vector<Tensor>> spares_;  // by result: what users kept, the oldest first
};

}  // namespace detail
}  // namespace dualtape
