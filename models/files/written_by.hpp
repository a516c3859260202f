// Which files dualtape wrote itself: there a Linear's weight is (in, out). Pure functions; any
// thread may call.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dualtape/core/error.hpp>

namespace dualtape::detail {

using FileMetadata = std::vector<std::pair<std::string, std::string>>;

inline bool is_ours(const FileMetadata& metadata) {
  const std::pair<std::string, std::string> ours{"format", "dualtape"};
  return std::ranges::find(metadata, ours) != metadata.end();
}

// DataError where matrices are to be turned that lie as they should: a square one would silently be
// taken transposed.
inline void check_not_ours(const std::filesystem::path& path, const FileMetadata& metadata,
                           std::string_view function, Location where) {
  if (!is_ours(metadata)) return;
  fail<DataError>({.op = function,
                   .what = path.string() + ": dualtape wrote this file, so its matrices lie as "
                                           "they do here and not as in PyTorch",
                   .where = where,
                   .help = "use load_parameters(), and leave the layout out"});
}

}  // namespace dualtape::detail
