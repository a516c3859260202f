// Loader: the batches of Batches whatever the thread does, errors that cross to the consumer, and
// going on from a state as if never stopped.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <dualtape/data/loader.hpp>
#include <dualtape/models/trainer.hpp>

#include "numbered.hpp"
#include "temporary.hpp"
#include "tests/allocations.hpp"

using namespace dualtape;
using namespace dualtape::testing;

static_assert(BatchSource<Loader>);  // so that Trainer::fit takes one

namespace {

struct Seen {
  std::int64_t index;
  Tensor inputs, labels;
  friend bool operator==(const Seen& a, const Seen& b) {
    return a.index == b.index && identical(a.inputs, b.inputs) && identical(a.labels, b.labels);
  }
};

template <class Range>
std::vector<Seen> all_of(Range&& range) {
  std::vector<Seen> seen;
  for (const Batch& batch : range) {
    seen.push_back({batch.index, batch.inputs.copy(), batch.labels.copy()});
  }
  return seen;
}

Dataset images(std::int64_t count) {
  Dataset set = numbered(count);
  set.inputs = uniform(Key{1}, Shape{count, 3, 4, 4});
  return set;
}

}  // namespace

TEST_CASE("the batches are those of Batches, bit by bit, whatever the sizes and the depth") {
  for (const std::int64_t count : {1, 7, 12, 64}) {
    for (const std::int64_t size : {1, 3, 12, 100}) {
      for (const std::int64_t ahead : {1, 2, 50}) {
        for (const bool shuffled : {true, false}) {
          const Dataset set = numbered(count);
          Batches batches = shuffled ? Batches(set, size, Key{3}) : Batches(set, size);
          Loader loader(set, size, Key{3}, {.ahead = ahead, .shuffle = shuffled});
          CHECK(loader.per_epoch() == batches.per_epoch());
          for (const std::int64_t epoch : {0, 1, 5}) {
            CHECK(all_of(loader.epoch(epoch)) == all_of(batches.epoch(epoch)));
          }
        }
      }
    }
  }
  Batches dropped(numbered(10), 4, Key{3}, LastBatch::drop);
  Loader loader(numbered(10), 4, Key{3}, {.last = LastBatch::drop});
  CHECK(all_of(loader) == all_of(dropped));
  CHECK(all_of(loader) == all_of(dropped));  // the next epoch
}

TEST_CASE(
    "augmented batches do not depend on depth or batch size, and change from epoch to epoch") {
  const Dataset set = images(30);
  const Augmentation both = {.crop_padding = 1, .flip = 0.5, .mean = {0.5F}, .deviation = {2.0F}};
  const auto rows_of_epoch = [&](std::int64_t size, std::int64_t ahead, std::int64_t epoch) {
    Loader loader(set, size, Key{3}, {.ahead = ahead, .augmentation = both});
    Tensor rows = rows_like(set.inputs, 30);
    for (const Batch& batch : loader.epoch(epoch)) {
      for (std::int64_t i = 0; i < batch.count(); ++i) {
        rows.row(batch.labels.data<std::int64_t>()[static_cast<std::size_t>(i)])
            .assign(batch.inputs.row(i));
      }
    }
    return rows;
  };
  const Tensor expected =
      augment(set.inputs, both, Key{3}.fold("augmentation").fold(std::uint64_t{2}));
  CHECK(identical(rows_of_epoch(7, 1, 2), expected));
  CHECK(identical(rows_of_epoch(30, 5, 2), expected));
  CHECK_FALSE(identical(rows_of_epoch(7, 1, 3), expected));
}

TEST_CASE("a consumer slower or faster than the maker gets the same; its batch stays untouched") {
  const Dataset set = numbered(40);
  Batches batches(set, 4, Key{3});
  const std::vector<Seen> expected = all_of(batches.epoch(0));
  for (const bool slow_consumer : {true, false}) {
    const auto pause = [](bool wanted) {
      if (wanted) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    };
    Loader loader(set, 4, Key{3},
                  {.ahead = 2, .transform = [&](Batch&, Key) { pause(!slow_consumer); }});
    std::size_t at = 0;
    for (const Batch& batch : loader.epoch(0)) {
      pause(slow_consumer);  // in which the maker fills whatever it may
      CHECK(identical(batch.inputs, expected[at++].inputs));
    }
    CHECK(at == expected.size());
  }
}

