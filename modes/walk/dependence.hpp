// Whether and by what way one Var depends on another, for the texts of errors. Private. Walks are
// loops over node numbers; a graph is not changed.
#pragma once

#include <string>
#include <vector>

#include <dualtape/core/graph.hpp>

namespace dualtape::detail {

// By node number: what `var` is computed from, itself included.
std::vector<bool> ancestors_of(Var var);
inline bool depends_on(Var var, Var on) {
  return &var.graph() == &on.graph() && on.id() <= var.id() && ancestors_of(var)[on.id()];
}

// "'argmax', made at a.cpp:7" for the first operator of derivative zero between the two; "" if
// `output` has nothing of `input`.
std::string cut_between(Var input, Var output);

}  // namespace dualtape::detail
