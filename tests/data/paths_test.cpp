// Where data files are looked for, and that the files in the tree are the ones that were put there.
#include <cstdlib>
#include <string>

#include <doctest/doctest.h>
#include <dualtape/core/error.hpp>
#include <dualtape/data/paths.hpp>

#include "temporary.hpp"

using namespace dualtape;
using namespace dualtape::testing;

TEST_CASE("the user's folder is searched first, the tree after it") {
  const TemporaryFolder folder;
  const auto mine = folder.write("iris/iris.csv", "mine\n");
  const DataFolder set(folder.path().string());
  CHECK(find_data("iris/iris.csv") == mine);
  CHECK(std::filesystem::is_regular_file(find_data("digits/digits.csv")));
  CHECK(find_data("digits/digits.csv") != folder.path() / "digits/digits.csv");
}

TEST_CASE("a file that is nowhere: the error lists every place") {
  const TemporaryFolder folder;
  const DataFolder set(folder.path().string());
  const std::string text = text_thrown<DataError>([] { find_data("no/such.csv"); });
  CHECK(contains(text, "no/such.csv"));
  CHECK(contains(text, (folder.path() / "no/such.csv").string() + " (DUALTAPE_DATA)"));
  CHECK(contains(text, "data/no/such.csv (source tree)"));
  CHECK(contains(text, "set the environment variable DUALTAPE_DATA"));
  CHECK_FALSE(text_thrown<DataError>([] { find_data("iris"); }).empty());  // a folder is no file
}

TEST_CASE("the data files in the tree have the checksums beside them") {
  const DataFolder set("");
  for (const char* name : {"iris", "digits", "penguins"}) {
    const auto folder = find_data(std::string(name) + "/SHA256SUMS").parent_path();
    CHECK(std::filesystem::is_regular_file(folder / "LICENSE"));
    const std::string command =
        "cd '" + folder.string() + "' && sha256sum --check --strict --quiet SHA256SUMS";
    CHECK_MESSAGE(std::system(command.c_str()) == 0, command);
  }
}
