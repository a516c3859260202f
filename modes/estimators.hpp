// Gradient estimators without backpropagation: forward gradients.
//
// A forward gradient is a directional derivative times its random direction, g = (grad f . v) v,
// from one forward sweep (Baydin, Pearlmutter, Syme, Wood, Torr 2022, arXiv 2202.08587). It is
// unbiased when the components of v are uncorrelated with mean 0 and variance 1, which holds for
// every perturbation here. Averaging K directions divides the variance by K. With n parameters the
// total variance of one estimate is (n + 1) |grad f|^2 for normal directions and (n - 1) |grad f|^2
// for Rademacher ones; modes/directions.hpp has that of low-rank ones.
//
// What a step costs beside the sweep: a dense direction is as large as the parameters and lives
// until the update. With `replay` it is drawn twice instead, and only the largest parameter's part
// exists at a time. A low-rank one is a few vectors, which may as well stay: it needs no replay.
// The estimate is emitted as a number times a direction, so that an update p - lr * (slope * v)
// becomes p - (lr * slope) * v and the gradient's buffer is never filled.
//
// K low-rank directions go through the graph in one sweep, as a batch of tangents
// (modes/batching.hpp), where every weight of two axes is read by matmul alone: each weight is read
// once for all of them. The draws are those of K sweeps; sums are added in another order. Dense
// directions have a sweep each, as nearly all of their work is a product with each of them.
#pragma once

#include <limits>
#include <vector>

#include <dualtape/core/random.hpp>
#include <dualtape/modes/directions.hpp>
#include <dualtape/modes/wrt.hpp>

namespace dualtape {

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
  // 0: dense directions. r >= 1: those of parameters of two axes (n, m) are sums of r outer
  // products over sqrt(r), so that a product with one costs r (n + m) multiplications a row and not
  // n m. Unbiased; with signs and r = 1 the variance is that of dense signs.
  std::int64_t rank = 0;
  // Dense directions are drawn again from the key for the estimate instead of being kept from the
  // sweep. The numbers are the same bits.
  bool replay = false;
};

struct ForwardGradient {
  Gradients gradients;      // the estimate
  std::vector<Var> slopes;  // the directional derivatives, scalars, in the order drawn
};

// The estimate of the gradient of the scalar `loss`. Direction k draws from fold_key(key, k).
// Throws ShapeError unless `loss` has one element, ValueError if count < 1, SizeError if it is
// above 65536, ValueError if slope_limit is not above 0 and for what RandomDirection refuses, and
// what forward() throws.
ForwardGradient forward_gradient(Var loss, const WrtList& wrt, Var key,
                                 const ForwardGradientOptions& options = {},
                                 Location where = Location::current());

}  // namespace dualtape
