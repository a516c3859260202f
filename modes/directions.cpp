#include <dualtape/modes/directions.hpp>

#include <cmath>
#include <string>

#include <dualtape/modes/forward.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/random.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

// Draws the parts of one direction. `turn` counts how often the same numbers have been drawn
// before: each turn has nodes of its own, the numbers are the same.
class Drawer {
 public:
  Drawer(const WrtList& wrt, std::vector<Var> inputs, Var key, Perturbation perturbation,
         const DirectionOptions& options)
      : wrt_(wrt),
        inputs_(std::move(inputs)),
        key_(key),
        perturbation_(perturbation),
        options_(options) {}

  // What brings normal draws to the sphere whose squared radius is their number; takes a turn.
  MaybeVar to_sphere(std::int64_t turn) const {
    std::int64_t count = 0;
    Var squares;
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      count += inputs_[i].shape().count();
      const Var square_sum = sum(square(part(i, turn)));
      squares = squares.defined() ? squares + square_sum : square_sum;
    }
    if (!squares.defined()) return std::nullopt;
    return sqrt(static_cast<double>(count) / squares);
  }

  Var part(std::size_t i, std::int64_t turn) const {
    const Type& type = inputs_[i].type();
    const Var key = fold_key(key_, static_cast<std::int64_t>(i));
    if (options_.rank > 0 && type.shape.rank() >= 2) {
      const RandomDirection::Factors drawn = low_rank(key, type);
      const Var product = matmul(drawn.a, drawn.b);
      return type.shape.rank() == 2 ? product : reshape(product, type.shape);
    }
    const Var drawn = draw(key, type, 1.0, turn);
    return options_.standardise ? standardised(drawn, wrt_[i]) : drawn;
  }

  // Of part(i), which emits them as well: equal nodes are one.
  std::optional<RandomDirection::Factors> factors(std::size_t i) const {
    const Type& type = inputs_[i].type();
    if (options_.rank == 0 || type.shape.rank() != 2) return std::nullopt;
    return low_rank(fold_key(key_, static_cast<std::int64_t>(i)), type);
  }

 private:
  // Independent components of mean 0 and standard deviation `deviation`.
  Var draw(Var key, const Type& type, double deviation, std::int64_t turn) const {
    const Var drawn = [&] {
      switch (perturbation_) {
        case Perturbation::rademacher: return random_rademacher(key, type.shape, type.dtype);
        case Perturbation::uniform: {
          const double bound = std::sqrt(3.0) * deviation;
          return random_uniform(key, type.shape, -bound, bound, type.dtype);
        }
        case Perturbation::normal:
        case Perturbation::sphere: break;
      }
      return random_normal(key, type.shape, 0.0, deviation, type.dtype);
    }();
    const Var own = turn == 0 ? drawn : draw_again(drawn, turn);
    const bool unscaled = perturbation_ == Perturbation::rademacher && deviation != 1;
    return unscaled ? own * deviation : own;
  }

  // A B with 1 / sqrt(r) in the smaller factor, so that nothing of the parameter's size is scaled.
  // More than two axes, as a convolution's weight has, are a matrix of the first by all others.
  // Never drawn again: what stays from the sweep to the update are the factors.
  RandomDirection::Factors low_rank(Var key, const Type& type) const {
    const std::int64_t rows = type.shape[0];
    const std::int64_t columns = rows == 0 ? 0 : type.shape.count() / rows;
    const std::int64_t r = options_.rank;
    const double scale = 1 / std::sqrt(static_cast<double>(r));
    const bool left = rows <= columns;
    const Var a = draw(fold_key(key, 0), {{rows, r}, type.dtype}, left ? scale : 1.0, 0);
    const Var b = draw(fold_key(key, 1), {{r, columns}, type.dtype}, left ? 1.0 : scale, 0);
    return {a, b};
  }

  // To mean 0 and standard deviation 1, by the estimate that divides by n - 1.
  static Var standardised(Var part, const Wrt& wrt) {
    if (part.shape().count() < 2)
      fail<ValueError>({.op = "forward_gradient",
                        .what = "a direction of one element cannot be standardised",
                        .where = wrt.where(),
                        .help = "leave standardise off, or join small parameters into one"});
    return (part - mean(part)) / stddev(part);
  }

  const WrtList& wrt_;
  std::vector<Var> inputs_;
  Var key_;
  Perturbation perturbation_;
  DirectionOptions options_;
};

