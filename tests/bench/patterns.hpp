// Sparse matrices whose colours are counted. Plain functions; any thread.
#pragma once

#include <cstdint>
#include <vector>

#include <dualtape/modes/sparsity.hpp>

namespace dualtape::bench {

struct Patterns {
  std::vector<SparsityPattern> columns;    // columns are coloured
  std::vector<SparsityPattern> symmetric;  // star colourings
};
// Twenty: stencils on grids, the Brusselator's, drawn ones.
Patterns twenty_patterns();

// All colours of ColPack's, each pattern's best of its four usual orders; -1 without ColPack.
std::int64_t colpack_colours(const Patterns& patterns);

}  // namespace dualtape::bench
