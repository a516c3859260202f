// Kinds for built-in elementwise operators: those of core/kinds.hpp, with kernels for integers and
// booleans too.
// Private: includes xsimd; for the .cpp files of operator families. Any thread.
//
// A descriptor says with `static constexpr auto compiled_for = CompiledFor::numbers;` that it takes
// more than float32 and float64.
#pragma once

#include <dualtape/core/kinds.hpp>
#include <dualtape/core/tile/compiled.hpp>
#include <dualtape/core/tile/elementwise.hpp>

namespace dualtape::detail {

template <class D>
consteval CompiledFor compiled_for() {
  if constexpr (requires { D::compiled_for; })
    return D::compiled_for;
  else
    return CompiledFor::floats;
}

template <class D, class Base>
class CompiledOp : public Base {
 public:
  void infer(Inference& inference) const override {
    inference.require_count(formula_arity<D>);
    constexpr CompiledFor types = compiled_for<D>();
    constexpr bool both = types == CompiledFor::numbers_and_booleans;
    infer_elementwise(
        inference, recording_of<D>(),
        {both || types == CompiledFor::numbers, both || types == CompiledFor::booleans});
  }
  Kernel kernel(const KernelRequest& request) const override {
    const DType dtype =
        mask_inputs_of<D> < formula_arity<D> ? request.in[mask_inputs_of<D>].dtype : DType::boolean;
    if (is_floating(dtype)) return elementwise_kernel(recording_of<D>(), request);
    return loop_kernel(small_kernel<D, compiled_for<D>()>(dtype), request);
  }
};

// Linear in some operands given the others, with a formula and a transpose: where.
template <class D>
class SelectingOp : public CompiledOp<D, FormulaOp<D, Kind::linear>> {
 public:
  MaybeVar transpose(const NodeView& node, std::size_t i,
                     std::span<const MaybeVar> cotangents) const override {
    return cotangents[0] ? MaybeVar(D::transpose(node, i, *cotangents[0])) : std::nullopt;
  }
};

template <class D>
class BuiltinElementwise : public Callable<CompiledOp<D, ElementwiseOp<D>>> {
  static_assert(sizeof(Elementwise<D>) > 0);  // its checks; NOLINT(bugprone-sizeof-expression)
};
template <class D>
class BuiltinZeroDerivative : public Callable<CompiledOp<D, FormulaOp<D, Kind::zero_derivative>>> {
  static_assert(sizeof(ZeroDerivative<D>) > 0);  // NOLINT(bugprone-sizeof-expression)
};
template <class D>
class BuiltinSelecting : public Callable<SelectingOp<D>> {};

}  // namespace dualtape::detail
