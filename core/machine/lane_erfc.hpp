// e^(a b), erfc and the normal distribution function of lanes, whose tails lose digits where a
// square in an exponent is rounded: e^x changes by |x| times the relative change of x.
// Private: includes xsimd. Pure functions; any thread.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>

#include <dualtape/core/machine/lane_math.hpp>

namespace dualtape::detail::lane_math {

// x without the lower half of its digits.
template <class B>
inline B upper_half(const B& x) {
  using T = typename B::value_type;
  if constexpr (sizeof(T) == sizeof(float))
    return x & B(std::bit_cast<T>(std::uint32_t{0xfffff000U}));
  else
    return x & B(std::bit_cast<T>(std::uint64_t{0xfffffffff8000000U}));
}

// a b - product, where product is a b rounded: exact but for underflow, and for one bit without
// fused multiply-adds (Dekker, "A floating-point technique for extending the available precision",
// Numer. Math. 18, 1971).
template <class B>
inline B product_error(const B& a, const B& b, const B& product) {
#if defined(__FMA__) || defined(__aarch64__)
  return xsimd::fms(a, b, product);
#else
  const B a_high = upper_half(a), b_high = upper_half(b);
  const B a_low = a - a_high, b_low = b - b_high;
  return ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low;
#endif
}

// e^(a b): what rounding takes from the product comes back as a factor of 1 + that. Where the power
// neither over- nor underflows, the product is small, and its parts are.
template <class B>
inline B exp_product(B a, B b) {
  using T = typename B::value_type;
  a = settled(a);
  b = settled(b);
  const B product = settled(a * b);
  const B power = lane_math::exp(product);
  const B lost = product_error(a, b, product);
  const auto rounded = (xsimd::abs(lost) < B(T(1))) & (power <= B(std::numeric_limits<T>::max()));
  return settled(xsimd::select(rounded, power * (B(T(1)) + lost), power));
}

// (1 + 2 z) e^(z^2) erfc(z) for z from 0.45 to 11 by a polynomial in (z - 2) / (z + 2), and
// erf(z) / z for z^2 up to 0.26 by one in z^2: minimax, errors of 0.02 of a float's last bit.
inline xsimd::batch<float> scaled_erfc(const xsimd::batch<float>& z) {
  using B = xsimd::batch<float>;
  constexpr float far[] = {-0.000309703325F, -0.00148289971F, 0.00121445148F, 0.00873230332F,
                           -0.00802383232F,  -0.0542213926F,  0.164050519F,   -0.166030329F,
                           -0.0927638104F,   1.27697838F};
  const B t = quotient(z - B(2.0F), z + B(2.0F));
  B value(0.000228003903F);
  for (const float c : far) value = xsimd::fma(value, t, B(c));
  return quotient(value, xsimd::fma(B(2.0F), z, B(1.0F)));
}
inline xsimd::batch<float> erf_over_z(const xsimd::batch<float>& square) {
  using B = xsimd::batch<float>;
  B value(0.0046998674F);
  for (const float c : {-0.0267491454F, 0.112827139F, -0.37612604F, 1.12837917F})
    value = xsimd::fma(value, square, B(c));
  return value;
}

// scale erfc(z), of which z^2 = square + lost; near 0 it is `half` scale (1 - z P(z^2)).
inline xsimd::batch<float> erfc_by_parts(const xsimd::batch<float>& z, float scale,
                                         const xsimd::batch<float>& square,
                                         const xsimd::batch<float>& lost) {
  using B = xsimd::batch<float>;
  const B size = xsimd::abs(z);
  const B near = xsimd::fnma(B(scale) * z, erf_over_z(square), B(scale));
  const B power = xsimd::exp(-square);
  const B tail = B(scale) * (power * (B(1.0F) - lost)) *
                 scaled_erfc(xsimd::select(size < B(11.0F), size, B(11.0F)));
  const B far = xsimd::select(z < B(0.0F), B(2 * scale) - tail, tail);
  return xsimd::select(size < B(0.5F), near, far);
}

inline double normal_cdf_of(double x) {
  if (!(std::abs(x) < 40)) return x < 0 ? 0.0 : x > 0 ? 1.0 : x;
  // 1 / sqrt(2) in two parts; what rounding takes from z is put back by the slope.
  constexpr double root = std::numbers::sqrt2 / 2;
  constexpr double rest = -4.8336466567264567e-17;
  const double z = -x * root;
  const double lost = std::fma(-x, root, -z) - x * rest;
  const double tail = std::erfc(z);
  if (tail == 0) return 0;
  const double slope = 2 * std::numbers::inv_sqrtpi * std::exp(-z * z) / tail;
  return 0.5 * (tail * (1 - slope * lost));
}

template <class B>
inline B erfc(B x) {
  x = settled(x);
  if constexpr (sizeof(typename B::value_type) == sizeof(double)) {
    return each(x, [](auto v) { return std::erfc(v); });
  } else {
    const B inside = xsimd::select(xsimd::abs(x) > B(11.0F), with_sign_of(B(11.0F), x), x);
    const B square = settled(inside * inside);
    const B lost = product_error(inside, inside, square);
    return settled(erfc_by_parts(inside, 1.0F, square, lost));
  }
}

// The distribution function of the standard normal, erfc(-x / sqrt 2) / 2.
template <class B>
inline B normal_cdf(B x) {
  x = settled(x);
  if constexpr (sizeof(typename B::value_type) == sizeof(double)) {
    return each(x, [](auto v) { return normal_cdf_of(v); });
  } else {
    const B inside = xsimd::select(xsimd::abs(x) > B(15.0F), with_sign_of(B(15.0F), x), x);
    const B square = settled(inside * inside);
    const B half(0.5F);
    const B lost = half * product_error(inside, inside, square);
    const B z = settled(inside * B(-0.5F * std::numbers::sqrt2_v<float>));
    return settled(erfc_by_parts(z, 0.5F, half * square, lost));
  }
}

}  // namespace dualtape::detail::lane_math
