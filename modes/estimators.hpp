// Gradient estimators without backpropagation: forward gradients.
//
// A forward gradient is a directional derivative times its random direction, g = (grad f . v) v,
// from one forward sweep (Baydin, Pearlmutter, Syme, Wood, Torr 2022, arXiv 2202.08587). It is
// unbiased when the components of v are uncorrelated with mean 0 and variance 1, which holds for
// every perturbation here. Averaging K directions divides the variance by K. With n parameters the
// total variance of one estimate is (n + 1) |grad f|^2 for normal directions and (n - 1) |grad f|^2
// for Rademacher ones.
#pragma once

#include <limits>
#include <vector>

#include <dualtape/core/random.hpp>
#include <dualtape/modes/wrt.hpp>

namespace dualtape {

enum class Perturbation : std::uint8_t {
  normal,      // N(0, 1)
  rademacher,  // -1 or 1
  uniform,     // U(-sqrt(3), sqrt(3))
  sphere,      // uniform on the sphere of radius sqrt(n) over all n components drawn together
};
std::string_view name_of(Perturbation perturbation);

enum class Directions : std::uint8_t {
  joint,          // one direction over all parameters together: one sweep
  per_parameter,  // a direction for each parameter, the others held: one sweep a parameter
};

struct ForwardGradientOptions {
  Perturbation perturbation = Perturbation::normal;
  Directions directions = Directions::joint;
  std::int64_t count = 1;  // directions averaged
  // Each parameter's part of a direction is shifted to mean 0 and scaled to standard deviation 1
  // (dividing by n - 1), as some published runs do. The estimate is then biased: its mean is
  // (I - 1 1^T / n) grad f for each parameter of n elements, the share along all-ones being lost.
  bool standardise = false;
  // Directional derivatives are cut off to [-slope_limit, slope_limit]; the slopes returned are
  // those before. Biased, but it keeps rare large steps from ending a run.
  double slope_limit = std::numeric_limits<double>::infinity();
};

struct ForwardGradient {
  Gradients gradients;      // the estimate
  std::vector<Var> slopes;  // the directional derivatives, scalars, in the order drawn
};

// One direction: a tensor for each of `wrt`, drawn in the graph from `key`, an int64 scalar (see
// Key::to_tensor). The same key gives the same directions anywhere; component i of the list draws
// from fold_key(key, i).
std::vector<Var> draw_direction(const WrtList& wrt, Var key, Perturbation perturbation,
                                Location where = Location::current());

// The estimate of the gradient of the scalar `loss`. Direction k draws from fold_key(key, k).
// Throws ShapeError unless `loss` has one element, ValueError if count < 1, if slope_limit is not
// above 0 or if a parameter of one element is to be standardised, and what forward() throws.
ForwardGradient forward_gradient(Var loss, const WrtList& wrt, Var key,
                                 const ForwardGradientOptions& options = {},
                                 Location where = Location::current());

// A perturbation with its key, as forward() takes it in place of tangents.
struct RandomTangents {
  RandomTangents(Var key_var, Perturbation kind) : key(key_var), perturbation(kind) {}
  Var key;
  Perturbation perturbation;
};
inline RandomTangents normal_tangents(Var key) { return {key, Perturbation::normal}; }
inline RandomTangents rademacher_tangents(Var key) { return {key, Perturbation::rademacher}; }

// The derivative of `output` along a random direction drawn from the key.
Var forward(Var output, const WrtList& wrt, const RandomTangents& tangents,
            Location where = Location::current());

}  // namespace dualtape
