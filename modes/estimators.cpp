#include <dualtape/modes/estimators.hpp>

#include <cmath>
#include <span>
#include <string>

#include <dualtape/core/base/enumeration.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/random.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

// Sums slope * direction over directions, one sweep each.
class Estimator {
 public:
  Estimator(Var loss, const ForwardGradientOptions& options, Location where)
      : loss_(loss), options_(options), where_(where) {}

  // Adds the share of one direction over `wrt` to the sums for them.
  void add(const WrtList& wrt, Var key, std::span<MaybeVar> sums) {
    const RandomDirection direction(
        wrt, key, options_.perturbation,
        {.rank = options_.rank, .standardise = options_.standardise, .replay = options_.replay},
        where_);
    const Var slope = slope_along(wrt, direction.parts()).named("slope");
    slopes_.push_back(slope);
    // As late as the update that reads it, so that estimates need not live together.
    const Graph::Emitting emitting(loss_.graph(), {no_node, Role::primal, where_, 0, 0, nullptr});
    const Var weight = weight_of(slope);
    for (std::size_t i = 0; i < wrt.size(); ++i) {
      const Var term = direction.times(weight, i);
      sums[i] = sums[i] ? *sums[i] + term : term;
    }
  }
  const std::vector<Var>& slopes() const { return slopes_; }

 private:
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
  std::vector<Var> slopes_;
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
  for (std::int64_t k = 0; k < options.count; ++k) {
    const Var direction_key = fold_key({key, where}, k);
    if (options.directions == Directions::joint) {
      estimator.add(wrt, direction_key, sums);
      continue;
    }
    for (std::size_t i = 0; i < wrt.size(); ++i)
      estimator.add({wrt[i]}, fold_key({direction_key, where}, static_cast<std::int64_t>(i)),
                    std::span(sums).subspan(i, 1));
  }
  ForwardGradient result;
  result.slopes = estimator.slopes();
  for (std::size_t i = 0; i < wrt.size(); ++i) result.gradients.add(wrt[i], inputs[i], *sums[i]);
  return result;
}

}  // namespace dualtape
