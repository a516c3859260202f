// The two shapes of an elementwise kernel: over contiguous spans, without SIMD headers.
// Private. Plain values; any thread.
#pragma once

#include <cstddef>

namespace dualtape::detail {

// Up to the next multiple of 64, where parts of a workspace begin.
constexpr std::size_t aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

// out[i] = f(in[0][i], in[1][i], ...) for i < n. Booleans are bytes, 0 or 1. `out` may be exactly
// one of the inputs if their elements have the same size; other overlaps are not allowed.
using SpanKernel = void (*)(const void* const* in, void* out, std::size_t n);

// The same with a context and any number of outputs; owns nothing.
struct BoundKernel {
  void (*call)(void* context, const void* const* in, void* const* out, std::size_t n) = nullptr;
  void* context = nullptr;

  void operator()(const void* const* in, void* const* out, std::size_t n) const {
    call(context, in, out, n);
  }
};

// `kernel` must outlive what is returned.
inline BoundKernel bind(SpanKernel& kernel) {
  return {[](void* context, const void* const* in, void* const* out, std::size_t n) {
            (*static_cast<SpanKernel*>(context))(in, out[0], n);
          },
          &kernel};
}

}  // namespace dualtape::detail
