// Products of matrices as passes read them: their operands, and factors of rank 0 in front.
// Private. Plain functions; any thread, one plan per thread.
#pragma once

#include <optional>

#include <dualtape/core/pass.hpp>
#include <dualtape/core/registry.hpp>

namespace dualtape::detail {

// A matrix operand of a product: a value, transposed or as it is.
struct Factor2d {
  ValueId value;
  bool transposed;
};

inline std::int64_t rows(const Rewriter& plan, Factor2d x) {
  return plan.type(x.value).shape[x.transposed ? 1 : 0];
}
inline std::int64_t columns(const Rewriter& plan, Factor2d x) {
  return plan.type(x.value).shape[x.transposed ? 0 : 1];
}

// What a node that is a product of two matrices multiplies.
struct Factors {
  Factor2d left;
  Factor2d right;
};
inline std::optional<Factors> product_of(const Rewriter& plan, const PlanNode* node) {
  if (node == nullptr || node->op->name() != "matmul") return std::nullopt;
  const auto in = plan.operands(*node);
  if (plan.type(in[0]).shape.rank() != 2 || plan.type(in[1]).shape.rank() != 2) return std::nullopt;
  return Factors{{in[0], node->attributes.get<bool>("transpose_a")},
                 {in[1], node->attributes.get<bool>("transpose_b")}};
}

inline ValueId add_product(Rewriter& plan, const Op& matmul, Factor2d left, Factor2d right) {
  return plan.add(matmul, {{"transpose_a", left.transposed}, {"transpose_b", right.transposed}},
                  {left.value, right.value});
}

// `x` as s y or y s with s of rank 0 and y of x's type.
struct Scaled {
  ValueId scalar;
  ValueId rest;
};
inline std::optional<Scaled> scaled(const Rewriter& plan, ValueId x) {
  const PlanNode* const node = plan.producer(x, "mul");
  if (node == nullptr) return std::nullopt;
  const auto in = plan.operands(*node);
  const Type& type = plan.type(x);
  if (type.shape.rank() == 0) return std::nullopt;
  for (const std::size_t i : {std::size_t{0}, std::size_t{1}})
    if (plan.type(in[i]) == Type{Shape{}, type.dtype} && plan.type(in[1 - i]) == type)
      return Scaled{in[i], in[1 - i]};
  return std::nullopt;
}

// A factor of rank 0 that some value has, if it has any, and its sign.
struct Scale {
  std::optional<ValueId> scalar;
  bool negative = false;
};
inline Scale times(Rewriter& plan, Scale scale, ValueId scalar) {
  scale.scalar = scale.scalar ? plan.add(require_op("mul"), {}, {*scale.scalar, scalar}) : scalar;
  return scale;
}

}  // namespace dualtape::detail