TEST_CASE("the maker stays within its bound") {
  std::atomic<int> made{0};
  Loader loader(numbered(100), 1, Key{3}, {.ahead = 3, .transform = [&](Batch&, Key) { ++made; }});
  auto it = loader.epoch(0).begin();
  for (int taken = 1; taken <= 20; ++taken, ++it) {
    for (int wait = 0; wait < 200 && made < taken + 3; ++wait) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    CHECK(made <= taken + 3);
  }
}

TEST_CASE("what making a batch throws reaches the consumer at that batch, after those before it") {
  Loader loader(numbered(40), 4, Key{3}, {.ahead = 5, .transform = [](Batch& batch, Key) {
                                            if (batch.index == 3) throw std::out_of_range("third");
                                          }});
  for (int round = 0; round < 3; ++round) {
    std::int64_t seen = 0;
    std::string text;
    try {
      for (const Batch& batch : loader.epoch(round)) {
        CHECK(batch.index == seen);
        ++seen;
      }
    } catch (const std::out_of_range& error) {
      text = error.what();
    }
    CHECK(text == "third");
    CHECK(seen == 3);
    CHECK(loader.state() == LoaderState{round, 3, Key{3}});
  }
}

TEST_CASE("an epoch may be left at any batch for another, and a Loader at any moment") {
  const Dataset set = numbered(50);
  Batches batches(set, 3, Key{3});
  const std::vector<Seen> expected = all_of(batches.epoch(9));
  Loader loader(set, 3, Key{3}, {.ahead = 4});
  for (std::int64_t leave = 0; leave < 17; ++leave) {
    for (const Batch& batch : loader.epoch(leave)) {
      if (batch.index == leave) break;
    }
    CHECK(all_of(loader.epoch(9)) == expected);
    Loader gone(set, 3, Key{3});
    auto it = gone.epoch(0).begin();
    for (std::int64_t i = 0; i < leave; ++i) ++it;
  }
  Loader never_used(set, 3, Key{3});
  Loader moved = std::move(loader);
  CHECK(all_of(moved.epoch(9)) == expected);
}

TEST_CASE("stopping waits for one batch, not for the rest") {
  std::atomic<int> made{0};
  {
    Loader loader(numbered(1000), 1, Key{3},
                  {.ahead = 900, .transform = [&](Batch&, Key) {
                     ++made;
                     std::this_thread::sleep_for(std::chrono::milliseconds(5));
                   }});
    loader.epoch(0).begin();
  }
  const int at_end = made;
  CHECK(at_end < 100);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(made == at_end);
}

TEST_CASE("from any state another Loader goes on with the same bits") {
  const Dataset set = images(10);
  const LoaderOptions options = {.augmentation = {.crop_padding = 1, .flip = 0.5}};
  Loader whole(set, 3, Key{3}, options);
  std::vector<Seen> expected = all_of(whole.epoch(4));
  const std::vector<Seen> after = all_of(whole.epoch(5));
  for (std::int64_t position = 0; position <= 4; ++position) {
    Loader first(set, 3, Key{3}, options);
    const auto epoch = first.epoch(4);
    if (position > 0) {
      auto it = epoch.begin();
      for (std::int64_t i = 1; i < position; ++i) ++it;
    }
    const LoaderState state = first.state();
    CHECK(state == LoaderState{4, position, Key{3}});
    Loader second(set, 3, Key{77}, options);  // the key comes with the state
    second.resume(state);
    CHECK(second.state() == state);
    const std::vector<Seen> rest = all_of(second.epoch(4));
    CHECK(rest == std::vector<Seen>(expected.begin() + position, expected.end()));
    CHECK(all_of(second.epoch(5)) == after);
    CHECK(all_of(second.epoch(4)) == expected);  // only the first loop begins in the middle
    second.resume(state);
    CHECK(all_of(second) == rest);  // the loop over the object is that epoch, then the next
    CHECK(all_of(second) == after);
    second.resume(state);
    CHECK(all_of(second.epoch(5)) == after);  // another epoch than that of the state
  }
}

