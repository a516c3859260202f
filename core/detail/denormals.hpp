// Flushing of denormal numbers while a program runs: they carry no information a training run needs
// and cost up to a hundred times an ordinary operation.
#pragma once

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif
#include <cstdint>

namespace dualtape::detail {

// The processor's word of floating point modes, and the bits of it that flush denormals, those read
// and those made. A processor that is not known here runs as it was.
#if defined(__SSE2__)
inline constexpr std::uint64_t flushing_modes = 0x8040;  // MXCSR.DAZ, MXCSR.FTZ
inline std::uint64_t float_modes() { return _mm_getcsr(); }
inline void set_float_modes(std::uint64_t modes) { _mm_setcsr(static_cast<unsigned>(modes)); }
#elif defined(__aarch64__)
inline constexpr std::uint64_t flushing_modes = 1U << 24U;  // FPCR.FZ
inline std::uint64_t float_modes() {
  std::uint64_t modes = 0;
  __asm__ volatile("mrs %0, fpcr" : "=r"(modes));
  return modes;
}
inline void set_float_modes(std::uint64_t modes) {
  __asm__ volatile("msr fpcr, %0" : : "r"(modes) : "memory");
}
#else
inline constexpr std::uint64_t flushing_modes = 0;
inline std::uint64_t float_modes() { return 0; }
inline void set_float_modes(std::uint64_t) {}
#endif

// Sets flush-to-zero and denormals-are-zero in this thread, and restores the former mode.
class FlushDenormals {
 public:
  FlushDenormals() : previous_(float_modes()) { set_float_modes(previous_ | flushing_modes); }
  ~FlushDenormals() { set_float_modes(previous_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  std::uint64_t previous_;
};

}  // namespace dualtape::detail
