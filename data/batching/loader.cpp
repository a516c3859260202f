#include <dualtape/data/loader.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <limits>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace dualtape {
namespace {

[[noreturn]] void refuse(const Dataset& dataset, const std::string& what, Location here,
                         const std::string& help) {
  fail<ValueError>(
      {.op = "Loader", .label = dataset.name, .what = what, .where = here, .help = help});
}

Batches batches_of(const Dataset& dataset, std::int64_t batch_size, Key key,
                   const LoaderOptions& options, Location here) {
  if (options.shuffle) return {dataset, batch_size, key, options.last, here};
  return {dataset, batch_size, options.last, here};
}

Batch batch_for(const Dataset& dataset, std::int64_t rows, Location here) {
  return {rows_like(dataset.inputs, rows, here), rows_like(dataset.labels, rows, here), 0};
}

// What a transform made in place of the slot's tensor; that stays, for the next batch is written to
// it and the other may be anybody's.
void take_over(const Tensor& from, Tensor& slot) {
  if (from.raw() != std::as_const(slot).raw() && from.bytes() > 0)
    std::memmove(slot.raw(), from.raw(), from.bytes());
}

}  // namespace

// The consumer asks for an epoch by a new ticket. Batch k of it goes to slot k modulo their number;
// the maker may fill a slot again once the consumer has asked for the batch after it.
struct Loader::Impl {
  Impl(const Dataset& dataset, std::int64_t batch_size, Key key, LoaderOptions given, Location here)
      : options(std::move(given)),
        where(here),
        batches(batches_of(dataset, batch_size, key, options, here)),
        state{0, 0, key},
        made_for(key) {
    check_augmentation(options.augmentation, dataset.inputs.type(), here);
    if (options.ahead < 1) {
      refuse(dataset, "ahead is " + std::to_string(options.ahead) + ", but must be 1 or more", here,
             "4 is the default");
    }
    const std::int64_t count = dataset.count(here);
    const std::int64_t full = std::min(batch_size, count);
    // At most one slot for each batch; the one in use comes on top of those ahead.
    const std::int64_t used =
        1 + std::min(options.ahead, std::max<std::int64_t>(1, per_epoch()) - 1);
    for (std::int64_t i = 0; i < used; ++i) slots.push_back(batch_for(dataset, full, here));
    partial = batch_for(dataset, options.last == LastBatch::keep ? count % batch_size : 0, here);
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

  // On the maker's thread nobody would make the batch that is waited for.
  void refuse_within_transform(std::string_view function, Location here) const {
    if (maker.load() != std::this_thread::get_id()) return;
    refuse(batches.dataset(),
           std::string(function) + "() is called from within the loader's own transform", here,
           "a transform has the batch it is given; draw others from another Loader");
  }

  void request(std::int64_t epoch, Location here) {
    if (epoch < 0 || epoch == std::numeric_limits<std::int64_t>::max()) {  // it has no next
      refuse(batches.dataset(), "epoch " + std::to_string(epoch) + " does not exist", here,
             "epochs count from 0");
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
    maker = std::this_thread::get_id();
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
      order_source.emplace(
          batches_of(batches.dataset(), batches.batch_size(), asked.key, options, where));
      made_for = asked.key;
    }
    (order_source ? *order_source : batches).epoch(asked.epoch, where);
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
      take_rows_into(dataset.inputs, rows, batch.inputs, where);
    } else {
      augment_rows_into(dataset.inputs, rows, options.augmentation,
                        asked.key.fold("augmentation").fold(epoch), batch.inputs, where);
    }
    take_rows_into(dataset.labels, rows, batch.labels, where);
    batch.index = index;
    if (options.transform) {
      Batch changed = batch;  // of the same memory, which the slot keeps
      options.transform(
          changed, asked.key.fold("transform").fold(epoch).fold(static_cast<std::uint64_t>(index)));
      const Type inputs = changed.inputs.type();
      const Type labels = changed.labels.type();
      if (inputs != batch.inputs.type() || labels != batch.labels.type()) {
        refuse(dataset,
               "the transform made of a batch of " + to_string(batch.inputs.type()) + " and " +
                   to_string(batch.labels.type()) + " one of " + to_string(inputs) + " and " +
                   to_string(labels),
               where, "write to the batch's tensors in place");
      }
      take_over(changed.inputs, batch.inputs);
      take_over(changed.labels, batch.labels);
    }
  }

  const LoaderOptions options;
  const Location where;  // it was made: for errors on the maker's side
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

  std::atomic<std::thread::id> maker;  // set before it makes anything

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

Loader::Loader(const Dataset& dataset, std::int64_t batch_size, Key key, LoaderOptions options,
               Location here)
    : impl_(std::make_unique<Impl>(dataset, batch_size, key, std::move(options), here)) {}
Loader::Loader(Loader&&) noexcept = default;
Loader& Loader::operator=(Loader&&) noexcept = default;
Loader::~Loader() = default;

Loader::Impl& Loader::impl(Location here) const {
  if (impl_ != nullptr) return *impl_;
  fail<ValueError>({.op = "Loader",
                    .what = "this Loader was moved from",
                    .where = here,
                    .help = "use what it was moved to"});
}

void Loader::past_end(Location here) {
  fail<ValueError>({.op = "Loader",
                    .what = "there is no batch here: the epoch is over, or was never begun",
                    .where = here,
                    .help = "compare the iterator with end() first"});
}

std::int64_t Loader::per_epoch(Location here) const { return impl(here).per_epoch(); }
std::int64_t Loader::batch_size(Location here) const { return impl(here).batches.batch_size(); }
const Dataset& Loader::dataset(Location here) const { return impl(here).batches.dataset(); }

std::optional<Key> Loader::key(Location here) const {
  const Impl& own = impl(here);
  const LoaderOptions& options = own.options;
  if (options.shuffle || options.augmentation.draws() || options.transform) return own.state.key;
  return std::nullopt;
}

Loader::Epoch Loader::epoch(std::int64_t number, Location here) {
  Impl& own = impl(here);
  own.refuse_within_transform("epoch", here);
  own.request(number, here);
  own.begun_any = true;
  return Epoch(*this, here);
}

Loader::Iterator Loader::begin(Location here) {
  const Impl& own = impl(here);
  const bool first = !own.begun_any || own.resumed;
  return epoch(own.state.epoch + (first ? 0 : 1), here).begin();
}

const Batch* Loader::next(Location here) {
  Impl& own = impl(here);
  own.refuse_within_transform("next", here);
  return own.next();
}

LoaderState Loader::state(Location here) const {
  const Impl& own = impl(here);
  own.refuse_within_transform("state", here);
  return own.state;
}

void Loader::resume(const LoaderState& state, Location here) {
  Impl& own = impl(here);
  own.refuse_within_transform("resume", here);
  constexpr std::int64_t last_epoch = std::int64_t{1} << 53U;  // the next one is counted from it
  if (state.epoch < 0 || state.epoch > last_epoch || state.position < 0 ||
      state.position > own.per_epoch()) {
    refuse(own.batches.dataset(),
           "cannot resume at epoch " + std::to_string(state.epoch) + ", batch " +
               std::to_string(state.position) + ": an epoch has " +
               std::to_string(own.per_epoch()) + " batches",
           here, "resume from the state() of a Loader of the same data and batch size");
  }
  own.end_epoch();
  own.state = state;
  own.resumed = true;
}

}  // namespace dualtape
