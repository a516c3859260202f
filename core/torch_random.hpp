// TorchGenerator: the random numbers of PyTorch's CPU generator, so that published runs reproduce.
//
// It is sequential and lives outside the graph: draw tensors from it and feed them as inputs, or
// set parameters from them. Everything else in the library draws from a Key (core/random.hpp).
// A TorchGenerator may be used by one thread at a time; copies go on independently.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <span>

#include <dualtape/core/tensor.hpp>

namespace dualtape {

// The 32-bit Mersenne twister MT19937 (Matsumoto and Nishimura, ACM TOMACS 8, 1998) with its
// single-integer seeding, and PyTorch's ways of making floats of its words, as of version 1.13.
// Draws equal PyTorch's bit for bit where they are uniform; normals may differ in the last digits
// of float32, since PyTorch takes logarithms and cosines by other routines.
class TorchGenerator {
 public:
  // As torch.manual_seed; PyTorch keeps the low 32 bits of the seed.
  explicit TorchGenerator(std::uint64_t seed);
  // Starts over; a kept normal is forgotten.
  void reseed(std::uint64_t seed);

  // float32 uniform on [0, 1), multiples of 2^-24, one word each: torch.rand.
  Tensor rand(const Shape& shape);
  // float32 uniform on [low, high): torch.Tensor.uniform_. ValueError unless low <= high, both
  // finite.
  Tensor uniform(const Shape& shape, double low, double high);
  // float32 standard normal: torch.randn. Fewer than 16 elements come one by one in float64, two
  // from a pair of uniforms, and the second of the last pair is kept for the next such draw; 16 or
  // more come in blocks of 16 float32 and leave the kept one alone.
  Tensor randn(const Shape& shape);

 private:
  float next_uniform();        // 24 bits
  double next_uniform_wide();  // 53 bits
  double next_normal();
  void fill_uniform(std::span<float> out);

  std::mt19937 words_;
  std::optional<double> kept_;
};

}  // namespace dualtape
