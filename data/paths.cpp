#include <dualtape/data/paths.hpp>

#include <cstdlib>
#include <string>
#include <system_error>
#include <vector>

#include <dualtape/core/error.hpp>

namespace dualtape {
namespace {

struct Place {
  std::string meaning;
  std::filesystem::path folder;
};

std::vector<Place> places() {
  std::vector<Place> result;
  const char* own = std::getenv("DUALTAPE_DATA");  // NOLINT(concurrency-mt-unsafe): documented
  if (own != nullptr && *own != '\0') result.push_back({"DUALTAPE_DATA", own});
#ifdef DUALTAPE_SOURCE_DATA
  result.push_back({"source tree", DUALTAPE_SOURCE_DATA});
#endif
#ifdef DUALTAPE_INSTALL_DATA
  result.push_back({"installed", DUALTAPE_INSTALL_DATA});
#endif
  return result;
}

}  // namespace

std::filesystem::path find_data(std::string_view relative) {
  std::string looked;
  for (const Place& place : places()) {
    std::filesystem::path path = place.folder / relative;
    std::error_code ignored;
    if (std::filesystem::is_regular_file(path, ignored)) return path;
    looked += "\n    " + path.string() + " (" + place.meaning + ")";
  }
  if (looked.empty()) looked = " nowhere: no folder is known";
  fail<DataError>(
      {.op = "find_data",
       .what = "no data file '" + std::string(relative) + "'; looked at" + looked,
       .help = "set the environment variable DUALTAPE_DATA to the folder that holds it"});
}

}  // namespace dualtape
