#include <dualtape/core/files/crc32c.hpp>

#include <array>

namespace dualtape::detail {
namespace {

// tables[k][b] is the remainder of byte b followed by k zero bytes, so that eight bytes are looked
// up at once (M. E. Kounavis and F. L. Berry, "A Systematic Approach to Building High Performance
// Software-based CRC Generators", 2005).
constexpr std::array<std::array<std::uint32_t, 256>, 8> tables = [] {
  std::array<std::array<std::uint32_t, 256>, 8> made{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t remainder = i;
    for (int bit = 0; bit < 8; ++bit)
      remainder = (remainder >> 1U) ^ ((remainder & 1U) != 0 ? 0x82F63B78U : 0U);
    made[0][i] = remainder;
  }
  for (std::size_t k = 1; k < 8; ++k)
    for (std::size_t i = 0; i < 256; ++i)
      made[k][i] = (made[k - 1][i] >> 8U) ^ made[0][made[k - 1][i] & 0xFFU];
  return made;
}();

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before) {
  const auto at = [&](std::size_t i) { return std::to_integer<std::uint32_t>(bytes[i]); };
  std::uint32_t crc = ~before;
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    const std::uint32_t low = crc ^ (at(i) | at(i + 1) << 8U | at(i + 2) << 16U | at(i + 3) << 24U);
    crc = tables[7][low & 0xFFU] ^ tables[6][(low >> 8U) & 0xFFU] ^
          tables[5][(low >> 16U) & 0xFFU] ^ tables[4][low >> 24U] ^ tables[3][at(i + 4)] ^
          tables[2][at(i + 5)] ^ tables[1][at(i + 6)] ^ tables[0][at(i + 7)];
  }
  for (; i < bytes.size(); ++i) crc = (crc >> 8U) ^ tables[0][(crc ^ at(i)) & 0xFFU];
  return ~crc;
}

std::uint32_t crc32c(std::string_view bytes) { return crc32c(std::as_bytes(std::span(bytes))); }

std::string hex8(std::uint32_t value) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (unsigned shift = 32; shift > 0; shift -= 4) text += digits[value >> (shift - 4) & 15U];
  return text;
}

}  // namespace dualtape::detail
