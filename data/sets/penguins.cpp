#include <dualtape/data/penguins.hpp>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include <dualtape/data/readers/bundled.hpp>
#include <dualtape/data/scale.hpp>

namespace dualtape {
namespace {

constexpr std::array<const char*, 4> measurements = {"Culmen Length (mm)", "Culmen Depth (mm)",
                                                     "Flipper Length (mm)", "Body Mass (g)"};
const std::vector<std::string> species = {"Adelie", "Chinstrap", "Gentoo"};

// "Adelie Penguin (Pygoscelis adeliae)" begins with its class's name.
std::int64_t class_of(const Table& table, std::int64_t row, std::int64_t column, Location here) {
  const std::string_view text = table.text(row, column);
  for (std::size_t i = 0; i < species.size(); ++i)
    if (text.starts_with(species[i])) return static_cast<std::int64_t>(i);
  table.complain(row, column, "'" + std::string(text) + "' is no species of the penguins file",
                 here);
}

void name_penguins(Dataset& penguins) {
  penguins.class_names = species;
  penguins.feature_names = {"culmen length", "culmen depth", "flipper length", "body mass"};
  penguins.name = "penguins";
}

// The one penguin of unknown sex that the processed set holds.
constexpr std::array<std::string_view, 4> kept_without_sex = {"44.5", "15.7", "217", "4875"};

}  // namespace

Table load_penguins_raw(Location here) {
  Table table = detail::read_bundled("penguins/penguins_raw.csv", {}, here);
  if (table.columns() != 17 || table.rows() != 344)
    fail<DataError>({.op = "load_penguins_raw",
                     .what = table.path().string() +
                             ": not the penguins file, which has 17 columns and 344 rows, but " +
                             std::to_string(table.columns()) + " and " +
                             std::to_string(table.rows()),
                     .where = here});
  return table;
}

Dataset load_penguins(Location here) {
  const Table table = detail::read_bundled("penguins/penguins_processed.csv", {}, here);
  if (table.columns() != 5 || table.rows() != 334 || table.names().front() != "species")
    fail<DataError>({.op = "load_penguins",
                     .what = table.path().string() +
                             ": not the processed penguins, whose first of 5 columns is 'species' "
                             "and which are 334 rows",
                     .where = here});
  constexpr std::array<std::int64_t, 4> features = {1, 2, 3, 4};
  Dataset penguins = to_dataset(table, features, 0, species, "penguins", here);
  name_penguins(penguins);
  return penguins;
}

Dataset process_penguins(const Table& raw, Location here) {
  std::array<std::int64_t, 4> columns{};
  for (std::size_t i = 0; i < columns.size(); ++i) columns[i] = raw.column(measurements[i], here);
  const std::int64_t sex = raw.column("Sex", here);
  const Table measured = raw.without_missing(columns, here);
  const auto is_kept = [&](std::int64_t row) {
    if (!measured.missing(row, sex)) return true;
    return std::ranges::equal(kept_without_sex, columns, {}, {},
                              [&](std::int64_t column) { return measured.text(row, column); });
  };
  const std::int64_t kind = measured.column("Species", here);
  std::vector<std::int64_t> rows;
  std::vector<std::int64_t> labels;
  for (std::int64_t label = 0; label < 3; ++label) {
    for (std::int64_t row = 0; row < measured.rows(); ++row) {
      if (class_of(measured, row, kind, here) != label || !is_kept(row)) continue;
      rows.push_back(row);
      labels.push_back(label);
    }
  }
  // Scaled in float64 and rounded once.
  const Tensor kept =
      take_rows(measured.numbers(columns, float64, Missing::refuse, here), rows, here);
  Dataset penguins;
  penguins.inputs = min_max(kept, here).to(float32);
  penguins.labels = Tensor::from(labels, Shape{static_cast<std::int64_t>(labels.size())});
  name_penguins(penguins);
  return penguins;
}

}  // namespace dualtape
