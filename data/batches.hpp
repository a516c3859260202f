// Batches: walks a Dataset in mini-batches, reshuffled each epoch from a key.
// One loop at a time over one object, from one thread; different objects are independent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <vector>

#include <dualtape/core/random.hpp>
#include <dualtape/core/tensor.hpp>
#include <dualtape/data/dataset.hpp>

namespace dualtape {

// The tensors are buffers that the next batch overwrites; copy() keeps them.
struct Batch {
  Tensor inputs;           // (b, ...)
  Tensor labels;           // (b, ...)
  std::int64_t index = 0;  // 0 for the first batch of an epoch
  std::int64_t count() const { return inputs.size(0); }
};

enum class LastBatch : std::uint8_t { keep, drop };

//   Batches batches(train, 64, Key{7});
//   for (std::int64_t epoch = 0; epoch < 10; ++epoch)
//     for (const Batch& batch : batches.epoch(epoch)) ...
//
// The order of an epoch depends on the key and the epoch's number alone, so a resumed run sees the
// batches it would have seen. All buffers are made by the constructor; after that only the order
// is drawn anew, once an epoch.
class Batches {
 public:
  class Iterator;
  class Epoch;

  // Throws ValueError for a batch size below 1, or if LastBatch::drop would leave no batch at all.
  Batches(Dataset dataset, std::int64_t batch_size, Key key, LastBatch last = LastBatch::keep,
          Location here = Location::current());
  // In the dataset's own order, every epoch the same: for evaluation.
  Batches(Dataset dataset, std::int64_t batch_size, LastBatch last = LastBatch::keep,
          Location here = Location::current());

  std::int64_t per_epoch() const { return per_epoch_; }  // number of batches
  std::int64_t batch_size() const { return batch_size_; }
  const Dataset& dataset() const { return dataset_; }
  // What the orders are drawn from; none where it is the dataset's own.
  std::optional<Key> key() const { return key_; }
  // The rows of the dataset in the order of the epoch begun last.
  const std::vector<std::int64_t>& order() const { return order_; }

  // Begins the given epoch (0 or more; ValueError below, and for Batches that were moved from) and
  // ends any other.
  Epoch epoch(std::int64_t number, Location here = Location::current());

  // A loop over the object itself is the next epoch: 0, then 1, and so on.
  Iterator begin(Location here = Location::current());
  std::default_sentinel_t end() const { return {}; }

 private:
  void start(std::int64_t number, Location here);
  const Batch& load(std::int64_t index, Location here);
  void check_there(Location here) const;
  [[noreturn]] static void past_end(Location here);

  Dataset dataset_;
  std::int64_t batch_size_;
  std::int64_t per_epoch_ = 0;
  std::int64_t next_epoch_ = 0;
  std::optional<Key> key_;
  std::vector<std::int64_t> order_;
  Batch full_;
  Batch partial_;  // the last one, where the rows do not divide evenly
};

class Batches::Iterator {
 public:
  using iterator_concept = std::input_iterator_tag;
  using value_type = Batch;
  using difference_type = std::ptrdiff_t;

  Iterator() = default;
  explicit Iterator(Batches& batches, Location here = Location::current())
      : batches_(&batches), where_(here) {
    load();
  }

  // ValueError past the end.
  const Batch& operator*() const { return *operator->(); }
  const Batch* operator->() const {
    if (current_ == nullptr) past_end(where_);
    return current_;
  }
  Iterator& operator++() {
    if (current_ == nullptr) past_end(where_);
    ++index_;
    load();
    return *this;
  }
  void operator++(int) { ++*this; }
  friend bool operator==(const Iterator& it, std::default_sentinel_t) {
    return it.current_ == nullptr;
  }

 private:
  void load() {
    current_ = index_ < batches_->per_epoch() ? &batches_->load(index_, where_) : nullptr;
  }

  Batches* batches_ = nullptr;
  std::int64_t index_ = 0;
  const Batch* current_ = nullptr;
  Location where_;
};

class Batches::Epoch {
 public:
  explicit Epoch(Batches& batches, Location here = Location::current())
      : batches_(&batches), where_(here) {}
  Iterator begin() const { return Iterator(*batches_, where_); }
  std::default_sentinel_t end() const { return {}; }

 private:
  Batches* batches_;
  Location where_;
};

}  // namespace dualtape
