#include <dualtape/data/paths.hpp>

#include <cstdlib>
#include <string>
#include <system_error>
#include <vector>

#include <dualtape/core/error.hpp>
#include <dualtape/data/readers/bundled.hpp>

namespace dualtape {
namespace {

struct Place {
  std::string meaning;
  std::filesystem::path folder;
};

// Empty where the variable is not set.
std::filesystem::path from_environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): documented
  return value == nullptr ? "" : value;
}

std::vector<Place> places() {
  std::vector<Place> result = {{"DUALTAPE_DATA", from_environment("DUALTAPE_DATA")}};
#ifdef DUALTAPE_SOURCE_DATA
  result.push_back({"source tree", DUALTAPE_SOURCE_DATA});
#endif
#ifdef DUALTAPE_INSTALL_DATA
  result.push_back({"installed", DUALTAPE_INSTALL_DATA});
#endif
  result.push_back({"downloaded", data_cache()});
  result.push_back({"Debian's data sets", "/usr/share/datasets"});
  std::erase_if(result, [](const Place& place) { return place.folder.empty(); });
  return result;
}

}  // namespace

std::filesystem::path data_cache() {
  const std::filesystem::path cache = from_environment("XDG_CACHE_HOME");
  if (cache.is_absolute()) return cache / "dualtape";  // relative ones are not valid, says XDG
  const std::filesystem::path home = from_environment("HOME");
  return home.empty() ? home : home / ".cache" / "dualtape";
}

std::filesystem::path find_data(std::initializer_list<std::string_view> names, Location here) {
  std::string looked;
  std::string wanted;
  for (const std::string_view name : names) {
    wanted += (wanted.empty() ? "'" : " or '") + std::string(name) + "'";
  }
  for (const Place& place : places()) {
    for (const std::string_view name : names) {
      std::filesystem::path path = place.folder / name;
      std::error_code ignored;
      if (std::filesystem::is_regular_file(path, ignored)) return path;
      looked += "\n    " + path.string() + " (" + place.meaning + ")";
    }
  }
  fail<DataError>(
      {.op = "find_data",
       .what = "no data file " + wanted + "; looked at" + looked,
       .where = here,
       .help = "set the environment variable DUALTAPE_DATA to the folder that holds it, or, for "
               "the public data sets, download it with ./run fetch"});
}

std::filesystem::path detail::users_file(std::string_view name) {
  const std::filesystem::path folder = from_environment("DUALTAPE_DATA");
  std::error_code ignored;
  if (folder.empty() || !std::filesystem::is_regular_file(folder / name, ignored)) return {};
  return folder / name;
}

std::filesystem::path find_data(std::string_view relative, Location here) {
  return find_data({relative}, here);
}

}  // namespace dualtape
