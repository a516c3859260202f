// What files of format 2 have in their metadata so that damage is found: the version, the checksums
// of the tensors and that of the header itself. Pure functions; any thread may call.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <dualtape/core/error.hpp>
#include <dualtape/models/files/json.hpp>

namespace dualtape::detail {

// The text of a header with the marks, filled up with spaces so that it ends at a multiple of
// `alignment` where it begins at `before`; `sums` are the CRC-32C of the entries' bytes. Throws
// ValueError for metadata that use the marks' keys, name a key twice or are not UTF-8.
std::string marked_header(TensorsHeader header, const std::vector<std::uint32_t>& sums,
                          std::size_t alignment, std::size_t before, Location where);

// What the marks of a header say; they are taken out of its metadata. `text` is what it was parsed
// from. Throws JsonFault where the header is not what was
// written.
struct Marks {
  bool checked = false;             // the file has checksums
  std::vector<std::uint32_t> sums;  // of the tensors, in the order of their bytes
};
Marks take_marks(TensorsHeader& header, std::string_view text);

}  // namespace dualtape::detail
