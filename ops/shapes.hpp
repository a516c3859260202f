// Operators that change the shape of a tensor and leave its elements as they are. Every dtype is
// taken; all are linear, so derivatives flow through them in either mode, but for stop_gradient.
// Axes may be negative and then count from the end. Graphs are built by one thread at a time.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

#include <dualtape/core/graph.hpp>

namespace dualtape {

// The same elements in row-major order under another shape. One size may be -1 and is worked out.
// No element moves: the result shares the operand's memory. ShapeError if the counts differ.
Var reshape(In x, const std::vector<std::int64_t>& sizes);
Var reshape(In x, std::initializer_list<std::int64_t> sizes);
Var reshape(In x, const Shape& shape);

// Axes start ... end, both included, become one: (2, 3, 4) from 1 to 2 is (2, 12). A scalar becomes
// shape (1,). ShapeError for axes out of range or in the wrong order.
Var flatten(In x, std::int64_t start = 0, std::int64_t end = -1);

// Without axes of size 1: those given, or all if none is given. ShapeError if one has another size.
Var squeeze(In x, const std::vector<std::int64_t>& axes = {});

// With an axis of size 1 put in at place `axis`, from -rank-1 to rank.
Var unsqueeze(In x, std::int64_t axis);

// Axis i of the result is axis axes[i] of x, as NumPy's transpose(x, axes). ShapeError unless
// `axes` has every axis once.
Var permute(In x, const std::vector<std::int64_t>& axes);

// The last two axes exchanged (rank 2 at least), or axes a and b.
Var transpose(In x);
Var transpose(In x, std::int64_t a, std::int64_t b);

// x repeated along new leading axes and along axes of size 1, by NumPy's rules. ShapeError if x's
// shape does not broadcast to `shape`.
Var broadcast_to(In x, const Shape& shape);

// x itself, with derivative zero in every mode: whatever it was computed from is held constant.
Var stop_gradient(In x);

}  // namespace dualtape
