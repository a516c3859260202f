// Copies of nodes from one graph into another. Private. A plain value; one thread at a time.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include <dualtape/core/graph.hpp>
#include <dualtape/modes/reverse.hpp>

namespace dualtape::detail {

class GraphCopy {
 public:
  GraphCopy(Graph& from, Graph& to) : from_(&from), to_(&to) {}

  // What stands for `old` in the new graph from now on.
  void set(Var old, Var made) { made_[{old.id(), old.output()}] = made; }
  // For operands that live in the parent of a scratch graph.
  void outer(std::function<Var(Var)> find) { outer_ = std::move(find); }
  // The Vars in the new graph, with all nodes they need there.
  std::vector<Var> copy(std::span<const Var> old);

 private:
  Var made(Ref ref) const { return made_.at({ref.node, std::uint32_t{ref.output}}); }
  void add(NodeId id);

  Graph* from_;
  Graph* to_;
  std::map<std::pair<NodeId, std::uint32_t>, Var> made_;
  std::function<Var(Var)> outer_;
};

// The entries of a tape that give the outputs, copied into `to`, where those of the inputs are
// `directions` and `outer` finds what they read of the values. What a function's rule put there for
// what does not move is zero. Absent where nothing arrives.
std::vector<MaybeVar> copy_of_entries(const Linearized& linear, std::span<const Var> directions,
                                      Graph& to, const std::function<Var(Var)>& outer);

}  // namespace dualtape::detail
