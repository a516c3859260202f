// Convolutions of oneDNN, divided among the threads of a run.
// Private, without SIMD headers. Any thread.
#pragma once

#include <dualtape/core/compile_options.hpp>
#include <dualtape/ops/kernels/convolution/convolve.hpp>

namespace dualtape::detail {

// oneDNN's kernel, or `plain` where it has none; that also takes over should a run be refused.
Kernel onednn_kernel(ConvPass pass, const ConvShape& shape, ConvLayout layout,
                     const CompileOptions& options, Kernel plain);

}  // namespace dualtape::detail
