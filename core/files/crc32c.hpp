// CRC-32C, the checksum of saved tensors and of TensorBoard's records. Any thread may call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace dualtape::detail {

// CRC-32C (Castagnoli, polynomial 0x1EDC6F41 reflected) as in RFC 3720: of "123456789" 0xE3069283.
// With `before`, the checksum of what that is the checksum of, followed by these bytes. It finds
// every change of up to 32 bits in a row, hence every single one, and others but once in 2^32.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before = 0);
std::uint32_t crc32c(std::string_view bytes);

// Eight lower case digits.
std::string hex8(std::uint32_t value);

}  // namespace dualtape::detail
