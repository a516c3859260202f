#include <dualtape/ops/kernels/products/onednn.hpp>

#if defined(DUALTAPE_ONEDNN)

#include <array>
#include <mutex>
#include <span>
#include <string_view>
#include <utility>

#include <dualtape/ops/kernels/products/bf16.hpp>
#include <dualtape/ops/kernels/products/onednn_handles.hpp>

namespace dualtape::detail {
namespace {

using namespace onednn;

#if DNNL_VERSION_MAJOR == 2

using PostOps = Owned<dnnl_post_ops, dnnl_post_ops_destroy>;

// A transposed operand is oneDNN's matrix in column-major order.
dnnl_memory_desc_t matrix(int rows, int columns, bool transposed, dnnl_data_type_t type) {
  const dnnl_dims_t sizes = {rows, columns};
  dnnl_memory_desc_t result;
  dnnl_memory_desc_init_by_tag(&result, 2, sizes, type, transposed ? dnnl_ba : dnnl_ab);
  return result;
}

// Memory that execute() is given later.
Memory memory_of(const dnnl_memory_desc_t& description) {
  return made<Memory>([&](dnnl_memory_t* to) {
    return dnnl_memory_create(to, &description, cpu(), DNNL_MEMORY_NONE);
  });
}
Primitive primitive_of(const Description& description) {
  if (description == nullptr) return nullptr;
  return made<Primitive>(
      [&](dnnl_primitive_t* to) { return dnnl_primitive_create(to, description.get()); });
}

Attributes attributes_of(PreparedHow how) {
  auto attributes = made<Attributes>(dnnl_primitive_attr_create);
  if (attributes == nullptr || dnnl_primitive_attr_set_scratchpad_mode(
                                   attributes.get(), dnnl_scratchpad_mode_user) != dnnl_success)
    return nullptr;
  if (!how.adds) return attributes;
  const auto after = made<PostOps>(dnnl_post_ops_create);
  if (after == nullptr || dnnl_post_ops_append_sum(after.get(), 1.0F) != dnnl_success ||
      dnnl_primitive_attr_set_post_ops(attributes.get(), after.get()) != dnnl_success)
    return nullptr;
  return attributes;
}

class PreparedMatmul : public PreparedGemm {
 public:
  // Null if oneDNN refuses or would take code that is no faster than its gemm.
  static std::shared_ptr<const PreparedGemm> make(const GemmShape& s, PreparedHow how) {
    const OneThread one;  // the plan of blocks is for as many threads as there are now
    const dnnl_data_type_t type = how.bf16 ? dnnl_bf16 : dnnl_f32;
    const auto a = matrix(s.m, s.k, s.transpose_a, type);
    const auto plain_b = matrix(s.k, s.n, s.transpose_b, how.packed ? dnnl_f32 : type);
    const auto c = matrix(s.m, s.n, false, dnnl_f32);
    dnnl_memory_desc_t b = plain_b;
    if (how.packed) {
      const dnnl_dims_t sizes = {s.k, s.n};
      dnnl_memory_desc_init_by_tag(&b, 2, sizes, type, dnnl_format_tag_any);
    }
    dnnl_matmul_desc_t matmul;
    const Attributes attributes = attributes_of(how);
    if (cpu() == nullptr || attributes == nullptr ||
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
    b = *dnnl_primitive_desc_query_md(description.get(), dnnl_query_weights_md, 0);
    auto result = std::make_shared<PreparedMatmul>();
    result->scratch_bytes_ = dnnl_memory_desc_get_size(&scratch);
    result->primitive_ = primitive_of(description);
    result->stream_ = made<Stream>(
        [](dnnl_stream_t* to) { return dnnl_stream_create(to, cpu(), dnnl_stream_default_flags); });
    const std::array<const dnnl_memory_desc_t*, 4> descriptions{&a, &b, &c, &scratch};
    for (std::size_t i = 0; i < descriptions.size(); ++i) {
      result->memory_[i] = memory_of(*descriptions[i]);
      if (result->memory_[i] == nullptr) return nullptr;
    }
    if (how.packed) {
      result->packed_bytes_ = dnnl_memory_desc_get_size(&b);
      result->plain_b_ = memory_of(plain_b);
      result->pack_ = primitive_of(made<Description>([&](dnnl_primitive_desc_t* to) {
        return dnnl_reorder_primitive_desc_create(to, &plain_b, cpu(), &b, cpu(), nullptr);
      }));
      if (!result->plain_b_ || !result->pack_) return nullptr;
    }
    return result->primitive_ && result->stream_ ? std::move(result) : nullptr;
  }

  std::size_t packed_bytes() const override { return packed_bytes_; }

  bool pack(const float* b, void* packed) const override {
    if (pack_ == nullptr) return false;
    const OneThread one;
    const std::lock_guard lock(mutex_);
    if (!set(plain_b_, b) || !set(memory_[1], packed)) return false;
    const std::array<dnnl_exec_arg_t, 2> operands{
        {{DNNL_ARG_FROM, plain_b_.get()}, {DNNL_ARG_TO, memory_[1].get()}}};
    return execute(pack_, operands);
  }

  std::size_t scratch_bytes() const override { return scratch_bytes_; }

  bool run(const void* a, const void* b, float* c, void* scratch) const override {
    const OneThread one;
    // A program belongs to one thread at a time, so nobody waits; but products may be copied.
    const std::lock_guard lock(mutex_);
    const std::array<const void*, 4> data{a, b, c, scratch};
    constexpr std::array roles{DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD};
    std::array<dnnl_exec_arg_t, 4> operands{};
    for (std::size_t i = 0; i < data.size(); ++i) {
      if (!set(memory_[i], data[i])) return false;
      operands[i] = {roles[i], memory_[i].get()};
    }
    return execute(primitive_, operands);
  }

 private:
  bool set(const Memory& memory, const void* data) const {
    return dnnl_memory_set_data_handle_v2(memory.get(), const_cast<void*>(data), stream_.get()) ==
           dnnl_success;
  }
  bool execute(const Primitive& primitive, std::span<const dnnl_exec_arg_t> operands) const {
    return dnnl_primitive_execute(primitive.get(), stream_.get(), static_cast<int>(operands.size()),
                                  operands.data()) == dnnl_success &&
           dnnl_stream_wait(stream_.get()) == dnnl_success;
  }

  Primitive primitive_;
  Primitive pack_;  // null unless b comes packed
  Stream stream_;
  std::array<Memory, 4> memory_;  // a, b, c, scratch
  Memory plain_b_;
  std::size_t scratch_bytes_ = 0;
  std::size_t packed_bytes_ = 0;
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

#if DNNL_VERSION_MAJOR == 2

bool onednn_has_bf16() {
  return has_bf16_instructions() &&
         (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_bf16) ==
             dnnl_cpu_isa_avx512_core_bf16;
}

std::shared_ptr<const PreparedGemm> prepare_onednn_gemm(const GemmShape& shape, PreparedHow how) {
  if (shape.stride_a != 0 || shape.stride_b != 0 || shape.stride_c != 0) return nullptr;
  return PreparedMatmul::make(shape, how);
}

#else

bool onednn_has_bf16() { return false; }
std::shared_ptr<const PreparedGemm> prepare_onednn_gemm(const GemmShape&, PreparedHow) {
  return nullptr;
}

#endif

}  // namespace dualtape::detail

#else

namespace dualtape::detail {

bool has_onednn() { return false; }
std::string onednn_version() { return ""; }

bool onednn_gemm(const GemmShape&, float, const float*, const float*, float, float*) {
  return false;
}

bool onednn_has_bf16() { return false; }
std::shared_ptr<const PreparedGemm> prepare_onednn_gemm(const GemmShape&, PreparedHow) {
  return nullptr;
}

}  // namespace dualtape::detail

#endif
