#include <dualtape/data/loader.hpp>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace dualtape {
namespace {

[[noreturn]] void refuse(const Dataset& dataset, const std::string& what) {
  fail<ValueError>({.op = "Loader", .label = dataset.name, .what = what});
}

Batches batches_of(const Dataset& dataset, std::int64_t batch_size, Key key,
                   const LoaderOptions& options) {
  if (options.shuffle) return {dataset, batch_size, key, options.last};
  return {dataset, batch_size, options.last};
}

Batch batch_for(const Dataset& dataset, std::int64_t rows) {
  return {rows_like(dataset.inputs, rows), rows_like(dataset.labels, rows), 0};
}

}  // namespace

// The consumer asks for an epoch by a new ticket. Batch k of it goes to slot k modulo their number;
// the maker may fill a slot again once the consumer has asked for the batch after it.
struct Loader::Impl {
  Impl(const Dataset& dataset, std::int64_t batch_size, Key key, LoaderOptions given)
      : options(std::move(given)),
        batches(batches_of(dataset, batch_size, key, options)),
        state{0, 0, key},
        made_for(key) {
    check_augmentation(options.augmentation, dataset.inputs.type());
    if (options.ahead < 1) {
      refuse(dataset, "ahead is " + std::to_string(options.ahead) + ", but must be 1 or more");
    }
    const std::int64_t count = dataset.count();
    const std::int64_t full = std::min(batch_size, count);
    const std::int64_t used = std::min(options.ahead + 1, std::max<std::int64_t>(1, per_epoch()));
    for (std::int64_t i = 0; i < used; ++i) slots.push_back(batch_for(dataset, full));
    partial = batch_for(dataset, options.last == LastBatch::keep ? count % batch_size : 0);
    thread = std::thread([this] { make_until_stopped(); });
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    {
      const std::lock_guard lock(mutex);
      stop = true;
    }
    wake_maker.notify_one();
    thread.join();
  }

  std::int64_t per_epoch() const { return batches.per_epoch(); }
  std::int64_t slot_count() const { return static_cast<std::int64_t>(slots.size()); }
  Batch& slot(std::int64_t index) { return slots[static_cast<std::size_t>(index % slot_count())]; }
  bool is_partial(std::int64_t index) const {
    return (index + 1) * batches.batch_size() > batches.dataset().count() &&
           slots[0].count() != partial.count();
  }

  // ---- the consumer's side

  void request(std::int64_t epoch) {
    if (epoch < 0) {
      refuse(batches.dataset(), "epoch " + std::to_string(epoch) + " does not exist");
    }
    const bool resumes = resumed && epoch == state.epoch;
    resumed = false;
    state.epoch = epoch;
    if (!resumes) state.position = 0;
    {
      const std::lock_guard lock(mutex);
      ++ticket;
      wanted = state;
      released = ready = state.position;
      error = nullptr;
      active = true;
    }
    wake_maker.notify_one();
  }

  const Batch* next() {
    if (state.position >= per_epoch()) return nullptr;
    const std::int64_t index = state.position;
    std::unique_lock lock(mutex);
    if (!active) return nullptr;  // ended by an error
    released = index;
    wake_maker.notify_one();
    wake_consumer.wait(lock, [&] { return ready > index || error != nullptr; });
    if (ready > index) {
      ++state.position;
      return is_partial(index) ? &partial : &slot(index);
    }
    active = false;
    std::rethrow_exception(std::exchange(error, nullptr));
  }

  void end_epoch() {
    const std::lock_guard lock(mutex);
    ++ticket;
    active = false;
  }

  // ---- the maker's side

  bool may_make() const {
    return active && error == nullptr && ready < per_epoch() && ready - released < slot_count();
  }

  void make_until_stopped() {
    std::uint64_t begun = 0;  // the ticket whose order is drawn; the first is 1
    std::unique_lock lock(mutex);
    while (true) {
      wake_maker.wait(lock, [&] { return stop || may_make(); });
      if (stop) return;
      const std::uint64_t mine = ticket;
      const LoaderState asked = wanted;
      const std::int64_t index = ready;
      lock.unlock();
      std::exception_ptr thrown;
      try {
        if (begun != mine) begin(asked);
        begun = mine;
        make(asked, index);
      } catch (...) {
        thrown = std::current_exception();
      }
      lock.lock();
      if (ticket != mine) continue;  // meanwhile another epoch was asked for
      if (thrown) {
        error = thrown;
      } else {
        ++ready;
      }
      wake_consumer.notify_one();
    }
  }

