// The products of BLAS on contiguous row-major matrices, without BLAS's header.
// Private. Safe from any thread.
#pragma once

#include <string_view>

namespace dualtape::detail {

// op(a) op(b): m x k by k x n, all with the last index contiguous; op transposes where the flag is
// set (a is then stored k x m, b n x k). Sizes are at least 1.
struct GemmShape {
  bool transpose_a;
  bool transpose_b;
  int m;
  int n;
  int k;
};

// c = alpha op(a) op(b) + beta c. With beta 0 what c held does not matter.
void gemm(const GemmShape& shape, float alpha, const float* a, const float* b, float beta,
          float* c);
void gemm(const GemmShape& shape, double alpha, const double* a, const double* b, double beta,
          double* c);

// y += alpha op(a) x with a stored rows x columns, both at least 1.
void gemv(bool transpose, int rows, int columns, float alpha, const float* a, const float* x,
          float* y);
void gemv(bool transpose, int rows, int columns, double alpha, const double* a, const double* x,
          double* y);

// Sets the number of BLAS threads, once: one, or DUALTAPE_NUM_THREADS where that is set. More
// threads than one pay only for products far larger than most, and get in the way of a program's
// own threads.
void prepare_blas();

// The number that the text of DUALTAPE_NUM_THREADS asks for; 1 for null and for what is no number
// from 1 to 1024.
int threads_from(const char* text);

// OpenBLAS knows processors by model, and runs those made after it on its kernels for "Prescott",
// of 2004: products then take 3 to 7 times as long. Before main() starts, this library makes such
// an OpenBLAS use kernels for the instructions there are, unless OPENBLAS_CORETYPE is set. This is
// the name of the kernels to use in place of those for `core`, empty if they are right.
const char* better_blas_core(std::string_view core, bool has_avx2, bool has_avx512);

}  // namespace dualtape::detail
