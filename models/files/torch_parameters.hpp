// What load_torch() and load_parameters() share. One thread at a time for one model.
#pragma once

#include <string_view>
#include <vector>

#include <dualtape/models/torch_weights.hpp>

namespace dualtape::detail {

// set_torch_parameters(), whose errors speak of the function `op`.
void set_torch(std::string_view op, const std::vector<NamedTensor>& tensors,
               std::vector<Parameter> parameters, const TorchOptions& options, Location where);

}  // namespace dualtape::detail
