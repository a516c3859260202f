// Rows and columns, as pooling and convolution take them. A plain value; any thread.
#pragma once

#include <concepts>
#include <cstdint>

#include <dualtape/core/needs_cxx20.hpp>

namespace dualtape {

// One number stands for both.
struct Size2d {
  std::int64_t rows = 0;
  std::int64_t columns = 0;

  template <std::integral T>
  Size2d(T both) : Size2d(both, both) {}
  template <std::integral R, std::integral C>
  Size2d(R r, C c) : rows(static_cast<std::int64_t>(r)), columns(static_cast<std::int64_t>(c)) {}
};

}  // namespace dualtape
