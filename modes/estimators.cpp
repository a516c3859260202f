#include <dualtape/modes/estimators.hpp>

#include <cmath>

#include <dualtape/modes/forward.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/random.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

Var draw(Var key, const Type& type, Perturbation perturbation) {
  switch (perturbation) {
    case Perturbation::rademacher: return random_rademacher(key, type.shape, type.dtype);
    case Perturbation::uniform: {
      const double bound = std::sqrt(3.0);
      return random_uniform(key, type.shape, -bound, bound, type.dtype);
    }
    case Perturbation::normal:
    case Perturbation::sphere: break;
  }
  return random_normal(key, type.shape, 0.0, 1.0, type.dtype);
}

// Scales normal draws to the sphere whose squared radius is their number.
void project_to_sphere(std::vector<Var>& direction) {
  std::int64_t count = 0;
  Var squares;
  for (const Var& part : direction) {
    count += part.shape().count();
    const Var square_sum = sum(square(part));
    squares = squares.defined() ? squares + square_sum : square_sum;
  }
  const Var scale = sqrt(static_cast<double>(count) / squares);
  for (Var& part : direction) part = part * scale;
}

// To mean 0 and standard deviation 1, by the estimate that divides by n - 1.
Var standardised(Var part, const Wrt& wrt) {
  if (part.shape().count() < 2)
    fail<ValueError>({.op = "forward_gradient",
                      .what = "a direction of one element cannot be standardised",
                      .where = wrt.where(),
                      .help = "leave standardise off, or join small parameters into one"});
  return (part - mean(part)) / stddev(part);
}

std::vector<Var> draw_by(const ForwardGradientOptions& options, const WrtList& wrt, Var key,
                         Location where) {
  std::vector<Var> direction = draw_direction(wrt, key, options.perturbation, where);
  if (options.standardise)
    for (std::size_t i = 0; i < direction.size(); ++i)
      direction[i] = standardised(direction[i], wrt[i]);
  return direction;
}

Var limited(Var slope, double limit) {
  return std::isinf(limit) ? slope : clamp(slope, -limit, limit);
}

// sum + slope * direction
void accumulate(MaybeVar& sum, Var slope, Var direction) {
  const Var term = slope * direction;
  sum = sum ? *sum + term : term;
}

// A slope that is zero because nothing arrives stays out of the estimate.
MaybeVar slope_of(Var loss, const WrtList& wrt, const std::vector<Var>& direction, Location where) {
  const MaybeVar slope = forward_all({loss}, wrt, direction, where)[0];
  return slope && slope->rank() > 0 ? reshape(*slope, Shape{}) : slope;
}

void check(Var loss, Var key, const ForwardGradientOptions& options, Location where) {
  if (!loss.defined())
    fail<GraphError>(
        {.op = "forward_gradient", .what = "the loss is an empty Var", .where = where});
  if (loss.shape().count() != 1)
    fail<ShapeError>(
        {.op = "forward_gradient",
         .label = loss.label(),
         .what = "a gradient is of one number, but the loss is " + to_string(loss.type()),
         .where = where,
         .help = "reduce it with sum or mean"});
  if (!key.defined() || key.dtype() != int64 || key.rank() != 0)
    fail<TypeError>({.op = "forward_gradient",
                     .label = key.defined() ? key.label() : std::string(),
                     .what = "the key must be an int64 scalar, got " +
                             (key.defined() ? to_string(key.type()) : std::string("an empty Var")),
                     .where = where,
                     .help = "g.input(\"key\", {}, dt::int64), fed with dt::Key{n}.to_tensor()"});
  if (options.count < 1)
    fail<ValueError>(
        {.op = "forward_gradient",
         .label = loss.label(),
         .what = "needs at least one direction, got count = " + std::to_string(options.count),
         .where = where,
         .help = "set ForwardGradientOptions::count to 1 or more"});
  if (!(options.slope_limit > 0))
    fail<ValueError>(
        {.op = "forward_gradient",
         .label = loss.label(),
         .what = "slope_limit is " + std::to_string(options.slope_limit) + ", but must be above 0",
         .where = where});
}

}  // namespace

std::string_view name_of(Perturbation perturbation) {
  switch (perturbation) {
    case Perturbation::normal: return "normal";
    case Perturbation::rademacher: return "rademacher";
    case Perturbation::uniform: return "uniform";
    case Perturbation::sphere: return "sphere";
  }
  return "";
}

std::vector<Var> draw_direction(const WrtList& wrt, Var key, Perturbation perturbation,
                                Location where) {
  std::vector<Var> direction;
  for (std::size_t i = 0; i < wrt.size(); ++i) {
    const Var input = wrt[i].in(key.graph(), "forward_gradient", where);
    direction.push_back(
        draw(fold_key(key, static_cast<std::int64_t>(i)), input.type(), perturbation));
  }
  if (perturbation == Perturbation::sphere) project_to_sphere(direction);
  for (std::size_t i = 0; i < wrt.size(); ++i) {
    const std::string label = wrt[i].in(key.graph(), "forward_gradient", where).label();
    if (!label.empty()) direction[i].named("direction of " + label);
  }
  return direction;
}

ForwardGradient forward_gradient(Var loss, const WrtList& wrt, Var key,
                                 const ForwardGradientOptions& options, Location where) {
  check(loss, key, options, where);
  std::vector<MaybeVar> sums(wrt.size());
  ForwardGradient result;
  for (std::int64_t k = 0; k < options.count; ++k) {
    const Var direction_key = fold_key(key, k);
    if (options.directions == Directions::joint) {
      const std::vector<Var> direction = draw_by(options, wrt, direction_key, where);
      const Var slope = [&] {
        if (const MaybeVar found = slope_of(loss, wrt, direction, where)) return *found;
        return reshape(forward(loss, wrt, direction, where), Shape{});  // says what is wrong
      }();
      result.slopes.push_back(slope.named("slope"));
      const Var weight = limited(slope, options.slope_limit);
      for (std::size_t i = 0; i < wrt.size(); ++i) accumulate(sums[i], weight, direction[i]);
    } else {
      for (std::size_t i = 0; i < wrt.size(); ++i) {
        const Var part_key = fold_key(direction_key, static_cast<std::int64_t>(i));
        const std::vector<Var> part = draw_by(options, {wrt[i]}, part_key, where);
        const MaybeVar found = slope_of(loss, {wrt[i]}, part, where);
        const Var slope = found ? *found : forward(loss, {wrt[i]}, part, where);
        result.slopes.push_back(slope.named("slope"));
        accumulate(sums[i], limited(slope, options.slope_limit), part[0]);
      }
    }
  }
  for (std::size_t i = 0; i < wrt.size(); ++i) {
    const Var sum = *sums[i];
    const Var estimate = options.count > 1 ? sum * (1.0 / static_cast<double>(options.count)) : sum;
    result.gradients.add(wrt[i], wrt[i].in(loss.graph(), "forward_gradient", where), estimate);
  }
  return result;
}

Var forward(Var output, const WrtList& wrt, const RandomTangents& tangents, Location where) {
  return forward(output, wrt, draw_direction(wrt, tangents.key, tangents.perturbation, where),
                 where);
}

}  // namespace dualtape
