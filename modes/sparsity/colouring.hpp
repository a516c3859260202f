// Colourings of sparse matrices: which columns, or rows, may be seeded together, and where each
// entry is then read. Knows no operators. Private; plain functions, any thread.
//
// Sources: A. R. Curtis, M. J. D. Powell, J. K. Reid, 1974 (columns); T. F. Coleman and J. J. More,
// Estimation of sparse Jacobian matrices and graph coloring problems, 1983 (as colouring of
// graphs); D. W. Matula, L. L. Beck, Smallest-last ordering and clustering and graph coloring
// algorithms, 1983; A. H. Gebremedhin, F. Manne, A. Pothen, What color is your Jacobian?, SIAM
// Review 47, 2005 (star colouring for direct recovery of a symmetric matrix).
#pragma once

#include <cstdint>
#include <vector>

#include <dualtape/modes/sparsity.hpp>

namespace dualtape::detail {

struct Colouring {
  static constexpr std::int32_t none = -1;  // of what needs no product
  std::vector<std::int32_t> colour_of;
  std::int32_t count = 0;
};

SparsityPattern transposed(const SparsityPattern& pattern);

// A colour for each column, so that no two of one colour have an entry in one row. Columns without
// entries have none.
Colouring colour_columns(const SparsityPattern& pattern);
// The same of rows.
Colouring colour_rows(const SparsityPattern& pattern);

// A star colouring of a symmetric pattern: neighbours differ, and every path of four vertices has
// three colours. Each entry can then be read in its own row, or in the transposed one's.
Colouring colour_star(const SparsityPattern& pattern);

// The products that give all entries: of forward mode with the sums of columns of one colour, then
// of reverse mode with sums of rows.
struct CompressedPattern {
  Colouring columns;
  Colouring rows;
  // For each entry its element among columns.count products of pattern.row_count elements, then
  // rows.count of pattern.column_count.
  std::vector<std::int64_t> read_at;
};
CompressedPattern compress(const SparsityPattern& pattern, Sweeps sweeps);
CompressedPattern compress_symmetric(const SparsityPattern& pattern);

}  // namespace dualtape::detail
