#include <dualtape/data/batches.hpp>

#include <algorithm>
#include <numeric>
#include <span>
#include <string>
#include <utility>

namespace dualtape {
namespace {

Batch batch_for(const Dataset& dataset, std::int64_t rows) {
  return {rows_like(dataset.inputs, rows), rows_like(dataset.labels, rows), 0};
}

}  // namespace

Batches::Batches(Dataset dataset, std::int64_t batch_size, LastBatch last)
    : dataset_(std::move(dataset)), batch_size_(batch_size) {
  const std::int64_t count = dataset_.count();
  if (batch_size < 1) {
    fail<ValueError>(
        {.op = "Batches",
         .label = dataset_.name,
         .what = "the batch size is " + std::to_string(batch_size) + ", but must be 1 or more"});
  }
  const std::int64_t rest = last == LastBatch::keep ? count % batch_size : 0;
  per_epoch_ = count / batch_size + (rest > 0 ? 1 : 0);
  if (per_epoch_ == 0 && count > 0) {
    fail<ValueError>({.op = "Batches",
                      .label = dataset_.name,
                      .what = "a batch size of " + std::to_string(batch_size) + " with only " +
                              std::to_string(count) + " rows and LastBatch::drop leaves no batch",
                      .help = "make batches smaller, or keep the last one"});
  }
  full_ = batch_for(dataset_, std::min(batch_size, count));
  partial_ = batch_for(dataset_, rest);
  order_.resize(static_cast<std::size_t>(count));
  std::iota(order_.begin(), order_.end(), std::int64_t{0});
}

Batches::Batches(Dataset dataset, std::int64_t batch_size, Key key, LastBatch last)
    : Batches(std::move(dataset), batch_size, last) {
  key_ = key;
}

void Batches::start(std::int64_t number) {
  if (number < 0) {
    fail<ValueError>({.op = "Batches",
                      .label = dataset_.name,
                      .what = "epoch " + std::to_string(number) + " does not exist",
                      .help = "epochs count from 0"});
  }
  next_epoch_ = number + 1;
  if (key_) {
    order_ = permutation(key_->fold(static_cast<std::uint64_t>(number)), dataset_.count());
  }
}

Batches::Epoch Batches::epoch(std::int64_t number) {
  start(number);
  return Epoch(*this);
}

Batches::Iterator Batches::begin() {
  start(next_epoch_);
  return Iterator(*this);
}

const Batch& Batches::load(std::int64_t index) {
  const auto first = static_cast<std::size_t>(index * batch_size_);
  const std::size_t size = std::min(static_cast<std::size_t>(batch_size_), order_.size() - first);
  Batch& batch = static_cast<std::int64_t>(size) == full_.count() ? full_ : partial_;
  const auto rows = std::span<const std::int64_t>(order_).subspan(first, size);
  take_rows_into(dataset_.inputs, rows, batch.inputs);
  take_rows_into(dataset_.labels, rows, batch.labels);
  batch.index = index;
  return batch;
}

}  // namespace dualtape
