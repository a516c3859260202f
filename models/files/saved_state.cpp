#include <dualtape/models/files/saved_state.hpp>

#include <algorithm>
#include <utility>

#include <dualtape/models/files/counts.hpp>
#include <dualtape/models/training/epoch_layout.hpp>

namespace dualtape::detail {
namespace {

const std::string position_name = "trainer/position";  // step, epoch, batch, in the epoch or not
const std::string key_name = "trainer/key";
const std::string mean_name = "trainer/epoch_loss";  // sum and weight
// Of an EpochLayout; older files have the first or neither.
const std::string layout_name = "trainer/batches";  // its sizes
const std::string order_name = "trainer/order";     // its order

bool all_counts(std::span<const std::int64_t> values) {
  return std::ranges::all_of(values, [](std::int64_t value) { return is_count(value); });
}

std::string listed(std::span<const std::int64_t> values) {
  std::string text;
  for (const std::int64_t value : values)
    text += (text.empty() ? "" : ", ") + std::to_string(value);
  return text;
}

}  // namespace

std::vector<NamedTensor> to_tensors(const SavedRun& run) {
  const EpochLayout& layout = run.layout;
  return {
      {position_name, Tensor::of({run.step, run.epoch, run.batch, run.in_epoch ? 1 : 0})},
      {key_name, run.key.to_tensor()},
      {mean_name, Tensor::from(std::vector<double>{run.mean.sum(), run.mean.weight()}, Shape{2})},
      {layout_name, Tensor::of({layout.batches, layout.batch_size, layout.rows})},
      {order_name, to_tensor(layout.order)}};
}

SavedState::SavedState(const std::vector<NamedTensor>& tensors, Location where)
    : tensors_(tensors), where_(where) {
  for (const NamedTensor& named : tensors)
    if (!by_name_.emplace(named.name, &named.tensor).second)
      refuse(named.name, "has two tensors of the name '" + named.name + "'");
}

void SavedState::refuse(const std::string& name, const std::string& what) const {
  fail<ValueError>({.op = "Trainer",
                    .label = name,
                    .what = "the state to restore " + what,
                    .where = where_,
                    .help = "restore into the model that was saved, from a file that is whole"});
}

const Tensor* SavedState::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

const Tensor& SavedState::need(const std::string& name, const Type& type) const {
  const Tensor* found = find(name);
  if (found != nullptr && found->type() == type) return *found;
  refuse(name, "has " +
                   (found == nullptr ? "no '" + name + "'"
                                     : "'" + name + "' as " + to_string(found->type())) +
                   ", but " + to_string(type) + " is needed");
}

EpochLayout SavedState::layout() const {
  EpochLayout layout;
  if (find(layout_name) != nullptr) {
    const auto sizes = need(layout_name, {Shape{3}, int64}).data<std::int64_t>();
    if (!all_counts(sizes))
      refuse(layout_name, "has '" + layout_name + "' " + listed(sizes) + ", which are no counts");
    layout = {sizes[0], sizes[1], sizes[2]};
  }
  if (find(order_name) == nullptr) return layout;
  const Tensor& order = need(order_name, {Shape{2}, int64});
  layout.order = order_of(order);
  if (!identical(to_tensor(layout.order), order))
    refuse(order_name, "has '" + order_name + "' " + listed(order.data<std::int64_t>()) +
                           ", which is no order of batches");
  return layout;
}

SavedRun SavedState::run() const {
  const auto counts = need(position_name, {Shape{4}, int64}).data<std::int64_t>();
  SavedRun run{counts[0],
               counts[1],
               counts[2],
               counts[3] != 0,
               Key::from_tensor(need(key_name, {Shape{}, int64}), where_),
               {},
               layout()};
  // An epoch takes a step at least, and each of its batches is one.
  const bool fits = all_counts(counts) && counts[3] <= 1 && run.batch <= run.step &&
                    run.epoch <= run.step + 1 && (!run.in_epoch || run.epoch > 0);
  if (!fits)
    refuse(position_name, "has '" + position_name + "' " + listed(counts) +
                              ", which are no steps, epochs, batches of the epoch and 0 or 1");
  const Tensor& mean = need(mean_name, {Shape{2}, float64});
  const double rows = mean.at({1});
  if (!is_count(rows))
    refuse(mean_name, "has '" + mean_name + "' of " + std::to_string(rows) + " rows");
  run.mean = RunningMean(mean.at({0}), rows);
  return run;
}

std::vector<NamedTensor> SavedState::under(std::string_view prefix) const {
  std::vector<NamedTensor> found;
  for (const NamedTensor& named : tensors_)
    if (named.name.starts_with(prefix))
      found.push_back({named.name.substr(prefix.size()), named.tensor});
  return found;
}

}  // namespace dualtape::detail
