// Convolutions and their gradients against PyTorch's: fixtures/convolutions.csv.
#include <dualtape/ops/convolution.hpp>

#include "torch_cases.hpp"

namespace dt = dualtape;
using torch_cases::Vars;

namespace {

using Options = dt::ConvOptions;
using TransposeOptions = dt::ConvTransposeOptions;

template <class O>
void check(const std::string& name, const dt::Shape& x, const dt::Shape& w,
           dt::Var (*op)(dt::In, dt::In, const O&), const O& options) {
  torch_cases::check("convolutions.csv", name, {x, w},
                     [&](Vars v) { return op(v[0], v[1], options); });
}

TEST_CASE("convolutions of images are PyTorch's") {
  check<Options>("plain", {2, 3, 4, 5}, {2, 3, 3, 2}, dt::conv2d, {});
  check<Options>("options", {1, 4, 5, 4}, {4, 2, 2, 3}, dt::conv2d,
                 {.stride = {2, 1}, .padding = {1, 2}, .dilation = {1, 2}, .groups = 2});
  check<Options>("depthwise", {1, 3, 4, 3}, {3, 1, 3, 3}, dt::conv2d, {.padding = 1, .groups = 3});
  check<Options>("depthwise twice", {1, 2, 5, 4}, {4, 1, 3, 3}, dt::conv2d,
                 {.stride = 2, .padding = 1, .groups = 2});
  check<Options>("pointwise", {2, 3, 3, 4}, {4, 3, 1, 1}, dt::conv2d, {.stride = 2});
  check<Options>("wide padding", {1, 2, 3, 2}, {2, 2, 3, 2}, dt::conv2d,
                 {.stride = 3, .padding = {4, 3}, .dilation = 2});
  check<Options>("same", {1, 2, 5, 4}, {2, 2, 2, 3}, dt::conv2d,
                 {.padding = dt::Padding::same(), .dilation = {2, 1}});
}

TEST_CASE("convolutions of sequences are PyTorch's") {
  check<Options>("sequence", {2, 3, 9}, {2, 3, 3}, dt::conv1d,
                 {.stride = 2, .padding = 2, .dilation = 2});
  check<Options>("sequence groups", {2, 4, 5}, {6, 2, 3}, dt::conv1d, {.padding = 1, .groups = 2});
}

TEST_CASE("transposed convolutions are PyTorch's") {
  check<TransposeOptions>("transpose", {2, 2, 3, 2}, {2, 3, 2, 3}, dt::conv_transpose2d, {});
  check<TransposeOptions>("transpose options", {1, 4, 3, 2}, {4, 1, 3, 2}, dt::conv_transpose2d,
                          {.stride = {2, 3},
                           .padding = {1, 0},
                           .output_padding = {1, 2},
                           .dilation = {1, 2},
                           .groups = 2});
  check<TransposeOptions>("transpose depthwise", {1, 3, 3, 2}, {3, 1, 3, 3}, dt::conv_transpose2d,
                          {.stride = 2, .padding = 1, .groups = 3});
  check<TransposeOptions>(
      "sequence transpose", {2, 4, 3}, {4, 2, 3}, dt::conv_transpose1d,
      {.stride = 3, .padding = 1, .output_padding = 2, .dilation = 2, .groups = 2});
}

}  // namespace
