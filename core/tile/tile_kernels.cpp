// The SIMD kernels of tile programs: one loop for each primitive, type and choice of operands that
// are constants.
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdint>
#include <utility>

#include <dualtape/core/machine/span_map.hpp>
#include <dualtape/core/tile/tile.hpp>

namespace dualtape::detail {
namespace {

template <class T>
using Memory = LaneMemory<T>;

// The primitive as a function of lanes.
template <Prim P, class... X>
auto apply_prim(const X&... x) {
  const auto all = std::tie(x...);
  const auto& a = std::get<0>(all);
  [[maybe_unused]] const auto& b = std::get<(sizeof...(X) > 1 ? 1 : 0)>(all);
  [[maybe_unused]] const auto& c = std::get<(sizeof...(X) > 2 ? 2 : 0)>(all);
  // clang-format off
  if constexpr (P == Prim::neg) return -a;
  else if constexpr (P == Prim::abs) return abs(a);
  else if constexpr (P == Prim::sqrt) return sqrt(a);
  else if constexpr (P == Prim::exp) return exp(a);
  else if constexpr (P == Prim::expm1) return expm1(a);
  else if constexpr (P == Prim::log) return log(a);
  else if constexpr (P == Prim::log1p) return log1p(a);
  else if constexpr (P == Prim::sin) return sin(a);
  else if constexpr (P == Prim::cos) return cos(a);
  else if constexpr (P == Prim::tan) return tan(a);
  else if constexpr (P == Prim::asin) return asin(a);
  else if constexpr (P == Prim::acos) return acos(a);
  else if constexpr (P == Prim::atan) return atan(a);
  else if constexpr (P == Prim::sinh) return sinh(a);
  else if constexpr (P == Prim::cosh) return cosh(a);
  else if constexpr (P == Prim::tanh) return tanh(a);
  else if constexpr (P == Prim::asinh) return asinh(a);
  else if constexpr (P == Prim::acosh) return acosh(a);
  else if constexpr (P == Prim::atanh) return atanh(a);
  else if constexpr (P == Prim::erf) return erf(a);
  else if constexpr (P == Prim::erfc) return erfc(a);
  else if constexpr (P == Prim::normal_cdf) return normal_cdf(a);
  else if constexpr (P == Prim::sigmoid) return sigmoid(a);
  else if constexpr (P == Prim::floor) return floor(a);
  else if constexpr (P == Prim::ceil) return ceil(a);
  else if constexpr (P == Prim::round) return round(a);
  else if constexpr (P == Prim::trunc) return trunc(a);
  else if constexpr (P == Prim::add) return a + b;
  else if constexpr (P == Prim::sub) return a - b;
  else if constexpr (P == Prim::mul) return a * b;
  else if constexpr (P == Prim::div) return a / b;
  else if constexpr (P == Prim::pow) return pow(a, b);
  else if constexpr (P == Prim::atan2) return atan2(a, b);
  else if constexpr (P == Prim::hypot) return hypot(a, b);
  else if constexpr (P == Prim::exp_product) return exp_product(a, b);
  else if constexpr (P == Prim::mod) return mod(a, b);
  else if constexpr (P == Prim::minimum) return minimum(a, b);
  else if constexpr (P == Prim::maximum) return maximum(a, b);
  else if constexpr (P == Prim::less) return a < b;
  else if constexpr (P == Prim::less_equal) return a <= b;
  else if constexpr (P == Prim::greater) return a > b;
  else if constexpr (P == Prim::greater_equal) return a >= b;
  else if constexpr (P == Prim::equal) return a == b;
  else if constexpr (P == Prim::not_equal) return a != b;
  else if constexpr (P == Prim::isnan) return isnan(a);
  else if constexpr (P == Prim::isfinite) return isfinite(a);
  else if constexpr (P == Prim::logical_and) return a & b;
  else if constexpr (P == Prim::logical_or) return a | b;
  else if constexpr (P == Prim::logical_not) return !a;
  else return select(a, b, c);
  // clang-format on
}

// Which operands of the primitive are masks.
constexpr bool takes_mask(Prim prim, bool mask_result, std::size_t operand) {
  switch (prim) {
    case Prim::logical_and:
    case Prim::logical_or:
    case Prim::logical_not: return true;
    case Prim::select: return operand == 0 || mask_result;
    default: return false;
  }
}

template <class T, bool Mask, bool Fixed>
auto tile_operand(const void* from) {
  const T* const values = static_cast<const T*>(from);
  if constexpr (!Fixed && !Mask) {
    return NumberSpan<Memory<T>, T>{values};
  } else if constexpr (!Fixed) {
    return MaskSpan<Memory<T>, T>{values};
  } else if constexpr (!Mask) {
    return NumberFixed<Memory<T>, T>{typename Memory<T>::Number(*values)};
  } else {
    return MaskFixed<Memory<T>>{typename Memory<T>::Number(*values) !=
                                typename Memory<T>::Number(0)};
  }
}

template <class T, Prim P, bool MaskResult, unsigned Fixed, std::size_t... I>
void run_prim(const void* const* in, void* out, std::size_t n, std::index_sequence<I...>) {
  const auto f = [](const auto&... x) { return apply_prim<P>(x...); };
  using Result = decltype(f(
      tile_operand<T, takes_mask(P, MaskResult, I), ((Fixed >> I) & 1U) != 0>(nullptr).at(0)...));
  constexpr bool gives_mask = std::same_as<Result, typename Memory<T>::Mask>;
  using Out = std::conditional_t<gives_mask, MaskOut<Memory<T>, T>, NumberOut<Memory<T>, T>>;
  span_map<Memory<T>::width, Out>(
      f, static_cast<T*>(out), n,
      tile_operand<T, takes_mask(P, MaskResult, I), ((Fixed >> I) & 1U) != 0>(in[I])...);
}

template <class T, Prim P, bool MaskResult, unsigned Fixed>
void tile_span(const void* const* in, void* out, std::size_t n) {
  run_prim<T, P, MaskResult, Fixed>(in, out, n, std::make_index_sequence<operand_count(P)>{});
}

constexpr std::size_t most_fixed = 8;  // sets of fixed operands of three
using Variants = std::array<TileKernel, most_fixed>;

template <class T, Prim P, bool MaskResult, std::size_t... F>
constexpr Variants variants(std::index_sequence<F...>) {
  // All operands fixed is folded when a program is planned.
  constexpr std::size_t sets = (std::size_t{1} << operand_count(P)) - 1;
  return {(F < sets ? &tile_span<T, P, MaskResult, (F < sets ? unsigned{F} : 0U)> : nullptr)...};
}

template <class T, std::size_t... P>
constexpr std::array<Variants, prim_count> all_variants(std::index_sequence<P...>) {
  return {(static_cast<Prim>(P) <= Prim::input
               ? Variants{}
               : variants<T, static_cast<Prim>(P <= 1 ? 2 : P), false>(
                     std::make_index_sequence<most_fixed>{}))...};
}

template <class T>
TileKernel find_kernel(Prim prim, bool mask, unsigned fixed) {
  static constexpr auto table = all_variants<T>(std::make_index_sequence<prim_count>{});
  static constexpr auto mask_select =
      variants<T, Prim::select, true>(std::make_index_sequence<most_fixed>{});
  assert(fixed < most_fixed);
  if (prim == Prim::select && mask) return mask_select[fixed];
  return table[static_cast<std::size_t>(prim)][fixed];
}

template <class T>
void copy_span(const void* const* in, void* out, std::size_t n) {
  std::copy_n(static_cast<const T*>(in[0]), n, static_cast<T*>(out));
}
template <class T>
void fill_span(const void* const* in, void* out, std::size_t n) {
  std::fill_n(static_cast<T*>(out), n, *static_cast<const T*>(in[0]));
}
template <class T>
void widen_span(const void* const* in, void* out, std::size_t n) {
  const auto* const from = static_cast<const std::uint8_t*>(in[0]);
  auto* const to = static_cast<T*>(out);
  for (std::size_t i = 0; i < n; ++i) to[i] = from[i] != 0 ? T(1) : T(0);
}
template <class T>
void narrow_span(const void* const* in, void* out, std::size_t n) {
  const auto* const from = static_cast<const T*>(in[0]);
  auto* const to = static_cast<std::uint8_t*>(out);
  for (std::size_t i = 0; i < n; ++i) to[i] = from[i] != T(0) ? 1 : 0;
}

TileKernel kernel_of(Prim prim, bool mask, unsigned fixed, DType dtype) {
  return dtype == DType::float64 ? find_kernel<double>(prim, mask, fixed)
                                 : find_kernel<float>(prim, mask, fixed);
}
TileKernel copy_of(DType dtype) {
  return dtype == DType::float64 ? &copy_span<double> : &copy_span<float>;
}
TileKernel fill_of(DType dtype) {
  return dtype == DType::float64 ? &fill_span<double> : &fill_span<float>;
}
TileKernel widen_of(DType dtype) {
  return dtype == DType::float64 ? &widen_span<double> : &widen_span<float>;
}
TileKernel narrow_of(DType dtype) {
  return dtype == DType::float64 ? &narrow_span<double> : &narrow_span<float>;
}
std::size_t lane_width_of(DType dtype) {
  return dtype == DType::float64 ? Memory<double>::width : Memory<float>::width;
}

void stream_bytes(const char* from, char* to, std::size_t bytes) {
#if defined(__AVX512F__)
  for (std::size_t i = 0; i < bytes; i += 64)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to + i), _mm512_load_si512(from + i));
#elif defined(__SSE2__)
  for (std::size_t i = 0; i < bytes; i += 16)
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i),
                     _mm_load_si128(reinterpret_cast<const __m128i*>(from + i)));
#else
  std::copy_n(from, bytes, to);
#endif
}
void stream_fence() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

constexpr TileKernels tile_table{&kernel_of, &copy_of,       &fill_of,      &widen_of,
                                 &narrow_of, &lane_width_of, &stream_bytes, &stream_fence};

}  // namespace

const TileKernels& tile_kernels(ThisIsa) { return tile_table; }

}  // namespace dualtape::detail
