// Reverse mode: the tape, played backwards.
//
// Linearizing writes the tangent program of the graph into a scratch graph, the tape: the same
// rules as forward mode, but every entry is linear in the tangents. Playing it backwards transposes
// each entry and adds the cotangent nodes to the graph itself: dx = J^T dy (a vjp). What comes out
// are ordinary nodes, so modes nest: hvp is forward over reverse, or reverse over forward.
#pragma once

#include <memory>
#include <vector>

#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/wrt.hpp>

namespace dualtape {

// The linear program of `outputs` at the graph's point: kept, it can be played back many times.
class Linearized {
 public:
  // Throws DerivativeError for a rule that is not linear in its tangents or an operator without
  // derivative, GraphError, TypeError.
  Linearized(const std::vector<Var>& outputs, const WrtList& wrt,
             Location where = Location::current());
  Linearized(Linearized&&) noexcept;
  Linearized& operator=(Linearized&&) noexcept;
  ~Linearized();

  // The cotangents of the inputs from those of the outputs; absent means zero. GraphError unless
  // there is one for each output, of its graph, which must still live; ShapeError.
  std::vector<MaybeVar> transpose(std::span<const MaybeVar> cotangents,
                                  Location where = Location::current()) const;
  const Graph& tape(Location where = Location::current()) const;
  // On the tape: the tangents of the inputs, and of each output, absent where nothing arrives.
  const std::vector<Var>& input_entries(Location where = Location::current()) const;
  const std::vector<MaybeVar>& output_entries(Location where = Location::current()) const;

 private:
  struct Impl;
  const Impl& impl(Location where) const;
  std::unique_ptr<Impl> impl_;
};

// Cotangents of `wrt` from those of the outputs: J^T c.
Gradients vjp(const std::vector<Var>& outputs, const WrtList& wrt,
              const std::vector<Var>& cotangents, Unreachable unreachable = Unreachable::error,
              Location where = Location::current());

// The gradient of a scalar. Throws ShapeError unless `loss` has one element; DerivativeError if it
// does not depend on one of `wrt` (see Unreachable).
Gradients reverse(Var loss, const WrtList& wrt, Unreachable unreachable = Unreachable::error,
                  Location where = Location::current());

}  // namespace dualtape
