// Where NaN and infinities come from: runs a graph once more, every value kept, and looks for the
// first one that is not finite. For a training's end, not for loops; one thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <dualtape/core/program.hpp>

namespace dualtape {

// A node whose output is not finite.
struct NotFinite {
  std::string op;
  std::string label;  // may be empty
  Role role = Role::primal;
  Location where;  // the user's line
  Type type;
  std::int64_t count = 0;  // of elements that are not finite
  std::int64_t first = 0;  // the first of them, in row-major order
  double value = 0;        // which is this
  // The operands, as "(64, 10) float32 in [-3, 7.5]".
  std::vector<std::string> operands;
};

// The first node, in the graph's order, among those that `outputs` and `assigns` need, with an
// infinite or NaN element though all it reads is finite; where none is, nothing. Constants may be
// infinite (masks are) and are not reported, nor is what only passes them on, unless it holds a
// NaN. Assigns nothing. Throws what Program::run throws.
std::optional<NotFinite> find_not_finite(std::span<const Var> outputs,
                                         std::span<const Assign> assigns,
                                         std::span<const Feed> feeds,
                                         Location where = Location::current());

// "[exp 'attention'] gave inf in 3 of (64, 10) float32 elements, the first at 17 ..." with the
// operands and the line.
std::string to_string(const NotFinite& found);

}  // namespace dualtape
