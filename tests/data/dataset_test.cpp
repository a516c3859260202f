// Taking, shuffling and splitting: no row is lost or doubled, labels stay with their inputs.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <dualtape/data/dataset.hpp>

#include "numbered.hpp"
#include "temporary.hpp"

using namespace dualtape;
using namespace dualtape::testing;

namespace {

using Rows = std::vector<std::int64_t>;

Rows sorted(Rows rows) {
  std::sort(rows.begin(), rows.end());
  return rows;
}

Rows both(const Split& split) {
  Rows rows = rows_of(split.train.inputs);
  const Rows test = rows_of(split.test.inputs);
  rows.insert(rows.end(), test.begin(), test.end());
  return rows;
}

// 1, 7 and 33 rows of three classes, mixed.
Rows uneven() {
  Rows labels;
  for (std::int64_t row = 0; row < 41; ++row) labels.push_back(row == 20 ? 2 : row % 6 == 0);
  return labels;
}

std::int64_t count_of(const Tensor& labels, std::int64_t label) {
  const auto values = labels.data<std::int64_t>();
  return std::count(values.begin(), values.end(), label);
}

}  // namespace

TEST_CASE("take copies the rows asked for, repeats too") {
  const Dataset data = numbered(5);
  const Dataset some = take(data, Rows{3, 0, 3});
  CHECK(all_close(some.inputs, Tensor{{3, -3}, {0, 0}, {3, -3}}, 0.0, 0.0));
  CHECK(identical(some.labels, Tensor::of({3, 0, 3})));
  CHECK(some.class_names == data.class_names);
  CHECK(some.feature_names == data.feature_names);
  CHECK_FALSE(some.inputs.shares_memory_with(data.inputs));
  CHECK(take(data, Rows{}).count() == 0);
}

TEST_CASE("rows of any rank and dtype") {
  const Tensor cube = Tensor::from(Rows{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, Shape{3, 2, 2});
  const Tensor last = take_rows(cube, Rows{2});
  CHECK(last.type() == Type{Shape{1, 2, 2}, int64});
  CHECK(last.at({0, 1, 0}) == 10);
  CHECK(take_rows(Tensor(Shape{3, 0}), Rows{0, 2}).shape() == Shape{2, 0});
  CHECK_THROWS_AS(take_rows(Tensor(1.0), Rows{}), ShapeError);
}

TEST_CASE("rows that are not there, memory that does not fit, labels too few") {
  const Dataset data = numbered(5);
  CHECK(
      contains(text_thrown<ShapeError>([&] { take(data, Rows{5}); }), "row 5 is not one of the 5"));
  CHECK_THROWS_AS(take(data, Rows{-1}), ShapeError);
  CHECK_THROWS_AS(take_rows(Tensor(Shape{3, 0}), Rows{3}), ShapeError);
  for (Tensor target :
       {Tensor(Shape{3, 2}), Tensor(Shape{2, 3}), Tensor(Shape{2}), Tensor(Shape{2, 2}, float64)}) {
    CHECK_THROWS_AS(take_rows_into(data.inputs, Rows{0, 1}, target), ShapeError);
  }
  Dataset wrong = data;
  wrong.labels = Tensor::of({1, 2});
  CHECK(contains(text_thrown<ShapeError>([&] { wrong.count(); }), "(5, 2)"));
  CHECK_THROWS_AS(take(wrong, Rows{0}), ShapeError);
}

TEST_CASE("shuffle is a permutation, given by its key") {
  const Dataset data = numbered(100);
  const Dataset mixed = shuffle(data, Key{1});
  CHECK(rows_of(mixed.inputs) != counting(100));
  CHECK(sorted(rows_of(mixed.inputs)) == counting(100));
  CHECK(identical(mixed.labels, Tensor::from(rows_of(mixed.inputs), Shape{100})));
  CHECK(identical(mixed.inputs, shuffle(data, Key{1}).inputs));
  CHECK_FALSE(identical(mixed.inputs, shuffle(data, Key{2}).inputs));
}

TEST_CASE("split covers every row once, in both ways, for many fractions and keys") {
  const Dataset data = numbered(uneven());
  for (const Stratify stratify : {Stratify::no, Stratify::yes}) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      for (const double fraction : {0.03, 0.1, 0.25, 0.5, 0.77, 0.97}) {
        const Split parts = split(data, fraction, Key{seed}, stratify);
        CHECK(parts.test.count() == std::llround(41 * fraction));
        CHECK(sorted(both(parts)) == counting(41));
        CHECK(identical(parts.test.labels, take_rows(data.labels, rows_of(parts.test.inputs))));
        CHECK(identical(parts.train.labels, take_rows(data.labels, rows_of(parts.train.inputs))));
      }
    }
  }
}

TEST_CASE("stratified parts keep the proportions of the classes to within one row") {
  const Dataset data = numbered(uneven());
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    for (const double fraction : {0.03, 0.1, 0.25, 0.5, 0.77, 0.97}) {
      const Split parts = split(data, fraction, Key{seed}, Stratify::yes);
      for (const std::int64_t label : {0, 1, 2}) {
        const auto all = static_cast<double>(count_of(data.labels, label));
        const auto test = static_cast<double>(count_of(parts.test.labels, label));
        CHECK(std::abs(test - all * fraction) < 1.0);
      }
    }
  }
}

TEST_CASE("the class that is furthest from its quota gets the row that is left") {
  Rows labels(19, 0);  // quotas 1.0 and 0.9 of two test rows: one each, not two and none
  std::fill(labels.begin() + 10, labels.end(), 1);
  const Split parts = split(numbered(labels), 0.1, Key{1}, Stratify::yes);
  CHECK(count_of(parts.test.labels, 0) == 1);
  CHECK(count_of(parts.test.labels, 1) == 1);
}

TEST_CASE("a split mixes, and its key decides") {
  const Dataset data = numbered(Rows(60, 0));
  for (const Stratify stratify : {Stratify::no, Stratify::yes}) {
    const Rows rows = both(split(data, 0.3, Key{5}, stratify));
    CHECK(rows == both(split(data, 0.3, Key{5}, stratify)));
    CHECK(rows != both(split(data, 0.3, Key{6}, stratify)));
    CHECK(rows != counting(60));
  }
}

TEST_CASE("splits that cannot be made") {
  const Dataset data = numbered(4);
  for (const double fraction : {0.0, 1.0, -0.5, 2.0, std::nan(""), 0.05, 0.95}) {
    CHECK_THROWS_AS(split(data, fraction, Key{0}), ValueError);
  }
  Dataset real = data;
  real.labels = Tensor{0.5, 1, 2, 3};
  CHECK(contains(text_thrown<TypeError>([&] { split(real, 0.5, Key{0}, Stratify::yes); }),
                 "int64 labels"));
  CHECK(split(real, 0.5, Key{0}).test.labels.dtype() == float32);
}
