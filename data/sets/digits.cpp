#include <dualtape/data/digits.hpp>

#include <numeric>
#include <string>
#include <vector>

#include <dualtape/data/readers/bundled.hpp>

namespace dualtape {
namespace {

constexpr std::int64_t side = 8;
constexpr std::int64_t pixels = side * side;

void check_pixels(const Table& table, const Tensor& inputs, Location here) {
  const auto values = inputs.data<float>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] >= 0.0F && values[i] <= 16.0F) continue;
    const auto cell = static_cast<std::int64_t>(i);
    table.complain(cell / pixels, cell % pixels, "a pixel must be 0 to 16", here);
  }
}

}  // namespace

Dataset load_digits(Location here) {
  const Table table = detail::read_bundled("digits/digits.csv", {.header = false}, here);
  if (table.columns() != pixels + 1 || table.rows() != 1797) {
    fail<DataError>({.op = "load_digits",
                     .what = table.path().string() + ": " + std::to_string(table.rows()) +
                             " rows of " + std::to_string(table.columns()) +
                             " columns, but the digits are 1797 rows of 65",
                     .where = here});
  }
  std::vector<std::int64_t> features(static_cast<std::size_t>(pixels));
  std::iota(features.begin(), features.end(), std::int64_t{0});
  Dataset digits = to_dataset(table, features, pixels,
                              {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, "digits", here);
  check_pixels(table, digits.inputs, here);
  for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
    digits.feature_names.push_back("pixel_" + std::to_string(pixel / side) + "_" +
                                   std::to_string(pixel % side));
  }
  return digits;
}

}  // namespace dualtape
