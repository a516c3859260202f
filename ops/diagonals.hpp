// Triangles and diagonals of matrices. Every dtype is taken; all are linear. Axes may be negative
// and then count from the end; diagonal k > 0 lies above the main one, k < 0 below. A graph may be
// built by one thread at a time.
#pragma once

#include <cstdint>

#include <dualtape/core/graph.hpp>

namespace dualtape {

// The elements on and below (above) diagonal k of the last two axes, zeros (false) elsewhere; what
// is dropped does not matter, NaN included. ShapeError below rank 2.
Var tril(In x, std::int64_t k = 0);
Var triu(In x, std::int64_t k = 0);

// Diagonal k of axes a and b, as a last axis in their place: (2, 3, 4) with axes 1 and 2 gives (2,
// 3). Empty where k is beyond the matrix. ShapeError for axes that do not exist or are one.
Var diagonal(In x, std::int64_t k = 0, std::int64_t a = -2, std::int64_t b = -1);

// Matrices with the last axis of x on diagonal k and zeros elsewhere: (..., n) -> (..., n + |k|, n
// + |k|). ShapeError for a scalar.
Var diag_embed(In x, std::int64_t k = 0);

// diag_embed of a vector, diagonal of a matrix, as NumPy's diag; ShapeError for other ranks.
Var diag(In x, std::int64_t k = 0);

// The sum of diagonal k of the last two axes: (..., n, m) -> (...). Integers and bools give int64.
Var trace(In x, std::int64_t k = 0);

}  // namespace dualtape
