#include <dualtape/data/readers/bundled.hpp>

#include <algorithm>
#include <string>

#include <dualtape/data/paths.hpp>

namespace dualtape::detail {

Table read_bundled(std::string_view name, const CsvOptions& options, Location here) {
  const std::filesystem::path mine = users_file(name);
  if (!mine.empty()) return read_csv(mine, options, here);
  const auto file = std::ranges::find(bundled_files(), name, &BundledFile::name);
  if (file == bundled_files().end()) return read_csv(find_data(name, here), options, here);
  return csv_of_text(file->text, std::string(name) + " (compiled in)", options, here);
}

}  // namespace dualtape::detail
