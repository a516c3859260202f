#include <dualtape/core/torch_random.hpp>

#include <cmath>
#include <numbers>

#include <dualtape/core/error.hpp>

namespace dualtape {
namespace {

constexpr std::size_t block = 16;  // PyTorch transforms normals in blocks of this many

// Sixteen uniforms to sixteen normals in place: element j gives the radius, j + 8 the angle, in
// float32 throughout.
void transform_block(float* x) {
  constexpr std::size_t half = block / 2;
  for (std::size_t j = 0; j < half; ++j) {
    const float radius = std::sqrt(-2.0F * std::log(1.0F - x[j]));
    const float angle = 2.0F * std::numbers::pi_v<float> * x[j + half];
    x[j] = radius * std::cos(angle);
    x[j + half] = radius * std::sin(angle);
  }
}

}  // namespace

TorchGenerator::TorchGenerator(std::uint64_t seed) { reseed(seed); }

void TorchGenerator::reseed(std::uint64_t seed) {
  words_.seed(static_cast<std::uint32_t>(seed));
  kept_.reset();
}

float TorchGenerator::next_uniform() { return static_cast<float>(words_() & 0xffffffU) * 0x1p-24F; }

double TorchGenerator::next_uniform_wide() {
  const std::uint64_t high = words_();
  const std::uint64_t both = (high << 32U) | words_();
  return static_cast<double>(both & ((std::uint64_t{1} << 53U) - 1)) * 0x1p-53;
}

double TorchGenerator::next_normal() {
  if (kept_) {
    const double value = *kept_;
    kept_.reset();
    return value;
  }
  const double angle = 2.0 * std::numbers::pi * next_uniform_wide();
  const double radius = std::sqrt(-2.0 * std::log1p(-next_uniform_wide()));
  kept_ = radius * std::sin(angle);
  return radius * std::cos(angle);
}

void TorchGenerator::fill_uniform(std::span<float> out) {
  for (float& value : out) value = next_uniform();
}

Tensor TorchGenerator::rand(const Shape& shape) {
  Tensor result = Tensor::uninitialised({shape, float32});
  fill_uniform(result.data<float>());
  return result;
}

Tensor TorchGenerator::uniform(const Shape& shape, double low, double high) {
  if (!std::isfinite(low) || !std::isfinite(high) || low > high)
    fail<ValueError>(
        {.op = "TorchGenerator::uniform",
         .what = "no interval from " + std::to_string(low) + " to " + std::to_string(high),
         .help = "give finite bounds, the lower one first"});
  Tensor result = rand(shape);
  const auto from = static_cast<float>(low);
  const float width = static_cast<float>(high) - from;
  for (float& value : result.data<float>()) value = value * width + from;
  return result;
}

Tensor TorchGenerator::randn(const Shape& shape) {
  Tensor result = Tensor::uninitialised({shape, float32});
  const std::span<float> out = result.data<float>();
  if (out.size() < block) {
    for (float& value : out) value = static_cast<float>(next_normal());
    return result;
  }
  fill_uniform(out);
  for (std::size_t i = 0; i + block <= out.size(); i += block) transform_block(&out[i]);
  if (out.size() % block != 0) {
    // A rest gets a block of fresh draws that overlaps the one before.
    const std::span<float> last = out.last(block);
    fill_uniform(last);
    transform_block(last.data());
  }
  return result;
}

}  // namespace dualtape
