// What tests of files share.
#pragma once

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <dualtape/models/safetensors.hpp>
#include <tests/data/temporary.hpp>

namespace dualtape {

using Folder = testing::TemporaryFolder;
using testing::bytes_of_file;

inline void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// The same metadata, and every tensor of one in the other, bit for bit.
inline void check_same(const TensorFile& found, const TensorFile& wanted) {
  CHECK(found.metadata == wanted.metadata);
  REQUIRE(found.tensors.size() == wanted.tensors.size());
  for (const NamedTensor& named : wanted.tensors) {
    CAPTURE(named.name);
    const Tensor* tensor = found.find(named.name);
    REQUIRE(tensor != nullptr);
    CHECK(identical(*tensor, named.tensor));
  }
}

// False where dualtape was built without JSON, which files of tensors and logs need.
inline bool built_with_json() {
  const Folder folder;
  try {
    save_safetensors(folder / "empty", {});
    return true;
  } catch (const DataError& error) {
    if (std::string(error.what()).find("no JSON") == std::string::npos) throw;
    return false;
  }
}

}  // namespace dualtape
