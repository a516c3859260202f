// What the fuzzers and the replay of their corpora do with the files that models/ reads, as
// readers.hpp for those of data/.
#pragma once

#include <array>
#include <filesystem>

#include <dualtape/models/safetensors.hpp>

#include "readers.hpp"

namespace dualtape::fuzz {

inline bool read_safetensors(const std::filesystem::path& file) {
  accepts([&] {
    for (const auto& [name, tensor] : load_safetensors(file, {.skip_unreadable = true}).tensors)
      use(tensor);
  });
  accepts([&] { load_safetensors(file, {.names = {"a"}}); });
  return accepts([&] {
    for (const auto& [name, tensor] : load_safetensors(file).tensors) use(tensor);
  });
}

inline constexpr std::array<Reader, 1> model_readers{{{"safetensors", read_safetensors}}};

}  // namespace dualtape::fuzz
