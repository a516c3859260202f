// Edges (core/case.hpp) of operators on rows: tensors and calls in few words.
// Private. Plain functions; any thread.
#pragma once

#include <functional>
#include <initializer_list>
#include <span>
#include <utility>
#include <vector>

#include <dualtape/core/case.hpp>

namespace dualtape::detail {

inline Tensor number(double x) { return Tensor::scalar(x); }
inline Tensor table(const Shape& shape, const std::vector<double>& values) {
  return Tensor::from(values, shape);
}
inline Tensor row(const std::vector<double>& values) {
  return table({static_cast<std::int64_t>(values.size())}, values);
}

using Build = std::function<std::vector<Var>(std::span<const Var>)>;

// Edges that share one call.
inline std::vector<Edge> edges_of(const Build& build, std::vector<Edge> edges) {
  for (Edge& edge : edges) edge.build = build;
  return edges;
}
inline std::vector<Edge> joined(std::initializer_list<std::vector<Edge>> lists) {
  std::vector<Edge> all;
  for (const std::vector<Edge>& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

}  // namespace dualtape::detail
