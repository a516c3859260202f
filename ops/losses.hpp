// Losses: how far predictions are from what was wanted.
//
// Each takes a Reduction: the mean over all entries (samples for cross_entropy), their sum, or one
// value per entry. The mean of nothing is NaN. Both operands must have one shape, since a loss that
// broadcasts hides mistakes; a bare literal is taken for every entry. A graph may be built by one
// thread at a time.
#pragma once

#include <cstdint>
#include <optional>

#include <dualtape/core/graph.hpp>

namespace dualtape {

enum class Reduction : std::uint8_t { mean, sum, none };

// -log softmax(logits)[label] for integer labels 0 .. C-1: logits (N, C) and labels (N,), or one
// sample, (C,) and (). Any number of leading axes. float32 or float64 logits; labels int32 or
// int64. With logits all equal it is log(C). Floating targets of the shape of the logits are
// probabilities q of the classes: -sum_c q_c log softmax(logits)_c, where a q of 0 adds 0.
// ShapeError or TypeError where they do not fit; running it throws ValueError for a label out of
// range.
Var cross_entropy(In logits, In targets, Reduction reduction = Reduction::mean);

struct CrossEntropyOptions {
  Reduction reduction = Reduction::mean;
  // Samples with this label count for nothing, in the mean as well; of labels only.
  std::optional<std::int64_t> ignore_index = {};
  // One for each class, shape (C,). The mean divides by the sum of the weights of the labels, or by
  // the number of samples where the targets are probabilities.
  MaybeVar weights = {};
  // This share of each target is spread evenly over all classes.
  double label_smoothing = 0;
};
// The same with options. ValueError for a smoothing outside 0 .. 1. The mean over no sample that
// counts is NaN.
Var cross_entropy(In logits, In targets, const CrossEntropyOptions& options);

// The derivative of the sum of cross_entropy by the logits: softmax(logits), less 1 at the labels,
// and 0 for samples with the label to be ignored. Where a sample is all but certain it keeps the
// digits that a difference from 1 would lose.
Var cross_entropy_slope(In logits, In labels, std::optional<std::int64_t> ignore_index = {});

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

// |a - b|.
Var mae(In a, In b, Reduction reduction = Reduction::mean);

// d^2 / 2 where |d| <= delta and delta (|d| - delta / 2) beyond, d = a - b. Huber, 1964.
Var huber(In a, In b, double delta = 1, Reduction reduction = Reduction::mean);

// huber / beta: d^2 / (2 beta) where |d| < beta and |d| - beta / 2 beyond; beta = 0 is mae.
// Both throw ValueError for a negative or NaN width, huber for 0 too.
Var smooth_l1(In a, In b, double beta = 1, Reduction reduction = Reduction::mean);

// max(0, 1 - s y) for scores s and targets y that are -1 or 1.
Var hinge(In scores, In y, Reduction reduction = Reduction::mean);

// -log_p[label]: cross_entropy of logarithms of probabilities, such as log_softmax gives; operands
// and errors as there.
Var nll(In log_p, In labels, Reduction reduction = Reduction::mean);

// sum_c p_c (log p_c - log_q_c) over the last axis, the classes, for probabilities p and logarithms
// of others, log_q: how far q is from p. One value per sample, then the mean or sum of samples
// (what PyTorch calls "batchmean"). A class with p = 0 adds 0 to value and derivatives, even where
// log_q is -inf.
Var kl_divergence(In log_q, In p, Reduction reduction = Reduction::mean);

// The product of a / max(|a|, eps) and b / max(|b|, eps) summed along `axis`, which goes: 1 for
// equal directions, -1 for opposite ones, of any size that floats have, and 0 for a vector of
// zeros, which is NaN where eps is 0 (0 / 0). No loss itself: 1 minus it is one. ShapeError for an
// axis that does not exist.
Var cosine_similarity(In a, In b, std::int64_t axis = -1, double eps = 1e-8);

}  // namespace dualtape
