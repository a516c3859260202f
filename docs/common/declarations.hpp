// The functions that a header declares, as its text has them: for reference pages. Pure functions;
// any thread may call.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dualtape::docs {

struct Declaration {
  std::string name;  // with its namespaces within dualtape: "nets::lenet5"
  std::string text;  // "Var sum(In x, const Axes& axes = {}, bool keepdims = false)"
};

// The free functions of namespace dualtape and those within it, but for `detail` and operators, in
// order; of a template only what stands behind its head. Parameters of type Location, which note
// the caller's line, are left out.
std::vector<Declaration> functions_of(std::string_view header);

// The structs of options and results, with their comments, as the header has them: those that have
// neither member functions nor a template's head, outside of `detail`.
std::vector<Declaration> structs_of(std::string_view header);

}  // namespace dualtape::docs
