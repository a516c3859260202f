// Star colouring of symmetric matrices.
#include <algorithm>
#include <numeric>

#include <dualtape/modes/sparsity/colouring.hpp>

namespace dualtape::detail {
namespace {

using Index = std::int64_t;

std::size_t place(Index i) { return static_cast<std::size_t>(i); }

// Greedy: each vertex gets the first colour that gives no path of four vertices two colours alone.
class Star {
 public:
  explicit Star(const SparsityPattern& pattern)
      : pattern_(pattern),
        colour_of_(place(pattern.row_count), Colouring::none),
        neighbours_of_(place(pattern.row_count)) {}

  Colouring run(const std::vector<Index>& order) {
    for (const Index v : order)
      if (!pattern_.row(v).empty()) colour(v);
    return {colour_of_, static_cast<std::int32_t>(forbidden_by_.size())};
  }

 private:
  std::int32_t colour_of(Index v) const { return colour_of_[place(v)]; }
  // Neighbours of v that have the colour.
  std::int32_t count(Index v, std::int32_t colour) const {
    const auto& counts = neighbours_of_[place(v)];
    return static_cast<std::size_t>(colour) < counts.size()
               ? counts[static_cast<std::size_t>(colour)]
               : 0;
  }
  void forbid(Index v, std::int32_t colour) { forbidden_by_[static_cast<std::size_t>(colour)] = v; }

  void colour(Index v) {
    for (const Index w : pattern_.row(v)) {
      if (w == v || colour_of(w) == Colouring::none) continue;
      forbid(v, colour_of(w));
      const bool twins = count(v, colour_of(w)) > 1;  // v would be within such a path
      for (const Index x : pattern_.row(w)) {
        if (x == v || x == w || colour_of(x) == Colouring::none) continue;
        // ... or at its end: v, w, x and another neighbour of x with the colour of w.
        if (twins || count(x, colour_of(w)) > 1) forbid(v, colour_of(x));
      }
    }
    const auto free = std::ranges::find_if(forbidden_by_, [v](Index by) { return by != v; });
    const auto chosen = static_cast<std::int32_t>(free - forbidden_by_.begin());
    if (free == forbidden_by_.end()) forbidden_by_.push_back(-1);
    colour_of_[place(v)] = chosen;
    for (const Index w : pattern_.row(v)) {
      if (w == v) continue;
      auto& counts = neighbours_of_[place(w)];
      if (counts.size() <= static_cast<std::size_t>(chosen))
        counts.resize(static_cast<std::size_t>(chosen) + 1);
      ++counts[static_cast<std::size_t>(chosen)];
    }
  }

  const SparsityPattern& pattern_;
  std::vector<std::int32_t> colour_of_;
  std::vector<std::vector<std::int32_t>> neighbours_of_;  // by vertex and colour
  std::vector<Index> forbidden_by_;                       // by colour: the last vertex
};

double visits(const SparsityPattern& pattern) {
  double sum = 0;
  for (Index i = 0; i < pattern.row_count; ++i) {
    const auto entries = static_cast<double>(pattern.row(i).size());
    sum += entries * entries;
  }
  return sum;
}

}  // namespace

Colouring colour_star(const SparsityPattern& pattern) {
  // Columns that share no row are a star colouring, too.
  constexpr double most_visits = 3e8;
  if (visits(pattern) > most_visits) return colour_columns(pattern);
  std::vector<Index> order(place(pattern.row_count));
  std::iota(order.begin(), order.end(), Index{0});
  const Colouring natural = Star(pattern).run(order);
  std::ranges::stable_sort(
      order, [&](Index a, Index b) { return pattern.row(a).size() > pattern.row(b).size(); });
  const Colouring largest = Star(pattern).run(order);
  return largest.count < natural.count ? largest : natural;
}

CompressedPattern compress_symmetric(const SparsityPattern& pattern) {
  CompressedPattern made{colour_star(pattern), {}, {}};
  made.rows.colour_of.assign(place(pattern.row_count), Colouring::none);
  const auto colour = [&](Index v) { return made.columns.colour_of[place(v)]; };
  std::vector<std::int32_t> counts;  // of the colours in one row
  std::vector<std::vector<std::int32_t>> by_row;
  for (Index i = 0; i < pattern.row_count; ++i) {
    counts.assign(static_cast<std::size_t>(made.columns.count), 0);
    for (const Index j : pattern.row(i)) ++counts[static_cast<std::size_t>(colour(j))];
    std::vector<std::int32_t> alone;
    for (const Index j : pattern.row(i))
      alone.push_back(counts[static_cast<std::size_t>(colour(j))]);
    by_row.push_back(std::move(alone));
  }
  for (Index i = 0; i < pattern.row_count; ++i)
    for (std::size_t k = 0; k < pattern.row(i).size(); ++k) {
      const Index j = pattern.row(i)[k];
      const bool here = by_row[place(i)][k] == 1;
      made.read_at.push_back(here ? colour(j) * pattern.row_count + i
                                  : colour(i) * pattern.row_count + j);
    }
  return made;
}

}  // namespace dualtape::detail
