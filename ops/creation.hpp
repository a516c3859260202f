// Tensors made of a rule, and operands repeated and joined into larger ones. What makes a Tensor
// may be called from any thread; a graph may be built by one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <dualtape/core/graph.hpp>

namespace dualtape {

// Ones on diagonal k of zeros, (rows, columns), or (n, n). ShapeError for sizes below 0. This and
// those below name the user's line, also in SizeError and MemoryError for what is too large.
Tensor eye(std::int64_t rows, std::int64_t columns, std::int64_t k = 0, DType dtype = float32,
           Location where = Location::current());
Tensor eye(std::int64_t n, Location where = Location::current());

// start, start + step, ... up to but without `stop`. ValueError for a step of 0 and for what is not
// finite. Each is start + i step, so errors do not add up.
// Of integers alone it is exact, and ValueError where the dtype cannot hold one.
Tensor arange(Number start, Number stop, Number step = 1, DType dtype = float32,
              Location where = Location::current());
// 0 ... stop - 1, int64
Tensor arange(std::int64_t stop, Location where = Location::current());

// `count` values from start to stop, both included and exact; one value is start. ValueError for a
// negative count and for ends that are not finite.
Tensor linspace(double start, double stop, std::int64_t count, DType dtype = float32,
                Location where = Location::current());

// Vectors (or scalars) of sizes n_0, n_1 ... each spread over the grid (n_0, n_1, ...): value k of
// the result changes along axis k alone (NumPy's indexing="ij"). ShapeError beyond rank 1.
std::vector<Var> meshgrid(std::span<const In> axes);
std::vector<Var> meshgrid(std::initializer_list<In> axes);

// x laid side by side times[i] times along axis i; missing leading axes are added on either side,
// as NumPy's tile. ShapeError for a negative number.
Var tile(In x, const std::vector<std::int64_t>& times);

// Each entry along an axis `times` times in a row: (a, b) -> (a, a, b, b). ShapeError for a
// negative number or an axis that does not exist.
Var repeat(In x, std::int64_t times, std::int64_t axis = -1);

// Kronecker's product: blocks a_ij B; ranks are made equal by leading axes of size 1.
Var kron(In a, In b);

}  // namespace dualtape
