#include <dualtape/ops/detail/onednn.hpp>

#if defined(DUALTAPE_ONEDNN)

#include <dlfcn.h>
#include <dnnl.h>

namespace dualtape::detail {
namespace {

// oneDNN asks its OpenMP how many threads to use. That library is looked up in the process, since
// nothing else here needs it and an oneDNN built on another runtime brings none.
struct OpenMp {
  using Set = void (*)(int);
  using Get = int (*)();
  Set set = reinterpret_cast<Set>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  Get get = reinterpret_cast<Get>(dlsym(RTLD_DEFAULT, "omp_get_max_threads"));
};

// One OpenMP thread for this thread's calls, and afterwards as many as before.
class OneThread {
 public:
  OneThread() {
    if (openmp().set == nullptr || openmp().get == nullptr) return;
    before_ = openmp().get();
    if (before_ != 1) openmp().set(1);
  }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;
  ~OneThread() {
    if (before_ != 1) openmp().set(before_);
  }

 private:
  static const OpenMp& openmp() {
    static const OpenMp found;
    return found;
  }
  int before_ = 1;
};

}  // namespace

bool has_onednn() { return true; }

bool onednn_gemm(const GemmShape& s, float alpha, const float* a, const float* b, float beta,
                 float* c) {
  const OneThread one;
  return dnnl_sgemm(s.transpose_a ? 'T' : 'N', s.transpose_b ? 'T' : 'N', s.m, s.n, s.k, alpha, a,
                    s.row_of_a(), b, s.row_of_b(), beta, c, s.row_of_c()) == dnnl_success;
}

}  // namespace dualtape::detail

#else

namespace dualtape::detail {

bool has_onednn() { return false; }

bool onednn_gemm(const GemmShape&, float, const float*, const float*, float, float*) {
  return false;
}

}  // namespace dualtape::detail

#endif
