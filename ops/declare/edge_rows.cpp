#include <dualtape/ops/declare/edge_rows.hpp>

#include <sstream>

namespace dualtape::detail {

std::vector<Edge> edge_rows(std::size_t operands, const std::vector<std::vector<double>>& rows,
                            double ulp, double slope_ulp) {
  std::vector<Edge> edges;
  for (const std::vector<double>& row : rows) {
    const auto end = row.begin() + static_cast<std::ptrdiff_t>(operands);
    std::ostringstream name;
    name.precision(17);
    for (std::size_t i = 0; i < operands; ++i) name << (i == 0 ? "at " : ", ") << row[i];
    edges.push_back(
        edge(name.str(), {row.begin(), end}, *end, {end + 1, row.end()}, ulp, slope_ulp));
  }
  return edges;
}

std::vector<Edge> without_second_order(std::vector<Edge> edges) {
  for (Edge& one : edges) one.second_order = false;
  return edges;
}

std::vector<Edge> both(std::vector<Edge> edges, const std::vector<Edge>& others) {
  edges.insert(edges.end(), others.begin(), others.end());
  return edges;
}

}  // namespace dualtape::detail
