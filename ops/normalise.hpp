// Normalisation: elements brought to mean 0 and variance 1, or to mean square 1, over rows, groups
// of channels or the batch.
//
// Layer normalisation does it for every row (Ba, Kiros and Hinton, "Layer Normalization", 2016).
// Rows run along the last axis, and their variance is that of the row itself (divided by its
// length, not by one less). Integers and bools become float32; the shape is kept. A row of equal
// elements becomes zeros, or NaN where epsilon is 0 (0 / 0); a row that holds NaN or an infinity
// becomes NaN. The sums are corrected for the rounding of the mean, so rows far from zero keep the
// digits they have.
// ShapeError for a scalar, and for a scale or shift that is not one number per column; ValueError
// for an epsilon that is negative or not finite. A graph may be built by one thread at a time.
#pragma once

#include <cstdint>

#include <dualtape/core/graph.hpp>

namespace dualtape {

// (x - mean) / sqrt(variance + epsilon), for x of shape [..., n].
Var layer_norm(In x, double epsilon = 1e-5);
// The same times scale plus shift, both of shape [n], in one sweep.
Var layer_norm(In x, In scale, In shift, double epsilon = 1e-5);

// x / sqrt(mean x^2 + epsilon) of each row along the last axis, for x of shape [..., n] (Zhang and
// Sennrich, "Root Mean Square Layer Normalization", 2019); the same times scale of shape [n].
// Errors as above.
Var rms_norm(In x, double epsilon = 1e-6);
Var rms_norm(In x, In scale, double epsilon = 1e-6);

// Mean 0 and variance 1 over each of `groups` groups of neighbouring channels of each sample, x of
// shape (N, C, ...) (Wu and He, "Group Normalization", 2018); the same times scale plus shift, one
// number for each channel. ShapeError unless C is a multiple of `groups`.
Var group_norm(In x, std::int64_t groups, double epsilon = 1e-5);
Var group_norm(In x, std::int64_t groups, In scale, In shift, double epsilon = 1e-5);

// Batch normalisation (Ioffe and Szegedy, "Batch Normalization", 2015) of x of shape (N, C, ...):
// (x - mean) / sqrt(variance + epsilon) scale + shift, with one number for each channel in the
// other tensors, all of shape (C). Statistics are over all axes but that of channels.
struct BatchNormed {
  Var y;                  // the shape of x
  Var mean;               // of the batch
  Var variance;           // of the batch, divided by the count n: what y is made with
  Var unbiased_variance;  // divided by n - 1: what running statistics are made of; NaN for n = 1
};
// With the statistics of the batch, which derivatives go through, as while training. ShapeError for
// rank 0 and 1, for scale and shift of another shape, and where there is no element of a channel.
BatchNormed batch_norm(In x, In scale, In shift, double epsilon = 1e-5);
// With statistics that are given, as while evaluating.
Var batch_norm_inference(In x, In mean, In variance, In scale, In shift, double epsilon = 1e-5);

}  // namespace dualtape
