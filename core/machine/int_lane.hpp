// Lane<int32_t>, Lane<int64_t> and Lane<bool>: the number types of formulas over integers and
// truth values. Private. Plain values; any thread.
//
// Short arrays whose loops the compiler vectorises. Integers wrap around; division truncates as in
// C++, and by zero gives 0 (there is no NaN to give, and a trap would end the user's program).
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <dualtape/core/machine/lane.hpp>

namespace dualtape::detail {

template <class T>
concept IntLaneElement = std::same_as<T, std::int32_t> || std::same_as<T, std::int64_t>;

inline constexpr std::size_t small_lane_width = 16;

// Truth values beside integer lanes, and the lane of boolean tensors: one byte each, 0 or 1.
template <unsigned Arch = lane_arch>
class ByteMask {
 public:
  static constexpr std::size_t width = small_lane_width;
  using Bytes = std::array<std::uint8_t, width>;
  using Element = bool;
  using Mask = ByteMask;

  ByteMask() = default;
  static ByteMask load(const std::uint8_t* from) {
    ByteMask mask;
    for (std::size_t i = 0; i < width; ++i) mask.bytes_[i] = from[i] != 0 ? 1 : 0;
    return mask;
  }
  void store(std::uint8_t* to) const {
    for (std::size_t i = 0; i < width; ++i) to[i] = bytes_[i];
  }
  Bytes& bytes() { return bytes_; }
  const Bytes& bytes() const { return bytes_; }

  friend ByteMask operator&(const ByteMask& a, const ByteMask& b) {
    return zip(a, b, [](unsigned x, unsigned y) { return x & y; });
  }
  friend ByteMask operator|(const ByteMask& a, const ByteMask& b) {
    return zip(a, b, [](unsigned x, unsigned y) { return x | y; });
  }
  friend ByteMask operator!(const ByteMask& a) {
    return zip(a, a, [](unsigned x, unsigned) { return x ^ 1U; });
  }
  friend ByteMask operator!=(const ByteMask& a, const ByteMask& b) {
    return zip(a, b, [](unsigned x, unsigned y) { return x ^ y; });
  }
  friend ByteMask operator==(const ByteMask& a, const ByteMask& b) { return !(a != b); }
  friend ByteMask select(const ByteMask& mask, const ByteMask& a, const ByteMask& b) {
    return (mask & a) | ((!mask) & b);
  }

 private:
  template <class F>
  static ByteMask zip(const ByteMask& a, const ByteMask& b, F f) {
    ByteMask r;
    for (std::size_t i = 0; i < width; ++i) {
      r.bytes_[i] = static_cast<std::uint8_t>(f(a.bytes_[i], b.bytes_[i]));
    }
    return r;
  }
  Bytes bytes_{};
};

template <IntLaneElement T, unsigned Arch>
class Lane<T, Arch> {
 public:
  static constexpr std::size_t width = small_lane_width;
  using Element = T;
  using Mask = ByteMask<Arch>;

  template <LaneLiteral L>
  Lane(L value) {
    values_.fill(static_cast<T>(value));
  }
  static Lane load(const T* from) {
    Lane lane(0);
    for (std::size_t i = 0; i < width; ++i) lane.values_[i] = from[i];
    return lane;
  }
  void store(T* to) const {
    for (std::size_t i = 0; i < width; ++i) to[i] = values_[i];
  }

  friend Lane operator+(const Lane& a, const Lane& b) {
    return zip(a, b, [](T x, T y) { return signed_(unsigned_(x) + unsigned_(y)); });
  }
  friend Lane operator-(const Lane& a, const Lane& b) {
    return zip(a, b, [](T x, T y) { return signed_(unsigned_(x) - unsigned_(y)); });
  }
  friend Lane operator*(const Lane& a, const Lane& b) {
    return zip(a, b, [](T x, T y) { return signed_(unsigned_(x) * unsigned_(y)); });
  }
  friend Lane operator/(const Lane& a, const Lane& b) {
    return zip(a, b, [](T x, T y) {
      if (y == 0) return T{0};
      if (y == -1) return signed_(U{0} - unsigned_(x));
      return static_cast<T>(x / y);
    });
  }
  // Sign of b, as Python's a % b; 0 where b is 0.
  friend Lane mod(const Lane& a, const Lane& b) {
    return zip(a, b, [](T x, T y) {
      if (y == 0 || y == -1) return T{0};
      const T rest = static_cast<T>(x % y);
      return rest != 0 && (rest < 0) != (y < 0) ? static_cast<T>(rest + y) : rest;
    });
  }
  friend Lane operator-(const Lane& a) { return Lane(0) - a; }
  friend Lane operator+(const Lane& a) { return a; }
  Lane& operator+=(const Lane& b) { return *this = *this + b; }
  Lane& operator-=(const Lane& b) { return *this = *this - b; }
  Lane& operator*=(const Lane& b) { return *this = *this * b; }
  Lane& operator/=(const Lane& b) { return *this = *this / b; }

