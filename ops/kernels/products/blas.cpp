#include <dualtape/ops/kernels/products/blas.hpp>

#include <cstdlib>
#include <mutex>

// Never in one file with xtensor-blas, which declares these functions again.
#include <cblas.h>

// What the constructor and destructor of a shared OpenBLAS call; not in its header. Null where it
// was built for one processor only.
extern "C" {
[[gnu::weak]] void gotoblas_dynamic_init();
[[gnu::weak]] void gotoblas_dynamic_quit();
}

namespace dualtape::detail {
namespace {

CBLAS_TRANSPOSE flag(bool transpose) { return transpose ? CblasTrans : CblasNoTrans; }

// Runs while the program is loaded, when no other thread can be inside OpenBLAS.
// NOLINTBEGIN(concurrency-mt-unsafe)
const bool core_chosen = [] {
#if defined(__x86_64__)
  constexpr const char* variable = "OPENBLAS_CORETYPE";
  if (gotoblas_dynamic_init == nullptr || gotoblas_dynamic_quit == nullptr ||
      std::getenv(variable) != nullptr)
    return false;
  __builtin_cpu_init();
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const char* core = better_blas_core(openblas_get_corename(), avx2, avx512);
  if (*core == '\0') return false;
  setenv(variable, core, 1);
  gotoblas_dynamic_quit();
  gotoblas_dynamic_init();
  unsetenv(variable);
  return true;
#else
  return false;
#endif
}();
// NOLINTEND(concurrency-mt-unsafe)

}  // namespace

const char* better_blas_core(std::string_view core, bool has_avx2, bool has_avx512) {
  if (core != "Prescott") return "";
  if (has_avx512) return "SkylakeX";
  return has_avx2 ? "Haswell" : "";
}

void gemm(const GemmShape& s, float alpha, const float* a, const float* b, float beta, float* c) {
  cblas_sgemm(CblasRowMajor, flag(s.transpose_a), flag(s.transpose_b), s.m, s.n, s.k, alpha, a,
              s.row_of_a(), b, s.row_of_b(), beta, c, s.row_of_c());
}
void gemm(const GemmShape& s, double alpha, const double* a, const double* b, double beta,
          double* c) {
  cblas_dgemm(CblasRowMajor, flag(s.transpose_a), flag(s.transpose_b), s.m, s.n, s.k, alpha, a,
              s.row_of_a(), b, s.row_of_b(), beta, c, s.row_of_c());
}

// Only ever added to: some versions of OpenBLAS multiply y by a beta of 0, which lets NaNs of
// uninitialised memory through.
void gemv(bool transpose, int rows, int columns, int stride, float alpha, const float* a,
          const float* x, float* y) {
  cblas_sgemv(CblasRowMajor, flag(transpose), rows, columns, alpha, a, stride, x, 1, 1.0F, y, 1);
}
void gemv(bool transpose, int rows, int columns, int stride, double alpha, const double* a,
          const double* x, double* y) {
  cblas_dgemv(CblasRowMajor, flag(transpose), rows, columns, alpha, a, stride, x, 1, 1.0, y, 1);
}

void prepare_blas() {
  static std::once_flag once;
  std::call_once(once, [] { openblas_set_num_threads(1); });
}

std::string blas_version() { return openblas_get_config(); }

}  // namespace dualtape::detail
