// Files that are whole or not there: written beside their place, flushed to the disk, renamed. All
// that the library saves is written by this. Any thread may call.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

#include <dualtape/core/error.hpp>

namespace dualtape::detail {

// Puts the pieces, one after the other, into the file `path` in place of what it held. Whenever
// the process or the machine stops, `path` holds the old bytes or the new ones.
//
// Only a regular file is replaced, and only one that may be written to; a symbolic link stays, and
// what it leads to is replaced. The new file has the old one's mode; where there was none, what the
// umask leaves of 0666. The file beside has a name that nobody else has,
// ".dualtape-<of the name>-<random>.part"; what a killed process left of that kind is removed by
// the next writer of the same file. Throws DataError in the name of `op`, also where another writer
// is at work on the same file.
void write_atomically(std::string_view op, const std::filesystem::path& path,
                      std::span<const std::span<const std::byte>> pieces, Location where);

}  // namespace dualtape::detail
