// Lane<float>, Lane<double>: the number types that built-in elementwise formulas are compiled over.
// Private: includes xsimd, and every file that sees it must be compiled for one instruction set.
// Plain values; any thread.
//
// A Lane holds as many elements as a SIMD register; its functions carry the names of Recorded's
// (core/formula.hpp), so one generic formula serves both. minimum and maximum propagate NaN; round
// is half to even. Accuracy bounds stand in tests/core/lane_test.cpp.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include <dualtape/core/machine/lane_erfc.hpp>
#include <dualtape/core/machine/lane_math.hpp>

namespace dualtape::detail {

template <class T>
concept LaneLiteral = std::is_arithmetic_v<T> && !std::same_as<T, bool>;

// The instruction set is part of the type, so that objects built for two of them cannot be mixed.
// It is a number, the bytes of a register, not xsimd's type: that would make xsimd an associated
// namespace, and its templates (a pow for integer exponents among them) better matches than our own
// functions.
inline constexpr unsigned lane_arch = sizeof(xsimd::batch<float>);

template <class T, unsigned Arch = lane_arch>
class Lane;

// What comparisons of lanes give. No bool: choose with select, combine with & | !.
template <class T, unsigned Arch = lane_arch>
class LaneMask {
 public:
  using Bits = xsimd::batch_bool<T>;
  using Number = Lane<T, Arch>;
  static constexpr std::size_t width = Bits::size;
  explicit LaneMask(Bits bits) : bits_(bits) {}
  Bits bits() const { return bits_; }

  friend LaneMask operator&(LaneMask a, LaneMask b) { return LaneMask(a.bits_ & b.bits_); }
  friend LaneMask operator|(LaneMask a, LaneMask b) { return LaneMask(a.bits_ | b.bits_); }
  friend LaneMask operator!(LaneMask a) { return LaneMask(!a.bits_); }
  friend LaneMask select(LaneMask mask, LaneMask a, LaneMask b) {
    return (mask & a) | ((!mask) & b);
  }
  inline friend Number select(LaneMask mask, Number a, Number b) {
    return Number(xsimd::select(mask.bits_, a.batch(), b.batch()));
  }

 private:
  Bits bits_;
};

template <class T, unsigned Arch>
requires std::floating_point<T>
class Lane<T, Arch> {
 public:
  using Element = T;
  using Batch = xsimd::batch<T>;
  using Mask = LaneMask<T, Arch>;
  static constexpr std::size_t width = Batch::size;

  // A literal of the formula, in all elements.
  template <LaneLiteral L>
  Lane(L value) : batch_(static_cast<T>(static_cast<double>(value))) {}
  explicit Lane(Batch batch) : batch_(batch) {}
  Batch batch() const { return batch_; }

  static Lane load(const T* from) { return Lane(Batch::load_unaligned(from)); }
  void store(T* to) const { batch_.store_unaligned(to); }

  friend Lane operator+(Lane a, Lane b) { return Lane(a.batch_ + b.batch_); }
  friend Lane operator-(Lane a, Lane b) { return Lane(a.batch_ - b.batch_); }
  friend Lane operator*(Lane a, Lane b) { return Lane(lane_math::settled(a.batch_ * b.batch_)); }
  friend Lane operator/(Lane a, Lane b) { return Lane(lane_math::quotient(a.batch_, b.batch_)); }
  friend Lane operator-(Lane a) {
    return Lane(a.batch_ ^ xsimd::constants::signmask<Batch>());  // 0 - x would lose -0
  }
  friend Lane operator+(Lane a) { return a; }
  Lane& operator+=(Lane b) { return *this = *this + b; }
  Lane& operator-=(Lane b) { return *this = *this - b; }
  Lane& operator*=(Lane b) { return *this = *this * b; }
  Lane& operator/=(Lane b) { return *this = *this / b; }

