// The floating point mode of a program that runs. Denormal numbers are flushed: they carry no
// information a training run needs and cost up to a hundred times an ordinary operation. Results
// are rounded to nearest, whatever the caller's thread has set, of which those of the pool know
// nothing.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace dualtape::detail {

// The processor's floating point control word; its bits that flush denormal inputs and results; its
// rounding bits, all 0 for rounding to nearest. A processor that is not known here runs as it was.
#if defined(__SSE2__)
inline constexpr std::uint64_t flushing_modes = 0x8040;  // MXCSR.DAZ, MXCSR.FTZ
inline constexpr std::uint64_t rounding_modes = 0x6000;  // MXCSR.RC
inline std::uint64_t float_modes() { return _mm_getcsr(); }
inline void set_float_modes(std::uint64_t modes) { _mm_setcsr(static_cast<unsigned>(modes)); }
#elif defined(__aarch64__)
inline constexpr std::uint64_t flushing_modes = 1U << 24U;  // FPCR.FZ
inline constexpr std::uint64_t rounding_modes = 3U << 22U;  // FPCR.RMode
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
inline constexpr std::uint64_t rounding_modes = 0;
inline std::uint64_t float_modes() { return 0; }
inline void set_float_modes(std::uint64_t) {}
#endif

// Sets flush-to-zero, denormals-are-zero and rounding to nearest in this thread, and restores the
// former mode.
class FlushDenormals {
 public:
  FlushDenormals() : previous_(float_modes()) {
    set_float_modes((previous_ & ~rounding_modes) | flushing_modes);
  }
  ~FlushDenormals() { set_float_modes(previous_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  std::uint64_t previous_;
};

}  // namespace dualtape::detail
