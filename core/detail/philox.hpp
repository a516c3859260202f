// Philox4x32-10, one block at a time, as straight-line code that compilers vectorise when it stands
// in a loop over lanes. Private; pure functions, callable from any thread.
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#pragma once

#include <cstdint>

namespace dualtape::detail {

struct PhiloxBlock {
  std::uint32_t w0, w1, w2, w3;
};

// Internal linkage on purpose: random.cpp compiles this with its own floating-point options, and
// the linker must not swap copies between files.
template <int rounds>
static inline PhiloxBlock philox_rounds(PhiloxBlock c, std::uint32_t k0, std::uint32_t k1) {
  const std::uint64_t a = std::uint64_t{0xD2511F53U} * c.w0;
  const std::uint64_t b = std::uint64_t{0xCD9E8D57U} * c.w2;
  const PhiloxBlock next{
      static_cast<std::uint32_t>(b >> 32) ^ c.w1 ^ k0, static_cast<std::uint32_t>(b),
      static_cast<std::uint32_t>(a >> 32) ^ c.w3 ^ k1, static_cast<std::uint32_t>(a)};
  if constexpr (rounds == 1) {
    return next;
  } else {
    return philox_rounds<rounds - 1>(next, k0 + 0x9E3779B9U, k1 + 0xBB67AE85U);
  }
}

static inline PhiloxBlock philox10(PhiloxBlock counter, std::uint32_t k0, std::uint32_t k1) {
  return philox_rounds<10>(counter, k0, k1);
}

}  // namespace dualtape::detail
