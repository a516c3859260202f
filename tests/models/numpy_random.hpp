// The normal draws of NumPy's default_rng(seed), for published figures that were made with it.
//
// SeedSequence (M. O'Neill's seed_seq_fe) fills the 128-bit state and increment of PCG64 XSL-RR
// (M. O'Neill, HMC-CS-2014-0905); normals come from a ziggurat of 256 layers (Marsaglia and Tsang,
// J. Stat. Soft. 5 (8), 2000). One thread at a time.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace seeds {

class NumpyGenerator {
 public:
  explicit NumpyGenerator(std::uint32_t seed) {
    const std::array<std::uint64_t, 4> words = seed_words(seed);
    increment_ = (wide(words[2], words[3]) << 1U) | 1U;
    state_ = (increment_ + wide(words[0], words[1])) * multiplier + increment_;
  }

  double normal() {
    const Layers& layers = Layers::get();
    for (;;) {
      const std::uint64_t word = next();
      const std::size_t i = word & 0xffU;
      const std::uint64_t size = (word >> 9U) & 0xfffffffffffffU;
      const double x = static_cast<double>(size) * layers.width[i];
      const double signed_x = (word & 0x100U) != 0 ? -x : x;
      if (size < layers.inside[i]) return signed_x;
      if (i == 0) return ((size >> 8U) & 1U) != 0 ? -tail() : tail();
      const double height =
          layers.density[i] + (layers.density[i - 1] - layers.density[i]) * uniform();
      if (height < std::exp(-0.5 * x * x)) return signed_x;
    }
  }

 private:
  __extension__ using Wide = unsigned __int128;
  static constexpr Wide wide(std::uint64_t high, std::uint64_t low) {
    return (Wide{high} << 64U) | low;
  }
  static constexpr Wide multiplier = (Wide{0x2360ed051fc65da4U} << 64U) | 0x4385df649fccf645U;
  static constexpr double edge = 3.6541528853610088;  // where the tail begins

  struct Layers {
    std::array<std::uint64_t, 256> inside{};
    std::array<double, 256> width{}, density{};
    static const Layers& get() {
      static const Layers layers;
      return layers;
    }
    Layers() {
      const double unit = std::ldexp(1.0, 52);
      const auto height = [](double x) { return std::exp(-0.5 * x * x); };
      // Of each layer; the lowest has the tail: the integral of height from the edge on.
      const double area =
          edge * height(edge) + std::sqrt(std::acos(0.0)) * std::erfc(edge / std::sqrt(2.0));
      const double base = area / height(edge);
      inside[0] = static_cast<std::uint64_t>(edge / base * unit);
      width[0] = base / unit;
      width[255] = edge / unit;
      density[0] = 1;
      density[255] = height(edge);
      double outer = edge;
      for (std::size_t i = 254; i > 0; --i) {
        const double x = std::sqrt(-2 * std::log(area / outer + height(outer)));
        inside[i + 1] = static_cast<std::uint64_t>(x / outer * unit);
        width[i] = x / unit;
        density[i] = height(x);
        outer = x;
      }
    }
  };

  static std::array<std::uint64_t, 4> seed_words(std::uint32_t seed) {
    std::uint32_t factor = 0x43b0d7e5U;
    const auto hash = [&](std::uint32_t value, std::uint32_t step) {
      value ^= factor;
      factor *= step;
      value *= factor;
      return value ^ (value >> 16U);
    };
    std::array<std::uint32_t, 4> pool{};
    for (std::size_t i = 0; i < 4; ++i) pool[i] = hash(i == 0 ? seed : 0, 0x931e8875U);
    for (std::size_t from = 0; from < 4; ++from)
      for (std::size_t to = 0; to < 4; ++to) {
        if (from == to) continue;
        const std::uint32_t mixed =
            0xca01f9ddU * pool[to] - 0x4973f715U * hash(pool[from], 0x931e8875U);
        pool[to] = mixed ^ (mixed >> 16U);
      }
    factor = 0x8b51f9ddU;
    std::array<std::uint64_t, 4> words{};
    for (std::size_t i = 0; i < 8; ++i)
      words[i / 2] |= std::uint64_t{hash(pool[i % 4], 0x58f38dedU)} << (32 * (i % 2));
    return words;
  }

  std::uint64_t next() {
    state_ = state_ * multiplier + increment_;
    const auto high = static_cast<std::uint64_t>(state_ >> 64U);
    const auto low = static_cast<std::uint64_t>(state_);
    return std::rotr(high ^ low, static_cast<int>(high >> 58U));
  }
  double uniform() { return static_cast<double>(next() >> 11U) * 0x1p-53; }
  double tail() {
    for (;;) {
      const double x = -std::log1p(-uniform()) / edge;
      const double y = -std::log1p(-uniform());
      if (y + y > x * x) return edge + x;
    }
  }

  Wide state_ = 0;
  Wide increment_ = 0;
};

}  // namespace seeds
