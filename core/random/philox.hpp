// Philox4x32-10: one block at a time, and sixteen at once in SIMD registers.
// Private; pure functions, callable from any thread.
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__SSE2__)
#include <immintrin.h>

#include <dualtape/core/machine/simd.hpp>
#endif

namespace dualtape::detail {

struct PhiloxBlock {
  std::uint32_t w0, w1, w2, w3;
};

// Internal linkage, here and below: this is compiled for several instruction sets, and the linker
// must not swap copies between files.
template <int rounds>
static inline PhiloxBlock philox_rounds(PhiloxBlock c, std::uint32_t k0, std::uint32_t k1) {
  const std::uint64_t a = std::uint64_t{0xD2511F53U} * c.w0;
  const std::uint64_t b = std::uint64_t{0xCD9E8D57U} * c.w2;
  const PhiloxBlock next{
      static_cast<std::uint32_t>(b >> 32) ^ c.w1 ^ k0, static_cast<std::uint32_t>(b),
      static_cast<std::uint32_t>(a >> 32) ^ c.w3 ^ k1, static_cast<std::uint32_t>(a)};
  if constexpr (rounds == 1) {
    return next;
  } else {
    return philox_rounds<rounds - 1>(next, k0 + 0x9E3779B9U, k1 + 0xBB67AE85U);
  }
}

static inline PhiloxBlock philox10(PhiloxBlock counter, std::uint32_t k0, std::uint32_t k1) {
  return philox_rounds<10>(counter, k0, k1);
}

// Numbers are made in groups of 16 blocks with consecutive counters, whatever the width of the SIMD
// registers: what is drawn is then laid out the same on every machine.
inline constexpr std::size_t lanes = 16;

struct PhiloxGroup {
  alignas(64) std::uint32_t words[4][lanes];  // words[w][l]: word w of block l
};

// The counter of a group's first block; c0 is a multiple of 16, so adding a lane never carries.
struct GroupCounter {
  std::uint32_t c0, c1, c2, c3;
};

// The keys of the ten rounds, in the lower halves: made once for many groups.
struct PhiloxKeys {
  std::uint64_t k0[10];
  std::uint64_t k1[10];
};
static inline PhiloxKeys philox_keys(std::uint64_t key) {
  PhiloxKeys keys;
  auto k0 = static_cast<std::uint32_t>(key);
  auto k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    keys.k0[round] = k0;
    keys.k1[round] = k1;
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  return keys;
}

#if defined(__SSE2__)

using Words64 = xsimd::batch<std::uint64_t>;

// The products of the lower halves of 64-bit lanes; the upper halves are ignored.
static inline Words64 multiply_low_halves(Words64 a, Words64 b) {
#if defined(__AVX512F__)
  return Words64(_mm512_mul_epu32(a, b));
#elif defined(__AVX2__)
  return Words64(_mm256_mul_epu32(a, b));
#else
  return Words64(_mm_mul_epu32(a, b));
#endif
}

struct PhiloxWords64 {
  Words64 w[4];
};

static inline PhiloxWords64 philox_round(const PhiloxWords64& c, Words64 k0, Words64 k1) {
  const Words64 a = multiply_low_halves(c.w[0], Words64(std::uint64_t{0xD2511F53U}));
  const Words64 b = multiply_low_halves(c.w[2], Words64(std::uint64_t{0xCD9E8D57U}));
  return {{(b >> 32) ^ (c.w[1] ^ k0), b, (a >> 32) ^ (c.w[3] ^ k1), a}};
}

// Each 32-bit word sits in a 64-bit lane, where the multiplier wants it; what gathers in the upper
// halves is never looked at. Even and odd blocks go in two registers, so that joining them needs a
// shift but no shuffle.
static inline void philox_group(PhiloxGroup& out, GroupCounter counter, const PhiloxKeys& keys) {
  static_assert(lanes % (2 * Words64::size) == 0);
  alignas(64) static constexpr std::uint64_t even_lanes[] = {0, 2, 4, 6, 8, 10, 12, 14};
  const Words64 step = Words64::load_aligned(even_lanes);
  const Words64 lower(std::uint64_t{0xFFFFFFFFU});
  for (std::size_t begin = 0; begin < lanes; begin += 2 * Words64::size) {
    const Words64 rest[3] = {Words64(std::uint64_t{counter.c1}), Words64(std::uint64_t{counter.c2}),
                             Words64(std::uint64_t{counter.c3})};
    const Words64 c0 = step + Words64(std::uint64_t{counter.c0} + begin);
    PhiloxWords64 even{{c0, rest[0], rest[1], rest[2]}};
    PhiloxWords64 odd{{c0 + Words64(std::uint64_t{1}), rest[0], rest[1], rest[2]}};
    for (int round = 0; round < 10; ++round) {
      const Words64 k0(keys.k0[round]);
      const Words64 k1(keys.k1[round]);
      even = philox_round(even, k0, k1);
      odd = philox_round(odd, k0, k1);
    }
    for (std::size_t w = 0; w < 4; ++w) {
      const Words64 joined = (even.w[w] & lower) | (odd.w[w] << 32);
      bits_as<std::uint32_t>(joined).store_aligned(out.words[w] + begin);
    }
  }
}

#else

static inline void philox_group(PhiloxGroup& out, GroupCounter counter, const PhiloxKeys& keys) {
  for (std::uint32_t lane = 0; lane < lanes; ++lane) {
    const PhiloxBlock b =
        philox10({counter.c0 + lane, counter.c1, counter.c2, counter.c3},
                 static_cast<std::uint32_t>(keys.k0[0]), static_cast<std::uint32_t>(keys.k1[0]));
    out.words[0][lane] = b.w0;
    out.words[1][lane] = b.w1;
    out.words[2][lane] = b.w2;
    out.words[3][lane] = b.w3;
  }
}

#endif

// Calls f(lane, block) for the 16 blocks of a group of a key's stream; a loop that the compiler
// turns into SIMD code.
template <class Stream, class F>
static inline void for_each_lane(const PhiloxKeys& keys, Stream stream, std::uint64_t group,
                                 F&& f) {
  const std::uint64_t counter = group * lanes;
  PhiloxGroup g;
  philox_group(g,
               {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32),
                static_cast<std::uint32_t>(stream), 0},
               keys);
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    f(lane, PhiloxBlock{g.words[0][lane], g.words[1][lane], g.words[2][lane], g.words[3][lane]});
  }
}

}  // namespace dualtape::detail
