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
// The same of functions that do not change along a direction of ones, or change evenly: their
// second slopes along it, which the nestings are compared by, are nothing but rounding.
inline std::vector<Edge> even_edges_of(const Build& build, std::vector<Edge> edges) {
  for (Edge& edge : edges) edge.second_order = false;
  return edges_of(build, std::move(edges));
}
inline std::vector<Edge> joined(std::initializer_list<std::vector<Edge>> lists) {
  std::vector<Edge> all;
  for (const std::vector<Edge>& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

}  // namespace dualtape::detail
