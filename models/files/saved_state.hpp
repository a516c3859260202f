// What a Trainer's state holds beside the parameters, by name, looked through before anything is
// made of it: all that a file says is held against what a run can have come to. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <dualtape/models/metrics.hpp>
#include <dualtape/models/trainer.hpp>

namespace dualtape::detail {

// Of the optimiser's and the callbacks' tensors.
inline constexpr std::string_view optimiser_prefix = "optimiser/";
inline constexpr std::string_view callback_prefix = "callback/";

// The trainer's own.
struct SavedRun {
  std::int64_t step = 0;   // done
  std::int64_t epoch = 0;  // begun
  std::int64_t batch = 0;  // done of it
  bool in_epoch = false;
  Key key{0};
  RunningMean mean;  // of the epoch's losses; the weight counts rows
  EpochLayout layout;
};

std::vector<NamedTensor> to_tensors(const SavedRun& run);

// Tensors by name, found in one step however many there are; they must outlive it.
class SavedState {
 public:
  // ValueError for two of one name.
  SavedState(const std::vector<NamedTensor>& tensors, Location where);

  const Tensor* find(std::string_view name) const;  // null if there is none
  // ValueError where it is missing or of another type.
  const Tensor& need(const std::string& name, const Type& type) const;
  // ValueError for numbers that no run has come to. Older states have no layout or no order.
  SavedRun run() const;
  // Those whose names begin so, without it.
  std::vector<NamedTensor> under(std::string_view prefix) const;

 private:
  [[noreturn]] void refuse(const std::string& name, const std::string& what) const;
  EpochLayout layout() const;

  const std::vector<NamedTensor>& tensors_;
  Location where_;
  std::unordered_map<std::string_view, const Tensor*> by_name_;
};

}  // namespace dualtape::detail
