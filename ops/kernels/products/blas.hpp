// The products of BLAS on contiguous row-major matrices, without BLAS's header.
// Private. Safe from any thread.
#pragma once

#include <string>
#include <string_view>

namespace dualtape::detail {

// op(a) op(b): m x k by k x n, all with the last index contiguous; op transposes where the flag is
// set (a is then stored k x m, b n x k). Sizes are at least 1. Matrices may be parts of wider ones.
struct GemmShape {
  bool transpose_a;
  bool transpose_b;
  int m;
  int n;
  int k;
  // Elements from one stored row to the next; 0 where they follow each other.
  int stride_a = 0;
  int stride_b = 0;
  int stride_c = 0;

  int row_of_a() const { return stride_a != 0 ? stride_a : transpose_a ? m : k; }
  int row_of_b() const { return stride_b != 0 ? stride_b : transpose_b ? k : n; }
  int row_of_c() const { return stride_c != 0 ? stride_c : n; }
};

// c = alpha op(a) op(b) + beta c. With beta 0 what c held does not matter.
void gemm(const GemmShape& shape, float alpha, const float* a, const float* b, float beta,
          float* c);
void gemm(const GemmShape& shape, double alpha, const double* a, const double* b, double beta,
          double* c);

// y += alpha op(a) x with a stored rows x columns, both at least 1, its rows `stride` apart.
void gemv(bool transpose, int rows, int columns, int stride, float alpha, const float* a,
          const float* x, float* y);
void gemv(bool transpose, int rows, int columns, int stride, double alpha, const double* a,
          const double* x, double* y);

// Makes BLAS run every call on the thread that makes it, once: its own threads and ours would fight
// for the processors, which takes up to 5 times as long as one thread alone.
void prepare_blas();

// Its version, how it was built and the kernels it runs on: "OpenBLAS 0.3.21 DYNAMIC_ARCH ...".
std::string blas_version();

// OpenBLAS knows processors by model, and runs those made after it on its kernels for "Prescott",
// of 2004: products then take 3 to 7 times as long. Before main() starts, this library makes such
// an OpenBLAS use kernels for the instructions there are, unless OPENBLAS_CORETYPE is set. This is
// the name of the kernels to use in place of those for `core`, empty if they are right.
const char* better_blas_core(std::string_view core, bool has_avx2, bool has_avx512);

}  // namespace dualtape::detail
