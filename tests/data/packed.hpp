// What tests of file readers share: numbers as files write them, gzip, and the error a file leads
// to.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

#include <doctest/doctest.h>
#include <dualtape/core/error.hpp>
#include <dualtape/data/npz.hpp>
#include <dualtape/data/readers/gunzip.hpp>

#include "temporary.hpp"
#include "tests/allocations.hpp"

namespace dualtape::testing {

inline std::string big_endian(std::uint32_t value) {
  std::string bytes;
  for (const unsigned shift : {24U, 16U, 8U, 0U}) bytes += static_cast<char>(value >> shift & 255U);
  return bytes;
}

// An IDX file of the given type byte and sizes around its elements.
inline std::string idx(unsigned char type, const std::vector<std::uint32_t>& sizes,
                       const std::string& elements) {
  std::string bytes(2, '\0');
  bytes += static_cast<char>(type);
  bytes += static_cast<char>(sizes.size());
  for (const std::uint32_t size : sizes) bytes += big_endian(size);
  return bytes + elements;
}

// The bytes as the program gzip packs them.
inline std::string gzipped(const std::string& bytes) {
  const TemporaryFolder folder;
  const std::filesystem::path plain = folder.write("x", bytes);
  if (std::system(("gzip -n '" + plain.string() + "'").c_str()) != 0) {
    throw std::runtime_error("gzip does not run");
  }
  return bytes_of_file(plain.string() + ".gz");
}

// The text of the DataError that f throws, which has to name the file and an offset, and before
// which f may not have allocated more than `most` bytes at once.
template <class F>
std::string refusal(const std::filesystem::path& file, F&& f, std::uint64_t most = 100000) {
  std::string text;
  const std::uint64_t largest = largest_allocation_in([&] { text = text_thrown<DataError>(f); });
  CHECK(contains(text, file.string() + ", offset "));
  CHECK(largest <= most);
  return text;
}

// Tests that need gzip say so and do nothing where the library was built without zlib.
inline bool without_zlib() {
  if (!detail::has_zlib()) MESSAGE("[skipped] built without zlib");
  return !detail::has_zlib();
}

// The same of libzip.
inline bool without_libzip() {
  const bool missing = contains(text_thrown<DataError>([] { load_npz("/no/such.npz"); }), "libzip");
  if (missing) MESSAGE("[skipped] built without libzip");
  return missing;
}

}  // namespace dualtape::testing
