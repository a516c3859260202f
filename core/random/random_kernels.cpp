// The loops that make random numbers, for one instruction set. Bits are the same for all of them.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <dualtape/core/random/box_muller.hpp>
#include <dualtape/core/random/draws.hpp>
#include <dualtape/core/random/philox.hpp>

namespace dualtape::detail {
namespace {

// IEEE square roots, hence the same bits everywhere. By hand, because a compiler that must keep
// errno for std::sqrt does not vectorise it.
template <class Real, std::size_t n>
inline void sqrt_in_place(Real (&x)[n]) {
#if defined(__SSE2__)
  using Batch = xsimd::batch<Real>;
  static_assert(n % Batch::size == 0);
  for (std::size_t i = 0; i < n; i += Batch::size) {
    xsimd::sqrt(Batch::load_aligned(x + i)).store_aligned(x + i);
  }
#else
  for (Real& value : x) value = std::sqrt(value);
#endif
}

// A Maker fills one whole group: make(out, key, group) writes `size` elements.
template <class Real>
struct UniformMaker;
template <class Real>
struct NormalMaker;

template <>
struct UniformMaker<float> {
  static constexpr std::size_t size = draw_group<float>;
  static void make(float* __restrict out, const PhiloxKeys& keys, std::uint64_t group) {
    for_each_lane(keys, DrawStream::uniform_f32, group, [out](std::size_t lane, PhiloxBlock b) {
      out[lane] = unit_f32(b.w0);
      out[lane + lanes] = unit_f32(b.w1);
      out[lane + 2 * lanes] = unit_f32(b.w2);
      out[lane + 3 * lanes] = unit_f32(b.w3);
    });
  }
};

template <>
struct UniformMaker<double> {
  static constexpr std::size_t size = draw_group<double>;
  static void make(double* __restrict out, const PhiloxKeys& keys, std::uint64_t group) {
    for_each_lane(keys, DrawStream::uniform_f64, group, [out](std::size_t lane, PhiloxBlock b) {
      out[lane] = unit_f64(b.w0, b.w1);
      out[lane + lanes] = unit_f64(b.w2, b.w3);
    });
  }
};

// Box-Muller: r = sqrt(-2 log u), and (r cos 2 pi v, r sin 2 pi v) are two independent normals.
template <>
struct NormalMaker<float> {
  static constexpr std::size_t size = draw_group<float>;
  static void make(float* __restrict out, const PhiloxKeys& keys, std::uint64_t group) {
    alignas(64) float radius[2 * lanes];
    for_each_lane(keys, DrawStream::normal_f32, group, [&](std::size_t lane, PhiloxBlock b) {
      radius[lane] = -2.0F * log_f32(positive_unit_f32(b.w0));
      radius[lane + lanes] = -2.0F * log_f32(positive_unit_f32(b.w2));
      const auto first = sincos_turn_f32(b.w1);
      const auto second = sincos_turn_f32(b.w3);
      out[lane] = first.cos;
      out[lane + lanes] = second.cos;
      out[lane + 2 * lanes] = first.sin;
      out[lane + 3 * lanes] = second.sin;
    });
    sqrt_in_place(radius);
    for (std::size_t i = 0; i < 2 * lanes; ++i) {
      out[i] *= radius[i];
      out[i + 2 * lanes] *= radius[i];
    }
  }
};

template <>
struct NormalMaker<double> {
  static constexpr std::size_t size = draw_group<double>;
  static void make(double* __restrict out, const PhiloxKeys& keys, std::uint64_t group) {
    alignas(64) double radius[lanes];
    for_each_lane(keys, DrawStream::normal_f64, group, [&](std::size_t lane, PhiloxBlock b) {
      radius[lane] = -2.0 * log_f64(positive_unit_f64(b.w0, b.w1));
      const auto turn = sincos_turn_f64(b.w2, b.w3);
      out[lane] = turn.cos;
      out[lane + lanes] = turn.sin;
    });
    sqrt_in_place(radius);
    for (std::size_t i = 0; i < lanes; ++i) {
      out[i] *= radius[i];
      out[i + lanes] *= radius[i];
    }
  }
};

// Every random bit becomes one sign: bit 31 - k of word w of lane l is element 16 (32 w + k) + l.
template <class Real>
struct RademacherMaker {
  using Bits = std::conditional_t<std::is_same_v<Real, float>, std::uint32_t, std::uint64_t>;
  static constexpr std::size_t size = sign_group;
  static_assert(size == 4 * 32 * lanes);
  static constexpr DrawStream stream =
      std::is_same_v<Real, float> ? DrawStream::rademacher_f32 : DrawStream::rademacher_f64;

