// A fold cut in pieces, so that threads can share it, with the same bits on any number of them.
// Private, without SIMD headers. A plan is immutable; any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <type_traits>
#include <vector>

#include <dualtape/core/attributes.hpp>
#include <dualtape/core/machine/team.hpp>
#include <dualtape/ops/kernels/rows/fold_plan.hpp>

namespace dualtape::detail {

class DividedFold {
 public:
  // Outputs are shared out. A long fold to a single output is cut in the kernels' blocks
  // (core/tile/fold_block.hpp), whose results are folded in turn, if it `joins`: if a fold of
  // folds is the fold of everything.
  DividedFold(const FoldPlan& plan, bool joins);

  const FoldPlan& plan() const { return plan_; }
  // What the kernel needs, of results of this many bytes.
  std::size_t workspace_bytes(std::size_t result) const { return join_ ? blocks_ * result : 0; }
  // fold(plan, const Element* in, Result* out) for the kernel's first operand and output.
  template <class Element, class Result, class Fold>
  void run(const KernelArgs& args, Fold fold) const {
    const auto* in = args.input<Element>(0);
    auto* out = args.output<Result>();
    if (args.team == nullptr) return fold(plan_, in, out);
    if constexpr (std::is_same_v<Element, Result>)
      if (join_) out = static_cast<Result*>(args.workspace);
    args.team->run(pieces_.size(), [&](std::size_t i, int) {
      fold(pieces_[i].plan, in + pieces_[i].in, out + pieces_[i].out);
    });
    if constexpr (std::is_same_v<Element, Result>)
      if (join_) fold(*join_, out, args.output<Result>());
  }

 private:
  struct Piece {
    FoldPlan plan;
    std::size_t in;
    std::size_t out;
  };
  void divide_run(std::size_t elements);

  FoldPlan plan_;
  std::vector<Piece> pieces_;  // at least one
  std::size_t blocks_ = 0;
  std::optional<FoldPlan> join_;  // of the results of the blocks
};

}  // namespace dualtape::detail