TEST_CASE("after the first epoch only the order is allocated") {
  Loader loader(numbered(200), 4, Key{3});
  std::int64_t rows = 0;
  for (const Batch& batch : loader.epoch(0)) rows += batch.count();
  const auto count = allocations_in([&] {
    for (const Batch& batch : loader.epoch(1)) rows += batch.count();
  });
  CHECK(rows == 400);
  CHECK(count <= 3);
}

TEST_CASE("a loader tells its key where something is drawn from it") {
  const auto key = [](const LoaderOptions& options) {
    return Loader(images(10), 3, Key{7}, options).key();
  };
  CHECK(key({}) == Key{7});
  CHECK(!key({.shuffle = false}));
  CHECK(!key({.shuffle = false, .augmentation = {.mean = {0.5F}, .deviation = {2.0F}}}));
  CHECK(key({.shuffle = false, .augmentation = {.crop_padding = 1}}) == Key{7});
  CHECK(key({.shuffle = false, .augmentation = {.flip = 0.5}}) == Key{7});
  CHECK(key({.shuffle = false, .transform = [](Batch&, Key) {}}) == Key{7});
  Loader resumed(images(10), 3, Key{7});
  resumed.resume({0, 1, Key{8}});
  CHECK(resumed.key() == Key{8});
  CHECK(Batches(images(10), 3, Key{7}).key() == Key{7});
  CHECK(!Batches(images(10), 3).key());
}

TEST_CASE("arguments that make no sense") {
  const Dataset set = numbered(10);
  CHECK_THROWS_AS(Loader(set, 0, Key{1}), ValueError);
  CHECK_THROWS_AS(Loader(set, 3, Key{1}, {.ahead = 0}), ValueError);
  CHECK_THROWS_AS(Loader(set, 3, Key{1}, {.augmentation = {.flip = 0.5}}), ShapeError);
  Loader loader(set, 3, Key{1});
  CHECK(contains(text_thrown<ValueError>([&] { loader.epoch(-1); }), "epoch -1 does not exist"));
  CHECK_THROWS_AS(loader.epoch(std::numeric_limits<std::int64_t>::max()), ValueError);
  CHECK(contains(text_thrown<ValueError>([&] {
                   loader.resume({0, 5, Key{1}});
                 }),
                 "an epoch has 4 batches"));
  CHECK_THROWS_AS(loader.resume({-1, 0, Key{1}}), ValueError);
  CHECK_THROWS_AS(loader.resume({0, -1, Key{1}}), ValueError);
}

TEST_CASE("a transform's tensors of another size are refused, and the next epoch is as ever") {
  bool spoils = false;
  Loader loader(numbered(10), 4, Key{3}, {.transform = [&](Batch& batch, Key) {
                  if (spoils) batch.inputs = zeros({batch.count(), 3});
                }});
  const std::vector<Seen> first = all_of(loader.epoch(0));
  spoils = true;
  const std::string text = error_of<ValueError>([&] { all_of(loader.epoch(0)); });
  CHECK(has(text, "of float32 (4, 2) and int64 (4,) one of float32 (4, 3) and int64 (4,)"));
  CHECK(has(text, "loader_test.cpp:"));
  spoils = false;
  CHECK(all_of(loader.epoch(0)) == first);
}

TEST_CASE("what a transform puts in place of a tensor is read and never written to") {
  const Tensor mine = full({4, 2}, 7.0);
  Loader loader(numbered(8), 4, Key{3}, {.transform = [&](Batch& batch, Key) {
                  if (batch.index == 0) batch.inputs = mine;
                }});
  for (int epoch = 0; epoch < 3; ++epoch) {
    const std::vector<Seen> seen = all_of(loader.epoch(epoch));
    REQUIRE(seen.size() == 2);
    CHECK(identical(seen[0].inputs, full({4, 2}, 7.0)));
    CHECK(!identical(seen[1].inputs, mine));
    CHECK(identical(mine, full({4, 2}, 7.0)));
  }
}
