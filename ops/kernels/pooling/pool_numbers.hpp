// Numbers, one or a register of them, and which of two wins a window: under the loops of pooling.
// Private: includes xsimd; for one instruction set at a time (core/machine/isa.hpp). Plain
// functions; any thread.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <dualtape/core/machine/isa.hpp>
#include <dualtape/core/machine/lane.hpp>

namespace dualtape::detail {
inline namespace DUALTAPE_ISA {

template <class T>
using BitsOf = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
// All ones where x takes the place of best. Compilers turn masks, but not conditions, into SIMD.
template <class T>
BitsOf<T> mask_of(T x, T best) {
  return BitsOf<T>(0) -
         static_cast<BitsOf<T>>(static_cast<int>(x > best) | static_cast<int>(x != x));
}
template <class T>
T blend(BitsOf<T> mask, T a, T b) {
  return std::bit_cast<T>((std::bit_cast<BitsOf<T>>(a) & mask) |
                          (std::bit_cast<BitsOf<T>>(b) & ~mask));
}
template <class T>
T kept(BitsOf<T> mask, T a) {
  return std::bit_cast<T>(std::bit_cast<BitsOf<T>>(a) & mask);
}

// One number with the functions of a Lane, for what is left over of a register.
template <class T>
struct Single {
  static constexpr std::size_t width = 1;
  T value;

  Single(T number) : value(number) {}
  static Single load(const T* from) { return {*from}; }
  void store(T* to) const { *to = value; }
  friend Single operator+(Single a, Single b) { return {a.value + b.value}; }
  friend Single operator*(Single a, Single b) { return {a.value * b.value}; }
  friend Single operator/(Single a, Single b) { return {a.value / b.value}; }
  friend BitsOf<T> operator==(Single a, Single b) {
    return BitsOf<T>(0) - static_cast<BitsOf<T>>(a.value == b.value);
  }
};
template <class T>
BitsOf<T> wins(Single<T> x, Single<T> best) {
  return mask_of(x.value, best.value);
}
template <class T, unsigned arch>
auto wins(Lane<T, arch> x, Lane<T, arch> best) {
  return (x > best) | isnan(x);
}
template <class T>
Single<T> choose(BitsOf<T> mask, Single<T> a, Single<T> b) {
  return {blend(mask, a.value, b.value)};
}
template <class T, unsigned arch>
Lane<T, arch> choose(LaneMask<T, arch> mask, Lane<T, arch> a, Lane<T, arch> b) {
  return select(mask, a, b);
}
template <class T>
Single<T> maximum(Single<T> x, Single<T> best) {
  return choose(wins(x, best), x, best);
}

// The sum of part(i) for i from first to last - 1. Many are added in halves, so that rounding grows
// with the logarithm of their number.
template <class N, class T, class F>
N sum_in_halves(std::size_t first, std::size_t last, F part) {
  constexpr std::size_t few = 64;
  if (last - first > few) {
    const std::size_t middle = first + (last - first) / 2;
    return sum_in_halves<N, T>(first, middle, part) + sum_in_halves<N, T>(middle, last, part);
  }
  N sum(T(0));
  for (std::size_t i = first; i < last; ++i) sum = sum + part(i);
  return sum;
}

// f(numbers' type, place) over places first ... last - 1, registers first.
template <class T, class F>
void over_places(std::size_t first, std::size_t last, F f) {
  std::size_t i = first;
  for (; i + Lane<T>::width <= last; i += Lane<T>::width) f(std::type_identity<Lane<T>>{}, i);
  for (; i < last; ++i) f(std::type_identity<Single<T>>{}, i);
}
// The same over places 0 ... count - 1 of a row, but registers go over its end as long as they stay
// below `room`.
template <class T, class F>
void over_row(std::size_t count, std::size_t room, F f) {
  std::size_t i = 0;
  for (; i < count && i + Lane<T>::width <= room; i += Lane<T>::width)
    f(std::type_identity<Lane<T>>{}, i);
  for (; i < count; ++i) f(std::type_identity<Single<T>>{}, i);
}

}  // namespace DUALTAPE_ISA
}  // namespace dualtape::detail
