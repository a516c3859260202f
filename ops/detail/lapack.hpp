// The factorisations of LAPACK, by way of xtensor-blas, without its headers. Matrices are n x n,
// contiguous and column-major, so that a row-major A comes in as its transpose. Nothing here
// allocates; LAPACK may take buffers from OpenBLAS's own pool.
// Private. Safe from any thread.
#pragma once

#include <cstddef>

namespace dualtape::detail {

// P L U in place of `a`, the row exchanges in `pivots` (n, counted from 1). Returns the number of
// the first pivot that is 0, counted from 0, or -1.
int lu_factor(int n, float* a, int* pivots);
int lu_factor(int n, double* a, int* pivots);

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

}  // namespace dualtape::detail