  friend Mask operator<(Lane a, Lane b) { return Mask(a.batch_ < b.batch_); }
  friend Mask operator<=(Lane a, Lane b) { return Mask(a.batch_ <= b.batch_); }
  friend Mask operator>(Lane a, Lane b) { return Mask(a.batch_ > b.batch_); }
  friend Mask operator>=(Lane a, Lane b) { return Mask(a.batch_ >= b.batch_); }
  friend Mask operator==(Lane a, Lane b) { return Mask(a.batch_ == b.batch_); }
  friend Mask operator!=(Lane a, Lane b) { return !(a == b); }
  friend Mask isnan(Lane x) { return x != x; }
  friend Mask isfinite(Lane x) {
    return Mask(xsimd::abs(x.batch_) <= Batch(std::numeric_limits<T>::max()));
  }

  friend Lane abs(Lane x) { return Lane(xsimd::abs(x.batch_)); }
  friend Lane sqrt(Lane x) { return Lane(lane_math::square_root(x.batch_)); }
  friend Lane exp(Lane x) { return Lane(lane_math::exp(x.batch_)); }
  friend Lane expm1(Lane x) { return Lane(lane_math::expm1(x.batch_)); }
  friend Lane log(Lane x) { return Lane(lane_math::log(x.batch_)); }
  friend Lane log1p(Lane x) { return Lane(lane_math::log1p(x.batch_)); }
  friend Lane sin(Lane x) { return Lane(lane_math::sin(x.batch_)); }
  friend Lane cos(Lane x) { return Lane(lane_math::cos(x.batch_)); }
  friend Lane tan(Lane x) { return Lane(lane_math::tan(x.batch_)); }
  friend Lane asin(Lane x) { return Lane(lane_math::asin(x.batch_)); }
  friend Lane acos(Lane x) { return Lane(lane_math::acos(x.batch_)); }
  friend Lane atan(Lane x) { return Lane(lane_math::atan(x.batch_)); }
  friend Lane sinh(Lane x) { return Lane(lane_math::sinh(x.batch_)); }
  friend Lane cosh(Lane x) { return Lane(lane_math::cosh(x.batch_)); }
  friend Lane tanh(Lane x) { return Lane(lane_math::tanh(x.batch_)); }
  friend Lane asinh(Lane x) { return Lane(lane_math::asinh(x.batch_)); }
  friend Lane acosh(Lane x) { return Lane(lane_math::acosh(x.batch_)); }
  friend Lane atanh(Lane x) { return Lane(lane_math::atanh(x.batch_)); }
  friend Lane erfc(Lane x) { return Lane(lane_math::erfc(x.batch_)); }
  friend Lane normal_cdf(Lane x) { return Lane(lane_math::normal_cdf(x.batch_)); }
  friend Lane erf(Lane x) { return Lane(lane_math::erf(x.batch_)); }
  // 1 / (1 + e^-x) by e^-|x|, which never overflows and loses no digit on either side.
  friend Lane sigmoid(Lane x) {
    const Lane tail = exp(-abs(x));
    return select(x >= Lane(0), Lane(1), tail) / (Lane(1) + tail);
  }
  friend Lane floor(Lane x) {
    return Lane(lane_math::signed_like(xsimd::floor(x.batch_), x.batch_));
  }
  friend Lane ceil(Lane x) { return Lane(lane_math::signed_like(xsimd::ceil(x.batch_), x.batch_)); }
  friend Lane round(Lane x) { return Lane(xsimd::nearbyint(x.batch_)); }
  friend Lane trunc(Lane x) {
    return Lane(lane_math::signed_like(xsimd::trunc(x.batch_), x.batch_));
  }
  friend Lane pow(Lane a, Lane b) { return Lane(lane_math::pow(a.batch_, b.batch_)); }
  friend Lane atan2(Lane a, Lane b) { return Lane(lane_math::atan2(a.batch_, b.batch_)); }
  friend Lane hypot(Lane a, Lane b) { return Lane(lane_math::hypot(a.batch_, b.batch_)); }
  friend Lane exp_product(Lane a, Lane b) {
    return Lane(lane_math::exp_product(a.batch_, b.batch_));
  }
  friend Lane mod(Lane a, Lane b) { return Lane(lane_math::mod(a.batch_, b.batch_)); }
#if defined(__SSE2__)
  // minps and maxps give b where either is NaN.
  friend Lane minimum(Lane a, Lane b) {
    return select(isnan(a), a, Lane(xsimd::min(a.batch_, b.batch_)));
  }
  friend Lane maximum(Lane a, Lane b) {
    return select(isnan(a), a, Lane(xsimd::max(a.batch_, b.batch_)));
  }
#else
  friend Lane minimum(Lane a, Lane b) { return select((a < b) | isnan(a), a, b); }
  friend Lane maximum(Lane a, Lane b) { return select((a > b) | isnan(a), a, b); }
#endif

