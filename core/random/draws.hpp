// The kernels that make random numbers, and how many are made at once, for those who draw a stream
// in slices. Private, without SIMD headers. Any thread.
//
// The fill functions of core/random.hpp take any `first`; a slice that begins and ends at multiples
// of its group makes each group once. A tile of 2048 elements is a whole number of groups of every
// distribution and dtype.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <dualtape/core/machine/isa.hpp>

namespace dualtape::detail {

// Uniform and normal numbers: 16 blocks of 128 bits.
template <class Real>
inline constexpr std::size_t draw_group = 16 * 16 / sizeof(Real);
// Signs, float and double alike: one for each of the 2048 bits.
inline constexpr std::size_t sign_group = 2048;

// The third counter word. Changing a value changes every number drawn from that stream.
enum class DrawStream : std::uint32_t {
  uniform_f32 = 1,
  normal_f32 = 2,
  rademacher_f32 = 3,
  uniform_f64 = 17,
  normal_f64 = 18,
  rademacher_f64 = 19,
  fold_number = 64,
  fold_name = 65,
  permutation_words = 66,
};

// Each writes elements first ... first + n - 1 of the key's stream.
template <class Real>
struct DrawsOf {
  using Fill = void (*)(Real* out, std::size_t n, std::uint64_t key, std::uint64_t first);
  Fill uniform;     // on [0, 1)
  Fill normal;      // standard
  Fill rademacher;  // -1 or +1
  // min(low + width u, last) with u uniform, and mean + stddev x with x standard normal.
  void (*uniform_in)(Real* out, std::size_t n, std::uint64_t key, std::uint64_t first, Real low,
                     Real width, Real last);
  void (*normal_of)(Real* out, std::size_t n, std::uint64_t key, std::uint64_t first, Real mean,
                    Real stddev);
};

// Tables in core/random/random_kernels.cpp.
struct DrawKernels {
  DrawsOf<float> single;
  DrawsOf<double> twice;
  template <class Real>
  const DrawsOf<Real>& of() const {
    if constexpr (std::is_same_v<Real, float>)
      return single;
    else
      return twice;
  }
};
const DrawKernels& draw_kernels(IsaTag<Isa::baseline>);
const DrawKernels& draw_kernels(IsaTag<Isa::avx2>);
const DrawKernels& draw_kernels(IsaTag<Isa::avx512>);

inline const DrawKernels& draw_kernels() {
  return *for_isa(isa(), [](auto tag) { return &draw_kernels(tag); });
}

}  // namespace dualtape::detail
