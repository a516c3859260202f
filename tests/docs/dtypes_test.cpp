// The table in docs/dtypes.md against what the library does.
#include <doctest/doctest.h>

#include <array>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <dualtape/core/dtype.hpp>

using namespace dualtape;

TEST_CASE("the promotion table in the docs is the library's") {
  constexpr std::array dtypes{boolean, int32, int64, float32, float64};
  std::ifstream page(DUALTAPE_SOURCE "/docs/dtypes.md");
  REQUIRE(page);
  std::string line;
  std::size_t row = 0;
  while (std::getline(page, line)) {
    if (!line.starts_with("| **")) continue;
    REQUIRE(row < dtypes.size());
    std::vector<std::string> cells;
    std::istringstream in(line.substr(1));
    for (std::string cell; std::getline(in, cell, '|');) {
      std::string word;
      std::istringstream(cell) >> word;
      cells.push_back(word);
    }
    REQUIRE(cells.size() == dtypes.size() + 1);
    CHECK(cells[0] == "**" + std::string(name_of(dtypes[row])) + "**");
    for (std::size_t column = 0; column < dtypes.size(); ++column)
      CHECK(cells[column + 1] == name_of(promote(dtypes[row], dtypes[column])));
    ++row;
  }
  CHECK(row == dtypes.size());
}
