// Operators that are general in all their inputs and linear in some given the others.
// Private. Stateless; any thread.
#pragma once

#include <span>
#include <type_traits>

#include <dualtape/core/kinds.hpp>

namespace dualtape::detail {

// D as General<D> takes it, with linear_in(active) and transpose(node, cotangent) of the input it
// is linear in, or transpose(node, i, cotangent) where there are several. So its own rule may be
// written with the operator itself: what that emits is transposed.
template <class D>
class PartlyLinearOp final : public GeneralOp<D> {
  static_assert(std::is_empty_v<General<D>>);  // makes its checks

 public:
  MaybeVar transpose(const NodeView& node, std::size_t i,
                     std::span<const MaybeVar> cotangents) const override {
    if (!cotangents[0]) return std::nullopt;
    if constexpr (TransposesOne<D>)
      return D::transpose(node, i, *cotangents[0]);
    else
      return D::transpose(node, *cotangents[0]);
  }
};
template <class D>
using PartlyLinear = Callable<PartlyLinearOp<D>>;

}  // namespace dualtape::detail
