// The tensors a layer starts with, checked before there is a Shape of them, whose errors know no
// layer. Any thread.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include <dualtape/core/tensor.hpp>

namespace dualtape::detail {

// The shape of a layer's `what`, its "weight" mostly. Throws ShapeError for sizes below 1 and
// SizeError for more elements than a tensor may have; both name layer, label and sizes.
Shape layer_shape(std::string_view layer, const std::string& name, std::string_view what,
                  std::initializer_list<std::int64_t> sizes, Location where);

// What `make` makes, `what` of the layer; where there is no memory for it, the MemoryError names
// the layer, its label and the type.
template <class Make>
Tensor layer_tensor(std::string_view layer, const std::string& name, std::string_view what,
                    const Type& type, Location where, const Make& make) {
  try {
    return make();
  } catch (const MemoryError&) {
    fail<MemoryError>({.op = layer,
                       .label = name,
                       .what = "there is no memory for its " + std::string(what) + ", " +
                               to_string(type) + ", " + std::to_string(bytes_of(type)) + " bytes",
                       .where = where,
                       .help = "give smaller sizes"});
  }
}

}  // namespace dualtape::detail
