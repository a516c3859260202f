#include <dualtape/core/files/stored.hpp>

#include <bit>
#include <cstring>

namespace dualtape::detail {
namespace {

static_assert(std::endian::native == std::endian::little, "little endian elements are copied");

template <class Bits>
Bits bits_at(const std::byte* from, ByteOrder order) {
  Bits bits = 0;
  for (std::size_t i = 0; i < sizeof(Bits); ++i) {
    const std::size_t place = order == ByteOrder::big ? sizeof(Bits) - 1 - i : i;
    bits =
        static_cast<Bits>(bits | static_cast<Bits>(std::to_integer<Bits>(from[i]) << (8U * place)));
  }
  return bits;
}

template <class Bits, class To, class Convert>
void each(ByteOrder order, std::span<const std::byte> from, std::byte* to, Convert convert) {
  for (std::size_t at = 0; at < from.size(); at += sizeof(Bits), to += sizeof(To)) {
    const To value = convert(bits_at<Bits>(from.data() + at, order));
    std::memcpy(to, &value, sizeof value);
  }
}

// The bits taken as `Value`, which To holds.
template <class Bits, class Value, class To>
void each_as(ByteOrder order, std::span<const std::byte> from, std::byte* to) {
  each<Bits, To>(order, from, to,
                 [](Bits bits) { return static_cast<To>(std::bit_cast<Value>(bits)); });
}

}  // namespace

std::size_t width_of(Stored stored) {
  switch (stored) {
    case Stored::boolean:
    case Stored::u8:
    case Stored::i8: return 1;
    case Stored::u16:
    case Stored::i16:
    case Stored::f16:
    case Stored::bf16: return 2;
    case Stored::u32:
    case Stored::i32:
    case Stored::f32: return 4;
    default: return 8;
  }
}

DType widened(Stored stored) {
  switch (stored) {
    case Stored::boolean: return DType::boolean;
    case Stored::u32:
    case Stored::i64: return DType::int64;
    case Stored::f16:
    case Stored::bf16:
    case Stored::f32: return DType::float32;
    case Stored::f64: return DType::float64;
    default: return DType::int32;
  }
}

float from_float16(std::uint16_t bits) {
  const std::uint32_t sign = std::uint32_t{bits} >> 15U << 31U;
  const std::uint32_t exponent = std::uint32_t{bits} >> 10U & 31U;
  const std::uint32_t fraction = bits & 1023U;
  if (exponent == 31)  // infinities and NaNs, whose bits are kept
    return std::bit_cast<float>(sign | 0x7F800000U | fraction << 13U);
  if (exponent == 0) {  // fraction * 2^-24
    const float size = static_cast<float>(fraction) * 0x1p-24F;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(size));
  }
  return std::bit_cast<float>(sign | (exponent + 127 - 15) << 23U | fraction << 13U);
}

float from_bfloat16(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16U); }

void widen(Stored stored, ByteOrder order, std::span<const std::byte> from, std::byte* to) {
  using namespace std;
  if (from.empty()) return;
  switch (stored) {
    case Stored::boolean: memcpy(to, from.data(), from.size()); return;
    case Stored::u8: return each_as<uint8_t, uint8_t, int32_t>(order, from, to);
    case Stored::i8: return each_as<uint8_t, int8_t, int32_t>(order, from, to);
    case Stored::u16: return each_as<uint16_t, uint16_t, int32_t>(order, from, to);
    case Stored::i16: return each_as<uint16_t, int16_t, int32_t>(order, from, to);
    case Stored::u32: return each_as<uint32_t, uint32_t, int64_t>(order, from, to);
    case Stored::i32: return each_as<uint32_t, int32_t, int32_t>(order, from, to);
    case Stored::i64: return each_as<uint64_t, int64_t, int64_t>(order, from, to);
    case Stored::f16: return each<uint16_t, float>(order, from, to, from_float16);
    case Stored::bf16: return each<uint16_t, float>(order, from, to, from_bfloat16);
    // By their bits: no arithmetic touches a NaN.
    case Stored::f32: return each_as<uint32_t, uint32_t, uint32_t>(order, from, to);
    case Stored::f64: return each_as<uint64_t, uint64_t, uint64_t>(order, from, to);
  }
}

}  // namespace dualtape::detail
