// How many elements the parts of a convolution have, and what it costs.
// Private, without SIMD headers. Plain values; any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include <dualtape/core/machine/kernel.hpp>
#include <dualtape/ops/kernels/convolution/convolve.hpp>

namespace dualtape::detail {

// As in_ranges() counts: some 32 multiplications take as long as an elementwise step's element.
inline std::size_t cheap_steps(const ConvShape& s) {
  return static_cast<std::size_t>(s.products() / 32);
}

template <class T>
struct Sizes {
  explicit Sizes(const ConvShape& s)
      : x(s.in_channels * s.in_plane()),
        y(s.out_channels * s.out_plane()),
        w(s.out_channels * s.in_group() * s.window()),
        x_group(s.in_group() * s.in_plane()),
        y_group(s.out_group() * s.out_plane()),
        w_group(s.out_group() * s.in_group() * s.window()),
        column_bytes(
            s.is_pointwise()
                ? 0
                : aligned(static_cast<std::size_t>(s.column_rows() * s.out_plane()) * sizeof(T))) {}

  std::int64_t x;  // elements of one image
  std::int64_t y;
  std::int64_t w;  // elements of all weights
  std::int64_t x_group;
  std::int64_t y_group;
  std::int64_t w_group;
  std::size_t column_bytes;
};

}  // namespace dualtape::detail
