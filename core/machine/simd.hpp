// xsimd, with what it lacks. Private; include this instead of xsimd's headers.
#pragma once

#include <type_traits>

#include <xsimd/config/xsimd_config.hpp>

#if defined(__AVX512F__) && XSIMD_VERSION_MAJOR < 9
// As xsimd/xsimd.hpp has it, which its other headers expect.
#if defined(__GNUC__)
#define XSIMD_NO_DISCARD __attribute__((warn_unused_result))
#else
#define XSIMD_NO_DISCARD
#endif

#include <xsimd/arch/xsimd_scalar.hpp>
#include <xsimd/memory/xsimd_aligned_allocator.hpp>
#include <xsimd/types/xsimd_batch.hpp>

// xsimd 8 has fused multiply-adds for AVX2 but not for AVX-512, where its exp, log and others would
// take a product and a sum: slower, and other bits than with AVX2. They must be known before
// xsimd's functions are, which are in the header below.
namespace xsimd::kernel {

template <class A>
inline batch<float, A> fma(const batch<float, A>& x, const batch<float, A>& y,
                           const batch<float, A>& z, requires_arch<avx512f>) noexcept {
  return _mm512_fmadd_ps(x, y, z);
}
template <class A>
inline batch<double, A> fma(const batch<double, A>& x, const batch<double, A>& y,
                            const batch<double, A>& z, requires_arch<avx512f>) noexcept {
  return _mm512_fmadd_pd(x, y, z);
}
template <class A>
inline batch<float, A> fms(const batch<float, A>& x, const batch<float, A>& y,
                           const batch<float, A>& z, requires_arch<avx512f>) noexcept {
  return _mm512_fmsub_ps(x, y, z);
}
template <class A>
inline batch<double, A> fms(const batch<double, A>& x, const batch<double, A>& y,
                            const batch<double, A>& z, requires_arch<avx512f>) noexcept {
  return _mm512_fmsub_pd(x, y, z);
}
template <class A>
inline batch<float, A> fnma(const batch<float, A>& x, const batch<float, A>& y,
                            const batch<float, A>& z, requires_arch<avx512f>) noexcept {
  return _mm512_fnmadd_ps(x, y, z);
}
template <class A>
inline batch<double, A> fnma(const batch<double, A>& x, const batch<double, A>& y,
                             const batch<double, A>& z, requires_arch<avx512f>) noexcept {
  return _mm512_fnmadd_pd(x, y, z);
}
template <class A>
inline batch<float, A> fnms(const batch<float, A>& x, const batch<float, A>& y,
                            const batch<float, A>& z, requires_arch<avx512f>) noexcept {
  return _mm512_fnmsub_ps(x, y, z);
}
template <class A>
inline batch<double, A> fnms(const batch<double, A>& x, const batch<double, A>& y,
                             const batch<double, A>& z, requires_arch<avx512f>) noexcept {
  return _mm512_fnmsub_pd(x, y, z);
}

}  // namespace xsimd::kernel
#endif

#include <xsimd/xsimd.hpp>

namespace dualtape::detail {

// The bits of a register as numbers of another type. (xsimd::bitwise_cast wants to be told the
// register's type in version 8, an element's in later ones.)
template <class To, class T>
inline xsimd::batch<To> bits_as(const xsimd::batch<T>& x) {
  if constexpr (std::is_same_v<decltype(xsimd::bitwise_cast<To>(x)), xsimd::batch<To>>) {
    return xsimd::bitwise_cast<To>(x);
  } else {
    return xsimd::bitwise_cast<xsimd::batch<To>>(x);
  }
}

}  // namespace dualtape::detail
