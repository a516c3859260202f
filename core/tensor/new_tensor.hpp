// Tensors that functions of the library make for a user. Any thread.
#pragma once

#include <string_view>

#include <dualtape/core/tensor.hpp>

namespace dualtape::detail {

// Elements that are not set. TypeError for what is no dtype and MemoryError, which name the
// function and the user's line.
Tensor new_tensor(std::string_view function, Type type, Location where);

}  // namespace dualtape::detail
