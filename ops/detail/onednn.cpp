#include <dualtape/ops/detail/onednn.hpp>

#if defined(DUALTAPE_ONEDNN)

#include <dlfcn.h>
#include <dnnl.h>

#include <array>
#include <mutex>
#include <string_view>
#include <utility>

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

#if DNNL_VERSION_MAJOR == 2

template <auto destroy>
struct Destroy {
  template <class T>
  void operator()(T* object) const {
    destroy(object);
  }
};
template <class T, auto destroy>
using Owned = std::unique_ptr<T, Destroy<destroy>>;
using Attributes = Owned<dnnl_primitive_attr, dnnl_primitive_attr_destroy>;
using Description = Owned<dnnl_primitive_desc, dnnl_primitive_desc_destroy>;
using Primitive = Owned<dnnl_primitive, dnnl_primitive_destroy>;
using Memory = Owned<dnnl_memory, dnnl_memory_destroy>;
using Stream = Owned<dnnl_stream, dnnl_stream_destroy>;

// What `make(T**)` makes; null if it fails.
template <class Pointer, class Make>
Pointer made(Make&& make) {
  typename Pointer::pointer object = nullptr;
  return Pointer(make(&object) == dnnl_success ? object : nullptr);
}

// Never destroyed: programs of static storage may outlive any other static.
dnnl_engine_t cpu() {
  static const dnnl_engine_t engine = [] {
    dnnl_engine_t made_engine = nullptr;
    return dnnl_engine_create(&made_engine, dnnl_cpu, 0) == dnnl_success ? made_engine : nullptr;
  }();
  return engine;
}

// A transposed operand is oneDNN's matrix in column-major order.
dnnl_memory_desc_t matrix(int rows, int columns, bool transposed) {
  const dnnl_dims_t sizes = {rows, columns};
  dnnl_memory_desc_t result;
  dnnl_memory_desc_init_by_tag(&result, 2, sizes, dnnl_f32, transposed ? dnnl_ba : dnnl_ab);
  return result;
}

class PreparedMatmul : public PreparedGemm {
 public:
  // Null if oneDNN refuses or would take code that is no faster than its gemm.
  static std::shared_ptr<const PreparedGemm> make(const GemmShape& s) {
    const OneThread one;  // the plan of blocks is for as many threads as there are now
    const auto a = matrix(s.m, s.k, s.transpose_a);
    const auto b = matrix(s.k, s.n, s.transpose_b);
    const auto c = matrix(s.m, s.n, false);
    dnnl_matmul_desc_t matmul;
    const auto attributes = made<Attributes>(dnnl_primitive_attr_create);
    if (cpu() == nullptr || attributes == nullptr ||
        dnnl_primitive_attr_set_scratchpad_mode(attributes.get(), dnnl_scratchpad_mode_user) !=
            dnnl_success ||
        dnnl_matmul_desc_init(&matmul, &a, &b, nullptr, &c) != dnnl_success)
      return nullptr;
    const auto description = made<Description>([&](dnnl_primitive_desc_t* to) {
      return dnnl_primitive_desc_create(to, &matmul, attributes.get(), cpu(), nullptr);
    });
    const char* name = nullptr;
    if (description == nullptr ||
        dnnl_primitive_desc_query(description.get(), dnnl_query_impl_info_str, 0, &name) !=
            dnnl_success ||
        !std::string_view(name).starts_with("brg"))
      return nullptr;
    const dnnl_memory_desc_t scratch =
        *dnnl_primitive_desc_query_md(description.get(), dnnl_query_scratchpad_md, 0);
    auto result = std::make_shared<PreparedMatmul>();
    result->scratch_bytes_ = dnnl_memory_desc_get_size(&scratch);
    result->primitive_ = made<Primitive>(
        [&](dnnl_primitive_t* to) { return dnnl_primitive_create(to, description.get()); });
    result->stream_ = made<Stream>(
        [](dnnl_stream_t* to) { return dnnl_stream_create(to, cpu(), dnnl_stream_default_flags); });
    const std::array descriptions{&a, &b, &c, &scratch};
    for (std::size_t i = 0; i < descriptions.size(); ++i) {
      result->memory_[i] = made<Memory>([&](dnnl_memory_t* to) {
        return dnnl_memory_create(to, descriptions[i], cpu(), DNNL_MEMORY_NONE);
      });
      if (result->memory_[i] == nullptr) return nullptr;
    }
    return result->primitive_ && result->stream_ ? std::move(result) : nullptr;
  }

  std::size_t scratch_bytes() const override { return scratch_bytes_; }

  bool run(const float* a, const float* b, float* c, void* scratch) const override {
    const OneThread one;
    // A program belongs to one thread at a time, so nobody waits; but products may be copied.
    const std::lock_guard lock(mutex_);
    const std::array<void*, 4> data{const_cast<float*>(a), const_cast<float*>(b), c, scratch};
    constexpr std::array roles{DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD};
    std::array<dnnl_exec_arg_t, 4> operands{};
    for (std::size_t i = 0; i < data.size(); ++i) {
      if (dnnl_memory_set_data_handle_v2(memory_[i].get(), data[i], stream_.get()) != dnnl_success)
        return false;
      operands[i] = {roles[i], memory_[i].get()};
    }
    return dnnl_primitive_execute(primitive_.get(), stream_.get(), 4, operands.data()) ==
               dnnl_success &&
           dnnl_stream_wait(stream_.get()) == dnnl_success;
  }

 private:
  Primitive primitive_;
  Stream stream_;
  std::array<Memory, 4> memory_;  // a, b, c, scratch
  std::size_t scratch_bytes_ = 0;
  mutable std::mutex mutex_;
};

#endif

}  // namespace

bool has_onednn() { return true; }

std::string onednn_version() {
  const dnnl_version_t& v = *dnnl_version();
  return "oneDNN " + std::to_string(v.major) + '.' + std::to_string(v.minor) + '.' +
         std::to_string(v.patch);
}

bool onednn_gemm(const GemmShape& s, float alpha, const float* a, const float* b, float beta,
                 float* c) {
  const OneThread one;
  return dnnl_sgemm(s.transpose_a ? 'T' : 'N', s.transpose_b ? 'T' : 'N', s.m, s.n, s.k, alpha, a,
                    s.row_of_a(), b, s.row_of_b(), beta, c, s.row_of_c()) == dnnl_success;
}

std::shared_ptr<const PreparedGemm> prepare_onednn_gemm(const GemmShape& shape) {
#if DNNL_VERSION_MAJOR == 2
  if (shape.stride_a == 0 && shape.stride_b == 0 && shape.stride_c == 0)
    return PreparedMatmul::make(shape);
#endif
  static_cast<void>(shape);
  return nullptr;
}

}  // namespace dualtape::detail

#else

namespace dualtape::detail {

bool has_onednn() { return false; }
std::string onednn_version() { return ""; }

bool onednn_gemm(const GemmShape&, float, const float*, const float*, float, float*) {
  return false;
}

std::shared_ptr<const PreparedGemm> prepare_onednn_gemm(const GemmShape&) { return nullptr; }

}  // namespace dualtape::detail

#endif
