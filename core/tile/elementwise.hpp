// What built-in and user elementwise operators share beyond core/kinds.hpp.
// Private, without SIMD headers. Any thread.
#pragma once

#include <dualtape/core/formula.hpp>
#include <dualtape/core/machine/kernel.hpp>
#include <dualtape/core/op.hpp>

namespace dualtape::detail {

// Which dtypes beside float32 and float64 the numbers of a formula may have.
struct AlsoAccepts {
  bool integers = false;
  bool booleans = false;
};

// Types of an elementwise node: broadcasts the shapes; TypeError or ShapeError where operands do
// not fit.
void infer_elementwise(Inference& inference, const Recording& recording, AlsoAccepts also);

// The kernel that runs `span` over operands that broadcast.
Kernel loop_kernel(SpanKernel span, const KernelRequest& request);

}  // namespace dualtape::detail
