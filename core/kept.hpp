// Kept: an object that nothing destroys at the end of the process, when other threads may still use
// what is shared. For function-local statics; as safe to make from several threads as these are.
#pragma once

#include <utility>

namespace dualtape::detail {

template <class T>
union Kept {
  template <class... Args>
  explicit Kept(Args&&... args) : value(std::forward<Args>(args)...) {}
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;
  ~Kept() {}  // NOLINT(modernize-use-equals-default): leaves the value as it is

  T value;
};

}  // namespace dualtape::detail
