// Operators that join tensors and take them apart. Every dtype is taken; all are linear. Axes may
// be negative and then count from the end. Graphs are built by one thread at a time.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include <dualtape/core/graph.hpp>
#include <dualtape/ops/slice.hpp>

namespace dualtape {

// The operands one after the other along `axis`, in their common dtype. ShapeError unless their
// shapes agree on every other axis; GraphError if there are none.
Var concat(std::initializer_list<In> parts, std::int64_t axis = 0);
Var concat(std::span<const In> parts, std::int64_t axis = 0);
Var concat(const std::vector<Var>& parts, std::int64_t axis = 0,
           Location where = Location::current());

// Operands of one shape along a new axis at place `axis` of the result.
Var stack(std::initializer_list<In> parts, std::int64_t axis = 0);
Var stack(std::span<const In> parts, std::int64_t axis = 0);
Var stack(const std::vector<Var>& parts, std::int64_t axis = 0,
          Location where = Location::current());

// Cuts x along `axis` into pieces of the sizes given, which must add up (ShapeError), or into
// `sections` equal ones.
std::vector<Var> split(In x, const std::vector<std::int64_t>& sizes, std::int64_t axis = 0);
std::vector<Var> split(In x, std::initializer_list<std::int64_t> sizes, std::int64_t axis = 0);
std::vector<Var> split(In x, std::int64_t sections, std::int64_t axis = 0);

}  // namespace dualtape
