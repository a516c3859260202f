#include <dualtape/data/dataset.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <utility>

#include <dualtape/core/base/enumeration.hpp>

namespace dualtape {
namespace {

using Index = std::int64_t;

// How many rows of each class go to the test part: the floor of each quota, then one more for the
// largest remainders until the total is right (Hamilton's method, so each is off by less than one).
std::map<Index, Index> test_counts(std::span<const Index> labels, double fraction, Index total) {
  std::map<Index, Index> counts;
  for (const Index label : labels) ++counts[label];
  std::vector<std::pair<double, Index>> remainders;
  for (auto& [label, count] : counts) {
    const double quota = static_cast<double>(count) * fraction;
    count = static_cast<Index>(std::floor(quota));
    remainders.emplace_back(quota - std::floor(quota), label);
    total -= count;
  }
  std::stable_sort(remainders.begin(), remainders.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  for (const auto& [remainder, label] : remainders) {
    if (total-- <= 0) break;
    ++counts[label];
  }
  return counts;
}

Index test_size(const Dataset& dataset, double fraction, Location here) {
  const Index count = dataset.count(here);
  if (!(fraction > 0.0 && fraction < 1.0)) {
    fail<ValueError>({.op = "split",
                      .label = dataset.name,
                      .what = "test_fraction is " + std::to_string(fraction) +
                              ", but must lie strictly between 0 and 1",
                      .where = here,
                      .help = "0.2 keeps a fifth for testing"});
  }
  const auto test = static_cast<Index>(std::llround(static_cast<double>(count) * fraction));
  if (test < 1 || test >= count) {
    fail<ValueError>({.op = "split",
                      .label = dataset.name,
                      .what = "a test_fraction of " + std::to_string(fraction) + " of " +
                              std::to_string(count) + " rows leaves one part empty",
                      .where = here,
                      .help = "give more rows, or a fraction nearer to 0.5"});
  }
  return test;
}

}  // namespace

std::int64_t Dataset::count(Location here) const {
  if (inputs.rank() == 0 || labels.rank() == 0 || inputs.size(0) != labels.size(0)) {
    fail<ShapeError>({.op = "Dataset",
                      .label = name,
                      .what = "inputs of shape " + to_string(inputs.shape()) +
                              " and labels of shape " + to_string(labels.shape()) +
                              " do not have the same number of rows",
                      .where = here,
                      .help = "give both one row for each example; a data set that was moved from "
                              "holds neither"});
  }
  return inputs.size(0);
}

void take_rows_into(const Tensor& source, std::span<const Index> rows, Tensor& target,
                    Location here) {
  const auto wanted = static_cast<Index>(rows.size());
  const bool fits =
      source.rank() > 0 && target.rank() == source.rank() && target.dtype() == source.dtype() &&
      target.size(0) == wanted &&
      std::equal(source.shape().begin() + 1, source.shape().end(), target.shape().begin() + 1);
  if (!fits) {
    fail<ShapeError>({.op = "take_rows",
                      .what = std::to_string(wanted) + " rows of " + to_string(source.type()) +
                              " do not fit into " + to_string(target.type()),
                      .where = here,
                      .help = "rows_like() makes a target that fits"});
  }
  if (target.overlaps(source)) {
    fail<ValueError>({.op = "take_rows",
                      .what = "the target shares elements with the source, which would be written "
                              "over before they are read",
                      .where = here,
                      .help = "rows_like() makes a target of its own"});
  }
  const Index count = source.size(0);
  const std::size_t stride = count == 0 ? 0 : source.bytes() / static_cast<std::size_t>(count);
  const auto* from = static_cast<const std::byte*>(source.raw());
  auto* to = static_cast<std::byte*>(target.raw());
  for (const Index row : rows) {
    if (row < 0 || row >= count) {
      fail<ShapeError>({.op = "take_rows",
                        .what = "row " + std::to_string(row) + " is not one of the " +
                                std::to_string(count) + " rows",
                        .where = here,
                        .help = "rows count from 0"});
    }
    if (stride == 0) continue;
    std::memcpy(to, from + static_cast<std::size_t>(row) * stride, stride);
    to += stride;
  }
}

Tensor rows_like(const Tensor& source, Index rows, Location here) {
  if (source.rank() == 0) {
    fail<ShapeError>({.op = "take_rows", .what = "a tensor of rank 0 has no rows", .where = here});
  }
  if (rows < 0) {
    fail<ShapeError>({.op = "take_rows",
                      .what = std::to_string(rows) + " rows of " + to_string(source.type()),
                      .where = here,
                      .help = "a count is 0 or more"});
  }
  std::vector<Index> sizes = source.shape().vector();
  sizes.front() = rows;
  return Tensor::uninitialised(Type{Shape(sizes), source.dtype()});
}

Tensor take_rows(const Tensor& source, std::span<const Index> rows, Location here) {
  Tensor result = rows_like(source, static_cast<Index>(rows.size()), here);
  take_rows_into(source, rows, result, here);
  return result;
}

Dataset take(const Dataset& dataset, std::span<const Index> rows, Location here) {
  static_cast<void>(
      dataset.count(here));  // complains where inputs and labels do not belong together
  return {take_rows(dataset.inputs, rows, here), take_rows(dataset.labels, rows, here),
          dataset.class_names, dataset.feature_names, dataset.name};
}

Dataset shuffle(const Dataset& dataset, Key key, Location here) {
  return take(dataset, permutation(key, dataset.count(here), here), here);
}

Split split(const Dataset& dataset, double test_fraction, Key key, Stratify stratify,
            Location here) {
  detail::require_listed("split", "Stratify", stratify, 2, "Stratify::no or Stratify::yes", here);
  const Index wanted = test_size(dataset, test_fraction, here);
  const std::vector<Index> order = permutation(key, dataset.count(here), here);
  if (stratify == Stratify::no) {
    const std::span<const Index> all(order);
    const auto cut = static_cast<std::size_t>(wanted);
    return {take(dataset, all.subspan(cut), here), take(dataset, all.first(cut), here)};
  }
  if (dataset.labels.dtype() != int64 || dataset.labels.rank() != 1) {
    fail<TypeError>({.op = "split",
                     .label = dataset.name,
                     .what = "stratification needs int64 labels of rank 1, but they are " +
                             to_string(dataset.labels.type()),
                     .where = here,
                     .help = "split real targets with Stratify::no"});
  }
  const auto labels = std::as_const(dataset.labels).data<Index>();
  std::map<Index, Index> left = test_counts(labels, test_fraction, wanted);
  std::vector<Index> train;
  std::vector<Index> test;
  for (const Index row : order) {
    Index& places = left[labels[static_cast<std::size_t>(row)]];
    (places > 0 ? test : train).push_back(row);
    if (places > 0) --places;
  }
  return {take(dataset, train, here), take(dataset, test, here)};
}

}  // namespace dualtape
