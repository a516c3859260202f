// Elements of an axis in order, and where they came from. Every dtype is taken and kept; axes may
// be negative and then count from the end. Equal elements keep their order (in either direction),
// and NaNs come last (in either direction). Derivatives of values flow to the places they came
// from; places, int64, have derivative zero. ShapeError for axes that do not exist. A graph may be
// built by one thread at a time.
#pragma once

#include <cstdint>

#include <dualtape/core/graph.hpp>

namespace dualtape {

// Elements chosen along an axis, and their places along it.
struct Chosen {
  Var values;
  Var indices;  // int64; gather(x, indices, axis) gives the values
};

// Both in the shape of x.
Chosen sort(In x, std::int64_t axis = -1, bool descending = false);

// The places alone, as sort() gives them.
Var argsort(In x, std::int64_t axis = -1, bool descending = false);

// The k largest (smallest) along an axis, in order; of equal ones the first. ShapeError for k below
// 0 or beyond the size of the axis.
Chosen top_k(In x, std::int64_t k, std::int64_t axis = -1, bool largest = true);

}  // namespace dualtape
