// What sums and products of arbitrarily many elements are kept in, one after the other: floats in
// float64, so that 2^24 of them do not come to a standstill; integers in 64 bits, wrapping around.
// Private.
#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>

namespace dualtape::detail {

template <class T>
using Running = std::conditional_t<std::floating_point<T>, double, std::uint64_t>;

}  // namespace dualtape::detail
