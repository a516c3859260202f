// Transposes, for one instruction set.
#if defined(__AVX__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <cstdint>

#include <dualtape/core/tensor/transpose.hpp>

namespace dualtape::detail {
namespace {

// Squares of this side are visited one by one: both of their sides stay in the first-level cache.
constexpr std::int64_t side = 16;

template <class T>
void by_elements(const T* in, std::int64_t in_stride, T* out, std::int64_t out_stride,
                 std::int64_t rows, std::int64_t columns) {
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) out[i * out_stride + j] = in[i + j * in_stride];
}

#if defined(__AVX__)
// Four rows of eight elements of four bytes, in registers. The first four elements of each row and
// the others are loaded into halves of their own, so that no step has to cross them.
__m256 halves(const float* in, const float* far) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(in)), _mm_loadu_ps(far), 1);
}
void four_rows(const float* in, std::int64_t in_stride, float* out, std::int64_t out_stride) {
  const float* const far = in + 4 * in_stride;
  const __m256 a = halves(in, far);
  const __m256 b = halves(in + in_stride, far + in_stride);
  const __m256 c = halves(in + 2 * in_stride, far + 2 * in_stride);
  const __m256 d = halves(in + 3 * in_stride, far + 3 * in_stride);
  const __m256 ab = _mm256_unpacklo_ps(a, b);  // a0 b0 a1 b1
  const __m256 cd = _mm256_unpacklo_ps(c, d);
  const __m256 ab_high = _mm256_unpackhi_ps(a, b);  // a2 b2 a3 b3
  const __m256 cd_high = _mm256_unpackhi_ps(c, d);
  _mm256_storeu_ps(out, _mm256_shuffle_ps(ab, cd, 0x44));
  _mm256_storeu_ps(out + out_stride, _mm256_shuffle_ps(ab, cd, 0xee));
  _mm256_storeu_ps(out + 2 * out_stride, _mm256_shuffle_ps(ab_high, cd_high, 0x44));
  _mm256_storeu_ps(out + 3 * out_stride, _mm256_shuffle_ps(ab_high, cd_high, 0xee));
}

void by_elements(const std::uint32_t* in, std::int64_t in_stride, std::uint32_t* out,
                 std::int64_t out_stride, std::int64_t rows, std::int64_t columns) {
  // The registers take these bits as floats, and only move them.
  const auto* const from = reinterpret_cast<const float*>(in);
  auto* const to = reinterpret_cast<float*>(out);
  const std::int64_t whole_rows = rows / 4 * 4;
  const std::int64_t whole_columns = columns / 8 * 8;
  for (std::int64_t j = 0; j < whole_columns; j += 8)
    for (std::int64_t i = 0; i < whole_rows; i += 4)
      four_rows(from + i + j * in_stride, in_stride, to + i * out_stride + j, out_stride);
  by_elements<std::uint32_t>(in + whole_columns * in_stride, in_stride, out + whole_columns,
                             out_stride, whole_rows, columns - whole_columns);
  by_elements<std::uint32_t>(in + whole_rows, in_stride, out + whole_rows * out_stride, out_stride,
                             rows - whole_rows, columns);
}
#endif

template <class T>
void by_squares(const T* in, std::int64_t in_stride, T* out, std::int64_t out_stride,
                std::int64_t rows, std::int64_t columns) {
  for (std::int64_t i = 0; i < rows; i += side)
    for (std::int64_t j = 0; j < columns; j += side)
      by_elements(in + i + j * in_stride, in_stride, out + i * out_stride + j, out_stride,
                  std::min(side, rows - i), std::min(side, columns - j));
}

constexpr TransposeKernels table{by_squares<std::uint8_t>, by_squares<std::uint32_t>,
                                 by_squares<std::uint64_t>};

}  // namespace

const TransposeKernels& transpose_kernels(ThisIsa) { return table; }

}  // namespace dualtape::detail
