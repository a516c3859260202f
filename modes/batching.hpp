// Batching: a graph for one member, done for all members of a batch at once.
//
// The state of a Var is itself for all members, with the batch axis in front, or absent where it is
// the same for all. Elementwise operators need nothing but axes of size 1 between the batch axis
// and their own; the others say what they do (Op::shift(), Op::batch()), and those that say nothing
// become one node that loops over the members, which listings name "call". What comes out are
// ordinary nodes: differentiate them, batch them again, batch derivatives. Random draws are the
// same for all members, unless each has a key of its own (fold_key() of a batched number).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <unordered_map>
#include <vector>

#include <dualtape/modes/mode.hpp>

namespace dualtape {

class Batching : public Mode<Var> {
 public:
  // For batches of `size` members in `graph`.
  Batching(Graph& graph, std::int64_t size) : graph_(graph.handle()), size_(size) {}
  // What is emitted from now on runs when `before` is there, and not beside its member's node: for
  // batches that come one after the other, so that they are never in memory together.
  void run_after(Var before) { after_ = before.id(); }

 protected:
  std::vector<MaybeVar> elementwise(const NodeView& node, std::span<const MaybeVar> in) override;
  std::vector<MaybeVar> linear(const NodeView& node, std::span<const MaybeVar> in) override;
  std::vector<MaybeVar> bilinear(const NodeView& node, std::span<const MaybeVar> in) override;
  std::vector<MaybeVar> general(const NodeView& node, std::span<const MaybeVar> in) override;
  std::vector<MaybeVar> zero_derivative(const NodeView& node,
                                        std::span<const MaybeVar> in) override;
  std::vector<MaybeVar> not_differentiable(const NodeView& node,
                                           std::span<const MaybeVar> in) override;
  bool carries(const Op&) const override { return true; }
  void begin(Graph& graph, Location where) override;
  // Every output is there, with the batch axis in front of its member's type.
  void check(const NodeView& node, std::span<const MaybeVar> out) override;
  void visit(const Node& node, const std::function<void()>& rule) override;

 private:
  std::vector<MaybeVar> batched(const NodeView& node, std::span<const MaybeVar> in) const;
  static std::vector<MaybeVar> done_for_all(const BatchView& view);

  GraphHandle graph_;
  std::int64_t size_;
  NodeId after_ = no_node;
  std::unordered_map<NodeId, NodeId> places_;  // where what is emitted for a member's node runs
};

// `outputs` for all members, where each of `members` is what it is for one member and `batches` are
// they for all, with the batch axis in front (as many members in each, and of the same graph). An
// output that depends on none of them is absent: it is the same for all. With `after` they run when
// that is there. Throws GraphError, ShapeError, TypeError.
std::vector<MaybeVar> batch_all(const std::vector<Var>& outputs, const std::vector<Var>& members,
                                const std::vector<Var>& batches,
                                Location where = Location::current(), MaybeVar after = {});

namespace detail {
// What stands for one member of `all`, whose first axis is the batch, while the graph of one is
// built: of a member's type, and depending on nothing. Nothing runs it: compiling it is a
// GraphError.
Var member_of(Var all);
// The same in the place of `var` itself.
Var stand_in(Var var);
bool is_stand_in(const Node& node);
// The same for `size` members, with the batch axis in front.
Var for_all(Var same, std::int64_t size);
}  // namespace detail

}  // namespace dualtape