  static void make(Real* __restrict out, const PhiloxKeys& keys, std::uint64_t group) {
    alignas(64) std::uint32_t words[4 * lanes];
    for_each_lane(keys, stream, group, [&](std::size_t lane, PhiloxBlock b) {
      words[lane] = b.w0;
      words[lane + lanes] = b.w1;
      words[lane + 2 * lanes] = b.w2;
      words[lane + 3 * lanes] = b.w3;
    });
    constexpr Bits one = std::bit_cast<Bits>(Real{1});
    constexpr Bits sign = Bits{1} << (8 * sizeof(Real) - 1);
    for (std::size_t w = 0; w < 4; ++w) {
      alignas(64) Bits x[lanes];
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        x[lane] = Bits{words[w * lanes + lane]} << (8 * sizeof(Real) - 32);
      }
      for (std::size_t k = 0; k < 32; ++k, out += lanes) {
        for (std::size_t lane = 0; lane < lanes; ++lane) {
          out[lane] = std::bit_cast<Real>((x[lane] & sign) | one);
          x[lane] <<= 1;
        }
      }
    }
  }
};

// Whole groups go straight to `out`; where it begins or ends inside a group, the group is made on
// the side and the part copied, so an element never depends on where the span begins or ends.
template <class Maker, class Real>
void fill(Real* out, std::size_t n, std::uint64_t key, std::uint64_t first) {
  const PhiloxKeys keys = philox_keys(key);
  std::uint64_t group = first / Maker::size;
  std::size_t skip = first % Maker::size;
  while (n != 0) {
    std::size_t taken = Maker::size;
    if (skip == 0 && n >= Maker::size) {
      Maker::make(out, keys, group);
    } else {
      alignas(64) Real whole[Maker::size];
      Maker::make(whole, keys, group);
      taken = Maker::size - skip < n ? Maker::size - skip : n;
      for (std::size_t i = 0; i < taken; ++i) out[i] = whole[skip + i];
      skip = 0;
    }
    out += taken;
    n -= taken;
    ++group;
  }
}

// Few enough to be in the cache still when they are stretched.
constexpr std::size_t stretched_at_once = 2048;

template <class Maker, class Real, class F>
void fill_stretched(Real* out, std::size_t n, std::uint64_t key, std::uint64_t first, F f) {
  while (n != 0) {
    const std::size_t taken = n < stretched_at_once ? n : stretched_at_once;
    fill<Maker>(out, taken, key, first);
    for (std::size_t i = 0; i < taken; ++i) out[i] = f(out[i]);
    out += taken;
    n -= taken;
    first += taken;
  }
}

template <class Real>
void fill_uniform_in(Real* out, std::size_t n, std::uint64_t key, std::uint64_t first, Real low,
                     Real width, Real last) {
  fill_stretched<UniformMaker<Real>>(out, n, key, first, [=](Real u) {
    const Real x = low + width * u;
    return x < last ? x : last;
  });
}

template <class Real>
void fill_normal_of(Real* out, std::size_t n, std::uint64_t key, std::uint64_t first, Real mean,
                    Real stddev) {
  fill_stretched<NormalMaker<Real>>(out, n, key, first, [=](Real x) { return mean + stddev * x; });
}

template <class Real>
constexpr DrawsOf<Real> draws_of() {
  return {&fill<UniformMaker<Real>, Real>, &fill<NormalMaker<Real>, Real>,
          &fill<RademacherMaker<Real>, Real>, &fill_uniform_in<Real>, &fill_normal_of<Real>};
}

constexpr DrawKernels table{draws_of<float>(), draws_of<double>()};

}  // namespace

const DrawKernels& draw_kernels(ThisIsa) { return table; }

}  // namespace dualtape::detail
