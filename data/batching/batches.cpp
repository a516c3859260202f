#include <dualtape/data/batches.hpp>

#include <algorithm>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <utility>

#include <dualtape/core/base/enumeration.hpp>

namespace dualtape {
namespace {

Batch batch_for(const Dataset& dataset, std::int64_t rows, Location here) {
  return {rows_like(dataset.inputs, rows, here), rows_like(dataset.labels, rows, here), 0};
}

}  // namespace

Batches::Batches(Dataset dataset, std::int64_t batch_size, LastBatch last, Location here)
    : dataset_(std::move(dataset)), batch_size_(batch_size) {
  const std::int64_t count = dataset_.count(here);
  detail::require_listed("Batches", "LastBatch", last, 2, "LastBatch::keep or LastBatch::drop",
                         here);
  if (batch_size < 1) {
    fail<ValueError>(
        {.op = "Batches",
         .label = dataset_.name,
         .what = "the batch size is " + std::to_string(batch_size) + ", but must be 1 or more",
         .where = here,
         .help = "64 is a usual start"});
  }
  const std::int64_t rest = last == LastBatch::keep ? count % batch_size : 0;
  per_epoch_ = count / batch_size + (rest > 0 ? 1 : 0);
  if (per_epoch_ == 0 && count > 0) {
    fail<ValueError>({.op = "Batches",
                      .label = dataset_.name,
                      .what = "a batch size of " + std::to_string(batch_size) + " with only " +
                              std::to_string(count) + " rows and LastBatch::drop leaves no batch",
                      .where = here,
                      .help = "make batches smaller, or keep the last one"});
  }
  full_ = batch_for(dataset_, std::min(batch_size, count), here);
  partial_ = batch_for(dataset_, rest, here);
  order_.resize(static_cast<std::size_t>(count));
  std::iota(order_.begin(), order_.end(), std::int64_t{0});
}

Batches::Batches(Dataset dataset, std::int64_t batch_size, Key key, LastBatch last, Location here)
    : Batches(std::move(dataset), batch_size, last, here) {
  key_ = key;
}

void Batches::start(std::int64_t number, Location here) {
  if (number < 0 || number == std::numeric_limits<std::int64_t>::max()) {  // it has no next
    fail<ValueError>({.op = "Batches",
                      .label = dataset_.name,
                      .what = "epoch " + std::to_string(number) + " does not exist",
                      .where = here,
                      .help = "epochs count from 0"});
  }
  check_there(here);
  next_epoch_ = number + 1;
  if (key_) {
    order_ =
        permutation(key_->fold(static_cast<std::uint64_t>(number)), dataset_.count(here), here);
  }
}

// Moving takes the rows away and leaves the numbers.
void Batches::check_there(Location here) const {
  if (per_epoch_ == 0 || !order_.empty()) return;
  fail<ValueError>({.op = "Batches",
                    .what = "these Batches were moved from",
                    .where = here,
                    .help = "use what they were moved to"});
}

void Batches::past_end(Location here) {
  fail<ValueError>({.op = "Batches",
                    .what = "there is no batch here: the epoch is over, or was never begun",
                    .where = here,
                    .help = "compare the iterator with end() first"});
}

Batches::Epoch Batches::epoch(std::int64_t number, Location here) {
  start(number, here);
  return Epoch(*this, here);
}

Batches::Iterator Batches::begin(Location here) {
  start(next_epoch_, here);
  return Iterator(*this, here);
}

const Batch& Batches::load(std::int64_t index, Location here) {
  check_there(here);
  const auto first = static_cast<std::size_t>(index * batch_size_);
  const std::size_t size = std::min(static_cast<std::size_t>(batch_size_), order_.size() - first);
  Batch& batch = static_cast<std::int64_t>(size) == full_.count() ? full_ : partial_;
  const auto rows = std::span<const std::int64_t>(order_).subspan(first, size);
  take_rows_into(dataset_.inputs, rows, batch.inputs, here);
  take_rows_into(dataset_.labels, rows, batch.labels, here);
  batch.index = index;
  return batch;
}

}  // namespace dualtape
