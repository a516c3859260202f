// Colours by ColPack (A. H. Gebremedhin, D. Nguyen, M. M. A. Patwary, A. Pothen, ColPack: software
// for graph coloring and related problems in scientific computing, 2013), where it is installed.
#include <algorithm>
#include <limits>
#include <string>

#include <tests/bench/patterns.hpp>

#ifdef DUALTAPE_HAS_COLPACK
#include <ColPackHeaders.h>
#endif

namespace dualtape::bench {

#ifdef DUALTAPE_HAS_COLPACK
namespace {

// Rows as ColPack takes them: their length, then their columns.
struct Rows {
  explicit Rows(const SparsityPattern& pattern) {
    for (std::int64_t i = 0; i < pattern.row_count; ++i) {
      numbers.push_back({static_cast<unsigned>(pattern.row(i).size())});
      numbers.back().insert(numbers.back().end(), pattern.row(i).begin(), pattern.row(i).end());
    }
    for (auto& row : numbers) pointers.push_back(row.data());
  }
  std::vector<std::vector<unsigned>> numbers;
  std::vector<unsigned*> pointers;
};

template <class Colours>
std::int64_t best(Colours colours) {
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  for (const char* order : {"NATURAL", "LARGEST_FIRST", "SMALLEST_LAST", "INCIDENCE_DEGREE"})
    least = std::min<std::int64_t>(least, colours(order));
  return least;
}

}  // namespace

std::int64_t colpack_colours(const Patterns& patterns) {
  std::int64_t sum = 0;
  for (const SparsityPattern& pattern : patterns.columns)
    sum += best([&](const char* order) {
      Rows rows(pattern);
      ColPack::BipartiteGraphPartialColoringInterface graph(SRC_MEM_ADOLC, rows.pointers.data(),
                                                            static_cast<int>(pattern.row_count),
                                                            static_cast<int>(pattern.column_count));
      graph.PartialDistanceTwoColoring(order, "COLUMN_PARTIAL_DISTANCE_TWO");
      return graph.GetRightVertexColorCount();
    });
  for (const SparsityPattern& pattern : patterns.symmetric)
    sum += best([&](const char* order) {
      Rows rows(pattern);
      ColPack::GraphColoringInterface graph(SRC_MEM_ADOLC, rows.pointers.data(),
                                            static_cast<int>(pattern.row_count));
      graph.Coloring(order, "STAR");
      return graph.GetVertexColorCount();
    });
  return sum;
}
#else
std::int64_t colpack_colours(const Patterns&) { return -1; }
#endif

}  // namespace dualtape::bench
