#include "statistics.hpp"

#include <cmath>
#include <limits>

#include <dualtape/core/error.hpp>

#include "files.hpp"
#include "text.hpp"

namespace dualtape::docs {

double quantile(std::vector<double> values, double share) {
  if (values.empty()) throw ValueError("[quantile] needs at least one value");
  for (double& value : values) {
    if (!std::isfinite(value)) value = std::numeric_limits<double>::infinity();
  }
  std::sort(values.begin(), values.end());
  const double place = std::clamp(share, 0.0, 1.0) * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const double part = place - static_cast<double>(below);
  if (part == 0) return values[below];
  return values[below] + part * (values[below + 1] - values[below]);
}

Bands bands(const std::vector<std::vector<double>>& curves, double low, double high) {
  if (curves.empty()) throw ValueError("[bands] needs at least one curve");
  Bands result;
  std::vector<double> here(curves.size());
  for (std::size_t i = 0; i < curves.front().size(); ++i) {
    for (std::size_t c = 0; c < curves.size(); ++c) {
      if (curves[c].size() != curves.front().size())
        throw ValueError("[bands] curve " + std::to_string(c) + " has " +
                         std::to_string(curves[c].size()) + " values, curve 0 has " +
                         std::to_string(curves.front().size()));
      here[c] = curves[c][i];
    }
    result.low.push_back(quantile(here, low));
    result.mid.push_back(median(here));
    result.high.push_back(quantile(here, high));
  }
  return result;
}

void write_csv(const std::filesystem::path& path, const std::vector<Column>& columns) {
  std::string text;
  std::size_t rows = 0;
  for (const Column& column : columns) {
    text += (text.empty() ? "" : ",") + column.name;
    rows = std::max(rows, column.values.size());
  }
  text += "\n";
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t c = 0; c < columns.size(); ++c) {
      if (c > 0) text += ",";
      if (row < columns[c].values.size()) text += csv_number(columns[c].values[row]);
    }
    text += "\n";
  }
  write_file(path, text);
}

}  // namespace dualtape::docs