void check(Perturbation perturbation, const DirectionOptions& options, Location where) {
  if (options.rank < 0)
    fail<ValueError>({.op = "forward_gradient",
                      .what = "the rank of a direction is " + std::to_string(options.rank) +
                              ", but must be at least 0",
                      .where = where,
                      .help = "0 draws dense directions, 1 is the cheapest low rank"});
  if (name_of(perturbation).empty())
    fail<ValueError>({.op = "forward_gradient",
                      .what = "there is no perturbation of the number " +
                              std::to_string(static_cast<int>(perturbation)),
                      .where = where,
                      .help = "dt::Perturbation::normal, or another one"});
  if (options.rank == 0) return;
  constexpr std::int64_t most = std::int64_t{1} << 20U;  // more than matrices have rows
  if (options.rank > most)
    fail<SizeError>({.op = "forward_gradient",
                     .what = "the rank of a direction is " + std::to_string(options.rank) +
                             ", the limit is " + std::to_string(most),
                     .where = where,
                     .help = "0 draws dense directions"});
  if (perturbation == Perturbation::sphere)
    fail<ValueError>({.op = "forward_gradient",
                      .what = "low-rank directions are not drawn on a sphere",
                      .where = where,
                      .help = "use Perturbation::rademacher, whose variance is the same"});
  if (options.standardise)
    fail<ValueError>({.op = "forward_gradient",
                      .what = "low-rank directions cannot be standardised: that would form them",
                      .where = where,
                      .help = "leave standardise off, or set rank = 0"});
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

RandomDirection::RandomDirection(const WrtList& wrt, Var key, Perturbation perturbation,
                                 const DirectionOptions& options, Location where)
    : where_(where) {
  check(perturbation, options, where);
  detail::require_alive(key, "forward_gradient", "the key", where);
  const std::vector<Var> inputs = wrt.in(key.graph(), "forward_gradient", where);
  const Graph::Emitting emitting(key.graph(), {no_node, Role::primal, where, 0, 0, nullptr});
  const Drawer drawer(wrt, inputs, key, perturbation, options);
  std::int64_t turn = 0;
  // Standardised parts are the same for every scale.
  if (perturbation == Perturbation::sphere && !options.standardise) {
    scale_ = drawer.to_sphere(turn);
    if (options.replay) ++turn;
  }
  const auto named = [&](std::size_t i, Var part) {
    const std::string label = inputs[i].label();
    return label.empty() ? part : part.named("direction of " + label);
  };
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Var part = drawer.part(i, turn);
    again_.push_back(options.replay ? named(i, drawer.part(i, turn + 1)) : part);
    parts_.push_back(named(i, scale_ ? part * *scale_ : part));
    factors_.push_back(drawer.factors(i));
  }
}

Var RandomDirection::times(Var number, std::size_t i, Location where) const {
  detail::require_alive(number, "forward_gradient", "the number before a direction", where);
  if (i >= again_.size())
    fail<ValueError>({.op = "forward_gradient",
                      .what = "there is no part " + std::to_string(i) + " in a direction of " +
                              std::to_string(again_.size()),
                      .where = where});
  const Graph::Emitting emitting(number.graph(), {no_node, Role::primal, where_, 0, 0, nullptr});
  return (scale_ ? number * *scale_ : number) * again_[i];
}

std::vector<Var> draw_direction(const WrtList& wrt, Var key, Perturbation perturbation,
                                const DirectionOptions& options, Location where) {
  DirectionOptions once = options;
  once.replay = false;
  return RandomDirection(wrt, key, perturbation, once, where).parts();
}

Var forward(Var output, const WrtList& wrt, const RandomTangents& tangents, Location where) {
  return forward(output, wrt,
                 draw_direction(wrt, tangents.key, tangents.perturbation, tangents.options, where),
                 where);
}

}  // namespace dualtape
