// Forward mode: tangents propagated along the graph.
//
// The visitor walks the nodes between the inputs and the outputs in order and adds, right after
// each of them, the node of its tangent: dy = J dx (a jvp). The tangents are ordinary nodes: run
// them, optimise them, differentiate them again. Memory does not grow with depth, since a Program
// runs a tangent right after its primal and frees both when they have been read.
#pragma once

#include <vector>

#include <dualtape/modes/mode.hpp>
#include <dualtape/modes/wrt.hpp>

namespace dualtape {

// The tangent rules of the four kinds. Tangents are Vars of the graph walked, or of a scratch
// graph.
class ForwardMode : public Mode<Var> {
 protected:
  std::vector<MaybeVar> elementwise(const NodeView& node, std::span<const MaybeVar> in) override;
  std::vector<MaybeVar> linear(const NodeView& node, std::span<const MaybeVar> in) override;
  std::vector<MaybeVar> bilinear(const NodeView& node, std::span<const MaybeVar> in) override;
  std::vector<MaybeVar> general(const NodeView& node, std::span<const MaybeVar> in) override;
  void begin(Graph& graph, Location where) override;
  // A tangent has the shape and dtype of its primal; DerivativeError otherwise.
  void check(const NodeView& node, std::span<const MaybeVar> out) override;
  void visit(const Node& node, const std::function<void()>& rule) override;
  // GraphError if it has ended.
  Graph& graph(Location where = Location::current()) const;

 public:
  // The graph the primal nodes live in (tangents are added to it).
  explicit ForwardMode(Graph& graph) : graph_(graph.handle()) {}

 private:
  GraphHandle graph_;
};

// The tangents of `outputs` when `wrt` move along `tangents` (same shapes and dtypes). An absent
// result is zero: that output does not depend on any of them. Throws DerivativeError,
// GraphError, ShapeError, TypeError.
std::vector<MaybeVar> forward_all(const std::vector<Var>& outputs, const WrtList& wrt,
                                  const std::vector<Var>& tangents,
                                  Location where = Location::current());

// The same for one output; DerivativeError if it depends on none of `wrt`.
Var forward(Var output, const WrtList& wrt, const std::vector<Var>& tangents,
            Location where = Location::current());

}  // namespace dualtape
