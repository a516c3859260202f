#include <dualtape/modes/estimators.hpp>

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <string>

#include <dualtape/core/base/enumeration.hpp>
#include <dualtape/core/registry.hpp>
#include <dualtape/modes/batching.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/walk/dependence.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/random.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

// Whether the tangents of many directions of low rank may go through the graph together: every
// weight of two axes is read by products of matrices alone, and there is none of more. Elsewhere
// the batch of its directions would have to be formed, as many times the size of the weight.
bool go_together(Var loss, std::span<const Var> inputs) {
  const Op& product = require_op("matmul");
  Graph& graph = loss.graph();
  const std::vector<bool> needed = detail::ancestors_of(loss);
  for (NodeId id = 0; id < needed.size(); ++id) {
    const Node& node = graph.node(id);
    if (!needed[id] || node.op == &product) continue;
    for (const Ref& ref : node.inputs())
      for (const Var& input : inputs)
        if (input.rank() >= 2 && graph.var(ref) == input) return false;
  }
  return std::ranges::all_of(inputs, [](const Var& input) { return input.rank() <= 2; });
}

// Sums slope * direction over directions.
class Estimator {
 public:
  Estimator(Var loss, const ForwardGradientOptions& options, Location where)
      : loss_(loss), options_(options), where_(where) {}

  // Adds the share of one direction over `wrt`, drawn from each key, to the sums for them; returns
  // the slopes, in the order of the keys.
  std::vector<Var> add(const WrtList& wrt, const std::vector<Var>& keys, std::span<MaybeVar> sums) {
    // Dense directions are drawn one at a time, each right before its own product, and are most of
    // the work: there a batch of tangents saves less than it costs.
    if (keys.size() > 1 && options_.rank > 0 &&
        go_together(loss_, wrt.in(loss_.graph(), "forward_gradient", where_)))
      return add_together(wrt, keys, sums);
    std::vector<Var> slopes;
    for (const Var& key : keys) {
      const RandomDirection direction = drawn(wrt, key);
      slopes.push_back(slope_along(wrt, direction.parts()).named("slope"));
      // As late as the update that reads it, so that estimates need not live together.
      const Graph::Emitting emitting(loss_.graph(), late());
      const Var weight = weight_of(slopes.back());
      for (std::size_t i = 0; i < wrt.size(); ++i) add_to(sums[i], direction.times(weight, i));
    }
    return slopes;
  }

 private:
  // One sweep: the tangent of one direction, batched over all of them. Weights are read once, in a
  // product of the rows of all tangents.
  std::vector<Var> add_together(const WrtList& wrt, const std::vector<Var>& keys,
                                std::span<MaybeVar> sums) const {
    std::vector<RandomDirection> directions;
    for (const Var& key : keys) directions.push_back(drawn(wrt, key));
    Sweep sweep;
    std::vector<std::optional<RandomDirection::Factors>> factors;  // of all directions
    std::vector<Var> dense;                                        // the same of other parts
    std::vector<Var> tangents;                                     // of one direction
    {
      const Graph::Emitting emitting(loss_.graph(), late());
      for (std::size_t i = 0; i < wrt.size(); ++i) {
        const auto all = [&](auto part) {
          std::vector<Var> parts;
          for (const RandomDirection& direction : directions) parts.push_back(part(direction));
          return stack(parts, 0, where_);
        };
        if (!directions[0].factors(i)) {
          factors.emplace_back();
          dense.push_back(all([i](const auto& d) { return d.parts()[i]; }));
          tangents.push_back(sweep.add(dense[i]));
          continue;
        }
        factors.emplace_back(
            RandomDirection::Factors{all([i](const auto& d) { return d.factors(i)->a; }),
                                     all([i](const auto& d) { return d.factors(i)->b; })});
        dense.emplace_back();
        const Var a = sweep.add(factors[i]->a);
        tangents.push_back(matmul(a, sweep.add(factors[i]->b)));
      }
    }
    const Var one = slope_along(wrt, tangents);
    const Var slopes = batch_all({one}, sweep.members, sweep.batches, where_)[0]->named("slopes");

    const Graph::Emitting emitting(loss_.graph(), late());
    const Var weights = weight_of(slopes);
    for (std::size_t i = 0; i < wrt.size(); ++i)
      add_to(sums[i], factors[i] ? sum_of(weights, *factors[i]) : sum_of(weights, dense[i]));
    std::vector<Var> result;
    for (std::size_t k = 0; k < directions.size(); ++k)
      result.push_back(number(slopes, k).named("slope"));
    return result;
  }

  RandomDirection drawn(const WrtList& wrt, Var key) const {
    return RandomDirection(
        wrt, key, options_.perturbation,
        {.rank = options_.rank, .standardise = options_.standardise, .replay = options_.replay},
        where_);
  }

  // What stands for one direction's numbers, and those of all.
  struct Sweep {
    std::vector<Var> members, batches;
    Var add(Var all) {
      batches.push_back(all);
      members.push_back(detail::member_of(all));
      return members.back();
    }
  };

