// Batches: each row once an epoch, an order that the key decides, buffers that are used again.
#include <algorithm>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>
#include <dualtape/data/batches.hpp>

#include "numbered.hpp"
#include "temporary.hpp"
#include "tests/allocations.hpp"

using namespace dualtape;
using namespace dualtape::testing;

namespace {

using Rows = std::vector<std::int64_t>;

// One epoch: the rows met, in order; checks sizes, labels and indices on the way.
template <class Range>
Rows walk(Range&& range, std::int64_t batch_size, std::int64_t total) {
  Rows rows;
  std::int64_t index = 0;
  for (const Batch& batch : range) {
    CHECK(batch.index == index++);
    const std::int64_t left = total - static_cast<std::int64_t>(rows.size());
    CHECK(batch.count() == std::min(batch_size, left));
    const Rows met = rows_of(batch.inputs);
    CHECK(identical(batch.labels, Tensor::from(met, Shape{batch.count()})));
    rows.insert(rows.end(), met.begin(), met.end());
  }
  return rows;
}

Rows sorted(Rows rows) {
  std::sort(rows.begin(), rows.end());
  return rows;
}

}  // namespace

TEST_CASE("every row comes once an epoch, whatever the sizes") {
  for (const std::int64_t count : {1, 7, 12, 64}) {
    for (const std::int64_t size : {1, 3, 4, 12, 100}) {
      Batches batches(numbered(count), size, Key{3});
      CHECK(batches.per_epoch() == (count + size - 1) / size);
      for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
        const Rows rows = walk(batches.epoch(epoch), size, count);
        CHECK(rows == batches.order());
        CHECK(sorted(rows) == counting(count));
      }
    }
  }
}

TEST_CASE("dropping the last batch leaves only full ones") {
  Batches batches(numbered(10), 4, Key{3}, LastBatch::drop);
  CHECK(batches.per_epoch() == 2);
  Rows rows = sorted(walk(batches.epoch(0), 4, 10));
  CHECK(rows.size() == 8);
  CHECK(std::adjacent_find(rows.begin(), rows.end()) == rows.end());
}

TEST_CASE("the key and the epoch decide the order, nothing else does") {
  Batches one(numbered(50), 8, Key{9});
  Batches two(numbered(50), 16, Key{9});
  const Rows third = walk(one.epoch(3), 8, 50);
  CHECK(walk(two.epoch(0), 16, 50) != third);
  CHECK(walk(two.epoch(3), 16, 50) == third);  // as if resumed, and in other batches
  CHECK(walk(one.epoch(4), 8, 50) != third);
  CHECK(walk(one.epoch(3), 8, 50) == third);
  Batches other(numbered(50), 8, Key{10});
  CHECK(walk(other.epoch(3), 8, 50) != third);
}

TEST_CASE("a loop over the object is the next epoch") {
  Batches batches(numbered(20), 6, Key{1});
  Batches same(numbered(20), 6, Key{1});
  CHECK(walk(batches, 6, 20) == walk(same.epoch(0), 6, 20));
  CHECK(walk(batches, 6, 20) == walk(same.epoch(1), 6, 20));
  walk(batches.epoch(7), 6, 20);
  CHECK(walk(batches, 6, 20) == walk(same.epoch(8), 6, 20));
}

TEST_CASE("without a key the rows keep their order") {
  Batches batches(numbered(20), 6);
  CHECK(walk(batches, 6, 20) == counting(20));
  CHECK(walk(batches, 6, 20) == counting(20));
}

TEST_CASE("batches after the first allocate nothing, and use the same memory") {
  Batches batches(numbered(50), 8, Key{2});
  const void* memory = nullptr;
  std::size_t met = 0;
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    auto range = batches.epoch(epoch);  // draws the order, which may allocate
    const std::uint64_t before = allocations_so_far();
    for (const Batch& batch : range) {
      if (batch.count() != 8) continue;
      if (memory == nullptr) memory = batch.inputs.raw();
      met += batch.inputs.raw() == memory ? 1 : 0;
    }
    CHECK(allocations_so_far() == before);
  }
  CHECK(met == 18);
  const std::uint64_t before = allocations_so_far();
  const Tensor made(Shape{4});
  CHECK(allocations_so_far() > before);  // the counter does count tensors
}

TEST_CASE("the data set itself is never written to") {
  const Dataset data = numbered(10);
  Batches batches(data, 4, Key{0});
  for (Batch batch : batches) batch.inputs.fill(-1.0);
  CHECK(rows_of(data.inputs) == counting(10));
}

TEST_CASE("batches that cannot be made") {
  CHECK_THROWS_AS(Batches(numbered(5), 0, Key{0}), ValueError);
  CHECK_THROWS_AS(Batches(numbered(5), -3), ValueError);
  CHECK(contains(text_thrown<ValueError>([] { Batches(numbered(5), 6, LastBatch::drop); }),
                 "leaves no batch"));
  Dataset wrong = numbered(5);
  wrong.labels = Tensor::of({1});
  CHECK_THROWS_AS(Batches(wrong, 2), ShapeError);
  Batches batches(numbered(5), 2, Key{0});
  CHECK_THROWS_AS(batches.epoch(-1), ValueError);
  CHECK_THROWS_AS(batches.epoch(std::numeric_limits<std::int64_t>::max()), ValueError);
  CHECK(Batches(numbered(0), 4).per_epoch() == 0);
}
