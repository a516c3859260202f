// The product of oneDNN, which this library may have been built with or without.
// Private. Safe from any thread.
#pragma once

#include <dualtape/ops/detail/blas.hpp>

namespace dualtape::detail {

bool has_onednn();

// As gemm(), on the calling thread alone, which may be asked of a library built with oneDNN only.
// False if oneDNN refused; c is then as it was.
bool onednn_gemm(const GemmShape& shape, float alpha, const float* a, const float* b, float beta,
                 float* c);

}  // namespace dualtape::detail
