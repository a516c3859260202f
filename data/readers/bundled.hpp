// The small data sets whose files are compiled in, so that they are found wherever library and
// program were moved to. Any thread may call, as long as none changes the environment at the same
// time.
#pragma once

#include <filesystem>
#include <span>
#include <string_view>

#include <dualtape/data/csv.hpp>

namespace dualtape::detail {

struct BundledFile {
  std::string_view name;  // as for find_data
  std::string_view text;
};
// Written by CMake out of the folder data/.
std::span<const BundledFile> bundled_files();

// The file of that name in the folder that DUALTAPE_DATA names; empty where there is none.
std::filesystem::path users_file(std::string_view name);

// The table in the user's file of that name, or else in the one compiled in.
Table read_bundled(std::string_view name, const CsvOptions& options, Location here);

// What read_csv makes of a file of that text.
Table csv_of_text(std::string_view text, const std::filesystem::path& path,
                  const CsvOptions& options, Location here);

}  // namespace dualtape::detail
