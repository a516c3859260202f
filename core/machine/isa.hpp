// Which of the instruction sets the library's kernels are compiled for is used here.
// Private, without SIMD headers. Functions may be called from any thread.
//
// On x86-64 the files named *_kernels.cpp are compiled three times, each with DUALTAPE_ISA set to a
// name below; all else is compiled once, for any processor. What such a file hands out is a table
// of function pointers; everything else in it has internal linkage or the lane type's instruction
// set in its name, since the linker keeps only one copy of an inline function. Where the build
// names one instruction set (DUALTAPE_ARCH, or another processor family), there is one version.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#ifndef DUALTAPE_ISA
#define DUALTAPE_ISA baseline
#endif

namespace dualtape::detail {

// From narrow to wide: x86-64 (SSE2), x86-64-v3 (AVX2, FMA), x86-64-v4 (AVX-512 F, BW, CD, DQ, VL).
enum class Isa : std::uint8_t { baseline, avx2, avx512 };

// As in the environment variable; the one version of a build for one instruction set has the name
// of that.
std::string_view name_of(Isa isa);

// Those which are built in and which this processor has, from narrow to wide; at least one.
std::span<const Isa> usable_isas();

// The one of usable_isas() named so, ValueError if there is none; the widest for null or "".
Isa isa_named(const char* name);

// The one kernels are taken from: isa_named what the environment variable DUALTAPE_ISA says when
// this is first called.
Isa isa();

// For tests, by one thread at a time: isa() is this usable one until the object goes. Plans made
// before keep their kernels.
class IsaForTest {
 public:
  explicit IsaForTest(Isa isa);
  ~IsaForTest();
  IsaForTest(const IsaForTest&) = delete;
  IsaForTest& operator=(const IsaForTest&) = delete;

 private:
  int previous_;
};

template <Isa isa>
struct IsaTag {};
using ThisIsa = IsaTag<Isa::DUALTAPE_ISA>;

// f(IsaTag<isa>{}), for a version that is built in. Tables are handed out by overloads for tags:
//   const Table& table(IsaTag<Isa::baseline>); ... avx2 ... avx512
//   inline const Table& table(Isa isa) { return for_isa(isa, [](auto tag) { return &table(tag);
//   });}
template <class F>
auto for_isa([[maybe_unused]] Isa isa, F f) {
#if !defined(DUALTAPE_ONE_ISA)
  if (isa == Isa::avx2) return f(IsaTag<Isa::avx2>{});
  if (isa == Isa::avx512) return f(IsaTag<Isa::avx512>{});
#endif
  return f(IsaTag<Isa::baseline>{});
}

}  // namespace dualtape::detail
