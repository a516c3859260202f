// What code that calls oneDNN 2 shares: owners of its objects, and the one thread it runs on.
// Private; includes oneDNN's header. Safe from any thread.
#pragma once

#include <dlfcn.h>
#include <dnnl.h>

#include <memory>

namespace dualtape::detail::onednn {

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
inline dnnl_engine_t cpu() {
  static const dnnl_engine_t engine = [] {
    dnnl_engine_t made_engine = nullptr;
    return dnnl_engine_create(&made_engine, dnnl_cpu, 0) == dnnl_success ? made_engine : nullptr;
  }();
  return engine;
}

#endif

}  // namespace dualtape::detail::onednn
