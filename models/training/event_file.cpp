#include <dualtape/models/training/event_file.hpp>

#include <cstddef>

#include <dualtape/core/error.hpp>
#include <dualtape/core/files/crc32c.hpp>

#if defined(DUALTAPE_PROTOBUF)
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>
#endif

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

#if defined(DUALTAPE_PROTOBUF)

namespace {

namespace io = google::protobuf::io;
using Wire = google::protobuf::internal::WireFormatLite;

// What `write` writes to a stream of protobuf's.
template <class F>
std::string written(F&& write) {
  std::string bytes;
  {
    io::StringOutputStream text(&bytes);
    io::CodedOutputStream out(&text);
    write(out);
  }
  return bytes;
}

}  // namespace

std::string version_event(double wall_time) {
  return written([&](io::CodedOutputStream& out) {
    Wire::WriteDouble(1, wall_time, &out);
    Wire::WriteString(3, "brain.Event:2", &out);
  });
}

std::string scalar_event(double wall_time, std::int64_t step, const std::string& tag, float value) {
  const std::string entry = written([&](io::CodedOutputStream& out) {
    Wire::WriteString(1, tag, &out);
    Wire::WriteFloat(2, value, &out);
  });
  const std::string summary =
      written([&](io::CodedOutputStream& out) { Wire::WriteBytes(1, entry, &out); });
  return written([&](io::CodedOutputStream& out) {
    Wire::WriteDouble(1, wall_time, &out);
    Wire::WriteInt64(2, step, &out);
    Wire::WriteBytes(5, summary, &out);
  });
}

#else

namespace {

[[noreturn]] void refuse() {
  fail<DataError>({.op = "TensorBoard",
                   .what = "dualtape was built with no protobuf",
                   .help = "on Debian: apt-get install libprotobuf-dev, and build dualtape again"});
}

}  // namespace

std::string version_event(double) { refuse(); }
std::string scalar_event(double, std::int64_t, const std::string&, float) { refuse(); }

#endif

}  // namespace dualtape::detail
