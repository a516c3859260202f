// Linear algebra of square matrices. Leading axes are batches. float32 and float64; integers and
// bools become float32. Derivatives follow Giles, "Collected matrix derivative results for forward
// and reverse mode algorithmic differentiation" (2008). A graph may be built by one thread at a
// time.
//
// A matrix counts as singular when a pivot of its LU factorisation is exactly 0; one that is nearly
// so gives large numbers, as in NumPy. NaNs stay NaNs.
#pragma once

#include <dualtape/core/graph.hpp>

namespace dualtape {

// X with A X = B: a (..., n, n), b (..., n, k), or a vector (n) as in NumPy 2; batch axes
// broadcast. dX = solve(A, dB - dA X). ShapeError where shapes do not fit; at run time ValueError
// for a singular matrix, with its number in the batch and the pivot.
Var solve(In a, In b);

// The inverse: (..., n, n) -> (..., n, n). dY = -Y dA Y. To multiply by an inverse, solve() is
// quicker and more accurate. ShapeError unless square; at run time ValueError for a singular
// matrix.
Var inverse(In a);

// The determinant: (..., n, n) -> (...), 1 for n = 0. Its gradient is the matrix of cofactors, at
// singular matrices too, and the second derivative exists everywhere as well; the third and further
// ones of more than three rows take the inverse: at run time ValueError for a singular matrix, with
// its number in the batch. ShapeError unless square.
Var det(In a);

// What the derivatives of det are made of. The cofactors C_ij = (-1)^(i+j) det(A without row i and
// column j), det A A^-T where A is regular: (..., n, n) -> (..., n, n).
Var cofactors(In a);
// Their derivative at A along X, both (..., n, n) (ShapeError); linear in X.
Var cofactor_change(In a, In x);

// The lower triangular L with L L^T = (A + A^T) / 2 and a positive diagonal: (..., n, n) ->
// (..., n, n). Taking the symmetric part makes the derivative by each element well defined and
// symmetric, as in JAX. dL = L Phi(L^-1 dS L^-T), S the symmetric part, Phi the lower triangle with
// its diagonal halved (Murray, "Differentiation of the Cholesky decomposition", 2016). ShapeError
// unless square; at run time ValueError where S is not positive definite.
Var cholesky(In a);

}  // namespace dualtape
