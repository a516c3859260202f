// Named tensors in a file, in the safetensors format, which other frameworks read and write too:
// the header's length as 8 bytes, little endian, a JSON header, the elements. Needs nlohmann's JSON
// library when dualtape is built; without it both functions throw DataError. Any thread may call.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dualtape/core/named_tensor.hpp>
#include <dualtape/core/read_limits.hpp>

namespace dualtape {

struct TensorFile {
  // One that could not be read, where that was asked for.
  struct Unread {
    std::string name;
    std::string why;
  };

  std::vector<NamedTensor> tensors = {};
  std::vector<std::pair<std::string, std::string>> metadata = {};  // anything, as text
  std::vector<Unread> unread = {};                                 // saving leaves them out

  const Tensor* find(std::string_view name) const;  // null if there is none
};

struct SafetensorsOptions {
  // Read these alone, in the file's order; DataError, which lists what there is, for one that is
  // not there. Empty: all.
  std::vector<std::string> names = {};
  // Read what can be read; tensors of a dtype that is not known, damaged or cut off are listed in
  // `unread` instead of a DataError for the first of them. A damaged header is an error always.
  bool skip_unreadable = false;
  ReadLimits limits = {};
};

// Writes the file whole or not at all: a process or machine that stops at any moment leaves the old
// file or the new one. Only a regular file is replaced, whose mode the new one has; a symbolic link
// stays and what it leads to is replaced. Names must be UTF-8 and differ (ValueError). DataError
// names the file where it cannot be written.
//
// The metadata get a format version ("dualtape.format"), the checksum of each tensor's bytes
// ("dualtape.crc32c") and of the header ("dualtape.header"), CRC-32C each, so that a change of any
// bit is found by load_safetensors(); other readers pass them over.
void save_safetensors(const std::filesystem::path& path, const TensorFile& file,
                      Location here = Location::current());

// Reads BOOL, I32, I64, F32 and F64, in the order of the elements, and others that one of these
// holds exactly: U8, I8, U16 and I16 into int32, U32 into int64, F16 and BF16 into float32. What a
// header claims is held against the size of the file before memory is taken for it; headers end at
// 100 MB. Checksums are compared where the file has them; files of other programs and of dualtape
// before format 2 have none. DataError names the file, the tensor or the header, the offset and
// what was expected there.
TensorFile load_safetensors(const std::filesystem::path& path,
                            const SafetensorsOptions& options = {},
                            Location here = Location::current());

}  // namespace dualtape
