// The axes a reduction takes: a plain value.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

#include <dualtape/core/needs_cxx20.hpp>

namespace dualtape {

// One axis, a list of them, or {} for all: sum(x, 0), sum(x, {0, -1}), sum(x).
class Axes {
 public:
  Axes() = default;
  // Not from bool, so that keepdims in its place is an error and no axis.
  template <std::integral Integer>
  requires(!std::same_as<Integer, bool>) Axes(Integer axis)
      : axes_{static_cast<std::int64_t>(axis)} {}
  Axes(std::initializer_list<std::int64_t> axes) : axes_(axes) {}
  Axes(std::vector<std::int64_t> axes) : axes_(std::move(axes)) {}

  const std::vector<std::int64_t>& vector() const { return axes_; }

 private:
  std::vector<std::int64_t> axes_;
};

}  // namespace dualtape