  friend Lane square(Lane x) { return x * x; }
  friend Lane reciprocal(Lane x) { return 1 / x; }

 private:
  Batch batch_;
};

// How lanes and masks go to and from memory. A mask in memory is a byte per element (0 or 1) in a
// tensor, or a T per element (0 or 1) in a tile.
template <class T, unsigned Arch = lane_arch>
struct LaneMemory {
  using Number = Lane<T, Arch>;
  using Mask = LaneMask<T, Arch>;
  static constexpr std::size_t width = Number::width;

  static Mask load_mask(const T* from) { return Number::load(from) != Number(0); }
  static void store_mask(Mask mask, T* to) { select(mask, Number(1), Number(0)).store(to); }

  static Mask load_bytes(const std::uint8_t* from) {
    alignas(64) T wide[width];
    for (std::size_t i = 0; i < width; ++i) wide[i] = static_cast<T>(from[i]);
    return load_mask(wide);
  }
  static void store_bytes(Mask mask, std::uint8_t* to) {
    std::uint64_t bits = bits_of(mask);
    constexpr std::size_t step = width < 8 ? width : 8;
    for (std::size_t i = 0; i < width; i += step, bits >>= 8U) {
      const std::uint64_t bytes = bytes_of_bits(bits & 0xffU);
      std::memcpy(to + i, &bytes, step);
    }
  }

 private:
  // Bit i is element i. xsimd 8.1 does not offer it.
  static std::uint64_t bits_of(Mask mask) {
    const auto held = mask.bits().data;
    if constexpr (std::is_integral_v<std::remove_const_t<decltype(held)>>) {
      return held;  // AVX-512
    } else {
#if defined(__AVX__)
      if constexpr (sizeof(T) == sizeof(float)) {
        return static_cast<std::uint64_t>(_mm256_movemask_ps(held));
      } else {
        return static_cast<std::uint64_t>(_mm256_movemask_pd(held));
      }
#elif defined(__SSE2__)
      if constexpr (sizeof(T) == sizeof(float)) {
        return static_cast<std::uint64_t>(_mm_movemask_ps(held));
      } else {
        return static_cast<std::uint64_t>(_mm_movemask_pd(held));
      }
#else
      alignas(64) T wide[width];
      store_mask(mask, wide);
      std::uint64_t bits = 0;
      for (std::size_t i = 0; i < width; ++i) bits |= std::uint64_t{wide[i] != T(0)} << i;
      return bits;
#endif
    }
  }
  // Bit i to byte i, as 0 or 1, for eight bits: each byte keeps its own bit of a copy of all of
  // them, and adding 127 carries it to the top. (Little endian, as every target here.)
  static std::uint64_t bytes_of_bits(std::uint64_t bits) {
    constexpr std::uint64_t ones = 0x0101010101010101U;
    const std::uint64_t own = (bits * ones) & 0x8040201008040201U;
    return ((own + 0x7f * ones) >> 7U) & ones;
  }
};

}  // namespace dualtape::detail
