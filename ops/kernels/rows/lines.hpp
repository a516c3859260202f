// 64 bytes of numbers, in as many SIMD registers as that takes here: loops written over lines give
// the same bits whatever the width of the registers.
// Private: includes xsimd; for files compiled per instruction set. Plain values; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include <dualtape/core/machine/isa.hpp>
#include <dualtape/core/machine/lane.hpp>

namespace dualtape::detail {
inline namespace DUALTAPE_ISA {

template <class T>
struct Line {
  using Batch = xsimd::batch<T>;
  static constexpr std::size_t width = 64 / sizeof(T);
  static constexpr std::size_t parts = width / Batch::size;
  static_assert(width % Batch::size == 0);
  Batch part[parts];

  static Line load(const T* from) {
    Line line;
    for (std::size_t i = 0; i < parts; ++i)
      line.part[i] = Batch::load_unaligned(from + i * Batch::size);
    return line;
  }
  static Line of(T value) {
    Line line;
    for (Batch& batch : line.part) batch = Batch(value);
    return line;
  }
  void store(T* to) const {
    for (std::size_t i = 0; i < parts; ++i) part[i].store_unaligned(to + i * Batch::size);
  }
};

template <class T, class F>
inline Line<T> each_part(const Line<T>& a, F f) {
  Line<T> r;
  for (std::size_t i = 0; i < Line<T>::parts; ++i) r.part[i] = f(a.part[i]);
  return r;
}
template <class T, class F>
inline Line<T> each_part(const Line<T>& a, const Line<T>& b, F f) {
  Line<T> r;
  for (std::size_t i = 0; i < Line<T>::parts; ++i) r.part[i] = f(a.part[i], b.part[i]);
  return r;
}

template <class T>
struct Numbering {
  alignas(64) T values[Line<T>::width]{};
  constexpr Numbering() {
    for (std::size_t i = 0; i < Line<T>::width; ++i) values[i] = static_cast<T>(i);
  }
};
template <class T>
inline constexpr Numbering<T> numbering{};

// The line with all but its last `count` elements replaced.
template <class T>
inline Line<T> last_of(const Line<T>& line, std::size_t count, T replacement) {
  using Batch = typename Line<T>::Batch;
  const Batch first(static_cast<T>(Line<T>::width - count));
  Line<T> r;
  for (std::size_t i = 0; i < Line<T>::parts; ++i) {
    const Batch number = Batch::load_aligned(numbering<T>.values + i * Batch::size);
    r.part[i] = xsimd::select(number >= first, line.part[i], Batch(replacement));
  }
  return r;
}

// The elements of a register combined in a tree, halves on halves; `combine` takes registers of any
// width.
#if defined(__SSE2__)
template <class F>
inline float fold_register(__m128 x, F combine) {
  using B = xsimd::batch<float, xsimd::sse2>;
  const B two = combine(B(x), B(_mm_movehl_ps(x, x)));
  const B one = combine(two, B(_mm_shuffle_ps(two, two, 1)));
  return _mm_cvtss_f32(one);
}
template <class F>
inline double fold_register(__m128d x, F combine) {
  using B = xsimd::batch<double, xsimd::sse2>;
  const B one = combine(B(x), B(_mm_unpackhi_pd(x, x)));
  return _mm_cvtsd_f64(one);
}
#if defined(__AVX__)
template <class F>
inline float fold_register(__m256 x, F combine) {
  using B = xsimd::batch<float, xsimd::sse2>;
  const B half = combine(B(_mm256_castps256_ps128(x)), B(_mm256_extractf128_ps(x, 1)));
  return fold_register(static_cast<__m128>(half), combine);
}
template <class F>
inline double fold_register(__m256d x, F combine) {
  using B = xsimd::batch<double, xsimd::sse2>;
  const B half = combine(B(_mm256_castpd256_pd128(x)), B(_mm256_extractf128_pd(x, 1)));
  return fold_register(static_cast<__m128d>(half), combine);
}
#endif
#if defined(__AVX512F__)
template <class F>
inline float fold_register(__m512 x, F combine) {
  using B = xsimd::batch<float, xsimd::avx>;
  const __m256d upper = _mm512_extractf64x4_pd(_mm512_castps_pd(x), 1);
  const B half = combine(B(_mm512_castps512_ps256(x)), B(_mm256_castpd_ps(upper)));
  return fold_register(static_cast<__m256>(half), combine);
}
template <class F>
inline double fold_register(__m512d x, F combine) {
  using B = xsimd::batch<double, xsimd::avx>;
  const B half = combine(B(_mm512_castpd512_pd256(x)), B(_mm512_extractf64x4_pd(x, 1)));
  return fold_register(static_cast<__m256d>(half), combine);
}
#endif
template <class T, class F>
inline T fold_batch(const xsimd::batch<T>& x, F combine) {
  return fold_register(x.data, combine);
}
#else
template <class T, class F>
inline T fold_batch(xsimd::batch<T> x, F combine) {
  constexpr std::size_t size = xsimd::batch<T>::size;
  alignas(64) T elements[2 * size];
  for (std::size_t half = size / 2; half > 0; half /= 2) {
    x.store_aligned(elements);
    x.store_aligned(elements + size);
    x = combine(x, xsimd::batch<T>::load_unaligned(elements + half));
  }
  x.store_aligned(elements);
  return elements[0];
}
#endif

// combine(x_0 .. x_width-1) in a tree: halves on halves.
template <class T, class F>
inline T fold_line(Line<T> line, F combine) {
  for (std::size_t half = Line<T>::parts / 2; half > 0; half /= 2)
    for (std::size_t i = 0; i < half; ++i)
      line.part[i] = combine(line.part[i], line.part[i + half]);
  return fold_batch<T>(line.part[0], combine);
}

// The larger, or the smaller; b where either is NaN.
template <bool larger, class B>
inline B extreme_or_second(const B& a, const B& b) {
#if defined(__SSE2__)
  return larger ? xsimd::max(a, b) : xsimd::min(a, b);  // maxps and minps are so
#else
  return xsimd::select(larger ? a > b : a < b, a, b);
#endif
}

// Where a or b is NaN. (xsimd's != is false for NaN with AVX.)
#if defined(__AVX512F__)
inline xsimd::batch_bool<float> either_nan(__m512 a, __m512 b) {
  return _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q);
}
inline xsimd::batch_bool<double> either_nan(__m512d a, __m512d b) {
  return _mm512_cmp_pd_mask(a, b, _CMP_UNORD_Q);
}
#elif defined(__AVX__)
inline xsimd::batch_bool<float> either_nan(__m256 a, __m256 b) {
  return _mm256_cmp_ps(a, b, _CMP_UNORD_Q);
}
inline xsimd::batch_bool<double> either_nan(__m256d a, __m256d b) {
  return _mm256_cmp_pd(a, b, _CMP_UNORD_Q);
}
#elif defined(__SSE2__)
inline xsimd::batch_bool<float> either_nan(__m128 a, __m128 b) { return _mm_cmpunord_ps(a, b); }
inline xsimd::batch_bool<double> either_nan(__m128d a, __m128d b) { return _mm_cmpunord_pd(a, b); }
#else
template <class T>
inline xsimd::batch_bool<T> either_nan(const xsimd::batch<T>& a, const xsimd::batch<T>& b) {
  return (!(a == a)) | (!(b == b));
}
#endif

// The largest (smallest) of n contiguous elements that are not NaN, n > 0, and whether one is.
template <class T>
struct Extreme {
  T value;
  bool nan;
};
template <class T, bool larger, bool look_for_nan>
inline Extreme<T> extreme_of_run(const T* in, std::size_t n) {
  constexpr std::size_t width = Line<T>::width;
  using Batch = typename Line<T>::Batch;
  constexpr T infinity = std::numeric_limits<T>::infinity();
  constexpr T least = larger ? -infinity : infinity;
  const auto pick = [](T a, T b) { return (larger ? a > b : a < b) ? a : b; };
  if (n < width) {
    Extreme<T> r{least, false};
    for (std::size_t i = 0; i < n; ++i) {
      r.value = pick(in[i], r.value);
      r.nan |= in[i] != in[i];
    }
    return r;
  }
  // A line that overlaps the one before changes nothing.
  Line<T> best[4] = {Line<T>::of(least), Line<T>::of(least), Line<T>::of(least),
                     Line<T>::of(least)};
  auto bad = Batch(T(0)) != Batch(T(0));
  const auto take = [&](Line<T>& a, Line<T>& b, const T* from_a, const T* from_b) {
    const auto x = Line<T>::load(from_a);
    const auto y = Line<T>::load(from_b);
    for (std::size_t i = 0; i < Line<T>::parts; ++i) {
      a.part[i] = extreme_or_second<larger>(x.part[i], a.part[i]);
      b.part[i] = extreme_or_second<larger>(y.part[i], b.part[i]);
      if constexpr (look_for_nan) bad = bad | either_nan(x.part[i], y.part[i]);
    }
  };
  std::size_t i = 0;
  for (; i + 4 * width <= n; i += 4 * width) {
    take(best[0], best[1], in + i, in + i + width);
    take(best[2], best[3], in + i + 2 * width, in + i + 3 * width);
  }
  for (; i + 2 * width <= n; i += 2 * width) take(best[0], best[1], in + i, in + i + width);
  if (i < n) take(best[2], best[3], in + (i + width <= n ? i : n - width), in + n - width);
  const auto combine = [](const auto& a, const auto& b) { return extreme_or_second<larger>(a, b); };
  const auto all = each_part(each_part(best[0], best[1], combine),
                             each_part(best[2], best[3], combine), combine);
  return {fold_line(all, combine), look_for_nan && xsimd::any(bad)};
}

}  // namespace DUALTAPE_ISA
}  // namespace dualtape::detail
