// Files that are whole or not there: written beside their place, flushed to the disk, renamed.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace dualtape::detail {

// Puts the pieces, one behind the other, into the file `path` in place of what it held. Whenever
// the process or the machine stops, `path` holds the old bytes or the new ones. The file beside is
// `path` with ".part" appended; a leftover of a killed process is written over. Throws DataError in
// the name of `op`, also where another process is writing the same file.
void write_atomically(std::string_view op, const std::filesystem::path& path,
                      std::span<const std::span<const std::byte>> pieces);

}  // namespace dualtape::detail
