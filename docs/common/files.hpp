// Reads and writes files, whole or not at all. Different paths may be written from different
// threads.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace dualtape::docs {

// Makes the folder (and its parents) and tries out that files can be made in it. Throws DataError
// with one line that names the folder and the reason. To be called before hours of training, not
// after.
void prepare_folder(const std::filesystem::path& folder);

// Writes to a temporary name beside `path` and renames it, so that a reader sees the old file or
// the new one, never half of one. Throws DataError with one line.
void write_file(const std::filesystem::path& path, std::string_view text);

// Renames over `to`. Throws DataError with one line.
void replace_file(const std::filesystem::path& from, const std::filesystem::path& to);

// The whole file. Throws DataError with one line.
std::string read_file(const std::filesystem::path& path);

// A name beside `path` for use until the file is whole; differs between processes.
std::filesystem::path temporary_name(const std::filesystem::path& path);

}  // namespace dualtape::docs
