// Loader: Batches made ahead by a thread of its own, augmented on the way. All its functions are
// called from one thread, the consumer's; different objects are independent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>

#include <dualtape/data/augment.hpp>
#include <dualtape/data/batches.hpp>

namespace dualtape {

// Where a Loader stands: `position` batches of the epoch have been handed out, the last of them
// perhaps still in use.
struct LoaderState {
  std::int64_t epoch = 0;
  std::int64_t position = 0;
  Key key{0};
  friend bool operator==(const LoaderState&, const LoaderState&) = default;
};

struct LoaderOptions {
  std::int64_t ahead = 4;  // batches made ahead of the one in use, 1 or more
  bool shuffle = true;     // else in the data set's own order, every epoch
  LastBatch last = LastBatch::keep;
  Augmentation augmentation = {};
  // Runs on the loader's thread on each batch, after the augmentation; may write to its tensors, or
  // put others of the same type in their place, which are copied (ValueError for other types). The
  // key is the batch's own: it depends on the Loader's key, epoch and index. ValueError where it
  // asks its own Loader for a batch, an epoch or its state, which wait for it.
  std::function<void(Batch& batch, Key key)> transform = {};
};

//   Loader loader(train, 64, Key{7}, {.augmentation = {.crop_padding = 4, .flip = 0.5}});
//   for (const Batch& batch : loader.epoch(0)) ...
//   trainer.fit(loader, {.epochs = 10});
//
// The rows of each batch are those of Batches with the same key. Row r of epoch e is augmented by
// key.fold("augmentation").fold(e).fold(r). All buffers are made by the constructor; after that
// only an epoch's order is drawn anew.
class Loader {
 public:
  class Iterator;
  class Epoch;

  // Throws what Batches and check_augmentation() throw, and ValueError for `ahead` below 1.
  Loader(const Dataset& dataset, std::int64_t batch_size, Key key, LoaderOptions options = {},
         Location here = Location::current());
  Loader(Loader&&) noexcept;
  Loader& operator=(Loader&&) noexcept;
  // Waits for the batch in the making, not for the rest.
  ~Loader();

  // These and all below throw ValueError for a Loader that was moved from.
  std::int64_t per_epoch(Location here = Location::current()) const;
  std::int64_t batch_size(Location here = Location::current()) const;
  const Dataset& dataset(Location here = Location::current()) const;
  // What the batches are drawn from beside the data, that of resume() if it was called; none where
  // nothing is drawn: no order, no crop or flip and no transform.
  std::optional<Key> key(Location here = Location::current()) const;

  // Begins the given epoch and ends any other. ValueError below 0. Starts with batch 0, or where
  // resume() said if that was for this epoch.
  Epoch epoch(std::int64_t number, Location here = Location::current());
  // A loop over the object itself is the next epoch: 0, or the one of resume(), and so on.
  Iterator begin(Location here = Location::current());
  std::default_sentinel_t end() const { return {}; }

  // Where the loop stands; for a checkpoint.
  LoaderState state(Location here = Location::current()) const;
  // Goes on as the Loader that gave this state would: the next loop over `state.epoch` begins with
  // batch `state.position`, which may be none where the epoch was at its end. Ends any running
  // epoch. ValueError for numbers that no Loader of this data and batch size gives. For loops of
  // one's own: a Trainer that is restored passes over the batches done by itself.
  void resume(const LoaderState& state, Location here = Location::current());

 private:
  struct Impl;
  Impl& impl(Location here) const;
  const Batch* next(Location here);
  [[noreturn]] static void past_end(Location here);

  std::unique_ptr<Impl> impl_;
};

// What the transform, or making a batch, throws is thrown by the step to that batch; the batches
// before it come first. The epoch is then over.
class Loader::Iterator {
 public:
  using iterator_concept = std::input_iterator_tag;
  using value_type = Batch;
  using difference_type = std::ptrdiff_t;

  Iterator() = default;
  explicit Iterator(Loader& loader, Location here = Location::current())
      : loader_(&loader), current_(loader.next(here)), where_(here) {}

  // ValueError past the end.
  const Batch& operator*() const { return *operator->(); }
  const Batch* operator->() const {
    if (current_ == nullptr) past_end(where_);
    return current_;
  }
  Iterator& operator++() {
    if (current_ == nullptr) past_end(where_);
    current_ = loader_->next(where_);
    return *this;
  }
  void operator++(int) { ++*this; }
  friend bool operator==(const Iterator& it, std::default_sentinel_t) {
    return it.current_ == nullptr;
  }

 private:
  Loader* loader_ = nullptr;
  const Batch* current_ = nullptr;
  Location where_;
};

class Loader::Epoch {
 public:
  explicit Epoch(Loader& loader, Location here = Location::current())
      : loader_(&loader), where_(here) {}
  Iterator begin() const { return Iterator(*loader_, where_); }
  std::default_sentinel_t end() const { return {}; }

 private:
  Loader* loader_;
  Location where_;
};

}  // namespace dualtape
