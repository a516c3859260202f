// What every operator that reduces axes shares: attributes, inference, and the way back.
// Private; no SIMD headers. Plain functions; any thread.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include <dualtape/core/op.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape::detail {

// Axes as 0 .. rank-1 in order, all of them where none is given; axes that do not exist stay as
// they are for infer_reduction to refuse.
inline Ints reduction_axes(const In& x, Ints axes) {
  const std::size_t rank = shape_of(x).rank();
  if (axes.empty()) {
    for (std::size_t i = 0; i < rank; ++i) axes.push_back(static_cast<std::int64_t>(i));
    return axes;
  }
  for (std::int64_t& axis : axes) axis = wrap_axis(axis, rank);
  std::ranges::sort(axes);
  return axes;
}

inline Attributes reduction_attributes(const In& x, Ints axes, bool keepdims) {
  return {{"axes", reduction_axes(x, std::move(axes))}, {"keepdims", keepdims}};
}

inline Shape reduced_shape(const Shape& shape, const Ints& axes, bool keepdims) {
  std::vector<std::int64_t> sizes;
  for (std::size_t i = 0; i < shape.rank(); ++i) {
    const bool reduced = std::ranges::find(axes, static_cast<std::int64_t>(i)) != axes.end();
    if (!reduced || keepdims) sizes.push_back(reduced ? 1 : shape[i]);
  }
  return Shape(sizes);
}

// Checks the one operand and its axes; the shape of the result.
inline Shape infer_reduction(const Inference& inference) {
  inference.require_count(1);
  const auto& axes = inference.attributes.get<Ints>("axes");
  const Shape& shape = inference.shape(0);
  if (axes.empty() && shape.rank() > 0)
    inference.shape_error("the attribute axes names none of " + to_string(inference.in[0]),
                          "list all that are reduced; the operator's function takes {} for all");
  for (std::size_t i = 0; i < axes.size(); ++i) {
    static_cast<void>(inference.axis(axes[i], shape.rank()));
    // The functions bring theirs into this form; kernels count on it.
    if (axes[i] < 0 || (i > 0 && axes[i] < axes[i - 1]))
      inference.shape_error("the attribute axes is " + to_string(Attribute(axes)),
                            "list axes from 0 on, in order; the operator's function takes others");
    if (i > 0 && axes[i] == axes[i - 1])
      inference.shape_error(
          "axis " + std::to_string(axes[i]) + " is named twice for " + to_string(inference.in[0]),
          "name each axis once");
  }
  return reduced_shape(shape, axes, inference.attributes.get<bool>("keepdims"));
}

inline bool keeps_dims(const NodeView& node) { return node.attributes.get<bool>("keepdims"); }
inline const Ints& axes_of(const NodeView& node) { return node.attributes.get<Ints>("axes"); }

// A value shaped as the node's result, with its reduced axes back as size 1.
inline Var with_kept_axes(const NodeView& node, Var value) {
  if (keeps_dims(node)) return value;
  return reshape(value, reduced_shape(node.in[0].shape(), axes_of(node), true));
}

// How many elements of the operand meet in one of the result.
inline std::int64_t reduced_count(const Shape& shape, const Ints& axes) {
  std::int64_t count = 1;
  for (const std::int64_t axis : axes) count *= shape[static_cast<std::size_t>(axis)];
  return count;
}

// What a root's derivative is divided by: infinity where the root is 0, so that the derivative is 0
// there in every order and mode.
inline Var divisor_by_root(const Var& root) { return where(equal(root, 0), infinity, root); }

// Sample calls over the usual shapes and axes; `function(x, axes, keepdims)`.
template <class Function>
std::vector<Case> reduction_cases(Function function, const Domain& domain, bool empty_allowed,
                                  DType dtype = float64) {
  std::vector<Case> cases;
  const auto add = [&](std::string name, Shape shape, Ints axes, bool keepdims) {
    cases.push_back({std::move(name),
                     {Arg{std::move(shape), domain, dtype}},
                     [function, axes = std::move(axes), keepdims](std::span<const Var> in) {
                       return std::vector<Var>{function(in[0], axes, keepdims)};
                     }});
  };
  add("all axes", {3, 4}, {}, false);
  add("all axes, kept", {3, 4}, {}, true);
  add("rows", {3, 5}, {1}, false);
  add("columns", {4, 3}, {0}, false);
  add("a middle axis, kept", {2, 3, 4}, {-2}, true);
  add("outer axes", {2, 3, 2}, {0, -1}, false);
  add("every other axis", {2, 3, 2, 2}, {1, 3}, false);
  add("axes of size 1", {1, 3, 1}, {0}, false);
  add("a scalar", {}, {}, false);
  add("no elements left", {0, 3}, {1}, false);
  if (empty_allowed) add("of nothing", {0, 3}, {0}, false);
  return cases;
}

}  // namespace dualtape::detail
