// The largest and smallest elements over axes, and where they stand. For the larger of two operands
// see maximum and minimum in ops/arithmetic.hpp.
//
// `axes` may be negative (counted from the end) and empty, which means all of them; `keepdims`
// leaves the reduced axes in place with size 1. NaN wins everywhere: the result is NaN if an
// element is, and argmax and argmin give the first NaN. ShapeError for axes that do not exist or
// are named twice, and where there is no element to choose. A graph may be built by one thread at a
// time.
#pragma once

#include <cstdint>
#include <vector>

#include <dualtape/core/graph.hpp>

namespace dualtape {

// Numbers of any dtype, which is kept. Axes stand in braces here, even one: max(x, 0) does not
// compile, as it reads like the larger of x and 0, which is maximum(x, 0). Where several elements
// share the extreme, they share its derivative equally.
Var max(In x, std::vector<std::int64_t> axes = {}, bool keepdims = false);
Var min(In x, std::vector<std::int64_t> axes = {}, bool keepdims = false);

// The place along `axis` of the extreme, the first of several, as int64; derivative zero.
Var argmax(In x, std::int64_t axis = -1, bool keepdims = false);
Var argmin(In x, std::int64_t axis = -1, bool keepdims = false);

}  // namespace dualtape
