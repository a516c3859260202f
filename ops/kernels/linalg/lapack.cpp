#include <dualtape/ops/kernels/linalg/lapack.hpp>

#include <algorithm>
#include <cstddef>

// First, for the repair of xtensor that it holds; xtensor-blas includes xtensor.
#include <dualtape/core/xtensor.hpp>

#include <xtensor-blas/xlinalg.hpp>

namespace dualtape::detail {
namespace {

// The block size LAPACK asks for; with less it works column by column.
constexpr int block = 64;

// xtensor-blas's own solve() and inv() allocate their copies and pivots at every call, so the layer
// below them is used, on memory of the program.
template <class T>
int factor(int n, T* a, int* pivots) {
  const int pivot = cxxlapack::getrf<int>(n, n, a, n, pivots) - 1;
  // OpenBLAS for ARM takes a NaN for a zero.
  return pivot >= 0 && a[pivot + std::ptrdiff_t{n} * pivot] != 0 ? -1 : pivot;
}
template <class T>
void solve(bool transpose, int n, int k, const T* lu, const int* pivots, T* b) {
  cxxlapack::getrs<int>(transpose ? 'T' : 'N', n, k, lu, n, pivots, b, n);
}
template <class T>
void invert(int n, T* lu, const int* pivots, T* work) {
  cxxlapack::getri<int>(n, lu, n, pivots, work, n * block);
}

template <class T>
void solve_triangle(const Triangular& kind, int n, int k, const T* a, T* b) {
  cxxblas::trsm<int>(cxxblas::RowMajor, cxxblas::Left, kind.lower ? cxxblas::Lower : cxxblas::Upper,
                     kind.transpose ? cxxblas::Trans : cxxblas::NoTrans,
                     kind.unit ? cxxblas::Unit : cxxblas::NonUnit, n, k, T{1}, a, n, b, k);
}

template <class T>
void qr(int m, int n, T* a, T* r, T* work) {
  const int k = std::min(m, n);
  T* const scalars = work;
  T* const rest = work + k;
  const int size = std::max(m, n) * block;
  cxxlapack::geqrf<int>(m, n, a, m, scalars, rest, size);
  const auto rows = static_cast<std::size_t>(m);
  const auto columns = static_cast<std::size_t>(n);
  const auto inner = static_cast<std::size_t>(k);
  for (std::size_t i = 0; i < inner; ++i)
    for (std::size_t j = 0; j < columns; ++j) r[i * columns + j] = j < i ? T{0} : a[j * rows + i];
  cxxlapack::orgqr<int>(m, k, k, a, m, scalars, rest, size);
  for (std::size_t i = 0; i < inner; ++i) {
    if (!(r[i * columns + i] < 0)) continue;
    for (std::size_t j = i; j < columns; ++j) r[i * columns + j] = -r[i * columns + j];
    for (std::size_t j = 0; j < rows; ++j) a[i * rows + j] = -a[i * rows + j];
  }
}

template <class T>
bool eigh(int n, T* a, T* values, T* work, int* ints) {
  const FactorWork sizes = eigh_work(n);
  return cxxlapack::syevd<int>('V', 'U', n, a, n, values, work, static_cast<int>(sizes.reals), ints,
                               static_cast<int>(sizes.ints)) == 0;
}

// To LAPACK the matrix is its transpose V S U^T: what it calls U is, as it lies in memory, our V^T,
// and what it calls V^T is our U.
template <class T>
bool svd(int m, int n, T* a, T* u, T* s, T* vt, T* work, int* ints) {
  const int k = std::min(m, n);
  return cxxlapack::gesdd<int>('S', n, m, a, n, s, vt, n, u, k, work,
                               static_cast<int>(svd_work(m, n).reals), ints) == 0;
}

}  // namespace

int lu_factor(int n, float* a, int* pivots) { return factor(n, a, pivots); }
int lu_factor(int n, double* a, int* pivots) { return factor(n, a, pivots); }

void lu_solve(bool transpose, int n, int k, const float* lu, const int* pivots, float* b) {
  solve(transpose, n, k, lu, pivots, b);
}
void lu_solve(bool transpose, int n, int k, const double* lu, const int* pivots, double* b) {
  solve(transpose, n, k, lu, pivots, b);
}

std::size_t lu_inverse_work(int n) { return static_cast<std::size_t>(n) * block; }
void lu_inverse(int n, float* lu, const int* pivots, float* work) { invert(n, lu, pivots, work); }
void lu_inverse(int n, double* lu, const int* pivots, double* work) { invert(n, lu, pivots, work); }

int cholesky_factor(int n, float* a) { return cxxlapack::potrf<int>('U', n, a, n) - 1; }
int cholesky_factor(int n, double* a) { return cxxlapack::potrf<int>('U', n, a, n) - 1; }

void triangular_solve(const Triangular& kind, int n, int k, const float* a, float* b) {
  solve_triangle(kind, n, k, a, b);
}
void triangular_solve(const Triangular& kind, int n, int k, const double* a, double* b) {
  solve_triangle(kind, n, k, a, b);
}

FactorWork qr_work(int m, int n) {
  const auto most = static_cast<std::size_t>(std::max(m, n));
  return {most * block + static_cast<std::size_t>(std::min(m, n)), 0};
}
void qr_factor(int m, int n, float* a, float* r, float* work) { qr(m, n, a, r, work); }
void qr_factor(int m, int n, double* a, double* r, double* work) { qr(m, n, a, r, work); }

FactorWork eigh_work(int n) {
  const auto size = static_cast<std::size_t>(n);
  return {1 + 6 * size + 2 * size * size, 3 + 5 * size};
}
bool eigh_factor(int n, float* a, float* values, float* work, int* ints) {
  return eigh(n, a, values, work, ints);
}
bool eigh_factor(int n, double* a, double* values, double* work, int* ints) {
  return eigh(n, a, values, work, ints);
}

FactorWork svd_work(int m, int n) {
  const auto least = static_cast<std::size_t>(std::min(m, n));
  const auto most = static_cast<std::size_t>(std::max(m, n));
  return {4 * least * least + 8 * least + 2 * most * block, 8 * least};
}
bool svd_factor(int m, int n, float* a, float* u, float* s, float* vt, float* work, int* ints) {
  return svd(m, n, a, u, s, vt, work, ints);
}
bool svd_factor(int m, int n, double* a, double* u, double* s, double* vt, double* work,
                int* ints) {
  return svd(m, n, a, u, s, vt, work, ints);
}

}  // namespace dualtape::detail
