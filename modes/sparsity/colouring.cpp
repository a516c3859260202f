#include <dualtape/modes/sparsity/colouring.hpp>

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

namespace dualtape::detail {
namespace {

using Index = std::int64_t;
using Order = std::vector<Index>;

std::size_t place(Index i) { return static_cast<std::size_t>(i); }

// What greedy colouring may visit before it is given up for as many colours as columns.
constexpr double most_visits = 2e9;

Order natural_order(Index count) {
  Order order(place(count));
  std::iota(order.begin(), order.end(), Index{0});
  return order;
}
// Those with most neighbours first; equal ones stay in order.
Order largest_first(const std::vector<Index>& degrees) {
  Order order = natural_order(static_cast<Index>(degrees.size()));
  std::ranges::stable_sort(order,
                           [&](Index a, Index b) { return degrees[place(a)] > degrees[place(b)]; });
  return order;
}

// A matrix by rows and by columns, some of whose rows do not count.
struct Bipartite {
  const SparsityPattern& by_row;
  const SparsityPattern& by_column;  // the transposed pattern
  std::vector<bool> counts;          // rows

  double visits() const {
    double sum = 0;
    for (Index i = 0; i < by_row.row_count; ++i)
      if (counts[place(i)]) {
        const auto entries = static_cast<double>(by_row.row(i).size());
        sum += entries * entries;
      }
    return sum;
  }
  Index longest_row() const {
    Index most = 0;
    for (Index i = 0; i < by_row.row_count; ++i)
      if (counts[place(i)]) most = std::max(most, static_cast<Index>(by_row.row(i).size()));
    return most;
  }
  // Columns met in the rows of each, each row counted for itself.
  std::vector<Index> degrees() const {
    std::vector<Index> all(place(by_row.column_count));
    for (Index j = 0; j < by_row.column_count; ++j)
      for (const Index i : by_column.row(j))
        if (counts[place(i)]) all[place(j)] += static_cast<Index>(by_row.row(i).size());
    return all;
  }
  bool needed(Index j) const {
    return std::ranges::any_of(by_column.row(j), [&](Index i) { return counts[place(i)]; });
  }
};

// The other way round: the column that meets fewest among those that are left comes last (Matula
// and Beck, 1983). A column is in a list for its degree, and in older ones that no longer count.
Order smallest_last(const Bipartite& matrix) {
  std::vector<Index> degrees = matrix.degrees();
  std::vector<Order> by_degree;
  const auto list = [&](Index j) {
    const std::size_t degree = place(degrees[place(j)]);
    if (by_degree.size() <= degree) by_degree.resize(degree + 1);
    by_degree[degree].push_back(j);
    return degree;
  };
  for (Index j = 0; j < matrix.by_row.column_count; ++j) list(j);
  Order order;
  std::vector<bool> gone(degrees.size());
  for (std::size_t least = 0; least < by_degree.size();) {
    if (by_degree[least].empty()) {
      ++least;
      continue;
    }
    const Index j = by_degree[least].back();
    by_degree[least].pop_back();
    if (gone[place(j)] || place(degrees[place(j)]) != least) continue;
    gone[place(j)] = true;
    order.push_back(j);
    for (const Index i : matrix.by_column.row(j)) {
      if (!matrix.counts[place(i)]) continue;
      for (const Index k : matrix.by_row.row(i)) {
        if (gone[place(k)]) continue;
        --degrees[place(k)];
        least = std::min(least, list(k));
      }
    }
  }
  std::ranges::reverse(order);
  return order;
}

// Each column in turn gets the first colour that no column which shares a row with it has.
Colouring greedy(const Bipartite& matrix, const Order& order) {
  Colouring made{std::vector<std::int32_t>(order.size(), Colouring::none), 0};
  std::vector<Index> forbidden_by;  // by colour: the last column that may not have it
  for (const Index j : order) {
    if (!matrix.needed(j)) continue;
    for (const Index i : matrix.by_column.row(j)) {
      if (!matrix.counts[place(i)]) continue;
      for (const Index k : matrix.by_row.row(i))
        if (const std::int32_t c = made.colour_of[place(k)]; c != Colouring::none)
          forbidden_by[static_cast<std::size_t>(c)] = j;
    }
    const auto free = std::ranges::find_if(forbidden_by, [j](Index by) { return by != j; });
    made.colour_of[place(j)] = static_cast<std::int32_t>(free - forbidden_by.begin());
    if (free == forbidden_by.end()) forbidden_by.push_back(-1);
  }
  made.count = static_cast<std::int32_t>(forbidden_by.size());
  return made;
}

Colouring each_its_own(const Bipartite& matrix) {
  Colouring made{std::vector<std::int32_t>(place(matrix.by_row.column_count), Colouring::none), 0};
  for (Index j = 0; j < matrix.by_row.column_count; ++j)
    if (matrix.needed(j)) made.colour_of[place(j)] = made.count++;
  return made;
}

Colouring best_of_orders(const Bipartite& matrix) {
  if (matrix.visits() > most_visits) return each_its_own(matrix);
  Colouring best = greedy(matrix, natural_order(matrix.by_row.column_count));
  if (best.count <= matrix.longest_row()) return best;  // there is none with fewer
  const auto take_better = [&](const Order& order) {
    if (Colouring other = greedy(matrix, order); other.count < best.count) best = std::move(other);
  };
  take_better(largest_first(matrix.degrees()));
  constexpr double most_listed = 5e7;  // its lists take as many numbers
  if (matrix.visits() <= most_listed) take_better(smallest_last(matrix));
  return best;
}

// ---- both ---------------------------------------------------------------------------------------

// Some rows are read from products with rows, all others from products with columns.
struct Division {
  std::vector<bool> by_rows;  // rows
  Colouring columns, rows;
  std::int32_t count() const { return columns.count + rows.count; }
};

Colouring of_chosen_rows(const SparsityPattern& pattern, const std::vector<bool>& chosen) {
  // Rows of one colour share no column, among the chosen ones: the others are not seeded.
  SparsityPattern kept;
  kept.row_count = pattern.row_count;
  kept.column_count = pattern.column_count;
  for (Index i = 0; i < pattern.row_count; ++i) {
    if (chosen[place(i)])
      kept.columns.insert(kept.columns.end(), pattern.row(i).begin(), pattern.row(i).end());
    kept.row_starts.push_back(kept.entries());
  }
  return colour_rows(kept);
}

// With the `chosen` densest rows by reverse mode.
Division divided(const SparsityPattern& pattern, const SparsityPattern& turned,
                 const Order& densest, std::size_t chosen) {
  Division made;
  made.by_rows.resize(place(pattern.row_count));
  for (std::size_t r = 0; r < chosen; ++r) made.by_rows[place(densest[r])] = true;
  std::vector<bool> counts = made.by_rows;
  counts.flip();
  made.columns = best_of_orders({pattern, turned, counts});
  if (chosen == 0)
    made.rows.colour_of.assign(place(pattern.row_count), Colouring::none);
  else
    made.rows = of_chosen_rows(pattern, made.by_rows);
  return made;
}

std::vector<Index> row_lengths(const SparsityPattern& pattern) {
  std::vector<Index> lengths;
  for (Index i = 0; i < pattern.row_count; ++i)
    lengths.push_back(static_cast<Index>(pattern.row(i).size()));
  return lengths;
}

// The best number of densest rows to be taken by reverse mode; nothing where fewer products than
// `below` are not found. A colouring has as many colours as the longest row at least, which is all
// that is looked at where that is too many: only where the rows that are left are shorter can
// fewer be enough.
std::optional<Division> division_below(const SparsityPattern& pattern,
                                       const SparsityPattern& turned, Index below) {
  const std::vector<Index> lengths = row_lengths(pattern);
  const Order densest = largest_first(lengths);
  std::optional<Division> best;
  constexpr int most_tries = 24;
  int tries = 0;
  for (std::size_t r = 0; r == 0 || (r < densest.size() && tries < most_tries); ++r) {
    const Index longest = densest.empty() ? 0 : lengths[place(densest[r])];
    if (longest >= below || (r > 0 && longest == lengths[place(densest[r - 1])])) continue;
    ++tries;
    Division other = divided(pattern, turned, densest, r);
    if (other.count() >= below) continue;
    below = other.count();
    best = std::move(other);
  }
  return best;
}

std::vector<Index> read_divided(const SparsityPattern& pattern, const Division& division) {
  std::vector<Index> read_at;
  read_at.reserve(pattern.columns.size());
  for (Index i = 0; i < pattern.row_count; ++i)
    for (const Index j : pattern.row(i))
      read_at.push_back(division.by_rows[place(i)]
                            ? division.columns.count * pattern.row_count +
                                  division.rows.colour_of[place(i)] * pattern.column_count + j
                            : division.columns.colour_of[place(j)] * pattern.row_count + i);
  return read_at;
}

CompressedPattern by_columns(const SparsityPattern& pattern, const SparsityPattern& turned) {
  Division all = divided(pattern, turned, {}, 0);
  std::vector<Index> read_at = read_divided(pattern, all);
  return {std::move(all.columns), std::move(all.rows), std::move(read_at)};
}

// What was found of the transposed pattern, as it is of the pattern.
CompressedPattern turned_back(const SparsityPattern& pattern, const SparsityPattern& turned,
                              const CompressedPattern& of_turned) {
  CompressedPattern made{of_turned.rows, of_turned.columns, {}};
  made.read_at.resize(pattern.columns.size());
  const Index first =
      of_turned.columns.count * turned.row_count;  // elements of products with columns
  const Index second = of_turned.rows.count * turned.column_count;
  std::vector<Index> next(turned.row_starts.begin(), turned.row_starts.end() - 1);
  std::size_t entry = 0;
  for (Index i = 0; i < pattern.row_count; ++i)
    for (const Index j : pattern.row(i)) {
      const Index at = of_turned.read_at[place(next[place(j)]++)];
      made.read_at[entry++] = at < first ? at + second : at - first;
    }
  return made;
}

}  // namespace

SparsityPattern transposed(const SparsityPattern& pattern) {
  SparsityPattern made;
  made.row_count = pattern.column_count;
  made.column_count = pattern.row_count;
  made.row_starts.assign(place(pattern.column_count) + 1, 0);
  for (const Index j : pattern.columns) ++made.row_starts[place(j) + 1];
  for (std::size_t j = 1; j < made.row_starts.size(); ++j)
    made.row_starts[j] += made.row_starts[j - 1];
  made.columns.resize(pattern.columns.size());
  std::vector<Index> next(made.row_starts.begin(), made.row_starts.end() - 1);
  for (Index i = 0; i < pattern.row_count; ++i)
    for (const Index j : pattern.row(i)) made.columns[place(next[place(j)]++)] = i;
  return made;
}

Colouring colour_columns(const SparsityPattern& pattern) {
  const SparsityPattern turned = transposed(pattern);
  return best_of_orders({pattern, turned, std::vector<bool>(place(pattern.row_count), true)});
}
Colouring colour_rows(const SparsityPattern& pattern) {
  return colour_columns(transposed(pattern));
}

CompressedPattern compress(const SparsityPattern& pattern, Sweeps sweeps) {
  const SparsityPattern turned = transposed(pattern);
  const auto by_rows = [&] { return turned_back(pattern, turned, by_columns(turned, pattern)); };
  if (sweeps == Sweeps::columns) return by_columns(pattern, turned);
  if (sweeps == Sweeps::rows) return by_rows();
  // Rows or columns may be the dense ones that are taken the other way. What needs no other way at
  // all is tried first.
  const auto longest = [](const SparsityPattern& of) {
    const std::vector<Index> lengths = row_lengths(of);
    return lengths.empty() ? Index{0} : std::ranges::max(lengths);
  };
  const bool rows_first = longest(pattern) <= longest(turned);
  const SparsityPattern& first = rows_first ? pattern : turned;
  const SparsityPattern& second = rows_first ? turned : pattern;
  const auto compressed = [](const SparsityPattern& of, Division&& division) {
    std::vector<Index> read_at = read_divided(of, division);
    return CompressedPattern{std::move(division.columns), std::move(division.rows),
                             std::move(read_at)};
  };
  Division best = *division_below(first, second, std::numeric_limits<Index>::max());
  std::optional<Division> other = division_below(second, first, best.count());
  const bool of_pattern = rows_first != other.has_value();
  if (other) best = std::move(*other);
  return of_pattern ? compressed(pattern, std::move(best))
                    : turned_back(pattern, turned, compressed(turned, std::move(best)));
}

}  // namespace dualtape::detail
