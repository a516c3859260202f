// The operator that runs several elementwise operators, and reductions of what they compute, as one
// kernel; passes make one for each group they fuse. Private. Immutable once made; any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <dualtape/core/op.hpp>
#include <dualtape/core/tile/tile.hpp>
#include <dualtape/core/tile/tile_fold.hpp>

namespace dualtape::detail {

// An input that is drawn tile by tile: the node's operand is the operand of `op`, a draw.
struct DrawnInput {
  const Op* op;
  Attributes attributes;
  Type type;  // of what is drawn: the shape of the fused outputs
};

struct FusedParts {
  TileCode code;  // its inputs in this order: those looped over, those drawn, the single ones
  DType dtype = float32;
  std::vector<DrawnInput> draws;
  // The node's outputs are the first `stored` results of the code, then those of the folds, which
  // are all of the same shape and along the same axes.
  std::size_t stored = 0;
  std::vector<FoldedOutput> folds;
  std::string members;  // what was fused, for explain()
};
std::shared_ptr<const Op> make_fused_op(FusedParts parts);

// Whether the operator is one of those.
bool is_fused(const Op& op);

}  // namespace dualtape::detail
