// Operators that read and write at places given by an index tensor (int32 or int64). A negative
// index counts from the end, -1 being the last place, but for labels, which are never negative. One
// that is out of range is a ValueError at run time that names the index and where it stands. Values
// of every dtype are moved; derivatives flow through the values, never through indices. Sums at one
// place, in the derivatives too, are taken in row-major order and rounded once at the end for
// float32, whatever their number; in float64 they are rounded at each step. Graphs are built by one
// thread at a time.
#pragma once

#include <cstdint>

#include <dualtape/core/graph.hpp>

namespace dualtape {

// x at index[i] along `axis` for every element of x's other axes, as NumPy's take: the result has
// x's shape with index's shape in the place of `axis`.
Var take(In x, In index, std::int64_t axis = 0);

// y[i, j] = x[index[i, j], j] for axis 0, y[i, j] = x[i, index[i, j]] for axis 1, and so on: as
// torch.gather and, for equal other sizes, NumPy's take_along_axis. index has x's rank and is
// nowhere larger than x but along `axis` (ShapeError); the result has index's shape.
Var gather(In x, In index, std::int64_t axis);

// x plus updates at the places gather would read: y[index[i, j], j] += updates[i, j] for axis 0.
// index has the shape of updates; its elements may repeat. x and updates must have one dtype, and
// bool has no sum (TypeError).
Var scatter_add(In x, In index, In updates, std::int64_t axis);

// x plus updates at the places take would read; updates has the shape of take(x, index, axis).
Var index_add(In x, In index, In updates, std::int64_t axis = 0);

// A new last axis of size `classes` that is 1 at the label and else 0. Labels are 0 ... classes-1.
Var one_hot(In labels, std::int64_t classes, DType dtype = float32);

}  // namespace dualtape
