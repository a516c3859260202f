#include <dualtape/core/files/stored.hpp>

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <vector>

using namespace dualtape;
using namespace dualtape::detail;

TEST_CASE("every float16 is the number that its bits say") {
  // IEEE 754-2019, 3.4: (-1)^s 2^(e - 15) (1 + f / 1024), or 2^-14 (f / 1024) for e = 0.
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const double sign = bits >> 15U != 0 ? -1.0 : 1.0;
    const int exponent = static_cast<int>(bits >> 10U & 31U);
    const double fraction = (bits & 1023U) / 1024.0;
    const float got = from_float16(static_cast<std::uint16_t>(bits));
    if (exponent == 31 && fraction != 0) {
      CHECK(std::isnan(got));
    } else if (exponent == 31) {
      CHECK(got == sign * INFINITY);
    } else {
      const double wanted = exponent == 0 ? sign * std::ldexp(fraction, -14)
                                          : sign * std::ldexp(1 + fraction, exponent - 15);
      CHECK(got == wanted);
      CHECK(std::signbit(got) == std::signbit(wanted));
    }
  }
  CHECK(from_float16(0x3555) == 0.333251953125F);
  CHECK(from_float16(0x7BFF) == 65504.0F);
  CHECK(from_float16(0x0001) == 0x1p-24F);
}

TEST_CASE("a bfloat16 is the upper half of a float32") {
  for (std::uint32_t bits = 0; bits < 65536; ++bits)
    CHECK(std::bit_cast<std::uint32_t>(from_bfloat16(static_cast<std::uint16_t>(bits))) ==
          bits << 16U);
  CHECK(from_bfloat16(0x3FC0) == 1.5F);
}

TEST_CASE("elements of every type and both byte orders keep their values") {
  const auto widen_to = [](auto like, Stored stored, ByteOrder order, std::vector<int> bytes) {
    std::vector<std::byte> from;
    for (const int byte : bytes) from.push_back(static_cast<std::byte>(byte));
    std::vector<decltype(like)> to(from.size() / width_of(stored));
    REQUIRE(sizeof like == size_of(widened(stored)));
    widen(stored, order, from, reinterpret_cast<std::byte*>(to.data()));
    return to;
  };
  const auto little = ByteOrder::little;
  const auto big = ByteOrder::big;
  using Ints = std::vector<std::int32_t>;
  using Longs = std::vector<std::int64_t>;
  CHECK(widen_to(std::int32_t{}, Stored::u8, little, {0, 127, 128, 255}) == Ints{0, 127, 128, 255});
  CHECK(widen_to(std::int32_t{}, Stored::i8, big, {0, 127, 128, 255}) == Ints{0, 127, -128, -1});
  CHECK(widen_to(std::int32_t{}, Stored::u16, little, {0xFF, 0xFF, 2, 1}) == Ints{65535, 258});
  CHECK(widen_to(std::int32_t{}, Stored::u16, big, {0xFF, 0xFF, 2, 1}) == Ints{65535, 513});
  CHECK(widen_to(std::int32_t{}, Stored::i16, big, {0x80, 0, 0xFF, 0xFE}) == Ints{-32768, -2});
  CHECK(widen_to(std::int32_t{}, Stored::i32, big, {0x80, 0, 0, 1}) == Ints{-2147483647});
  CHECK(widen_to(std::int64_t{}, Stored::u32, little, {255, 255, 255, 255}) == Longs{4294967295});
  CHECK(widen_to(std::int64_t{}, Stored::i64, big, {0xFF, 255, 255, 255, 255, 255, 255, 0xFE}) ==
        Longs{-2});
  CHECK(widen_to(float{}, Stored::f32, big, {0x3F, 0xC0, 0, 0}) == std::vector<float>{1.5F});
  CHECK(widen_to(float{}, Stored::f16, big, {0x3C, 0}) == std::vector<float>{1.0F});
  CHECK(widen_to(float{}, Stored::bf16, little, {0xC0, 0x3F}) == std::vector<float>{1.5F});
  CHECK(widen_to(double{}, Stored::f64, big, {0xBF, 0xE0, 0, 0, 0, 0, 0, 0}) ==
        std::vector<double>{-0.5});
  // A signalling NaN's bits pass as they are.
  const auto nan = widen_to(float{}, Stored::f32, big, {0x7F, 0x80, 0, 1});
  CHECK(std::bit_cast<std::uint32_t>(nan[0]) == 0x7F800001U);
}
