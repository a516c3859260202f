#include <dualtape/modes/taylor/sums.hpp>

#include <string>

#include <dualtape/modes/batching.hpp>
#include <dualtape/modes/taylor.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape::detail {

// As a user would write it: a batch of sweeps, one for each direction, and the sum of what they
// give. The planner makes it one sweep whose highest coefficient is summed from the start
// (ops/passes/collapse.cpp).
Var sum_over_directions(Var y, const std::vector<DirectionsOf>& along,
                        const std::optional<Tensor>& weights, int order, Location where) {
  Graph& graph = y.graph();
  const std::int64_t count = along[0].directions.shape()[0];
  MaybeVar factors;
  if (weights) {
    Ints sizes(y.rank() + 1, 1);
    sizes[0] = count;
    factors = reshape(graph.constant(weights->to(y.dtype()), where), sizes);
  }
  std::vector<Wrt> inputs;
  std::vector<Var> members, batches;
  std::vector<std::vector<MaybeVar>> paths;
  for (const auto& [input, directions] : along) {
    inputs.emplace_back(input, where);
    batches.push_back(directions);
    members.push_back(member_of(directions));
    paths.push_back({broadcast_as(members.back(), input.shape())});
  }
  const MaybeVar top =
      taylor_all({y}, inputs, paths, order, where)[0][static_cast<std::size_t>(order)];
  if (!top || count == 0) return zeros_like(y);
  const MaybeVar all = batch_all({*top}, members, batches, where)[0];
  const Var each = all ? *all : for_all(*top, count);
  return sum(factors ? mul(*factors, each) : each, {0});
}

double factorial(std::int64_t n) {
  double product = 1;
  for (std::int64_t k = 2; k <= n; ++k) product *= static_cast<double>(k);
  return product;
}

}  // namespace dualtape::detail
