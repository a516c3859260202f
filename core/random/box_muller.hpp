// Random bits to uniform numbers, and the log, sine and cosine of the Box-Muller transform, without
// branches, so that a loop over lanes becomes SIMD code. Private; pure, callable from any thread.
//
// The same bits must come out on every instruction set: nothing here may be contracted into fused
// multiply-adds (the pragmas see to that) or depend on libm. All functions have internal linkage,
// so that no copy compiled elsewhere with other options can take their place.
#pragma once

#include <bit>
#include <cstdint>

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif

namespace dualtape::detail {

// [0, 1) on the grid 2^-24.
static inline float unit_f32(std::uint32_t bits) {
  return static_cast<float>(static_cast<std::int32_t>(bits >> 8)) * 0x1p-24F;
}

// (0, 1], never 0: 31 bits, so small values are finer than the float grid at 1 and the normal
// tail reaches 6.66 standard deviations.
static inline float positive_unit_f32(std::uint32_t bits) {
  return (static_cast<float>(static_cast<std::int32_t>(bits >> 1)) + 0.5F) * 0x1p-31F;
}

// [0, 1) on the grid 2^-53: 27 bits of one word, then 26 of the other, both exact as int32 (64-bit
// integers have no SIMD conversion before AVX-512).
static inline double unit_f64(std::uint32_t high, std::uint32_t low) {
  const auto a = static_cast<double>(static_cast<std::int32_t>(high >> 5));
  const auto b = static_cast<double>(static_cast<std::int32_t>(low >> 6));
  return (a * 0x1p26 + b) * 0x1p-53;
}

// (0, 1], never 0; the tail of the normals reaches 8.6 standard deviations.
static inline double positive_unit_f64(std::uint32_t high, std::uint32_t low) {
  return unit_f64(high, low) + 0x1p-54;
}

// log(u) for positive normal u. u = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2));
// log(1 + f) = f - f^2/2 + f^3 p(f), p a minimax polynomial (Remez; error 6e-9 f^3).
static inline float log_f32(float u) {
  const auto bits = std::bit_cast<std::int32_t>(u);
  const std::int32_t k = (bits - 0x3F3504F3) >> 23;
  const float f = std::bit_cast<float>(bits - k * (1 << 23)) - 1.0F;
  float p = -0.07859615631F;
  p = p * f + 0.1288164907F;
  p = p * f - 0.1312875387F;
  p = p * f + 0.1418119164F;
  p = p * f - 0.1662455412F;
  p = p * f + 0.2000228629F;
  p = p * f - 0.2500081040F;
  p = p * f + 0.3333331673F;
  const float f2 = f * f;
  const float tail = f2 * (p * f - 0.5F);
  return static_cast<float>(k) * 0.693147181F + (f + tail);
}

// log(u) for positive normal u: with s = f / (2 + f), log(1 + f) = 2 (s + s^3/3 + s^5/5 + ...);
// |s| < 0.1716, so 11 terms reach below the last bit.
static inline double log_f64(double u) {
  const auto bits = std::bit_cast<std::uint64_t>(u);
  const std::uint64_t k =
      (bits + (0x3FF0000000000000ULL - 0x3FE6A09E667F3BCDULL)) >> 52;  // biased by 1023
  const auto m = std::bit_cast<double>(bits - ((k - 1023) << 52));
  // 2^52 + k, written as bits: turns an integer into a double on every instruction set.
  const double exponent = std::bit_cast<double>(k | 0x4330000000000000ULL) - (0x1p52 + 1023.0);
  const double f = m - 1.0;
  const double s = f / (2.0 + f);
  const double z = s * s;
  double p = 1.0 / 21.0;
  p = p * z + 1.0 / 19.0;
  p = p * z + 1.0 / 17.0;
  p = p * z + 1.0 / 15.0;
  p = p * z + 1.0 / 13.0;
  p = p * z + 1.0 / 11.0;
  p = p * z + 1.0 / 9.0;
  p = p * z + 1.0 / 7.0;
  p = p * z + 1.0 / 5.0;
  p = p * z + 1.0 / 3.0;
  return exponent * 0.69314718055994530942 + (2.0 * s + 2.0 * s * z * p);
}

template <class Real>
struct SinCos {
  Real sin, cos;
};

// sin and cos of 2 pi bits / 2^32: the top bits choose the quarter turn, the rest is an angle t in
// [-pi/4, pi/4]; sin t = t + t^3 p(t^2), cos t = 1 - t^2/2 + t^4 q(t^2) with minimax p, q
// (Remez; errors 6e-9 t^3 and 2e-10).
static inline SinCos<float> sincos_turn_f32(std::uint32_t bits) {
  const std::uint32_t shifted = bits + 0x20000000U;
  const std::uint32_t quarter = shifted >> 30;
  const auto part = static_cast<std::int32_t>(shifted & 0x3FFFFFFFU) - 0x20000000;
  const float t = static_cast<float>(part) * 1.46291807927e-9F;  // (pi / 2) / 2^30
  const float z = t * t;
  const float s = t + t * z * ((-0.0001950396314F * z + 0.008332100953F) * z - 0.1666665467F);
  const float c =
      1.0F - 0.5F * z + z * z * ((2.446381024e-5F * z - 0.001388765411F) * z + 0.04166665465F);
  const std::uint32_t odd = 0U - (quarter & 1U);
  const auto sin_bits = std::bit_cast<std::uint32_t>(s);
  const auto cos_bits = std::bit_cast<std::uint32_t>(c);
  const std::uint32_t swap = (sin_bits ^ cos_bits) & odd;
  return {std::bit_cast<float>((sin_bits ^ swap) ^ ((quarter & 2U) << 30)),
          std::bit_cast<float>((cos_bits ^ swap) ^ (((quarter + 1U) & 2U) << 30))};
}

// The same for a 64-bit fraction of a turn (63 bits used); Taylor series, whose first term left out
// is below 5e-17 on [-pi/4, pi/4].
static inline SinCos<double> sincos_turn_f64(std::uint32_t high, std::uint32_t low) {
  const std::uint32_t shifted = high + 0x20000000U;
  const std::uint64_t quarter = shifted >> 30;
  const auto part = static_cast<std::int32_t>(shifted & 0x3FFFFFFFU) - 0x20000000;
  const double rest = static_cast<double>(static_cast<std::int32_t>(low >> 1)) * 0x1p-31;
  const double t = (static_cast<double>(part) + rest) * 1.4629180792671596e-9;  // (pi / 2) / 2^30
  const double z = t * t;
  double p = -1.0 / 1307674368000.0;  // 1/15!
  p = p * z + 1.0 / 6227020800.0;
  p = p * z - 1.0 / 39916800.0;
  p = p * z + 1.0 / 362880.0;
  p = p * z - 1.0 / 5040.0;
  p = p * z + 1.0 / 120.0;
  p = p * z - 1.0 / 6.0;
  double q = 1.0 / 20922789888000.0;  // 1/16!
  q = q * z - 1.0 / 87178291200.0;
  q = q * z + 1.0 / 479001600.0;
  q = q * z - 1.0 / 3628800.0;
  q = q * z + 1.0 / 40320.0;
  q = q * z - 1.0 / 720.0;
  q = q * z + 1.0 / 24.0;
  const double s = t + t * z * p;
  const double c = 1.0 - 0.5 * z + z * z * q;
  const std::uint64_t odd = 0ULL - (quarter & 1ULL);
  const auto sin_bits = std::bit_cast<std::uint64_t>(s);
  const auto cos_bits = std::bit_cast<std::uint64_t>(c);
  const std::uint64_t swap = (sin_bits ^ cos_bits) & odd;
  return {std::bit_cast<double>((sin_bits ^ swap) ^ ((quarter & 2ULL) << 62)),
          std::bit_cast<double>((cos_bits ^ swap) ^ (((quarter + 1ULL) & 2ULL) << 62))};
}

}  // namespace dualtape::detail

#if !defined(__clang__) && defined(__GNUC__)
#pragma GCC pop_options
#endif
