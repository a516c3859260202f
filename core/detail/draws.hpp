// How many random numbers are made at once, for those who draw a stream in slices.
// Private, without SIMD headers. Constants.
//
// The fill functions of core/random.hpp take any `first`; a slice that begins and ends at multiples
// of its group makes each group once. A tile of 2048 elements is a whole number of groups of every
// distribution and dtype.
#pragma once

#include <cstddef>

namespace dualtape::detail {

// Uniform and normal numbers: 16 blocks of 128 bits.
template <class Real>
inline constexpr std::size_t draw_group = 16 * 16 / sizeof(Real);
// Signs, float and double alike: one for each of the 2048 bits.
inline constexpr std::size_t sign_group = 2048;

}  // namespace dualtape::detail
