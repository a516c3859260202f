// The functions of Lane<float> and Lane<double> where xsimd alone is wrong or poor.
// Private: includes xsimd. Pure functions; any thread.
//
// Every function here gives an element the same bits whatever stands in the other lanes, so that
// tails and tiles agree with the bulk. Elements outside the range where the SIMD form holds are
// recomputed one by one with libm.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include <dualtape/core/machine/simd.hpp>

namespace dualtape::detail::lane_math {

// Keeps the compiler from working across an operation's edge, since results must not depend on what
// a formula does before or after it: g++ contracts a * b + c where there is FMA, and a constant
// operand would be folded with other rounding than libm's (pow(x, 2) even becomes x * x).
template <class B>
inline B settled(B x) {
#if defined(__GNUC__) && defined(__AVX512F__)
  __asm__("" : "+v"(x.data));
#elif defined(__GNUC__) && defined(__SSE2__)
  __asm__("" : "+x"(x.data));
#elif defined(__GNUC__) && defined(__aarch64__)
  __asm__("" : "+w"(x.data));
#endif
  return x;
}

// Rounded as IEEE 754 says. For NEON's floats xsimd has approximations instead, which are 0 or NaN
// near the ends of the range.
template <class B>
inline B quotient(const B& a, const B& b) {
#if defined(__aarch64__)
  if constexpr (sizeof(typename B::value_type) == sizeof(float)) return vdivq_f32(a, b);
#endif
  return a / b;
}
template <class B>
inline B square_root(const B& x) {
#if defined(__aarch64__)
  if constexpr (sizeof(typename B::value_type) == sizeof(float)) return vsqrtq_f32(x);
#endif
  return xsimd::sqrt(x);
}

// r, with the lanes in `wrong` replaced by f(x).
template <class B, class F>
inline B patched(B r, const B& x, const typename B::batch_bool_type& wrong, F f) {
  using T = typename B::value_type;
  if (!xsimd::any(wrong)) [[likely]] {
    return r;
  }
  alignas(64) T xs[B::size];
  alignas(64) T rs[B::size];
  alignas(64) T marks[B::size];
  x.store_aligned(xs);
  r.store_aligned(rs);
  xsimd::select(wrong, B(T(1)), B(T(0))).store_aligned(marks);
  for (std::size_t i = 0; i < B::size; ++i) {
    if (marks[i] != T(0)) rs[i] = f(xs[i]);
  }
  return B::load_aligned(rs);
}

// libm's function, element by element.
template <class B, class F>
inline B each(const B& x, F f) {
  using T = typename B::value_type;
  alignas(64) T xs[B::size];
  settled(x).store_aligned(xs);
  for (std::size_t i = 0; i < B::size; ++i) xs[i] = f(xs[i]);
  return B::load_aligned(xs);
}
template <class B, class F>
inline B each(const B& x, const B& y, F f) {
  using T = typename B::value_type;
  alignas(64) T xs[B::size];
  alignas(64) T ys[B::size];
  settled(x).store_aligned(xs);
  settled(y).store_aligned(ys);
  for (std::size_t i = 0; i < B::size; ++i) xs[i] = f(xs[i], ys[i]);
  return B::load_aligned(xs);
}

template <class B>
inline B pow(const B& x, const B& y) {
  return each(x, y, [](auto a, auto b) { return std::pow(a, b); });
}

// Seldom on a hot path, so libm's accuracy and special values come before speed.
template <class B>
inline B atan2(const B& y, const B& x) {
  return each(y, x, [](auto a, auto b) { return std::atan2(a, b); });
}
// As Python's a % b: fmod, moved to the sign of b. The remainder of tiny numbers may be denormal,
// which compares as 0 and is added as 0 here, so floats are taken as doubles and tiny doubles are
// made larger first. A divisor so tiny that its multiples stay within doubles is all that needs it.
inline double mod_of(double a, double b) {
  constexpr double tiny = 0x1p-900;
  constexpr double up = 0x1p400;
  const bool far = std::abs(b) < tiny && std::abs(a) < 1;
  if (far) a *= up, b *= up;
  const double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(rest, b);
  const double moved = (rest < 0) != (b < 0) ? rest + b : rest;
  return far ? moved / up : moved;
}
inline float mod_of(float a, float b) {
  return static_cast<float>(mod_of(static_cast<double>(a), static_cast<double>(b)));
}
template <class B>
inline B mod(const B& x, const B& y) {
  return each(x, y, [](auto a, auto b) { return mod_of(a, b); });
}
template <class B>
inline B asin(const B& x) {
  return each(x, [](auto v) { return std::asin(v); });
}
template <class B>
inline B acos(const B& x) {
  return each(x, [](auto v) { return std::acos(v); });
}
template <class B>
inline B atan(const B& x) {
  return each(x, [](auto v) { return std::atan(v); });
}
template <class B>
inline B sinh(const B& x) {
  return each(x, [](auto v) { return std::sinh(v); });
}
template <class B>
inline B cosh(const B& x) {
  return each(x, [](auto v) { return std::cosh(v); });
}

template <class B>
inline B asinh(const B& x) {
  return each(x, [](auto v) { return std::asinh(v); });
}
template <class B>
inline B acosh(const B& x) {
  return each(x, [](auto v) { return std::acosh(v); });
}
template <class B>
inline B atanh(const B& x) {
  return each(x, [](auto v) { return std::atanh(v); });
}
template <class B>
inline B hypot(const B& x, const B& y) {
  return each(x, y, [](auto a, auto b) { return std::hypot(a, b); });
}

// xsimd's exp gives inf from 88.38 (709.44) on, since its 2^k overflows half a step early, and 0
// from -87.34 (-708.4) down. libm goes on to 88.73 (709.79) and, through the subnormals, to -104
// (-746): the elements whose size lies in [edge, end) are left to it.
template <class T>
struct ExpRange;
template <>
struct ExpRange<float> {
  static constexpr float edge = 87.3F, end = 104.0F;
};
template <>
struct ExpRange<double> {
  static constexpr double edge = 708.3, end = 746.0;
};

template <class B, class F>
inline B patched_at_edge(B r, const B& x, F f) {
  using Range = ExpRange<typename B::value_type>;
  const B size = xsimd::abs(x);
  const auto beyond = size >= B(Range::edge);
  if (!xsimd::any(beyond)) [[likely]] {
    return r;
  }
  return patched(r, x, beyond & (size < B(Range::end)), f);
}

template <class B>
inline B exp(B x) {
  x = settled(x);
  return settled(patched_at_edge(xsimd::exp(x), x, [](auto v) { return std::exp(v); }));
}

template <class B>
inline B expm1(B x) {
  x = settled(x);
  const B r = patched_at_edge(xsimd::expm1(x), x, [](auto v) { return std::expm1(v); });
  return settled(xsimd::select(x == B(0), x, r));  // keeps -0
}

// xsimd's log is wrong for subnormal doubles.
template <class B>
inline B log(B x) {
  using T = typename B::value_type;
  x = settled(x);
  const auto subnormal = (x > B(T(0))) & (x < B(std::numeric_limits<T>::min()));
  return settled(patched(xsimd::log(x), x, subnormal, [](auto v) { return std::log(v); }));
}

template <class B>
inline B log1p(B x) {
  x = settled(x);
  const B r = xsimd::log1p(x);
  return settled(xsimd::select((x == B(0)) | (x == xsimd::constants::infinity<B>()), x, r));
}

template <class B>
inline B tanh(B x) {
  return settled(xsimd::tanh(settled(x)));
}

// erf is 1 to the last bit beyond 6, where xsimd's polynomials overflow far out. For double xsimd
// is off by 24 ulp near 0 and by 70 ulp from 2.2 on, so libm does it all.
template <class B>
inline B erf(B x) {
  x = settled(x);
  if constexpr (sizeof(typename B::value_type) == sizeof(double)) {
    return patched(x, x, x == x, [](auto v) { return std::erf(v); });
  } else {
    const B end(6);
    const B inside = xsimd::select(x > end, end, xsimd::select(x < -end, -end, x));
    return settled(xsimd::erf(inside));
  }
}

// pi/2 in parts so short that n * part is exact for n up to `steps` (Cody and Waite, Software
// Manual for the Elementary Functions, 1980, chapter 8).
template <class T>
struct HalfPi;
template <>
struct HalfPi<float> {  // 11 + 11 + 11 + 24 bits; n below 2^13
  static constexpr float part1 = 0x1.92p+0F, part2 = 0x1.fb4p-12F, part3 = 0x1.444p-24F;
  static constexpr float rest = 0x1.68c234p-39F;
  static constexpr float limit = 8192.0F;
};
template <>
struct HalfPi<double> {  // 33 + 33 + 33 + 53 bits; n below 2^20
  static constexpr double part1 = 0x1.921fb544p+0, part2 = 0x1.0b4611a6p-34;
  static constexpr double part3 = 0x1.3198a2ep-69, rest = 0x1.b839a252049c1p-104;
  static constexpr double limit = 1048576.0;
};

// |x| = n pi/2 + r with |r| <= pi/4; `far` marks the lanes (NaN too) left to libm, reduced as 0.
template <class B>
struct Reduced {
  B r;
  B quadrant;  // n mod 4 as 0, 1, 2, 3
  typename B::batch_bool_type far;
};

template <class B>
inline Reduced<B> reduce(const B& x) {
  using T = typename B::value_type;
  using H = HalfPi<T>;
  const B size = xsimd::abs(x);
  const auto near = size <= B(H::limit);
  const B a = xsimd::select(near, size, B(T(0)));
  const B n = xsimd::nearbyint(a * B(T(0.63661977236758134308)));
  const B r1 = (a - settled(n * B(H::part1))) - settled(n * B(H::part2));
  const B w = settled(n * B(H::part3));
  const B r2 = r1 - w;
  const B lost = (r1 - r2) - w;  // rounding of r1 - w
  const B r = r2 - (settled(n * B(H::rest)) - lost);
  const B quadrant = n - B(T(4)) * xsimd::floor(n * B(T(0.25)));
  return {r, quadrant, !near};
}

template <class B>
inline B with_sign_of(const B& magnitude, const B& sign) {
  return magnitude ^ xsimd::bitofsign(sign);
}

template <class B>
inline B sin(B x) {
  using T = typename B::value_type;
  x = settled(x);
  const Reduced<B> p = reduce(x);
  const auto odd = (p.quadrant == B(T(1))) | (p.quadrant == B(T(3)));
  const auto [sine, cosine] = xsimd::sincos(p.r);
  const B y = xsimd::select(odd, cosine, sine);
  const B z = xsimd::select(p.quadrant >= B(T(2)), -y, y);
  return settled(patched(with_sign_of(z, x), x, p.far, [](auto v) { return std::sin(v); }));
}

template <class B>
inline B cos(B x) {
  using T = typename B::value_type;
  x = settled(x);
  const Reduced<B> p = reduce(x);
  const auto odd = (p.quadrant == B(T(1))) | (p.quadrant == B(T(3)));
  const auto [sine, cosine] = xsimd::sincos(p.r);
  const B y = xsimd::select(odd, sine, cosine);
  const auto minus = (p.quadrant == B(T(1))) | (p.quadrant == B(T(2)));
  const B z = xsimd::select(minus, -y, y);
  return settled(patched(z, x, p.far, [](auto v) { return std::cos(v); }));
}

template <class B>
inline B tan(B x) {
  using T = typename B::value_type;
  x = settled(x);
  const Reduced<B> p = reduce(x);
  const auto odd = (p.quadrant == B(T(1))) | (p.quadrant == B(T(3)));
  const B y = xsimd::tan(p.r);
  const B z = xsimd::select(odd, quotient(B(T(-1)), y), y);
  return settled(patched(with_sign_of(z, x), x, p.far, [](auto v) { return std::tan(v); }));
}

// Without SSE 4.1 xsimd goes through integers and loses the sign of zero. All three roundings keep
// the sign of their argument, so it can be put back.
template <class B>
inline B signed_like(const B& rounded, const B& x) {
#if defined(__SSE4_1__)
  static_cast<void>(x);
  return rounded;
#else
  return rounded | xsimd::bitofsign(x);
#endif
}

}  // namespace dualtape::detail::lane_math
