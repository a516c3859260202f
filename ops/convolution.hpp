// Convolution of images and sequences, as PyTorch's (that is, cross-correlation: the kernel is not
// flipped), and its transposes. A graph may be built by one thread at a time.
//
// Images have shape (N, C, H, W), weights (M, C / groups, kh, kw); float32 or float64, integers and
// bools become float32. A bias of shape (M) is added by broadcasting: y + reshape(b, {-1, 1, 1}).
//
// Kernels: where the library was built with oneDNN, float32 convolutions run on it where that
// measured faster; the rest as products of columns with OpenBLAS, depthwise ones by loops.
// DUALTAPE_CONVOLUTION=columns or onednn in the environment names one for all. explain() says which
// it was.
#pragma once

#include <concepts>
#include <cstdint>

#include <dualtape/core/graph.hpp>
#include <dualtape/ops/size2d.hpp>

namespace dualtape {

// Zeros around an image: a number of rows above and below and columns left and right, or by name.
class Padding {
 public:
  enum class Form : std::uint8_t { numbers, same, valid };

  template <std::integral T>
  Padding(T both) : size_(both) {}
  template <std::integral R, std::integral C>
  Padding(R rows, C columns) : size_(rows, columns) {}
  Padding(Size2d size) : size_(size) {}

  // As much as makes H' = ceil(H / stride): with stride 1 the result has the size of the image. An
  // odd number of zeros has the odd one below and on the right.
  static Padding same() { return Padding(Form::same); }
  static Padding valid() { return Padding(Form::valid); }  // none

  Form form() const { return form_; }
  Size2d size() const { return size_; }

 private:
  explicit Padding(Form form) : form_(form) {}

  Form form_ = Form::numbers;
  Size2d size_ = 0;
};

struct ConvOptions {
  Size2d stride = 1;  // from one window to the next
  Padding padding = 0;
  Size2d dilation = 1;      // from one weight to the next
  std::int64_t groups = 1;  // channels in groups that do not meet; C of them: depthwise
};

// Windows of x, weighted and added up:
//   y[n, m, i, j] = sum over c, p, q of w[m, c, p, q] x[n, c', i stride + p dilation - padding,
//   ...]
// with c' the c-th channel of m's group. Shapes (N, C, H, W), (M, C / groups, kh, kw) ->
// (N, M, H', W') with H' = floor((H + 2 padding - dilation (kh - 1) - 1) / stride) + 1, W' alike.
// ShapeError for other ranks, channels that do not fit w and groups, and kernels larger than the
// padded image; ValueError for strides or dilations below 1 and negative padding.
Var conv2d(In x, In w, const ConvOptions& options = {});

// The same for sequences: (N, C, L), (M, C / groups, k) -> (N, M, L'). Of the options the columns
// count.
Var conv1d(In x, In w, const ConvOptions& options = {});

struct ConvTransposeOptions {
  Size2d stride = 1;
  Size2d padding = 0;         // of the convolution it is the transpose of: makes the result smaller
  Size2d output_padding = 0;  // more rows below and columns on the right; below stride
  Size2d dilation = 1;
  std::int64_t groups = 1;
};

// The transpose of conv2d as a linear map of x, which spreads each pixel over a window of the
// result. Shapes (N, C, H, W), (C, M / groups, kh, kw) -> (N, M, H', W') with
// H' = (H - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1, W' alike. Errors as
// conv2d; ValueError for an output padding that is not below the stride.
Var conv_transpose2d(In x, In w, const ConvTransposeOptions& options = {});
// (N, C, L), (C, M / groups, k) -> (N, M, L'). Of the options the columns count.
Var conv_transpose1d(In x, In w, const ConvTransposeOptions& options = {});

// What the derivatives of conv2d(x, w, options) are made of, with g of the shape of its result.
// The cotangent of x, whose rows and columns are `size`:
Var conv2d_input_gradient(In g, In w, Size2d size, const ConvOptions& options = {});
// and that of w, whose rows and columns are `size`:
Var conv2d_weight_gradient(In x, In g, Size2d size, const ConvOptions& options = {});

}  // namespace dualtape
