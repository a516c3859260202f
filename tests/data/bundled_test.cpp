// The data sets that are compiled in: those of the tree, byte by byte, and what goes before them.
#include <filesystem>
#include <string>

#include <doctest/doctest.h>
#include <dualtape/data/iris.hpp>
#include <dualtape/data/penguins.hpp>
#include <dualtape/data/readers/bundled.hpp>

#include "temporary.hpp"

using namespace dualtape;
using namespace dualtape::testing;

TEST_CASE("the files compiled in are those of the tree") {
  CHECK(detail::bundled_files().size() == 4);
  for (const detail::BundledFile& file : detail::bundled_files()) {
    CAPTURE(std::string(file.name));
    CHECK(bytes_of_file(std::filesystem::path(DUALTAPE_SOURCE) / "data" / file.name) == file.text);
  }
}

TEST_CASE("a data set that is compiled in is read from nowhere else, but for the user's folder") {
  const TemporaryFolder folder;
  const DataFolder set(folder.path().string());
  CHECK(load_penguins_raw().path() == "penguins/penguins_raw.csv (compiled in)");
  CHECK(load_iris().count() == 150);
  const auto mine = folder.write("penguins/penguins_raw.csv", "a,b\n1,2\n");
  const std::string text = text_thrown<DataError>([] { static_cast<void>(load_penguins_raw()); });
  CHECK(contains(text, mine.string() + ": not the penguins file"));
}
