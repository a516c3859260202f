// The factorisations of LAPACK, by way of xtensor-blas, without its headers. Matrices are n x n,
// contiguous and column-major, so that a row-major A comes in as its transpose, where nothing else
// is said. Nothing here allocates; LAPACK may take buffers from OpenBLAS's own pool.
// Private. Safe from any thread.
#pragma once

#include <cstddef>

namespace dualtape::detail {

// P L U in place of `a`, the row exchanges in `pivots` (n, counted from 1). Returns the number of
// the first pivot that is 0, counted from 0, or -1.
int lu_factor(int n, float* a, int* pivots);
int lu_factor(int n, double* a, int* pivots);

// Calls f(factor) for the factors of the determinant: the pivots, negated where rows were
// exchanged.
template <class T, class F>
void each_factor(int n, const T* lu, const int* pivots, F f) {
  for (int i = 0; i < n; ++i) {
    const double pivot = lu[static_cast<std::size_t>(i) * static_cast<std::size_t>(n + 1)];
    f(pivots[i] == i + 1 ? pivot : -pivot);
  }
}

// Solves op(A) X = B in place of the n x k column-major `b`, from the factors of A.
void lu_solve(bool transpose, int n, int k, const float* lu, const int* pivots, float* b);
void lu_solve(bool transpose, int n, int k, const double* lu, const int* pivots, double* b);

// The inverse in place of the factors; `work` holds lu_inverse_work(n) elements.
std::size_t lu_inverse_work(int n);
void lu_inverse(int n, float* lu, const int* pivots, float* work);
void lu_inverse(int n, double* lu, const int* pivots, double* work);

// U with U^T U = A in place of the upper triangle of `a`; the rest is not touched. Returns the
// number of the first pivot that is not positive, counted from 0, or -1.
int cholesky_factor(int n, float* a);
int cholesky_factor(int n, double* a);

// Solves op(T) X = B in place of the row-major n x k `b`, T the lower or upper triangle of the
// row-major `a`, with ones for its diagonal if `unit`.
struct Triangular {
  bool lower;
  bool transpose;
  bool unit;
};
void triangular_solve(const Triangular& kind, int n, int k, const float* a, float* b);
void triangular_solve(const Triangular& kind, int n, int k, const double* a, double* b);

// The work arrays of the factorisations below: `reals` elements, `ints` ints.
struct FactorWork {
  std::size_t reals;
  std::size_t ints;
};
// Beyond that many rows or columns LAPACK's ints cannot count its work arrays.
inline constexpr int largest_factored = 16384;

// A = Q R of a column-major m x n matrix: Q (m x k, column-major) in place of `a`, whose upper
// trapezium is read off to `r` (k x n, row-major) on the way; k = min(m, n), `a` has room for m x
// max(n, k). The diagonal of R is not negative. `work` holds qr_work(m, n).
FactorWork qr_work(int m, int n);
void qr_factor(int m, int n, float* a, float* r, float* work);
void qr_factor(int m, int n, double* a, double* r, double* work);

// The eigenvalues of a symmetric matrix in ascending order and eigenvectors, as rows, in place of
// it. False if LAPACK's iteration did not converge.
FactorWork eigh_work(int n);
bool eigh_factor(int n, float* a, float* values, float* work, int* ints);
bool eigh_factor(int n, double* a, double* values, double* work, int* ints);

// A = U S V^T of a row-major m x n matrix, which is overwritten: u (m x k), s (k, descending) and
// vt (k x n), row-major. False if LAPACK's iteration did not converge.
FactorWork svd_work(int m, int n);
bool svd_factor(int m, int n, float* a, float* u, float* s, float* vt, float* work, int* ints);
bool svd_factor(int m, int n, double* a, double* u, double* s, double* vt, double* work, int* ints);

}  // namespace dualtape::detail