  // The sum over k of w_k A_k B_k, as one product of the A next to each other and the w_k B_k.
  static Var sum_of(Var weights, const RandomDirection::Factors& all) {
    const std::int64_t count = all.a.shape()[0], n = all.a.shape()[1], r = all.a.shape()[2];
    const std::int64_t m = all.b.shape()[2];
    const Var w = reshape(like(weights, all.b), {count, 1, 1});
    const Var b = reshape(w * all.b, {count * r, m});
    if (r == 1) return matmul(reshape(all.a, {count, n}), b, {.transpose_a = true});
    return matmul(reshape(permute(all.a, {1, 0, 2}), {n, count * r}), b);
  }

  // The same of w_k V_k for vectors or numbers V_k.
  static Var sum_of(Var weights, Var all) {
    const std::int64_t count = all.shape()[0];
    const Var rows = reshape(all, {count, all.shape().count() / count});
    const Shape member(all.shape().sizes().subspan(1));
    return reshape(matmul(reshape(like(weights, all), {1, count}), rows), member);
  }
  static Var like(Var weights, Var all) {
    return weights.dtype() == all.dtype() ? weights : cast(weights, all.dtype());
  }

  static Var number(Var all, std::size_t k) {
    const auto place = static_cast<std::int64_t>(k);
    return reshape(slice(all, 0, place, place + 1), Shape{});
  }
  static void add_to(MaybeVar& sum, Var term) { sum = sum ? *sum + term : term; }
  Graph::Emission late() const { return {no_node, Role::primal, where_, 0, 0, nullptr}; }

  Var slope_along(const WrtList& wrt, const std::vector<Var>& direction) const {
    const Var slope = forward(loss_, wrt, direction, where_);
    return slope.rank() > 0 ? reshape(slope, Shape{}) : slope;
  }
  // The number before the direction: what the mean is divided by goes here, not over a gradient.
  Var weight_of(Var slope) const {
    const double limit = options_.slope_limit;
    const Var limited = std::isinf(limit) ? slope : clamp(slope, -limit, limit);
    return options_.count > 1 ? limited * (1.0 / static_cast<double>(options_.count)) : limited;
  }

  Var loss_;
  const ForwardGradientOptions& options_;
  Location where_;
};

void check(Var loss, Var key, const ForwardGradientOptions& options, Location where) {
  detail::require_alive(loss, "forward_gradient", "the loss", where);
  detail::require_alive(key, "forward_gradient", "the key", where);
  if (loss.shape().count() != 1)
    fail<ShapeError>(
        {.op = "forward_gradient",
         .label = loss.label(),
         .what = "a gradient is of one number, but the loss is " + to_string(loss.type()),
         .where = where,
         .help = "reduce it with sum or mean"});
  if (key.dtype() != int64 || key.rank() != 0)
    fail<TypeError>({.op = "forward_gradient",
                     .label = key.label(),
                     .what = "the key must be an int64 scalar, got " + to_string(key.type()),
                     .where = where,
                     .help = "g.input(\"key\", {}, dt::int64), fed with dt::Key{n}.to_tensor()"});
  if (options.count < 1)
    fail<ValueError>(
        {.op = "forward_gradient",
         .label = loss.label(),
         .what = "needs at least one direction, got count = " + std::to_string(options.count),
         .where = where,
         .help = "set ForwardGradientOptions::count to 1 or more"});
  // Each direction is a sweep of its own in the graph, whose nodes have numbers of 32 bits.
  constexpr std::int64_t most = std::int64_t{1} << 16U;
  if (options.count > most)
    fail<SizeError>({.op = "forward_gradient",
                     .label = loss.label(),
                     .what = "a graph of count = " + std::to_string(options.count) +
                             " sweeps is too large, the limit is " + std::to_string(most),
                     .where = where,
                     .help = "average fewer directions, or the estimates of several runs with "
                             "different keys"});
  detail::require_listed("forward_gradient", "Directions", options.directions, 2,
                         "Directions::joint or Directions::per_parameter", where);
  if (!(options.slope_limit > 0))
    fail<ValueError>(
        {.op = "forward_gradient",
         .label = loss.label(),
         .what = "slope_limit is " + std::to_string(options.slope_limit) + ", but must be above 0",
         .where = where});
}

}  // namespace

ForwardGradient forward_gradient(Var loss, const WrtList& wrt, Var key,
                                 const ForwardGradientOptions& options, Location where) {
  check(loss, key, options, where);
  const std::vector<Var> inputs = wrt.in(loss.graph(), "forward_gradient", where);
  Estimator estimator(loss, options, where);
  std::vector<MaybeVar> sums(wrt.size());
  std::vector<Var> keys;
  for (std::int64_t k = 0; k < options.count; ++k) keys.push_back(fold_key({key, where}, k));
  ForwardGradient result;
  if (options.directions == Directions::joint) {
    result.slopes = estimator.add(wrt, keys, sums);
  } else {
    std::vector<std::vector<Var>> slopes;  // of each parameter
    for (std::size_t i = 0; i < wrt.size(); ++i) {
      std::vector<Var> own;
      for (const Var& of_direction : keys)
        own.push_back(fold_key({of_direction, where}, static_cast<std::int64_t>(i)));
      slopes.push_back(estimator.add({wrt[i]}, own, std::span(sums).subspan(i, 1)));
    }
    for (std::size_t k = 0; k < keys.size(); ++k)
      for (const std::vector<Var>& own : slopes) result.slopes.push_back(own[k]);
  }
  for (std::size_t i = 0; i < wrt.size(); ++i) result.gradients.add(wrt[i], inputs[i], *sums[i]);
  return result;
}

}  // namespace dualtape
