#include <tests/bench/convolutions.hpp>

#include <functional>
#include <numeric>
#include <span>

#include <dualtape/core/random.hpp>

namespace dualtape::bench {
namespace {

const Key seed{1989};

std::size_t count_of(const std::vector<std::int64_t>& sizes) {
  std::size_t count = 1;
  for (const std::int64_t size : sizes) count *= static_cast<std::size_t>(size);
  return count;
}

std::vector<float> uniform_draws(const std::string& what, const std::vector<std::int64_t>& sizes) {
  std::vector<float> values(count_of(sizes));
  fill_uniform(std::span<float>(values), seed.fold(what));
  return values;
}

}  // namespace

const std::vector<ConvolutionCase>& convolution_cases() {
  static const std::vector<ConvolutionCase> all{
      {.name = "conv3_1to32_28", .in = 1, .out = 32},
      {.name = "conv3_32to64_28", .in = 32, .out = 64},
      {.name = "conv3_64to64_28", .in = 64, .out = 64},
      {.name = "conv3_64to64_14", .in = 64, .out = 64, .pixels = 14},
      {.name = "conv3_64to64_32", .in = 64, .out = 64, .pixels = 32},
      {.name = "conv3_128to128_16", .in = 128, .out = 128, .pixels = 16},
      {.name = "conv3_256to256_8", .in = 256, .out = 256, .pixels = 8},
      {.name = "conv3_2to4_28", .in = 2, .out = 4},
      {.name = "conv5_8to16_12", .in = 8, .out = 16, .pixels = 12, .window = 5, .padding = 0},
      {.name = "conv3_32to64_32_s2", .in = 32, .out = 64, .pixels = 32, .stride = 2},
      {.name = "conv1_64to128_16", .in = 64, .out = 128, .pixels = 16, .window = 1, .padding = 0},
      {.name = "conv3_64_28_depthwise", .in = 64, .out = 64, .groups = 64}};
  return all;
}

std::vector<float> make_images(const ConvolutionCase& one) {
  return uniform_draws("images", one.x_sizes());
}
std::vector<float> make_weights(const ConvolutionCase& one) {
  return uniform_draws("weights", one.w_sizes());
}
std::vector<float> make_cotangents(const ConvolutionCase& one) {
  return uniform_draws("cotangents", one.y_sizes());
}
std::vector<float> make_direction(const ConvolutionCase& one) {
  std::vector<float> values(count_of(one.w_sizes()));
  fill_normal(std::span<float>(values), seed.fold("direction"));
  return values;
}

double inner_product(const std::vector<float>& a, const std::vector<float>& b) {
  return std::inner_product(
      a.begin(), a.end(), b.begin(), 0.0, std::plus<>(),
      [](float x, float y) { return static_cast<double>(x) * static_cast<double>(y); });
}

}  // namespace dualtape::bench
