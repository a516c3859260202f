// Lists among a node's attributes, whose lengths kernels count on. Private. Plain functions; any
// thread.
#pragma once

#include <cstddef>
#include <string>

#include <dualtape/core/op.hpp>

namespace dualtape::detail {

// The list `name` of `count` numbers. Functions make no other, but anyone may call apply().
inline const Ints& list_of(const Inference& inference, const char* name, std::size_t count) {
  const auto& list = inference.attributes.get<Ints>(name);
  if (list.size() != count)
    inference.shape_error(
        "the attribute " + std::string(name) + " is " + to_string(Attribute(list)),
        "list " + std::to_string(count) + " numbers, or call the operator's function");
  return list;
}

}  // namespace dualtape::detail
