// Operators that take parts of a tensor by place, and put parts into a larger one. Every dtype is
// taken; all are linear. Axes may be negative and then count from the end. Graphs are built by one
// thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <dualtape/core/graph.hpp>

namespace dualtape {

// begin, begin + step, ... up to but without `end`, as in Python: negative places count from the
// end, places beyond an edge are moved to it, and what is left out means all there is on that side.
struct Range {
  std::optional<std::int64_t> begin = {};
  std::optional<std::int64_t> end = {};
  std::int64_t step = 1;
};
// x[:, ..., begin:end:step]. ValueError for a step of 0.
Var slice(In x, std::int64_t axis, std::int64_t begin, std::int64_t end, std::int64_t step = 1);
// One range an axis from the first on; axes without a range are kept whole.
Var slice(In x, const std::vector<Range>& ranges);

// The transpose of slice: zeros (false) of `shape`, but x at places starts + i * steps, a place and
// a step for each axis. ShapeError if x reaches beyond `shape`.
Var slice_scatter(In x, const Shape& shape, const std::vector<std::int64_t>& starts,
                  const std::vector<std::int64_t>& steps);

// x with before[i] and after[i] entries of `value` put before and after those of axis i. The value
// is weak, as any literal.
Var pad(In x, const std::vector<std::int64_t>& before, const std::vector<std::int64_t>& after,
        Number value = 0);

// x with the order of the entries along `axes` (none given means all) turned round. ShapeError for
// an axis that does not exist.
Var flip(In x, const std::vector<std::int64_t>& axes = {});

// x with its entries along `axis` moved on by `shift` places; those that leave at the end come in
// at the front: y[(i + shift) mod n] = x[i]. ShapeError for an axis that does not exist.
Var roll(In x, std::int64_t shift, std::int64_t axis = -1);

}  // namespace dualtape
