// Convolutions as plans run them: their sizes, and the kernels for them.
// Private, without SIMD headers. Plain values; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include <dualtape/core/machine/isa.hpp>
#include <dualtape/core/op.hpp>

namespace dualtape::detail {

// y = conv(x, w), and the cotangents of its operands: x' from y' and w, w' from x and y'.
enum class ConvPass : std::uint8_t { forward, by_input, by_weights };

struct ConvAxis {
  std::int64_t in = 1;  // of x
  std::int64_t kernel = 1;
  std::int64_t out = 1;  // of y
  std::int64_t stride = 1;
  std::int64_t dilation = 1;
  std::int64_t before = 0;  // zeros put in front of x
  std::int64_t after = 0;

  std::int64_t reach() const { return dilation * (kernel - 1) + 1; }
};

// x is (batch, in_channels, rows.in, columns.in), w is (out_channels, in_channels / groups,
// rows.kernel, columns.kernel), y is (batch, out_channels, rows.out, columns.out).
struct ConvShape {
  std::int64_t batch = 1;
  std::int64_t in_channels = 1;
  std::int64_t out_channels = 1;
  std::int64_t groups = 1;
  ConvAxis rows;
  ConvAxis columns;

  std::int64_t in_group() const { return in_channels / groups; }
  std::int64_t out_group() const { return out_channels / groups; }
  std::int64_t in_plane() const { return rows.in * columns.in; }
  std::int64_t out_plane() const { return rows.out * columns.out; }
  std::int64_t window() const { return rows.kernel * columns.kernel; }
  // Multiplications with what is padded counted.
  double products() const {
    return static_cast<double>(batch) * static_cast<double>(out_channels) *
           static_cast<double>(out_plane()) * static_cast<double>(in_group()) *
           static_cast<double>(window());
  }
  // Of the columns of one image and one group.
  std::int64_t column_rows() const { return in_group() * window(); }
  std::int64_t padded_rows() const { return rows.in + rows.before + rows.after; }
  std::int64_t padded_columns() const { return columns.in + columns.before + columns.after; }
  // Whether an image already is its columns.
  bool is_pointwise() const;
};

enum class ConvBackend : std::uint8_t { columns, onednn };
// What the text of DUALTAPE_CONVOLUTION names, "columns" or "onednn"; nothing for null and "".
// ValueError for the rest, and for "onednn" without oneDNN.
std::optional<ConvBackend> conv_backend_from(const char* text);
// What DUALTAPE_CONVOLUTION names or else what ran faster when measured; always the same answer.
// `blocked` if images come and go in blocks of channels.
ConvBackend conv_backend(ConvPass pass, const ConvShape& shape, DType dtype, bool blocked = false);

// Which images have their channels in blocks: (N, C / block, H, W, block).
struct ConvLayout {
  bool x_blocked = false;
  bool y_blocked = false;
};
// The block that oneDNN works with on this processor.
std::int64_t channel_block();

// A kernel from two operands to one output, as `pass` says: (x, w) -> y, (y', w) -> x' or
// (x, y') -> w'. `dtype` is float32 or float64. Where oneDNN is asked for but refuses, it is
// columns.
Kernel convolution_kernel(ConvPass pass, const ConvShape& shape, DType dtype, ConvBackend backend,
                          ConvLayout layout = {},
                          const CompileOptions& options = no_compile_options());

// Loops over one group of channels of one image, or one channel; in
// ops/kernels/convolution/convolve_kernels.cpp.
template <class T>
struct ConvolveKernelsOf {
  std::int64_t width = 1;  // elements of a register
  // Without columns, for has_direct_loop(): y = w * x with a padded x, weights as pack_weights()
  // puts them, which takes as much room as before. w' in `sums`, `width` of them for each weight,
  // to be added up by add_sums().
  void (*pack_weights)(const ConvShape& shape, const T* w, T* packed);
  void (*direct_forward)(const ConvShape& shape, const T* padded, const T* packed, T* y);
  void (*direct_by_weights)(const ConvShape& shape, const T* padded, const T* y, T* sums);
  void (*add_sums)(const ConvShape& shape, const T* sums, T* w);
  // Puts zeros around an image, all its channels.
  void (*pad)(const ConvShape& shape, const T* x, T* padded);
  // columns[c p q][i j] = x[c][i stride + p dilation - before ...], 0 where there is no x.
  void (*to_columns)(const ConvShape& shape, const T* x, T* columns);
  // The transpose, added to x.
  void (*add_columns)(const ConvShape& shape, const T* columns, T* x);
  // Of one plane of x, y and w: y += w * x; x += w * y transposed; w += x and y.
  void (*plane_forward)(const ConvShape& shape, const T* x, const T* w, T* y);
  void (*plane_by_input)(const ConvShape& shape, const T* y, const T* w, T* x);
  void (*plane_by_weights)(const ConvShape& shape, const T* x, const T* y, T* w);
};
struct ConvolveKernels {
  ConvolveKernelsOf<float> single;
  ConvolveKernelsOf<double> twice;
};
const ConvolveKernels& convolve_kernels(IsaTag<Isa::baseline>);
const ConvolveKernels& convolve_kernels(IsaTag<Isa::avx2>);
const ConvolveKernels& convolve_kernels(IsaTag<Isa::avx512>);

// Those for the instruction set in use.
template <class T>
const ConvolveKernelsOf<T>& convolve_kernels() {
  const ConvolveKernels& table = *for_isa(isa(), [](auto tag) { return &convolve_kernels(tag); });
  if constexpr (sizeof(T) == sizeof(float))
    return table.single;
  else
    return table.twice;
}

}  // namespace dualtape::detail
