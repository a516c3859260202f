// Which sanitizers a test is compiled under: what takes ten times as long is done less often there,
// and memory is not what it would be.
#pragma once

namespace dualtape::testing {

#if defined(__has_feature)  // clang
inline constexpr bool address_sanitizer = __has_feature(address_sanitizer);
inline constexpr bool thread_sanitizer = __has_feature(thread_sanitizer);
#else
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool address_sanitizer = true;
#else
inline constexpr bool address_sanitizer = false;
#endif
#if defined(__SANITIZE_THREAD__)
inline constexpr bool thread_sanitizer = true;
#else
inline constexpr bool thread_sanitizer = false;
#endif
#endif

}  // namespace dualtape::testing
