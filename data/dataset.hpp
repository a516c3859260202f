// Dataset: examples with their labels, and what cuts and reorders them (take, shuffle, split).
// Plain values; copies share their tensors. Any thread may call.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <dualtape/core/random.hpp>
#include <dualtape/core/tensor.hpp>

namespace dualtape {

struct Dataset {
  Tensor inputs;  // (n, ...): one example a row
  Tensor labels;  // (n, ...): int64 class numbers of shape (n,), or real targets
  std::vector<std::string> class_names;    // one a class; empty where labels are real targets
  std::vector<std::string> feature_names;  // one a column of inputs; may be empty
  std::string name;

  // Number of examples. Throws ShapeError unless inputs and labels have equally many rows.
  std::int64_t count(Location here = Location::current()) const;
  std::int64_t classes() const { return static_cast<std::int64_t>(class_names.size()); }
};

// Memory, not set, for that many rows of `source`. Throws ShapeError where source has rank 0.
Tensor rows_like(const Tensor& source, std::int64_t rows, Location here = Location::current());
// New tensor of the given rows (entries of the first axis) in the given order; rows may repeat.
// Throws ShapeError for a row that is not there.
Tensor take_rows(const Tensor& source, std::span<const std::int64_t> rows,
                 Location here = Location::current());
// The same into memory that is there already: target has source's dtype and shape, except for its
// first size, which is the number of rows. ValueError where it shares elements with source.
// Allocates nothing.
void take_rows_into(const Tensor& source, std::span<const std::int64_t> rows, Tensor& target,
                    Location here = Location::current());

Dataset take(const Dataset& dataset, std::span<const std::int64_t> rows,
             Location here = Location::current());
Dataset shuffle(const Dataset& dataset, Key key, Location here = Location::current());

struct Split {
  Dataset train;
  Dataset test;
};

enum class Stratify : std::uint8_t { no, yes };

// Cuts a shuffled dataset in two; the test part has test_fraction of the rows, rounded to the
// nearest count. With Stratify::yes every class gives test_fraction of its own rows to within less
// than one row. The same key gives the same split. Throws ValueError unless both parts get a row,
// and TypeError where stratification is asked of labels that are not int64.
Split split(const Dataset& dataset, double test_fraction, Key key, Stratify stratify = Stratify::no,
            Location here = Location::current());

}  // namespace dualtape
