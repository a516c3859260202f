// Prints data/penguins/penguins_processed.csv, made from the raw file beside it. A test compares
// the two byte by byte; to make the file anew:
//   dualtape-print-penguins > data/penguins/penguins_processed.csv
#include <array>
#include <charconv>
#include <cstdint>
#include <iostream>
#include <span>
#include <string_view>

#include <dualtape/data/penguins.hpp>

int main() {
  const dualtape::Dataset penguins = dualtape::process_penguins(dualtape::load_penguins_raw());
  const dualtape::Tensor inputs = penguins.inputs;
  const dualtape::Tensor labels = penguins.labels;
  std::span<const float> values = inputs.data<float>();
  std::array<char, 32> digits{};
  std::cout << "species,culmen_length,culmen_depth,flipper_length,body_mass\n";
  for (const std::int64_t label : labels.data<std::int64_t>()) {
    std::cout << label;
    for (const float value : values.first(4)) {
      // The fewest digits that are read back as the same float.
      const char* end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
      std::cout << ',' << std::string_view(digits.data(), end);
    }
    std::cout << '\n';
    values = values.subspan(4);
  }
}
