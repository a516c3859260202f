#include <dualtape/ops/declare/channel_blocks.hpp>

#include <algorithm>
#include <vector>

#include <dualtape/core/kept.hpp>
#include <dualtape/core/machine/team.hpp>
#include <dualtape/core/tensor/transpose.hpp>
#include <dualtape/ops/kernels/convolution/convolve.hpp>

namespace dualtape::detail {
namespace {

template <class F>
void with_element(std::size_t size, F f) {
  if (size == 1) return f(std::uint8_t{});
  if (size == 4) return f(std::uint32_t{});
  f(std::uint64_t{});
}

// Images of that many channels, which may leave a part of their last block unused.
template <class T>
void unpack(const T* from, T* to, std::int64_t images, std::int64_t channels, std::int64_t plane) {
  const std::int64_t block = channel_block();
  for (std::int64_t n = 0; n < images; ++n)
    for (std::int64_t c = 0; c < channels; c += block, from += plane * block) {
      const std::int64_t used = std::min(block, channels - c);
      transpose(from, block, to, plane, used, plane);
      to += used * plane;
    }
}

class ChangeLayout : public Op {
 public:
  explicit ChangeLayout(bool packs) : packs_(packs) {
    info_.name = packs ? "pack_channels" : "unpack_channels";
    info_.doc = packs ? "images with their channels in blocks" : "images as they were before";
    info_.kind = Kind::general;
  }
  const OpInfo& info() const override { return info_; }
  void infer(Inference& inference) const override {
    const Shape& shape = inference.shape(0);
    inference.out = {{packs_ ? packed_shape(shape) : unpacked_shape(shape), inference.dtype(0)}};
  }
  Cost cost(const KernelRequest& request) const override { return bytes_only(request); }
  std::vector<Case> cases() const override { return {}; }
  bool can_fail() const override { return false; }
  Kernel kernel(const KernelRequest& request) const override {
    const Shape& packed = (packs_ ? request.out : request.in)[0].shape;
    const std::int64_t rows = packed[0] * packed[1];
    const std::int64_t plane = packed[2] * packed[3];
    const std::size_t element = size_of(request.in[0].dtype);
    const std::size_t bytes = static_cast<std::size_t>(plane * packed[4]) * element;
    const auto change = packs_ ? &pack_channels : &unpack_channels;
    return {[=](const KernelArgs& args) {
      in_ranges(args, static_cast<std::size_t>(rows), 1,
                static_cast<std::size_t>(rows * plane * packed[4]),
                [&](std::size_t first, std::size_t last, void*) {
                  change(args.input<std::byte>(0) + first * bytes,
                         args.output<std::byte>() + first * bytes,
                         static_cast<std::int64_t>(last - first), plane, element);
                });
    }};
  }

 private:
  OpInfo info_;
  bool packs_;
};

}  // namespace

const Op& pack_channels_op() {
  static const Kept<ChangeLayout> op(true);
  return op.value;
}
const Op& unpack_channels_op() {
  static const Kept<ChangeLayout> op(false);
  return op.value;
}

bool can_pack(const Shape& shape) {
  return shape.rank() == 4 && shape.count() > 0 && shape[1] % channel_block() == 0;
}
Shape packed_shape(const Shape& shape) {
  return {shape[0], shape[1] / channel_block(), shape[2], shape[3], channel_block()};
}
Shape unpacked_shape(const Shape& packed) {
  return {packed[0], packed[1] * packed[4], packed[2], packed[3]};
}

void pack_channels(const void* from, void* to, std::int64_t rows, std::int64_t plane,
                   std::size_t element) {
  const std::int64_t block = channel_block();
  with_element(element, [&]<class T>(T) {
    for (std::int64_t r = 0; r < rows; ++r)
      transpose(static_cast<const T*>(from) + r * plane * block, plane,
                static_cast<T*>(to) + r * plane * block, block, plane, block);
  });
}
void unpack_channels(const void* from, void* to, std::int64_t rows, std::int64_t plane,
                     std::size_t element) {
  with_element(element, [&]<class T>(T) {
    unpack(static_cast<const T*>(from), static_cast<T*>(to), rows, channel_block(), plane);
  });
}

void unpack_images(const float* from, float* to, std::int64_t images, std::int64_t channels,
                   std::int64_t plane) {
  unpack(from, to, images, channels, plane);
}

}  // namespace dualtape::detail
