// What running functions share: the lines they run along, and what sums and products of
// arbitrarily many elements are kept in, one after the other: floats in float64, so that 2^24 of
// them do not come to a standstill; integers in 64 bits, wrapping around.
// Private. Plain values; any thread.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <dualtape/core/op.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/kernels/rows/strided.hpp>

namespace dualtape::detail {

template <class T>
using Running = std::conditional_t<std::floating_point<T>, double, std::uint64_t>;

inline std::int64_t running_axis(const Attributes& attributes) {
  return attributes.get<std::int64_t>("axis");
}
inline void check_running_axis(const Inference& inference) {
  static_cast<void>(inference.axis(running_axis(inference.attributes), inference.shape(0).rank()));
}

// Lines along an axis of a tensor, neighbours side by side in memory.
struct RunningLines {
  std::size_t outer, size, inner;

  static RunningLines along(const Type& type, const Attributes& attributes) {
    const std::int64_t axis = wrap_axis(running_axis(attributes), type.shape.rank());
    const auto split = split_at(type.shape, static_cast<std::size_t>(axis));
    return {static_cast<std::size_t>(split.outer), static_cast<std::size_t>(split.size),
            static_cast<std::size_t>(split.inner)};
  }
  // f(place of the first element) for each; the others follow `inner` apart.
  template <class F>
  void each(F&& f) const {
    for (std::size_t o = 0; o < outer; ++o)
      for (std::size_t k = 0; k < inner; ++k) f(o * size * inner + k);
  }
};

}  // namespace dualtape::detail
