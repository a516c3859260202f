// Whether memory that is shared by reference counts has one holder left. Private. Any thread that
// holds it.
#pragma once

#include <atomic>
#include <memory>

namespace dualtape::detail {

// The thread sanitizer knows no fences.
#if defined(__SANITIZE_THREAD__)
inline constexpr bool fences_are_known = false;
#elif defined(__has_feature)  // clang
inline constexpr bool fences_are_known = !__has_feature(thread_sanitizer);
#else
inline constexpr bool fences_are_known = true;
#endif

// True if nobody else holds it, and then all that others did through theirs has happened.
template <class T>
bool sole_owner(const std::shared_ptr<T>& held) {
  if constexpr (fences_are_known) {
    if (held.use_count() > 1) return false;
    std::atomic_thread_fence(std::memory_order_acquire);
    return true;
  } else {
    // A handle made and given up says the same, but takes longer.
    static_cast<void>(std::shared_ptr<T>(held));
    return held.use_count() <= 1;
  }
}

}  // namespace dualtape::detail
