// The checks of one sample call, and of one call at an edge; see modes/check.hpp.
#pragma once

#include <dualtape/modes/check.hpp>

namespace dualtape::detail {

void check_case(const Case& sample, const OpInfo& info, Key key, CheckReport& report);
// Batching against a loop over members, by every subset of inputs that are batched.
void check_batching(const Case& sample, const OpInfo& info, Key key, CheckReport& report);
// A linearization against jvp and vjp, and transposed twice, for each floating output.
void check_linearize(const Case& sample, const OpInfo& info, Key key, CheckReport& report);
// Taylor mode against nested forward mode to order 3, along a curved path.
void check_taylor(const Case& sample, const OpInfo& info, Key key, CheckReport& report);
// Sparse Jacobians and Hessians against dense ones, for each floating output by each floating
// input.
void check_sparse(const Case& sample, const OpInfo& info, Key key, CheckReport& report);
void check_edge(const Edge& edge, const Entry& entry, CheckReport& report);

// What the pattern of a sample call is: the entries that move at some of several points, more than
// those, or, where fewer move, all there are.
enum class SparseOutcome : std::uint8_t { exact, dense, superset };
SparseOutcome sparse_outcome(const Case& sample, Key key = Key{1});

// The distance of `got` from `wanted` in units of the last place of `dtype` (float32 or float64).
// Equal NaNs and infinities are 0 apart, and so are 0 and what is below the normal numbers, since
// programs flush that to 0; where only one is NaN or infinite it is infinite.
double ulps_apart(double got, double wanted, DType dtype);

}  // namespace dualtape::detail
