// Gradients kept within bounds, whatever they come from: between a mode or estimator and an
// optimiser, or as a GradientMethod for the Trainer. (Directional derivatives are bounded by
// ForwardGradientOptions::slope_limit.) Graphs are built by one thread at a time.
//
//   dt::Trainer trainer(objective, parameters, dt::clipped_by_norm(dt::backpropagation(), 1.0),
//   sgd);
#pragma once

#include <dualtape/models/trainer.hpp>
#include <dualtape/modes/wrt.hpp>

namespace dualtape {

// Every component within [-limit, limit]. `wrt` is what the gradients are by. Throws ValueError
// unless limit is above 0 and finite, GraphError for what there is no gradient of.
Gradients clip_by_value(const WrtList& wrt, const Gradients& gradients, double limit,
                        Location where = Location::current());

// All gradients, taken as one vector g, scaled by min(1, limit / |g|): Pascanu, Mikolov and Bengio,
// ICML 2013, algorithm 1. A gradient that is not finite stays so. Throws what clip_by_value does.
Gradients clip_by_norm(const WrtList& wrt, const Gradients& gradients, double limit,
                       Location where = Location::current());

// |g| of all gradients as one vector: a float64 scalar. ValueError where there are none.
Var global_norm(const Gradients& gradients, Location where = Location::current());

// A method's gradients, clipped. ValueError for the limit, and for a null method, at once.
GradientMethod clipped_by_value(GradientMethod method, double limit,
                                Location where = Location::current());
GradientMethod clipped_by_norm(GradientMethod method, double limit,
                               Location where = Location::current());

}  // namespace dualtape
