// Random draws as graph nodes. The operand is a key, an int64 scalar: a Var (an input, a Parameter
// that is advanced with fold_key and assign), or a Key, which becomes a constant of the graph. The
// same key gives the same bits as the plain functions of core/random.hpp; two nodes with one key
// and one distribution are the same numbers, so give each its own by fold_key. Derivatives by the
// key are zero. Graphs are built by one thread at a time.
#pragma once

#include <dualtape/core/graph.hpp>
#include <dualtape/core/random.hpp>

namespace dualtape {

// All throw TypeError unless key is int64 and dtype is float32 or float64, and ShapeError unless
// key has shape ().

// Uniform on [low, high). ValueError unless low <= high, both finite in `dtype`, and their
// difference too.
Var random_uniform(In key, Shape shape, double low = 0, double high = 1, DType dtype = float32);
Var random_uniform(Graph& graph, Key key, Shape shape, double low = 0, double high = 1,
                   DType dtype = float32, Location where = Location::current());

// Normal. ValueError unless mean is finite and stddev finite and >= 0.
Var random_normal(In key, Shape shape, double mean = 0, double stddev = 1, DType dtype = float32);
Var random_normal(Graph& graph, Key key, Shape shape, double mean = 0, double stddev = 1,
                  DType dtype = float32, Location where = Location::current());

// -1 or +1 with probability 1/2 each.
Var random_rademacher(In key, Shape shape, DType dtype = float32);
Var random_rademacher(Graph& graph, Key key, Shape shape, DType dtype = float32,
                      Location where = Location::current());

// The same numbers as `draw`, to the last bit, from a node of their own: programs do not merge the
// two, so the numbers are drawn once more where this one is read instead of being kept from there.
// Copies with different `replay` (at least 1) are nodes apart too. ValueError unless `draw` is the
// result of one of the three above and replay >= 1.
Var draw_again(In draw, std::int64_t replay = 1);

// The key of sub-stream n, as Key::fold(n); both are int64 scalars, n may be int32 or a literal.
Var fold_key(In key, In n);

}  // namespace dualtape
