// Gunzip: unpacks a gzip file (RFC 1952) by zlib, a bounded piece at a time. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <dualtape/core/files/input_file.hpp>

namespace dualtape::detail {

// True where the library was built with zlib.
bool has_zlib();

class Gunzip {
 public:
  // Throws, given the offset in the packed file and what is wrong there.
  using Complain = std::function<void(std::uint64_t packed_offset, const std::string& what)>;

  // Reads `packed` from its start; it must outlive this. Only where has_zlib().
  Gunzip(const InputFile& packed, Complain complain);
  Gunzip(const Gunzip&) = delete;
  Gunzip& operator=(const Gunzip&) = delete;
  ~Gunzip();

  // Up to `bytes` bytes, fewer only at the end, by when lengths and checksums were verified.
  std::size_t read_some(void* to, std::size_t bytes);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dualtape::detail
