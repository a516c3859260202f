// Comparisons, logic, choice and conversion, element by element.
//
// Comparisons broadcast and promote as arithmetic does and give bool tensors; comparing with NaN is
// false (not_equal: true). Derivatives of all that gives a bool are zero. Note that == on Vars asks
// whether two handles name the same node; equal(a, b) compares values. A graph may be built by one
// thread at a time.
#pragma once

#include <dualtape/core/graph.hpp>

namespace dualtape {

// Numbers of any dtype; equal and not_equal take bools too.
Var less(In a, In b);
Var less_equal(In a, In b);
Var greater(In a, In b);
Var greater_equal(In a, In b);
Var equal(In a, In b);
Var not_equal(In a, In b);

inline Var operator<(In a, In b) { return less(a, b); }
inline Var operator<=(In a, In b) { return less_equal(a, b); }
inline Var operator>(In a, In b) { return greater(a, b); }
inline Var operator>=(In a, In b) { return greater_equal(a, b); }

// Of bools; TypeError for numbers.
Var logical_and(In a, In b);
Var logical_or(In a, In b);
Var logical_xor(In a, In b);
Var logical_not(In x);

// a where `condition` (bool) is true, b elsewhere; all three broadcast, a and b are brought to one
// dtype. What stands in the branch not chosen does not matter, NaN and infinities included; nor do
// its derivatives in where itself (but 0 times an infinite derivative further back is NaN).
Var where(In condition, In a, In b);

// x in another dtype, as Tensor::to converts. Linear between floating dtypes; from and to the
// others the derivative is zero. The same dtype gives x itself where it is a Var.
Var cast(In x, DType dtype);

}  // namespace dualtape
