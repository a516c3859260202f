// The product of oneDNN, which this library may have been built with or without.
// Private. Safe from any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include <dualtape/ops/kernels/products/blas.hpp>

namespace dualtape::detail {

bool has_onednn();
std::string onednn_version();  // "oneDNN 2.6.3", of the library that is there; else ""

// As gemm(), on the calling thread alone, which may be asked of a library built with oneDNN only.
// False if oneDNN refused; c is then as it was.
bool onednn_gemm(const GemmShape& shape, float alpha, const float* a, const float* b, float beta,
                 float* c);

// Whether oneDNN has products of bf16 matrices on this processor that are no emulation.
bool onednn_has_bf16();

// Which product of op(a) and op(b) oneDNN prepares.
struct PreparedHow {
  bool bf16 = false;    // a and b hold bf16 numbers; the product and its sums are float32
  bool adds = false;    // c += a b rather than c = a b
  bool packed = false;  // b comes as pack() has put it
};

// A product that oneDNN has made its code and its plan of blocks for beforehand, for one thread and
// matrices that are not parts of wider ones.
class PreparedGemm {
 public:
  virtual ~PreparedGemm() = default;
  virtual std::size_t scratch_bytes() const = 0;
  virtual std::size_t packed_bytes() const = 0;  // of b; 0 unless it comes packed
  // Puts the float32 matrix b in the order that run() reads fastest, as bf16 where that is asked
  // for, into packed_bytes() of memory aligned to 64 bytes. False if oneDNN refused.
  virtual bool pack(const float* b, void* packed) const = 0;
  // `scratch` is aligned to 64 bytes and nobody else's meanwhile. False if oneDNN refused. oneDNN
  // notes the operands in some small records that it allocates for each call; nothing else does.
  virtual bool run(const void* a, const void* b, float* c, void* scratch) const = 0;
};
// Null without oneDNN 2, or where it has no such code for these sizes or this processor and would
// only call its gemm.
std::shared_ptr<const PreparedGemm> prepare_onednn_gemm(const GemmShape& shape,
                                                        PreparedHow how = {});

}  // namespace dualtape::detail
