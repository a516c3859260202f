// Calls at the edges of their domains (core/case.hpp) for operators that move, scan, contract and
// factor: by the operator's name, since each says little more than numbers.
// Private. Plain functions; any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dualtape/core/case.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape::detail {

std::vector<Edge> move_edges(std::string_view name);    // places, joins, shapes, grids, diagonals
std::vector<Edge> line_edges(std::string_view name);    // orders and running functions
std::vector<Edge> matrix_edges(std::string_view name);  // products and factors
std::vector<Edge> window_edges(std::string_view name);  // pooling and convolution
std::vector<Edge> draw_edges(std::string_view name);    // random numbers

// float64, as edges want them.
inline Tensor wide(const Shape& shape, const std::vector<double>& values) {
  return Tensor::from(values, shape);
}
inline Tensor wide(const std::vector<double>& values) {
  return wide(Shape{static_cast<std::int64_t>(values.size())}, values);
}

inline Tensor number(double value) { return Tensor::scalar(value); }

// f(x) of one operand.
template <class F>
Edge edge_of(std::string name, Tensor x, Tensor value, Tensor slope, F f) {
  Edge edge;
  edge.name = std::move(name);
  edge.at = {std::move(x)};
  edge.values = {std::move(value)};
  edge.slopes = {std::move(slope)};
  edge.build = [f](std::span<const Var> in) { return std::vector<Var>{f(in[0])}; };
  return edge;
}
// f(a, b) of two; `slopes` may be left empty, when laws alone are held.
template <class F>
Edge edge_of(std::string name, std::vector<Tensor> at, Tensor value, std::vector<Tensor> slopes,
             F f) {
  Edge edge;
  edge.name = std::move(name);
  edge.at = std::move(at);
  edge.values = {std::move(value)};
  edge.slopes = std::move(slopes);
  edge.build = [f](std::span<const Var> in) { return std::vector<Var>{f(in[0], in[1])}; };
  return edge;
}

// The value alone: of limits, where a product of infinity and a tangent of 0 is NaN in one mode and
// does not come up in the other.
template <class F>
Edge value_of(std::string name, Tensor x, Tensor value, F f) {
  Edge edge;
  edge.name = std::move(name);
  edge.at = {std::move(x)};
  edge.values = {std::move(value)};
  edge.build = [f](std::span<const Var> in) { return std::vector<Var>{stop_gradient(f(in[0]))}; };
  return edge;
}

// A table of functions by name, in the place where they are written.
struct NamedEdges {
  std::string_view name;
  std::vector<Edge> (*edges)();
};
inline std::vector<Edge> find_edges(std::span<const NamedEdges> table, std::string_view name) {
  for (const NamedEdges& entry : table)
    if (entry.name == name) return entry.edges();
  return {};
}

}  // namespace dualtape::detail
