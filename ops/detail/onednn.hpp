// The product of oneDNN, which this library may have been built with or without.
// Private. Safe from any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include <dualtape/ops/detail/blas.hpp>

namespace dualtape::detail {

bool has_onednn();
std::string onednn_version();  // "oneDNN 2.6.3", of the library that is there; else ""

// As gemm(), on the calling thread alone, which may be asked of a library built with oneDNN only.
// False if oneDNN refused; c is then as it was.
bool onednn_gemm(const GemmShape& shape, float alpha, const float* a, const float* b, float beta,
                 float* c);

// A product c = op(a) op(b) that oneDNN has made its code and its plan of blocks for beforehand,
// for one thread and matrices that are not parts of wider ones.
class PreparedGemm {
 public:
  virtual ~PreparedGemm() = default;
  virtual std::size_t scratch_bytes() const = 0;
  // `scratch` is aligned to 64 bytes and nobody else's meanwhile. False if oneDNN refused. oneDNN
  // notes the operands in some small records that it allocates for each call; nothing else does.
  virtual bool run(const float* a, const float* b, float* c, void* scratch) const = 0;
};
// Null without oneDNN 2, or where it has no such code for these sizes or this processor and would
// only call its gemm.
std::shared_ptr<const PreparedGemm> prepare_onednn_gemm(const GemmShape& shape);

}  // namespace dualtape::detail
