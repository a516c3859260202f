// Numbers of every magnitude that a dtype has, and of none, for tests of exactness; and how two
// results are told to be the same. Made by their generator's state alone.
#pragma once

#include <random>

#include <dualtape/core/tensor.hpp>

namespace dualtape::testing {

// Mostly within a few powers of two of each other somewhere in the range, at times anywhere in it,
// now and then with zeros of both signs, denormals, infinities and NaN among them. Of an integer
// dtype: small ones, and any.
Tensor wild_numbers(std::mt19937_64& random, const Shape& shape, DType dtype);

// Same type and same elements: NaNs are equal, denormals are zeros of their sign (programs flush
// them, operators that only move elements do not).
bool same_elements(const Tensor& a, const Tensor& b);

}  // namespace dualtape::testing
