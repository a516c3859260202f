// Numbers for tests of modes that compare two ways of computing the same.
#pragma once

#include <cstdint>
#include <utility>

#include <dualtape/core/random.hpp>

namespace dualtape::testing {

// Uniform in (-1, 1), float64, from the seed.
inline Tensor numbers(Shape shape, std::uint64_t seed) {
  return uniform(Key{seed}, std::move(shape), -1.0, 1.0, float64);
}

}  // namespace dualtape::testing
