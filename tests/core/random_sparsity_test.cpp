// Random graphs, in every mode: the pattern of a Jacobian misses no entry that moves, and what is
// picked out of compressed products is the dense Jacobian.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <string>

#include <dualtape/modes/jacobian.hpp>
#include <dualtape/modes/sparsity.hpp>

#include "random_graphs.hpp"
#include "tests/sanitizers.hpp"

using namespace dualtape;
using namespace dualtape::testing;

namespace {

// DUALTAPE_SPARSE_GRAPHS=first:count looks at others than these.
struct Seeds {
  std::uint64_t first = 0;
  std::uint64_t count = 10'000;
};
Seeds seeds_to_try() {
  Seeds seeds;
  if (address_sanitizer || thread_sanitizer) seeds.count /= 20;
  const char* text = std::getenv("DUALTAPE_SPARSE_GRAPHS");
  if (text == nullptr) return seeds;
  char* end = nullptr;
  seeds.first = std::strtoull(text, &end, 10);
  seeds.count = *end == ':' ? std::strtoull(end + 1, nullptr, 10) : 1;
  return seeds;
}

// A floating output and an input that it may depend on, neither too large to be dense.
struct Pair {
  Var y, x;
};
std::optional<Pair> pair_of(const RandomGraph& random) {
  for (const Var& y : random.outputs)
    for (const Feed& feed : random.feeds) {
      const double entries =
          static_cast<double>(y.shape().count()) * static_cast<double>(feed.value.count());
      if (is_floating(y.dtype()) && is_floating(feed.value.dtype()) && feed.value.count() > 1 &&
          entries > 1 && entries < 1e5)
        return Pair{y, feed.input};
    }
  return std::nullopt;
}

// "" where they agree.
std::string difference(const Csr<Tensor>& sparse, const Tensor& dense, double relative) {
  const Tensor got = to_dense(sparse).to(float64), wanted = dense.to(float64);
  const auto a = got.data<double>(), b = wanted.data<double>();
  double largest = 1;
  for (const double x : b) largest = std::max(largest, std::isfinite(x) ? std::abs(x) : 0);
  for (std::size_t e = 0; e < a.size(); ++e) {
    if (a[e] == b[e] || (std::isnan(a[e]) && std::isnan(b[e]))) continue;
    if (std::abs(a[e] - b[e]) <= relative * largest) continue;
    return "entry " + std::to_string(e) + " is " + std::to_string(a[e]) + " and densely " +
           std::to_string(b[e]);
  }
  return {};
}

struct Counts {
  int compared = 0, sparse = 0;
};

void compare(const RandomGraph& random, const Pair& pair, Sweeps sweeps, Counts& counts) {
  const Csr<Var> found = sparse_jacobian(pair.y, pair.x, {.sweeps = sweeps});
  const Var dense = jacobian(pair.y, pair.x);
  Program program = compile({found.values, dense});
  const Outputs out = program.run(random.feeds);
  const Csr<Tensor> sparse{found.row_count, found.column_count, found.row_starts, found.columns,
                           out[found.values]};
  const std::string why = difference(sparse, out[dense], random.dtype == float32 ? 1e-4 : 1e-11);
  CHECK_MESSAGE(why.empty(),
                random.story << ", sweeps " << static_cast<int>(sweeps) << ": " << why);
  ++counts.compared;
  if (found.columns.count() < found.row_count * found.column_count) ++counts.sparse;
}

}  // namespace

TEST_CASE("sparse Jacobians of random graphs are their dense ones") {
  const Seeds seeds = seeds_to_try();
  Counts counts;
  for (std::uint64_t s = seeds.first; s < seeds.first + seeds.count; ++s) {
    const RandomGraph random = random_graph(s, 20);
    const std::optional<Pair> pair = pair_of(random);
    if (!pair) continue;
    static constexpr Sweeps all[] = {Sweeps::fewest, Sweeps::columns, Sweeps::rows, Sweeps::both};
    try {
      compare(random, *pair, all[s % 4], counts);
    } catch (const DerivativeError& error) {
      // Of an order that an operator does not have.
      CHECK_MESSAGE(std::string(error.what()).find("not differentiable") != std::string::npos,
                    random.story << ": " << error.what());
    }
  }
  MESSAGE(counts.compared << " Jacobians, " << counts.sparse
                          << " of them with entries that cannot move");
  CHECK(4 * counts.compared > static_cast<int>(seeds.count));
  if (seeds.count >= 40) CHECK(10 * counts.sparse > counts.compared);
}
