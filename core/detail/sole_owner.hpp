// Whether memory that is shared by reference counts has one holder left. Private. Any thread that
// holds it.
#pragma once

#include <atomic>
#include <memory>

namespace dualtape::detail {

// True if nobody else holds it, and then all that others did through theirs has happened.
template <class T>
bool sole_owner(const std::shared_ptr<T>& held) {
#if defined(__SANITIZE_THREAD__)
  // It knows no fences; a handle made and given up says the same, but takes longer.
  static_cast<void>(std::shared_ptr<T>(held));
  return held.use_count() <= 1;
#else
  if (held.use_count() > 1) return false;
  std::atomic_thread_fence(std::memory_order_acquire);
  return true;
#endif
}

}  // namespace dualtape::detail
