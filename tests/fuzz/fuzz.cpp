// One fuzzer for each reader of files: DUALTAPE_FUZZ_READER is its place in `readers`. Each input
// is handed over as a file in memory, so that what is fuzzed is what users call.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "readers.hpp"

namespace {

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
  dualtape::fuzz::readers[DUALTAPE_FUZZ_READER].read(file.path);
  return 0;
}