  friend Mask operator<(const Lane& a, const Lane& b) {
    return compare(a, b, [](T x, T y) { return x < y; });
  }
  friend Mask operator<=(const Lane& a, const Lane& b) { return !(b < a); }
  friend Mask operator>(const Lane& a, const Lane& b) { return b < a; }
  friend Mask operator>=(const Lane& a, const Lane& b) { return !(a < b); }
  friend Mask operator==(const Lane& a, const Lane& b) {
    return compare(a, b, [](T x, T y) { return x == y; });
  }
  friend Mask operator!=(const Lane& a, const Lane& b) { return !(a == b); }
  // No integer is NaN.
  friend Mask isnan(const Lane& x) { return x != x; }
  friend Mask isfinite(const Lane& x) { return x == x; }

  friend Lane abs(const Lane& x) {
    return zip(x, x, [](T v, T) { return v < 0 ? signed_(U{0} - unsigned_(v)) : v; });
  }
  friend Lane minimum(const Lane& a, const Lane& b) {
    return zip(a, b, [](T x, T y) { return x < y ? x : y; });
  }
  friend Lane maximum(const Lane& a, const Lane& b) {
    return zip(a, b, [](T x, T y) { return x > y ? x : y; });
  }
  friend Lane floor(const Lane& x) { return x; }
  friend Lane ceil(const Lane& x) { return x; }
  friend Lane round(const Lane& x) { return x; }
  friend Lane trunc(const Lane& x) { return x; }
  friend Lane square(const Lane& x) { return x * x; }
  friend Lane select(const Mask& mask, const Lane& a, const Lane& b) {
    Lane r(0);
    for (std::size_t i = 0; i < width; ++i) {
      r.values_[i] = mask.bytes()[i] != 0 ? a.values_[i] : b.values_[i];
    }
    return r;
  }

 private:
  using U = std::make_unsigned_t<T>;
  static U unsigned_(T value) { return static_cast<U>(value); }
  static T signed_(U value) { return static_cast<T>(value); }
  template <class F>
  static Lane zip(const Lane& a, const Lane& b, F f) {
    Lane r(0);
    for (std::size_t i = 0; i < width; ++i) r.values_[i] = f(a.values_[i], b.values_[i]);
    return r;
  }
  template <class F>
  static Mask compare(const Lane& a, const Lane& b, F f) {
    Mask mask;
    for (std::size_t i = 0; i < width; ++i) {
      mask.bytes()[i] = f(a.values_[i], b.values_[i]) ? 1 : 0;
    }
    return mask;
  }
  std::array<T, width> values_{};
};

template <IntLaneElement T, unsigned Arch>
struct LaneMemory<T, Arch> {
  using Number = Lane<T, Arch>;
  using Mask = ByteMask<Arch>;
  static constexpr std::size_t width = small_lane_width;
  static Mask load_bytes(const std::uint8_t* from) { return Mask::load(from); }
  static void store_bytes(const Mask& mask, std::uint8_t* to) { mask.store(to); }
};

template <unsigned Arch>
struct LaneMemory<bool, Arch> {
  using Mask = ByteMask<Arch>;
  using Number = Mask;  // there are no numbers here; formulas over booleans see masks only
  static constexpr std::size_t width = small_lane_width;
  static Mask load_bytes(const std::uint8_t* from) { return Mask::load(from); }
  static void store_bytes(const Mask& mask, std::uint8_t* to) { mask.store(to); }
};

}  // namespace dualtape::detail
