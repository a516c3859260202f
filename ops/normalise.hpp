// Layer normalisation: every row brought to mean 0 and variance 1 (Ba, Kiros and Hinton, "Layer
// Normalization", 2016).
//
// Rows run along the last axis, and their variance is that of the row itself (divided by its
// length, not by one less). Integers and bools become float32; the shape is kept. A row of equal
// elements becomes zeros; a row that holds NaN or an infinity becomes NaN. The sums are corrected
// for the rounding of the mean, so rows far from zero keep the digits they have.
// ShapeError for a scalar, and for a scale or shift that is not one number per column; ValueError
// for an epsilon that is negative or not finite. A graph may be built by one thread at a time.
#pragma once

#include <dualtape/core/graph.hpp>

namespace dualtape {

// (x - mean) / sqrt(variance + epsilon), for x of shape [..., n].
Var layer_norm(In x, double epsilon = 1e-5);
// The same times scale plus shift, both of shape [n], in one sweep.
Var layer_norm(In x, In scale, In shift, double epsilon = 1e-5);

}  // namespace dualtape
