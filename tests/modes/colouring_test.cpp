// Colourings of patterns: every entry can be read from the products they ask for, and of known
// patterns there are as few as there can be.
#include <dualtape/modes/sparsity/colouring.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

namespace dt = dualtape;
using dt::detail::Colouring;
using dt::detail::CompressedPattern;

namespace {

using Index = std::int64_t;
using Rows = std::vector<std::vector<Index>>;

dt::SparsityPattern pattern_of(const Rows& rows, Index columns) {
  dt::SparsityPattern made;
  made.row_count = static_cast<Index>(rows.size());
  made.column_count = columns;
  for (const auto& row : rows) {
    made.columns.insert(made.columns.end(), row.begin(), row.end());
    made.row_starts.push_back(made.entries());
  }
  return made;
}

// Bands at these offsets from the diagonal.
dt::SparsityPattern banded(Index n, const std::vector<Index>& offsets) {
  Rows rows(static_cast<std::size_t>(n));
  for (Index i = 0; i < n; ++i)
    for (const Index d : offsets)
      if (i + d >= 0 && i + d < n) rows[static_cast<std::size_t>(i)].push_back(i + d);
  return pattern_of(rows, n);
}

// A dense first row, first column and diagonal.
dt::SparsityPattern arrow(Index n) {
  Rows rows(static_cast<std::size_t>(n));
  for (Index i = 0; i < n; ++i) {
    rows[0].push_back(i);
    if (i > 0) rows[static_cast<std::size_t>(i)] = {0, i};
  }
  return pattern_of(rows, n);
}

dt::SparsityPattern drawn(std::mt19937_64& random, Index rows, Index columns, double share) {
  Rows made(static_cast<std::size_t>(rows));
  std::bernoulli_distribution there(share);
  for (auto& row : made)
    for (Index j = 0; j < columns; ++j)
      if (there(random)) row.push_back(j);
  return pattern_of(made, columns);
}
dt::SparsityPattern symmetric(const dt::SparsityPattern& pattern) {
  const dt::SparsityPattern turned = dt::detail::transposed(pattern);
  Rows rows;
  for (Index i = 0; i < pattern.row_count; ++i) {
    rows.emplace_back();
    std::ranges::set_union(pattern.row(i), turned.row(i), std::back_inserter(rows.back()));
  }
  return pattern_of(rows, pattern.column_count);
}

// The products of a matrix of this pattern with the sums of its columns and rows by colour, and
// what is read of them, against the entries themselves: whole numbers, so that no sum is a
// neighbour's by chance.
bool recovers(const dt::SparsityPattern& pattern, const CompressedPattern& compressed,
              const std::vector<double>& entries) {
  const auto place = [](Index i) { return static_cast<std::size_t>(i); };
  const Index first = compressed.columns.count * pattern.row_count;
  std::vector<double> products(place(first + compressed.rows.count * pattern.column_count));
  std::size_t entry = 0;
  for (Index i = 0; i < pattern.row_count; ++i)
    for (const Index j : pattern.row(i)) {
      const double value = entries[entry++];
      if (const auto c = compressed.columns.colour_of[place(j)]; c != Colouring::none)
        products[place(c * pattern.row_count + i)] += value;
      if (const auto c = compressed.rows.colour_of[place(i)]; c != Colouring::none)
        products[place(first + c * pattern.column_count + j)] += value;
    }
  if (compressed.read_at.size() != entries.size()) return false;
  for (entry = 0; entry < entries.size(); ++entry)
    if (products[place(compressed.read_at[entry])] != entries[entry]) return false;
  return true;
}
std::vector<double> numbered(const dt::SparsityPattern& pattern) {
  std::mt19937_64 random(7);
  std::vector<double> values(pattern.columns.size());
  for (double& value : values) value = static_cast<double>(1 + random() % 1'000'000'007);
  return values;
}
// A symmetric matrix's.
std::vector<double> mirrored(const dt::SparsityPattern& pattern) {
  std::vector<double> values;
  for (Index i = 0; i < pattern.row_count; ++i)
    for (const Index j : pattern.row(i)) {
      const auto low = static_cast<std::uint64_t>(std::min(i, j));
      const auto high = static_cast<std::uint64_t>(std::max(i, j));
      values.push_back(
          static_cast<double>(std::mt19937_64(low * 100'003 + high)() % 1'000'000'007));
    }
  return values;
}

}  // namespace

TEST_CASE("all entries are read from the products, of any pattern, in each way") {
  std::mt19937_64 random(1);
  for (int i = 0; i < 300; ++i) {
    CAPTURE(i);
    const double share = 0.02 + 0.3 * static_cast<double>(i % 10) / 10;
    const Index rows = 1 + static_cast<Index>(random() % 40);
    const dt::SparsityPattern pattern =
        drawn(random, rows, 1 + static_cast<Index>(random() % 40), share);
    for (const dt::Sweeps sweeps :
         {dt::Sweeps::fewest, dt::Sweeps::columns, dt::Sweeps::rows, dt::Sweeps::both}) {
      const CompressedPattern compressed = dt::detail::compress(pattern, sweeps);
      CHECK(recovers(pattern, compressed, numbered(pattern)));
      if (sweeps == dt::Sweeps::columns) CHECK(compressed.rows.count == 0);
      if (sweeps == dt::Sweeps::rows) CHECK(compressed.columns.count == 0);
    }
    const dt::SparsityPattern square = symmetric(drawn(random, rows, rows, share));
    const CompressedPattern by_star = dt::detail::compress_symmetric(square);
    CHECK(recovers(square, by_star, mirrored(square)));
    CHECK(by_star.rows.count == 0);
  }
}

TEST_CASE("a colour too few is found") {
  const dt::SparsityPattern pattern = banded(9, {-1, 0, 1});
  CompressedPattern compressed = dt::detail::compress(pattern, dt::Sweeps::columns);
  for (auto& colour : compressed.columns.colour_of) colour = std::min(colour, 1);
  for (Index& at : compressed.read_at) at = std::min(at, 2 * pattern.row_count - 1);
  CHECK_FALSE(recovers(pattern, compressed, numbered(pattern)));
}

TEST_CASE("known patterns take as few products as there can be") {
  const auto columns = [](const dt::SparsityPattern& p) {
    return dt::detail::colour_columns(p).count;
  };
  const auto star = [](const dt::SparsityPattern& p) { return dt::detail::colour_star(p).count; };
  // As many as the longest row has entries, which no colouring can do with less.
  CHECK(columns(banded(1000, {-1, 0, 1})) == 3);
  CHECK(columns(banded(1000, {-2, -1, 0, 1, 2})) == 5);
  CHECK(columns(banded(1000, {0})) == 1);
  CHECK(columns(pattern_of(Rows(5), 7)) == 0);
  CHECK(columns(arrow(50)) == 50);
  CHECK(dt::detail::colour_rows(arrow(50)).count == 50);
  // Symmetry: three colours for a tridiagonal matrix, two for an arrow.
  CHECK(star(banded(1000, {-1, 0, 1})) == 3);
  CHECK(star(arrow(50)) == 2);
  CHECK(star(banded(10, {0})) == 1);
  // One row by reverse mode, the first column and the diagonal by forward mode.
  const CompressedPattern both = dt::detail::compress(arrow(50), dt::Sweeps::fewest);
  CHECK(both.columns.count + both.rows.count == 3);
}

TEST_CASE("a pattern transposed twice is itself") {
  std::mt19937_64 random(3);
  const dt::SparsityPattern pattern = drawn(random, 13, 29, 0.2);
  CHECK(dt::detail::transposed(dt::detail::transposed(pattern)) == pattern);
  CHECK(dt::detail::transposed(pattern).entries() == pattern.entries());
}
