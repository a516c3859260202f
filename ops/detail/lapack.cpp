#include <dualtape/ops/detail/lapack.hpp>

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
  return cxxlapack::getrf<int>(n, n, a, n, pivots) - 1;
}
template <class T>
void solve(bool transpose, int n, int k, const T* lu, const int* pivots, T* b) {
  cxxlapack::getrs<int>(transpose ? 'T' : 'N', n, k, lu, n, pivots, b, n);
}
template <class T>
void invert(int n, T* lu, const int* pivots, T* work) {
  cxxlapack::getri<int>(n, lu, n, pivots, work, n * block);
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

}  // namespace dualtape::detail
