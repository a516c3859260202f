// Tables of the edges of elementwise operators. Private. Plain functions; any thread.
#pragma once

#include <cstddef>
#include <vector>

#include <dualtape/core/case.hpp>

namespace dualtape::detail {

inline constexpr double inf = infinity;
inline constexpr double nan = not_a_number;

// A row is an edge: one number an operand, the value there, and the slope by each operand (no
// slopes where the derivative is zero by definition). The numbers are those of arithmetic with 70
// digits, rounded once; at points that are sums of few powers of 2.
std::vector<Edge> edge_rows(std::size_t operands, const std::vector<std::vector<double>>& rows,
                            double ulp = 4, double slope_ulp = 16);

// The same, with no law of second order.
std::vector<Edge> without_second_order(std::vector<Edge> edges);

// Both tables.
std::vector<Edge> both(std::vector<Edge> edges, const std::vector<Edge>& others);

}  // namespace dualtape::detail
