// Factorisations of matrices and what follows from them. Leading axes are batches. float32 and
// float64; integers and bools become float32. NaNs and infinities give NaNs. LAPACK takes up to
// 16384 rows or columns (ShapeError). A graph may be built by one thread at a time.
//
// Derivatives of eigen- and singular vectors hold terms 1 / (w_j - w_i): where values lie close,
// they are large and lose as many digits, and where two are equal, vectors have no derivative: it
// is infinite or NaN, as in PyTorch and JAX. Those of the values are right everywhere but where
// equal ones part, which is taken in the directions of the vectors found.
#pragma once

#include <cstdint>

#include <dualtape/core/graph.hpp>

namespace dualtape {

struct TriangularOptions {
  bool lower = true;  // which triangle of the matrix is read; the other does not matter
  bool transpose = false;
  bool unit_diagonal = false;  // the diagonal is not read but taken as ones
};
// X with op(T) X = B for the triangle T of a: a (..., n, n), b (..., n, k) or a vector (n); batch
// axes broadcast. dX = op(T)^-1 (dB - op(dT) X). ShapeError where shapes do not fit; at run time
// ValueError for a zero on the diagonal, with its place and the matrix's number.
Var triangular_solve(In a, In b, TriangularOptions options = {});

// log |det A| without overflow, and the sign of det A: (..., n, n) -> (...) each; -inf and 0 for
// singular matrices, at which the derivative tr(A^-1 dA) is a ValueError at run time. ShapeError
// unless square.
struct SignLogDet {
  Var sign;
  Var log_abs_det;
};
SignLogDet slogdet(In a);

// A = Q R with k = min(m, n) orthonormal columns and an upper triangle (or trapezium) whose
// diagonal is not negative: (..., m, n) -> (..., m, k) and (..., k, n). Walter and Lehmann, "On
// higher-order derivatives of matrix factorizations" (2010); for m < n Roberts and Roberts (2020).
// The derivative needs the first k columns of A to be independent: else ValueError at run time.
struct QR {
  Var q;
  Var r;
};
QR qr(In a);

// Eigenvalues in ascending order and orthonormal eigenvectors, the columns of `vectors`, each with
// its largest element (the first of several) positive: (..., n, n) -> (..., n) and (..., n, n). At
// run time ValueError for a matrix that is not symmetric, with the elements that differ by more
// than the square root of the dtype's epsilon times the largest, and for one whose iteration does
// not converge. Derivatives are those of (A + A^T) / 2. Giles (2008), 3.1.
struct Eigh {
  Var values;
  Var vectors;
};
Eigh eigh(In a);

// A = U diag(s) V^T, reduced: (..., m, n) -> u (..., m, k), s (..., k) descending and vt (..., k,
// n), k = min(m, n); the largest element of each column of u is positive. Townsend,
// "Differentiating the singular value decomposition" (2016). Where m != n the derivatives of the
// vectors divide by the singular values and are not finite at 0; those of s always are. At run time
// ValueError if the iteration does not converge.
struct SVD {
  Var u;
  Var s;
  Var vt;
};
SVD svd(In a);

// Norms of matrices (..., m, n) -> (...): the root of the sum of squares, the sum of the singular
// values, the largest of them. ShapeError for the spectral norm of an empty matrix.
enum class MatrixNorm : std::uint8_t { frobenius, nuclear, spectral };
Var matrix_norm(In a, MatrixNorm kind = MatrixNorm::frobenius);

}  // namespace dualtape
