// The one loop under every elementwise kernel: a function of lanes, mapped over contiguous spans.
// Private: includes xsimd. Pure functions; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <utility>

#include <dualtape/core/machine/lane.hpp>

namespace dualtape::detail {

// Operands: how an argument of the function is read at element i. `Stored` is its type in memory.

template <class Memory, class T>
struct NumberSpan {
  using Stored = T;
  const T* from;
  auto at(std::size_t i) const { return Memory::Number::load(from + i); }
  auto spread(std::size_t i) const { return typename Memory::Number(from[i]); }  // to every lane
  NumberSpan over(const T* other) const { return {other}; }
};
// One value for all elements.
template <class Memory, class T>
struct NumberFixed {
  using Stored = void;
  typename Memory::Number value;
  auto at(std::size_t) const { return value; }
};
template <class Memory>
struct MaskFixed {
  using Stored = void;
  typename Memory::Mask value;
  auto at(std::size_t) const { return value; }
};
// A tensor's booleans: a byte each.
template <class Memory>
struct ByteSpan {
  using Stored = std::uint8_t;
  const std::uint8_t* from;
  auto at(std::size_t i) const { return Memory::load_bytes(from + i); }
  ByteSpan over(const std::uint8_t* other) const { return {other}; }
};
// A tile's masks: a T each, 0 or 1.
template <class Memory, class T>
struct MaskSpan {
  using Stored = T;
  const T* from;
  auto at(std::size_t i) const { return Memory::load_mask(from + i); }
  auto spread(std::size_t i) const {
    return typename Memory::Number(from[i]) != typename Memory::Number(0);
  }
  MaskSpan over(const T* other) const { return {other}; }
};

// Results: how what the function gives is written.

template <class Memory, class T>
struct NumberOut {
  using Stored = T;
  static void put(const typename Memory::Number& value, T* to) { value.store(to); }
};
template <class Memory>
struct ByteOut {
  using Stored = std::uint8_t;
  static void put(const typename Memory::Mask& mask, std::uint8_t* to) {
    Memory::store_bytes(mask, to);
  }
};
template <class Memory, class T>
struct MaskOut {
  using Stored = T;
  static void put(const typename Memory::Mask& mask, T* to) { Memory::store_mask(mask, to); }
};

// The last elements of an operand as one lane: filled up with the first of them, which is a value
// the function has to expect anyway. One element alone needs no buffer: many narrow stores and a
// wide load of them would stall, and scalar graphs are made of such tails.
template <class Operand, std::size_t Width>
struct Padded {
  alignas(64) std::array<typename Operand::Stored, Width> buffer;
  auto tail(const Operand& operand, std::size_t begin, std::size_t count) {
    if constexpr (requires { operand.spread(begin); })
      if (count == 1) return operand.spread(begin);
    for (std::size_t i = 0; i < Width; ++i) {
      buffer[i] = operand.from[begin + (i < count ? i : 0)];
    }
    return operand.over(buffer.data()).at(0);
  }
};
template <class Operand, std::size_t Width>
requires std::same_as<typename Operand::Stored, void>
struct Padded<Operand, Width> {
  auto tail(const Operand& operand, std::size_t, std::size_t) { return operand.at(0); }
};

// to[i] = f(operands[i]...) for i < n. The tail goes through the same lanes, padded: scalar code
// would differ in the last bit.
template <std::size_t Width, class Out, class F, class... Operands>
inline void span_map(F f, typename Out::Stored* to, std::size_t n, const Operands&... operands) {
  std::size_t i = 0;
  for (; i + Width <= n; i += Width) Out::put(f(operands.at(i)...), to + i);
  if (i == n) return;
  const std::size_t rest = n - i;
  std::tuple<Padded<Operands, Width>...> pads;
  alignas(64) std::array<typename Out::Stored, Width> result;
  std::apply([&](auto&... pad) { Out::put(f(pad.tail(operands, i, rest)...), result.data()); },
             pads);
  for (std::size_t k = 0; k < rest; ++k) to[i + k] = result[k];
}

}  // namespace dualtape::detail
