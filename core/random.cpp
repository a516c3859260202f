#include <dualtape/core/random.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <string>
#include <type_traits>
#include <utility>

#include <dualtape/core/detail/box_muller.hpp>
#include <dualtape/core/detail/draws.hpp>
#include <dualtape/core/detail/philox.hpp>

// Fused multiply-adds round once where a product and a sum round twice: without this the bits would
// depend on the instruction set.
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#if defined(__AVX512F__)
// g++ takes the deliberately undefined pass-through operands of its own intrinsics for mistakes.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#endif

namespace dualtape {
namespace {

// The third counter word. Changing a value changes every number drawn from that stream.
enum Stream : std::uint32_t {
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

using detail::lanes;

std::uint32_t low_word(std::uint64_t x) { return static_cast<std::uint32_t>(x); }
std::uint32_t high_word(std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); }

detail::PhiloxBlock block_of(Key key, Stream stream, std::uint64_t counter) {
  return detail::philox10({low_word(counter), high_word(counter), stream, 0}, low_word(key.value()),
                          high_word(key.value()));
}

// Calls f(lane, block) for the 16 blocks of a group; a loop that the compiler turns into SIMD code.
template <class F>
inline void for_each_lane(Key key, Stream stream, std::uint64_t group, F&& f) {
  const std::uint64_t counter = group * lanes;
  detail::PhiloxGroup g;
  detail::philox_group(g, {low_word(counter), high_word(counter), stream, 0}, low_word(key.value()),
                       high_word(key.value()));
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    f(lane,
      detail::PhiloxBlock{g.words[0][lane], g.words[1][lane], g.words[2][lane], g.words[3][lane]});
  }
}

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
  static constexpr std::size_t size = detail::draw_group<float>;
  static void make(float* __restrict out, Key key, std::uint64_t group) {
    for_each_lane(key, uniform_f32, group, [out](std::size_t lane, detail::PhiloxBlock b) {
      out[lane] = detail::unit_f32(b.w0);
      out[lane + lanes] = detail::unit_f32(b.w1);
      out[lane + 2 * lanes] = detail::unit_f32(b.w2);
      out[lane + 3 * lanes] = detail::unit_f32(b.w3);
    });
  }
};

template <>
struct UniformMaker<double> {
  static constexpr std::size_t size = detail::draw_group<double>;
  static void make(double* __restrict out, Key key, std::uint64_t group) {
    for_each_lane(key, uniform_f64, group, [out](std::size_t lane, detail::PhiloxBlock b) {
      out[lane] = detail::unit_f64(b.w0, b.w1);
      out[lane + lanes] = detail::unit_f64(b.w2, b.w3);
    });
  }
};

