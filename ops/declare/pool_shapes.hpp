// The shapes of pooling from the attributes of its node, and what users may get wrong about them.
// Private. Plain functions; any thread.
//
// Attributes: "window", "stride" and "padding" (rows, columns); or "adaptive" = true with "window"
// the size of the result. A node with "channels_last" = true takes and gives (N, H, W, C), for
// passes that choose a layout.
#pragma once

#include <cstdint>

#include <dualtape/core/graph.hpp>
#include <dualtape/core/op.hpp>

namespace dualtape::detail {

// The shape of pooled x. ShapeError where its windows do not fit.
Shape pooled_shape(const Inference& inference, const Shape& x);

// t must have one value for each window of images of shape x.
void require_pooled(const Inference& inference, const Shape& x, const Shape& t);

// The shape of the images of rows x columns that t was pooled from; that of t where it is none of
// pooled images. ShapeError, at t's line, for sizes below 0 and images that are too large.
Shape spread_shape(std::string_view function, In t, std::int64_t rows, std::int64_t columns);

}  // namespace dualtape::detail
