// Images whose channels lie in blocks, (N, C / block, H, W, block): the layout oneDNN's
// convolutions work in. Only plans hold it; the two operators here change to it and back.
// Private. Plain functions and immutable singletons; any thread.
#pragma once

#include <dualtape/core/op.hpp>

namespace dualtape::detail {

// "pack_channels" takes (N, C, H, W) to (N, C / channel_block(), H, W, channel_block()), for
// channels in whole blocks, and "unpack_channels" takes that back. Any dtype.
const Op& pack_channels_op();
const Op& unpack_channels_op();

// Whether an image of this shape has whole blocks of channels.
bool can_pack(const Shape& shape);
Shape packed_shape(const Shape& shape);
Shape unpacked_shape(const Shape& packed);

// The same on memory: `rows` counts blocks, of all images; an element has 1, 4 or 8 bytes.
void pack_channels(const void* from, void* to, std::int64_t rows, std::int64_t plane,
                   std::size_t element);
void unpack_channels(const void* from, void* to, std::int64_t rows, std::int64_t plane,
                     std::size_t element);
// The same of images whose channels may leave a part of the last block unused.
void unpack_images(const float* from, float* to, std::int64_t images, std::int64_t channels,
                   std::int64_t plane);

}  // namespace dualtape::detail
