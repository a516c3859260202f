// The .npy format in memory, for what holds such files inside others. Any thread may call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include <dualtape/core/tensor.hpp>

namespace dualtape::detail {

// A whole .npy file in memory, as load_npy reads one; `op` and `name` are what errors speak of.
// `expect_room` is told how many bytes are about to be taken for its elements, and may throw.
Tensor parse_npy(std::string_view op, const std::string& name, std::span<const std::byte> file,
                 Location where, const std::function<void(std::uint64_t bytes)>& expect_room);

// What a .npy file of the tensor has in front of its elements. DataError, naming `path`, for ranks
// above 64.
std::string npy_header(std::string_view op, const std::filesystem::path& path, const Tensor& tensor,
                       Location where);

}  // namespace dualtape::detail
