// The convolutions that are timed by themselves and their made-up data, for every program of the
// benchmark. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dualtape::bench {

// Of square images and windows, in the middle of a network. Its modes are "forward",
// "input_gradient" and "weight_gradient".
struct ConvolutionCase {
  std::string name;
  std::int64_t in = 1;  // channels
  std::int64_t out = 1;
  std::int64_t pixels = 28;  // of a side
  std::int64_t window = 3;
  std::int64_t padding = 1;
  std::int64_t stride = 1;
  std::int64_t groups = 1;
  std::int64_t batch = 64;

  std::int64_t out_pixels() const { return (pixels + 2 * padding - window) / stride + 1; }
  std::vector<std::int64_t> x_sizes() const { return {batch, in, pixels, pixels}; }
  std::vector<std::int64_t> w_sizes() const { return {out, in / groups, window, window}; }
  std::vector<std::int64_t> y_sizes() const { return {batch, out, out_pixels(), out_pixels()}; }
  // A first layer's images need no gradient.
  bool is_first() const { return in == 1; }
};

// Those of the nets in models/, and a stride, a single pixel and a depthwise one.
const std::vector<ConvolutionCase>& convolution_cases();

// Row-major, none negative, so that sums do not cancel.
std::vector<float> make_images(const ConvolutionCase& one);
std::vector<float> make_weights(const ConvolutionCase& one);
std::vector<float> make_cotangents(const ConvolutionCase& one);  // of the result
// A normal direction for the weights.
std::vector<float> make_direction(const ConvolutionCase& one);

double inner_product(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace dualtape::bench
