// ByteReader: the bytes of a data file from front to back, unpacked on the way where it is gzip.
// Memory is taken for bytes that are there, never for what a header claims. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <dualtape/core/error.hpp>
#include <dualtape/core/files/input_file.hpp>
#include <dualtape/core/read_limits.hpp>

namespace dualtape::detail {

// Unpacks one gzip file; elsewhere, for zlib is optional.
class Gunzip;

// Up to `bytes` bytes from `read_some`, which gives up to as many as it is asked for, fewer only at
// the end. The memory grows with what comes: at most 64 KiB or twice that.
std::vector<std::byte> read_growing(
    std::uint64_t bytes, const std::function<std::size_t(void* to, std::size_t bytes)>& read_some);

// No deflated data of this size holds more bytes.
std::uint64_t most_inflated(std::uint64_t packed);

enum class Packing : std::uint8_t { plain, gzip_or_plain };

class ByteReader {
 public:
  // `op` and `where` name the function the errors speak of and the user's line. DataError where the
  // file cannot be opened, or is gzip (told by its first two bytes, not by its name) and the
  // library was built without zlib.
  ByteReader(std::string_view op, const std::filesystem::path& path, Location where,
             Packing packing = Packing::gzip_or_plain, const ReadLimits& limits = {});
  ByteReader(const ByteReader&) = delete;
  ByteReader& operator=(const ByteReader&) = delete;
  ~ByteReader();

  // Up to `bytes` bytes, fewer only where the file ends. DataError for broken gzip.
  std::size_t read_some(void* to, std::size_t bytes);
  // Exactly that many, or the DataError that `what` ends too early.
  void read(void* to, std::size_t bytes, const std::string& what);
  // The same into new memory, by read_growing() where they are packed.
  std::vector<std::byte> take(std::uint64_t bytes, const std::string& what);
  // DataError where the file cannot hold that many bytes, whatever they are.
  void check_claim(std::uint64_t bytes, const std::string& what) const;
  // DataError where so much memory, which `what` would take in all, is beyond the limits.
  void expect_room(std::uint64_t bytes, const std::string& what) const;
  // DataError unless the file ends here; `what` says what ought to be the whole.
  void expect_end(const std::string& what);

  int descriptor() const { return file_.descriptor(); }  // of the file as it lies there
  // Of the unpacked bytes.
  std::uint64_t offset() const { return offset_; }
  // Bytes still to come; nothing where only unpacking would tell.
  std::optional<std::uint64_t> left() const;

  // "FILE, offset 4: WHAT"; for gzip the offset is that in the unpacked bytes and said to be so.
  [[noreturn]] void fail_at(std::uint64_t offset, const std::string& what,
                            std::string help = {}) const;

 private:
  [[noreturn]] void ends_early(std::uint64_t bytes, const std::string& what,
                               const std::string& instead) const;

  std::string op_;
  std::filesystem::path path_;
  Location where_;
  ReadLimits limits_;
  InputFile file_;
  std::uint64_t offset_ = 0;
  std::unique_ptr<Gunzip> gunzip_;
};

}  // namespace dualtape::detail
