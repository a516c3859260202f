// Losses: how far predictions are from what was wanted.
//
// Each takes a Reduction: the mean over all entries (samples for cross_entropy), their sum, or one
// value per entry. The mean of nothing is NaN. Both operands must have one shape, since a loss that
// broadcasts hides mistakes; a bare literal is taken for every entry. A graph may be built by one
// thread at a time.
#pragma once

#include <cstdint>

#include <dualtape/core/graph.hpp>

namespace dualtape {

enum class Reduction : std::uint8_t { mean, sum, none };

// -log softmax(logits)[label] for integer labels 0 .. C-1: logits (N, C) and labels (N,), or one
// sample, (C,) and (). Any number of leading axes. float32 or float64 logits; labels int32 or
// int64. ShapeError or TypeError where they do not fit; running it throws ValueError for a label
// out of range. With logits all equal it is log(C).
Var cross_entropy(In logits, In labels, Reduction reduction = Reduction::mean);

// -log p[label] with p = softmax(logits) cut off to [e, 1 - e], e being float32's epsilon 2^-23:
// the loss of published forward-gradient experiments. No sample costs more than 15.942385, and
// where p is cut off the derivative is 0, so that a sample that is wrong beyond doubt teaches
// nothing: use cross_entropy unless such a run is to be reproduced. Operands and errors as there.
Var clamped_cross_entropy(In logits, In labels, Reduction reduction = Reduction::mean);

// -(y log p + (1 - y) log(1 - p)) for probabilities p and targets y within 0 .. 1, which may be
// floating or integer; NaN for p outside. Logarithms are cut off at -100, so that a certain and
// wrong p costs 100 and not infinity; in the derivative by p, p and 1 - p are at least 1e-12, so
// that it stays finite and still points the right way there.
Var binary_cross_entropy(In p, In y, Reduction reduction = Reduction::mean);

// The same for p = sigmoid(x), without the loss of digits: max(x, 0) - x y + log(1 + e^-|x|).
Var binary_cross_entropy_with_logits(In x, In y, Reduction reduction = Reduction::mean);

// (a - b)^2.
Var mse(In a, In b, Reduction reduction = Reduction::mean);

// The sum of (a - b)^2 / 2, whose derivative by a is a - b.
Var half_sum_of_squares(In a, In b);

}  // namespace dualtape
