// Products that only plans hold: passes put them in the place of other nodes, no graph has them and
// the registry does not know them. Private. Immutable singletons; any thread.
#pragma once

#include <dualtape/core/op.hpp>

namespace dualtape::detail {

// C + op(A) op(B), or C - op(A) op(B) with the attribute "subtract"; a fourth operand of rank 0 is
// a factor of the product. op transposes as "transpose_a" and "transpose_b" say. Shapes (m, n),
// (m, k), (k, n) -> (m, n), one floating dtype. Runs over C's memory where C is not read again.
const Op& matmul_add_op();

// A B and A' B for operands A, A', B; A as it is, B transposed with "transpose_b". Shapes (m, k),
// (m, k), (k, n) -> (m, n), (m, n). One product of twice the rows where A' lies right after A in
// memory and the second result right after the first, which Plan::adjacent asks for; else two.
const Op& stacked_matmul_op();

}  // namespace dualtape::detail