// Box-Muller: r = sqrt(-2 log u), and (r cos 2 pi v, r sin 2 pi v) are two independent normals.
template <>
struct NormalMaker<float> {
  static constexpr std::size_t size = detail::draw_group<float>;
  static void make(float* __restrict out, Key key, std::uint64_t group) {
    alignas(64) float radius[2 * lanes];
    for_each_lane(key, normal_f32, group, [&](std::size_t lane, detail::PhiloxBlock b) {
      radius[lane] = -2.0F * detail::log_f32(detail::positive_unit_f32(b.w0));
      radius[lane + lanes] = -2.0F * detail::log_f32(detail::positive_unit_f32(b.w2));
      const auto first = detail::sincos_turn_f32(b.w1);
      const auto second = detail::sincos_turn_f32(b.w3);
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
  static constexpr std::size_t size = detail::draw_group<double>;
  static void make(double* __restrict out, Key key, std::uint64_t group) {
    alignas(64) double radius[lanes];
    for_each_lane(key, normal_f64, group, [&](std::size_t lane, detail::PhiloxBlock b) {
      radius[lane] = -2.0 * detail::log_f64(detail::positive_unit_f64(b.w0, b.w1));
      const auto turn = detail::sincos_turn_f64(b.w2, b.w3);
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
  static constexpr std::size_t size = detail::sign_group;
  static_assert(size == 4 * 32 * lanes);
  static constexpr Stream stream = std::is_same_v<Real, float> ? rademacher_f32 : rademacher_f64;

  static void make(Real* __restrict out, Key key, std::uint64_t group) {
    alignas(64) std::uint32_t words[4 * lanes];
    for_each_lane(key, stream, group, [&](std::size_t lane, detail::PhiloxBlock b) {
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
void fill(std::span<Real> out, Key key, std::uint64_t first) {
  std::uint64_t group = first / Maker::size;
  std::size_t skip = first % Maker::size;
  while (!out.empty()) {
    std::size_t taken = Maker::size;
    if (skip == 0 && out.size() >= Maker::size) {
      Maker::make(out.data(), key, group);
    } else {
      alignas(64) Real whole[Maker::size];
      Maker::make(whole, key, group);
      taken = std::min(Maker::size - skip, out.size());
      std::copy_n(whole + skip, taken, out.data());
      skip = 0;
    }
    out = out.subspan(taken);
    ++group;
  }
}

// Calls f with the elements of a new tensor, as floats or as doubles.
template <class F>
Tensor make_floating(std::string_view function, Shape shape, DType dtype, F&& f) {
  if (!is_floating(dtype)) {
    fail<TypeError>({.op = function,
                     .what = "random numbers of dtype " + std::string(name_of(dtype)) +
                             " were asked for, but only float32 and float64 exist",
                     .help = "draw float32 and convert with .to(dtype)"});
  }
  Tensor result = Tensor::uninitialised(Type{std::move(shape), dtype});
  if (dtype == float32) {
    f(result.data<float>());
  } else {
    f(result.data<double>());
  }
  return result;
}

template <class Real>
void fill_uniform_in(std::span<Real> out, Key key, double lo, double hi, std::uint64_t first) {
  fill<UniformMaker<Real>>(out, key, first);
  if (lo == 0.0 && hi == 1.0) return;
  const auto low = static_cast<Real>(lo);
  const auto width = static_cast<Real>(hi - lo);
  // Rounding may carry lo + width * u up to hi, which [lo, hi) leaves out.
  const Real last = std::max(low, std::nextafter(static_cast<Real>(hi), low));
  for (Real& x : out) x = std::min(low + width * x, last);
}

template <class Real>
void fill_normal_of(std::span<Real> out, Key key, double mean, double stddev, std::uint64_t first) {
  fill<NormalMaker<Real>>(out, key, first);
  if (mean == 0.0 && stddev == 1.0) return;
  const auto shift = static_cast<Real>(mean);
  const auto scale = static_cast<Real>(stddev);
  for (Real& x : out) x = shift + scale * x;
}

bool finite_in(DType dtype, double x) {
  const double largest = dtype == float32 ? double{std::numeric_limits<float>::max()}
                                          : std::numeric_limits<double>::max();
  return std::abs(x) <= largest;  // false for NaN
}

// 64 bits at a time from a key's permutation stream.
class WordSource {
 public:
  explicit WordSource(Key key) : key_(key) {}

  // Uniform on 0 ... range - 1, range >= 1. Draws above the largest multiple of `range` are thrown
  // away, so no remainder is favoured.
  std::uint64_t below(std::uint64_t range) {
    const std::uint64_t excess = (0 - range) % range;  // 2^64 mod range
    for (;;) {
      const std::uint64_t x = next();
      if (x <= std::numeric_limits<std::uint64_t>::max() - excess) return x % range;
    }
  }

 private:
  std::uint64_t next() {
    if (left_ == 0) {
      for_each_lane(key_, permutation_words, group_++, [&](std::size_t i, detail::PhiloxBlock b) {
        words_[i] = std::uint64_t{b.w1} << 32 | b.w0;
        words_[i + lanes] = std::uint64_t{b.w3} << 32 | b.w2;
      });
      left_ = words_.size();
    }
    return words_[words_.size() - left_--];
  }

  Key key_;
  std::uint64_t group_ = 0;
  std::size_t left_ = 0;
  std::array<std::uint64_t, 2 * lanes> words_{};
};

}  // namespace

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key) {
  const auto b = detail::philox10({counter[0], counter[1], counter[2], counter[3]}, key[0], key[1]);
  return {b.w0, b.w1, b.w2, b.w3};
}

Key Key::fold(std::uint64_t n) const {
  const auto b = block_of(*this, fold_number, n);
  return Key(std::uint64_t{b.w1} << 32 | b.w0);
}

// A chain of blocks: first the length, then the characters, eight to a block, lowest byte first.
Key Key::fold(std::string_view name) const {
  const auto absorb = [](Key key, std::uint64_t n) {
    const auto b = block_of(key, fold_name, n);
    return Key(std::uint64_t{b.w1} << 32 | b.w0);
  };
  Key key = absorb(*this, name.size());
  for (std::size_t begin = 0; begin < name.size(); begin += 8) {
    std::uint64_t chunk = 0;
    for (std::size_t i = std::min(begin + 8, name.size()); i-- > begin;) {
      chunk = chunk << 8 | static_cast<unsigned char>(name[i]);
    }
    key = absorb(key, chunk);
  }
  return key;
}

Tensor Key::to_tensor() const {
  return Tensor::scalar<std::int64_t>(std::bit_cast<std::int64_t>(value_));
}

Key Key::from_tensor(const Tensor& tensor) {
  const Complaint complaint{
      .op = "Key::from_tensor",
      .what = "a key is int64 (), but the tensor is " + to_string(tensor.type()),
      .help = "make the tensor with Key(seed).to_tensor()"};
  if (tensor.dtype() != int64) fail<TypeError>(complaint);
  if (tensor.rank() != 0) fail<ShapeError>(complaint);
  return Key(std::bit_cast<std::uint64_t>(tensor.data<std::int64_t>()[0]));
}

void fill_uniform(std::span<float> out, Key key, std::uint64_t first) {
  fill<UniformMaker<float>>(out, key, first);
}
void fill_uniform(std::span<double> out, Key key, std::uint64_t first) {
  fill<UniformMaker<double>>(out, key, first);
}
void fill_normal(std::span<float> out, Key key, std::uint64_t first) {
  fill<NormalMaker<float>>(out, key, first);
}
void fill_normal(std::span<double> out, Key key, std::uint64_t first) {
  fill<NormalMaker<double>>(out, key, first);
}
void fill_rademacher(std::span<float> out, Key key, std::uint64_t first) {
  fill<RademacherMaker<float>>(out, key, first);
}
void fill_rademacher(std::span<double> out, Key key, std::uint64_t first) {
  fill<RademacherMaker<double>>(out, key, first);
}

void fill_uniform(std::span<float> out, Key key, double lo, double hi, std::uint64_t first) {
  fill_uniform_in(out, key, lo, hi, first);
}
void fill_uniform(std::span<double> out, Key key, double lo, double hi, std::uint64_t first) {
  fill_uniform_in(out, key, lo, hi, first);
}
void fill_normal(std::span<float> out, Key key, double mean, double stddev, std::uint64_t first) {
  fill_normal_of(out, key, mean, stddev, first);
}
void fill_normal(std::span<double> out, Key key, double mean, double stddev, std::uint64_t first) {
  fill_normal_of(out, key, mean, stddev, first);
}

Tensor uniform(Key key, Shape shape, double lo, double hi, DType dtype) {
  if (!(lo <= hi) || !finite_in(dtype, lo) || !finite_in(dtype, hi) || !finite_in(dtype, hi - lo)) {
    fail<ValueError>({.op = "uniform",
                      .what = "the interval [" + std::to_string(lo) + ", " + std::to_string(hi) +
                              ") is empty or not finite in " + std::string(name_of(dtype)),
                      .help = "give lo <= hi, both finite"});
  }
  return make_floating("uniform", std::move(shape), dtype,
                       [&]<class Real>(std::span<Real> out) { fill_uniform(out, key, lo, hi); });
}

Tensor normal(Key key, Shape shape, double mean, double stddev, DType dtype) {
  if (!finite_in(dtype, mean) || !finite_in(dtype, stddev) || stddev < 0.0) {
    fail<ValueError>({.op = "normal",
                      .what = "mean " + std::to_string(mean) + " and stddev " +
                              std::to_string(stddev) + " describe no normal distribution in " +
                              std::string(name_of(dtype)),
                      .help = "give a finite mean and a finite stddev >= 0"});
  }
  return make_floating("normal", std::move(shape), dtype, [&]<class Real>(std::span<Real> out) {
    fill_normal(out, key, mean, stddev);
  });
}

Tensor rademacher(Key key, Shape shape, DType dtype) {
  return make_floating("rademacher", std::move(shape), dtype,
                       [&](auto out) { fill_rademacher(out, key); });
}

std::vector<std::int64_t> permutation(Key key, std::int64_t n) {
  if (n < 0) {
    fail<ValueError>({.op = "permutation",
                      .what = "cannot order " + std::to_string(n) + " elements",
                      .help = "give n >= 0"});
  }
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  WordSource source(key);
  for (std::size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[static_cast<std::size_t>(source.below(i))]);
  }
  return order;
}

}  // namespace dualtape