  void begin(const LoaderState& asked) {
    if (!(asked.key == made_for)) {
      order_source.emplace(batches_of(batches.dataset(), batches.batch_size(), asked.key, options));
      made_for = asked.key;
    }
    (order_source ? *order_source : batches).epoch(asked.epoch);
  }

  void make(const LoaderState& asked, std::int64_t index) {
    const std::vector<std::int64_t>& order = (order_source ? *order_source : batches).order();
    Batch& batch = is_partial(index) ? partial : slot(index);
    const auto rows = std::span<const std::int64_t>(order).subspan(
        static_cast<std::size_t>(index * batches.batch_size()),
        static_cast<std::size_t>(batch.count()));
    const Dataset& dataset = batches.dataset();
    const auto epoch = static_cast<std::uint64_t>(asked.epoch);
    if (options.augmentation.does_nothing()) {
      take_rows_into(dataset.inputs, rows, batch.inputs);
    } else {
      augment_rows_into(dataset.inputs, rows, options.augmentation,
                        asked.key.fold("augmentation").fold(epoch), batch.inputs);
    }
    take_rows_into(dataset.labels, rows, batch.labels);
    batch.index = index;
    if (options.transform) {
      options.transform(
          batch, asked.key.fold("transform").fold(epoch).fold(static_cast<std::uint64_t>(index)));
    }
  }

  const LoaderOptions options;
  Batches batches;  // what does not change of it is read by both threads, its order by the maker
  std::vector<Batch> slots;
  Batch partial;

  // The consumer's alone.
  LoaderState state;
  bool resumed = false;  // state is that of resume() and not begun
  bool begun_any = false;

  // The maker's alone: where the order comes from, once another key than the first was given.
  std::optional<Batches> order_source;
  Key made_for;

  // Both threads', under the mutex.
  std::mutex mutex;
  std::condition_variable wake_maker, wake_consumer;
  std::uint64_t ticket = 0;
  LoaderState wanted;
  std::int64_t ready = 0;     // batches before this one are made
  std::int64_t released = 0;  // batches before this one are done with
  std::exception_ptr error;   // of making batch `ready`
  bool active = false;
  bool stop = false;

  std::thread thread;  // last, for it uses all of the above
};

Loader::Loader(const Dataset& dataset, std::int64_t batch_size, Key key, LoaderOptions options)
    : impl_(std::make_unique<Impl>(dataset, batch_size, key, std::move(options))) {}
Loader::Loader(Loader&&) noexcept = default;
Loader& Loader::operator=(Loader&&) noexcept = default;
Loader::~Loader() = default;

std::int64_t Loader::per_epoch() const { return impl_->per_epoch(); }
std::int64_t Loader::batch_size() const { return impl_->batches.batch_size(); }
const Dataset& Loader::dataset() const { return impl_->batches.dataset(); }

std::optional<Key> Loader::key() const {
  const LoaderOptions& options = impl_->options;
  if (options.shuffle || options.augmentation.draws() || options.transform) return impl_->state.key;
  return std::nullopt;
}

Loader::Epoch Loader::epoch(std::int64_t number) {
  impl_->request(number);
  impl_->begun_any = true;
  return Epoch(*this);
}

Loader::Iterator Loader::begin() {
  const bool first = !impl_->begun_any || impl_->resumed;
  return epoch(impl_->state.epoch + (first ? 0 : 1)).begin();
}

const Batch* Loader::next() { return impl_->next(); }

LoaderState Loader::state() const { return impl_->state; }

void Loader::resume(const LoaderState& state) {
  if (state.epoch < 0 || state.position < 0 || state.position > per_epoch()) {
    refuse(dataset(), "cannot resume at epoch " + std::to_string(state.epoch) + ", batch " +
                          std::to_string(state.position) + ": an epoch has " +
                          std::to_string(per_epoch()) + " batches");
  }
  impl_->end_epoch();
  impl_->state = state;
  impl_->resumed = true;
}

}  // namespace dualtape
