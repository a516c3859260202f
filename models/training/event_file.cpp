#include <dualtape/models/training/event_file.hpp>

#include <bit>
#include <cstddef>

#include <dualtape/core/files/crc32c.hpp>

namespace dualtape::detail {
namespace {

std::string little_endian(std::uint64_t value, std::size_t bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xFF);
  return text;
}

std::string masked_crc(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return little_endian(((crc >> 15) | (crc << 17)) + 0xA282EAD8U, 4);
}

}  // namespace

std::string record_of(std::string_view bytes) {
  const std::string length = little_endian(bytes.size(), 8);
  return length + masked_crc(length) + std::string(bytes) + masked_crc(bytes);
}

namespace {

// Protobuf's encoding: a field is its number and the kind of what follows, then that. Integers come
// seven bits a byte, the low ones first, and all but the last byte have their top bit set.
std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value > 0x7F; value >>= 7) bytes += static_cast<char>((value & 0x7F) | 0x80);
  return bytes += static_cast<char>(value);
}
std::string key(std::uint64_t field, std::uint64_t kind) { return varint(field << 3 | kind); }

std::string integer(std::uint64_t field, std::int64_t value) {
  return key(field, 0) + varint(static_cast<std::uint64_t>(value));
}
std::string real(std::uint64_t field, double value) {
  return key(field, 1) + little_endian(std::bit_cast<std::uint64_t>(value), 8);
}
std::string real32(std::uint64_t field, float value) {
  return key(field, 5) + little_endian(std::bit_cast<std::uint32_t>(value), 4);
}
std::string bytes(std::uint64_t field, std::string_view value) {
  return key(field, 2) + varint(value.size()) + std::string(value);
}

}  // namespace

std::string version_event(double wall_time) {
  return real(1, wall_time) + bytes(3, "brain.Event:2");
}

std::string scalar_event(double wall_time, std::int64_t step, const std::string& tag, float value) {
  const std::string entry = bytes(1, tag) + real32(2, value);
  return real(1, wall_time) + integer(2, step) + bytes(5, bytes(1, entry));
}

}  // namespace dualtape::detail
