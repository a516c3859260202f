// A tensor with a name: what files of several tensors hold. Plain values.
#pragma once

#include <string>

#include <dualtape/core/tensor.hpp>

namespace dualtape {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

}  // namespace dualtape
