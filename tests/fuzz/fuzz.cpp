// One fuzzer for each reader of files: DUALTAPE_FUZZ_READER is the name of its corpus. Each input
// is handed over as a file in memory, so that what is fuzzed is what users call.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "model_readers.hpp"
#include "readers.hpp"

namespace {

// Null where there is none of that name.
constexpr const dualtape::fuzz::Reader* reader_named(std::string_view corpus) {
  for (const dualtape::fuzz::Reader& reader : dualtape::fuzz::readers)
    if (reader.corpus == corpus) return &reader;
  for (const dualtape::fuzz::Reader& reader : dualtape::fuzz::model_readers)
    if (reader.corpus == corpus) return &reader;
  return nullptr;
}
constexpr const dualtape::fuzz::Reader* fuzzed = reader_named(DUALTAPE_FUZZ_READER);
static_assert(fuzzed != nullptr, "DUALTAPE_FUZZ_READER names no reader");

// A file in memory, rewritten for each input, and the path it is opened by.
struct MemoryFile {
  int handle = memfd_create("fuzz", 0);
  std::string path = "/proc/self/fd/" + std::to_string(handle);
};

void write_all(int handle, const std::uint8_t* data, std::size_t size) {
  if (ftruncate(handle, 0) != 0) std::abort();
  for (std::size_t done = 0; done < size;) {
    const ssize_t wrote = pwrite(handle, data + done, size - done, static_cast<off_t>(done));
    if (wrote <= 0) std::abort();
    done += static_cast<std::size_t>(wrote);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const MemoryFile file;
  write_all(file.handle, data, size);
  fuzzed->read(file.path);
  return 0;
}
