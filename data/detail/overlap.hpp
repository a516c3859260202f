// Whether two tensors share elements. Pure; any thread may call.
#pragma once

#include <cstddef>
#include <functional>

#include <dualtape/core/tensor.hpp>

namespace dualtape::detail {

inline bool overlap(const Tensor& a, const Tensor& b) {
  const auto* of_a = static_cast<const std::byte*>(a.raw());
  const auto* of_b = static_cast<const std::byte*>(b.raw());
  const std::less<> before;  // for pointers into different memory, too
  return a.bytes() > 0 && b.bytes() > 0 && before(of_a, of_b + b.bytes()) &&
         before(of_b, of_a + a.bytes());
}

}  // namespace dualtape::detail
