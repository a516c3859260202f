// Products of matrices and vectors, in float32 or float64, on OpenBLAS or oneDNN; a graph may be
// built by one thread at a time.
#pragma once

#include <dualtape/core/graph.hpp>

namespace dualtape {

struct MatmulOptions {
  bool transpose_a = false;  // the last two axes of a exchanged; no copy is made
  bool transpose_b = false;
};

// The matrix product, as NumPy's and PyTorch's matmul. Operands are brought to one dtype; integers
// and bools become float32.
//   (m, k) x (k, n) -> (m, n)           leading axes are batches and broadcast by NumPy's rules
//   (k) x (..., k, n) -> (..., n)       a vector on the left is a row
//   (..., m, k) x (k) -> (..., m)       a vector on the right is a column
//   (k) x (k) -> ()                     two vectors give their inner product
// The options transpose matrices and leave vectors as they are. An inner size k of 0 gives zeros.
// With C = A B: dC = dA B + A dB, A' = C' B^T, B' = A^T C'.
// ShapeError where the inner sizes differ, the batches do not broadcast, or an operand is a scalar.
//
// Large products are divided between the threads of a program (core/threads.hpp). Where the library
// was built with oneDNN, float32 products of sizes at which that measured faster run on it, and
// wide ones by a transposed B on code it prepares when the program is compiled.
// DUALTAPE_PRODUCTS=openblas or onednn in the environment names one library for all.
Var matmul(In a, In b, MatmulOptions options = {});

// The outer product a b^T of two vectors: (m), (n) -> (m, n). dtypes as matmul. ShapeError unless
// both have rank 1.
Var outer(In a, In b);

// The inner product of two vectors: (k), (k) -> (). dtypes as matmul. ShapeError unless both have
// rank 1 and the same size.
Var dot(In a, In b);

}  // namespace dualtape
