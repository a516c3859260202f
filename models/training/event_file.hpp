// TensorBoard's event files: messages in protobuf's encoding, each between its length and
// checksums. Any thread may call.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dualtape::detail {

// A record of a TFRecord file: the length as 8 bytes, little endian, its masked CRC-32C, the bytes,
// their masked CRC-32C. Masked: rotated right by 15 bits, plus 0xA282EAD8.
std::string record_of(std::string_view bytes);

// Messages of TensorFlow's type Event: {wall_time = 1, step = 2, file_version = 3, summary = 5},
// Summary: {value = 1}, Value: {tag = 1, simple_value = 2}. Times in seconds since 1970.
std::string version_event(double wall_time);
std::string scalar_event(double wall_time, std::int64_t step, const std::string& tag, float value);

}  // namespace dualtape::detail
