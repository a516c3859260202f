// The sizes of a convolution from the shapes and attributes of its node.
// Private. Plain functions; any thread.
//
// Attributes: "stride" and "dilation" (rows, columns), "padding" (above, below, left, right),
// "groups"; for the gradients "size", rows and columns of the result; in plans "x_blocked" and
// "y_blocked", whether images have shape (N, C / block, H, W, block).
#pragma once

#include <dualtape/ops/kernels/convolution/convolve.hpp>

namespace dualtape::detail {

// Of plain shapes of x and w; outputs count 0 where a kernel does not fit its image.
ConvShape conv_shape(const Shape& x, const Shape& w, const Attributes& attributes);

// Of a node of a plan, whatever its layout.
ConvShape conv_shape(ConvPass pass, const KernelRequest& request);

ConvLayout conv_layout(const Attributes& attributes);

}  // namespace dualtape::detail
