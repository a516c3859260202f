// Flushing of denormal numbers while a program runs: they carry no information a training run needs
// and cost up to a hundred times an ordinary operation.
#pragma once

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace dualtape::detail {

// Sets flush-to-zero and denormals-are-zero in this thread, and restores the former mode.
class FlushDenormals {
 public:
#if defined(__SSE2__)
  FlushDenormals() : previous_(_mm_getcsr()) { _mm_setcsr(previous_ | 0x8040u); }
  ~FlushDenormals() { _mm_setcsr(previous_); }
#else
  FlushDenormals() = default;
  ~FlushDenormals() = default;
#endif
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
#if defined(__SSE2__)
  unsigned previous_;
#endif
};

}  // namespace dualtape::detail
