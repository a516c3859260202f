// The penguins against the published processed file, where DUALTAPE_DATA has it.
#include <array>
#include <cstdlib>
#include <filesystem>

#include <doctest/doctest.h>
#include <dualtape/data/csv.hpp>
#include <dualtape/data/penguins.hpp>

using namespace dualtape;

TEST_CASE("the rows are those of the processed file") {
  const char* folder = std::getenv("DUALTAPE_DATA");
  const std::filesystem::path path =
      std::filesystem::path(folder == nullptr ? "" : folder) / "penguins/penguins_processed.csv";
  if (folder == nullptr || !std::filesystem::exists(path)) {
    MESSAGE("[skipped] DUALTAPE_DATA has no penguins/penguins_processed.csv");
    return;
  }
  constexpr std::array<std::int64_t, 4> features = {1, 2, 3, 4};
  const Dataset file = to_dataset(read_csv(path), features, 0, {"a", "b", "c"}, "processed");
  const Dataset own = process_penguins(load_penguins_raw());
  CHECK(identical(own.labels, file.labels));
  CHECK(identical(own.inputs, file.inputs));
}
