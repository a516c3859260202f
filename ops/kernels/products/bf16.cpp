#include <dualtape/ops/kernels/products/bf16.hpp>

#include <algorithm>
#include <array>
#include <cassert>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace dualtape::detail {

#if defined(__x86_64__)

bool has_bf16_instructions() {
  static const bool has = [] {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512bf16");
  }();
  return has;
}

namespace {

constexpr std::size_t block = 32;

// One register of them. No more of this file may be compiled for these instructions.
[[gnu::target("avx512f,avx512bw,avx512bf16")]] void convert_blocks(const float* from, float scale,
                                                                   std::uint16_t* to,
                                                                   std::size_t blocks) {
  const __m512 factor = _mm512_set1_ps(scale);
  for (; blocks > 0; --blocks, from += block, to += block)
    _mm512_storeu_si512(
        to, (__m512i)_mm512_cvtne2ps_pbh(_mm512_mul_ps(factor, _mm512_loadu_ps(from + block / 2)),
                                         _mm512_mul_ps(factor, _mm512_loadu_ps(from))));
}

}  // namespace

void to_bf16(const float* from, float scale, std::uint16_t* to, std::size_t n) {
  const std::size_t whole = n / block * block;
  convert_blocks(from, scale, to, n / block);
  if (whole == n) return;
  std::array<float, block> last{};
  std::array<std::uint16_t, block> converted{};
  std::copy_n(from + whole, n - whole, last.begin());
  convert_blocks(last.data(), scale, converted.data(), 1);
  std::copy_n(converted.begin(), n - whole, to + whole);
}

#else

bool has_bf16_instructions() { return false; }
void to_bf16(const float*, float, std::uint16_t*, std::size_t) { assert(false); }

#endif

}  // namespace dualtape::detail
