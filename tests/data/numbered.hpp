// A data set whose rows name themselves, so that tests can see where each one went.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <dualtape/data/dataset.hpp>

namespace dualtape::testing {

// Inputs (n, 2) hold (row, -row); labels are given, one a row.
inline Dataset numbered(const std::vector<std::int64_t>& labels) {
  const auto count = static_cast<std::int64_t>(labels.size());
  std::vector<float> inputs;
  for (std::int64_t row = 0; row < count; ++row) {
    inputs.push_back(static_cast<float>(row));
    inputs.push_back(-static_cast<float>(row));
  }
  return {Tensor::from(inputs, Shape{count, 2}),
          Tensor::from(labels, Shape{count}),
          {"a", "b", "c"},
          {"row", "minus row"},
          "numbered"};
}

// Labels equal to the row's number.
inline Dataset numbered(std::int64_t count) {
  std::vector<std::int64_t> labels;
  for (std::int64_t row = 0; row < count; ++row) labels.push_back(row);
  return numbered(labels);
}

// The rows' numbers, read back from the inputs.
inline std::vector<std::int64_t> rows_of(const Tensor& inputs) {
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < inputs.size(0); ++i) {
    rows.push_back(static_cast<std::int64_t>(inputs.at({i, 0})));
  }
  return rows;
}

// 0 ... count - 1.
inline std::vector<std::int64_t> counting(std::int64_t count) {
  return rows_of(numbered(count).inputs);
}

}  // namespace dualtape::testing
