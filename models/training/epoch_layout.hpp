// What the Trainer keeps of the batches of an epoch, so that a run is resumed by the same ones: as
// tensors for checkpoints and as words for errors. Pure functions; any thread may call.
#pragma once

#include <string>

#include <dualtape/models/trainer.hpp>

namespace dualtape::detail {

// int64 (2,): what is known of the order, and the bits of its key.
Tensor to_tensor(const EpochOrder& order);
EpochOrder order_of(const Tensor& saved);

// Whether all but the order is equal.
bool same_sizes(const EpochLayout& a, const EpochLayout& b);

std::string to_string(const EpochOrder& order);
std::string to_string(const EpochLayout& layout);

}  // namespace dualtape::detail
