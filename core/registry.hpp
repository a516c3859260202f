// The registry of operators by name: built-in ones and those a program has used of its own. What
// the reference page, the coverage table and the generated tests walk. Safe to use from any thread.
#pragma once

#include <string_view>
#include <vector>

#include <dualtape/core/op.hpp>

namespace dualtape {

// Adds an operator. Adding the same one again does nothing; another one of the same name throws
// GraphError, since names are how nodes are printed and replayed.
void register_op(const Op& op);

// The operator of that name, or null.
const Op* find_op(std::string_view name);
// The same for one that must be there.
const Op& require_op(std::string_view name);

// What the registry knows of one name: an operator, or a composite function (mean, norm ...) that
// is written with operators and so has its derivatives from them.
struct Entry {
  OpInfo info;
  std::function<std::vector<Case>()> cases;
  const Op* op = nullptr;  // null for composites
  std::function<std::vector<Edge>()> edges = {};
};
Entry entry_of(const Op& op);

// Adds a composite described by a struct with name, doc and cases() (and math, example, tolerance).
void register_composite(const Entry& entry);

// Everything registered, by name.
std::vector<Entry> all_entries();

namespace detail {
// Adds every operator of the library; called by the look-ups. Defined as library() is, see
// core/plan/library.hpp.
void register_builtin_ops();
}  // namespace detail

}  // namespace dualtape
