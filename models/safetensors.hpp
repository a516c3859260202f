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

namespace dualtape {

struct TensorFile {
  std::vector<NamedTensor> tensors = {};
  std::vector<std::pair<std::string, std::string>> metadata = {};  // anything, as text

  const Tensor* find(std::string_view name) const;  // null if there is none
};

// Writes the file whole or not at all: a process or machine that stops at any moment leaves the old
// file or the new one. Names must be UTF-8 and differ (ValueError). DataError names the file where
// it cannot be written.
void save_safetensors(const std::filesystem::path& path, const TensorFile& file);

// Reads BOOL, I32, I64, F32 and F64, in the order of the elements. What a header claims is held
// against the size of the file before memory is taken for it; headers end at 100 MB. DataError
// names the file, the offset and what was expected there.
TensorFile load_safetensors(const std::filesystem::path& path);

}  // namespace dualtape
