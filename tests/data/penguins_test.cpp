// The penguins: counts and values known of the raw and the processed set.
#include <array>
#include <cmath>
#include <string>

#include <doctest/doctest.h>
#include <dualtape/data/penguins.hpp>

#include "temporary.hpp"

using namespace dualtape;
using namespace dualtape::testing;

TEST_CASE("the raw table has 344 rows, two of them without measurements, eleven without sex") {
  const Table raw = load_penguins_raw();
  CHECK(raw.rows() == 344);
  CHECK(raw.columns() == 17);
  const std::int64_t sex = raw.column("Sex");
  const std::int64_t mass = raw.column("Body Mass (g)");
  int no_sex = 0;
  int no_mass = 0;
  for (std::int64_t row = 0; row < raw.rows(); ++row) {
    no_sex += raw.missing(row, sex) ? 1 : 0;
    no_mass += raw.missing(row, mass) ? 1 : 0;
  }
  CHECK(no_sex == 11);
  CHECK(no_mass == 2);
  CHECK(raw.text(0, raw.column("Comments")) == "Not enough blood for isotopes.");
  CHECK(raw.text(0, raw.column("Stage")) == "Adult, 1 Egg Stage");
}

TEST_CASE("the processed set has 146, 68 and 120 penguins, scaled to [0, 1]") {
  const Dataset penguins = load_penguins();
  CHECK(penguins.inputs.type() == Type{Shape{334, 4}, float32});
  CHECK(penguins.labels.type() == Type{Shape{334}, int64});
  CHECK(penguins.class_names == std::vector<std::string>{"Adelie", "Chinstrap", "Gentoo"});
  CHECK(penguins.feature_names.size() == 4);
  std::array<int, 3> counts{};
  for (const std::int64_t label : penguins.labels.data<std::int64_t>())
    ++counts.at(static_cast<std::size_t>(label));
  CHECK(counts == std::array<int, 3>{146, 68, 120});
  for (std::int64_t column = 0; column < 4; ++column) {
    double low = 1;
    double high = 0;
    for (std::int64_t row = 0; row < 334; ++row) {
      const double x = penguins.inputs.at({row, column});
      low = std::min(low, x);
      high = std::max(high, x);
    }
    CHECK(low == 0);
    CHECK(high == 1);
  }
  // The first penguin by hand: 39.1, 18.7, 181, 3750 in 32.1-59.6, 13.1-21.5, 172-231, 2700-6300.
  const std::array<double, 4> first = {7.0 / 27.5, 5.6 / 8.4, 9.0 / 59, 1050.0 / 3600};
  for (std::int64_t i = 0; i < 4; ++i)
    CHECK(std::abs(penguins.inputs.at({0, i}) - first[static_cast<std::size_t>(i)]) < 1e-7);
}

TEST_CASE("the processed file holds what the raw one gives") {
  const DataFolder set("");
  const Dataset read = load_penguins();
  const Dataset made = process_penguins(load_penguins_raw());
  CHECK(identical(read.inputs, made.inputs));
  CHECK(identical(read.labels, made.labels));
  CHECK(read.class_names == made.class_names);
  CHECK(read.feature_names == made.feature_names);
  CHECK(read.name == made.name);
}

TEST_CASE("a stratified split leaves 250 for training and 84 for testing") {
  const Split parts = split(load_penguins(), 0.25, Key{1}, Stratify::yes);
  CHECK(parts.train.count() == 250);
  CHECK(parts.test.count() == 84);
}

TEST_CASE("a file that is not the penguins' is refused by name") {
  const TemporaryFolder folder;
  const DataFolder set(folder.path().string());
  const auto raw = folder.write("penguins/penguins_raw.csv", "a,b\n1,2\n");
  std::string text = text_thrown<DataError>([] { load_penguins_raw(); });
  CHECK(contains(text, raw.string()));
  CHECK(contains(text, "not the penguins file"));
  const auto processed = folder.write("penguins/penguins_processed.csv", "species,b\n1,2\n");
  text = text_thrown<DataError>([] { load_penguins(); });
  CHECK(contains(text, processed.string()));
  CHECK(contains(text, "not the processed penguins"));
}
