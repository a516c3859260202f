// Files of tensors for the functions that are made of them, whose names the errors give. One thread
// at a time for one file.
#pragma once

#include <filesystem>
#include <string_view>

#include <dualtape/models/safetensors.hpp>

namespace dualtape::detail {

// save_safetensors() and load_safetensors() on behalf of `op`.
void save_tensors(std::string_view op, const std::filesystem::path& path, const TensorFile& file,
                  Location here);
TensorFile load_tensors(std::string_view op, const std::filesystem::path& path,
                        const SafetensorsOptions& options, Location here);

}  // namespace dualtape::detail
