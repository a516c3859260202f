// The visitor that finds which inputs each element of a result depends on. Private; one thread at a
// time.
#pragma once

#include <span>
#include <vector>

#include <dualtape/modes/mode.hpp>
#include <dualtape/modes/sparsity/call.hpp>

namespace dualtape::detail {

// The state of a Var: for each of its elements, the set of inputs that it depends on.
class SparsityMode : public Mode<SharedSetIds> {
 public:
  using MaybeState = MaybeSetIds;
  SparsityMode(ElementSets& sets, KnownValues& values) : sets_(sets), values_(values) {}

 protected:
  std::vector<MaybeState> elementwise(const NodeView& node,
                                      std::span<const MaybeState> in) override {
    return found(node, in);
  }
  std::vector<MaybeState> linear(const NodeView& node, std::span<const MaybeState> in) override {
    return found(node, in);
  }
  std::vector<MaybeState> bilinear(const NodeView& node, std::span<const MaybeState> in) override {
    return found(node, in);
  }
  std::vector<MaybeState> general(const NodeView& node, std::span<const MaybeState> in) override {
    return found(node, in);
  }

 private:
  std::vector<MaybeState> found(const NodeView& node, std::span<const MaybeState> in);
  OutputSets called(const SparsityCall& call);

  ElementSets& sets_;
  KnownValues& values_;
};

}  // namespace dualtape::detail
