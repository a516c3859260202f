// One node as rules of sparsity see it, and what they share. Private; one thread at a time.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <dualtape/core/op.hpp>
#include <dualtape/modes/sparsity/known.hpp>
#include <dualtape/modes/sparsity/sets.hpp>

namespace dualtape::detail {

// For each element of a Var the set of inputs it depends on.
using SetIds = std::vector<ElementSets::Id>;
using SharedSetIds = std::shared_ptr<const SetIds>;
using MaybeSetIds = std::optional<SharedSetIds>;  // absent: depends on none

struct SparsityCall {
  const NodeView& node;
  std::span<const MaybeSetIds> in;
  ElementSets& sets;
  KnownValues& values;

  bool active(std::size_t i) const { return in[i].has_value(); }
  const SetIds& ids(std::size_t i) const { return **in[i]; }
  std::int64_t count_in(std::size_t i) const { return node.in[i].shape().count(); }
  std::int64_t count_out(std::size_t k = 0) const { return node.out[k].shape().count(); }
  SetIds empty_out(std::size_t k = 0) const {
    return SetIds(static_cast<std::size_t>(count_out(k)), ElementSets::none);
  }
};

// The sets of each output; nothing where a rule has no answer for this call.
using OutputSets = std::optional<std::vector<SetIds>>;
inline OutputSets of_one_output(SetIds sets) {
  std::vector<SetIds> all;
  all.push_back(std::move(sets));
  return all;
}

// For each element of a shape that broadcasts to `whole`, where it goes: place(element of whole) is
// the element read.
std::vector<std::int64_t> broadcast_places(const Shape& from, const Shape& whole);

// The sets of an elementwise node: united along broadcasting.
SetIds unite_elementwise(const SparsityCall& call);

// By the operator's own kernel, or its transpose's: where it only moves elements, scales them all
// alike, or is small. Nothing for an operator that is not linear in what is active, whose other
// operands are not known, or whose elements cannot be told apart in what comes out.
OutputSets probe_linear(const SparsityCall& call);

// By rules for single operators.
OutputSets sets_by_rule(const SparsityCall& call);
// Those of convolution and pooling.
OutputSets windows_rule(const SparsityCall& call);

}  // namespace dualtape::detail
