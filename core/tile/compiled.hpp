// Span kernels compiled from the formula of a built-in operator's descriptor.
// Private: includes xsimd; instantiate in .cpp files of the library only. Any thread.
//
// Built-in operators over floats run on the tile kernels, which are compiled for each instruction
// set (tile.hpp): kernels compiled from whole formulas would have to be, too, and give the same
// bits. What is compiled from the formula are the kernels over integers and booleans.
//
// A descriptor D has `static auto formula(auto...)`. Where its first inputs are truth values it
// says how many: `static constexpr std::size_t mask_inputs = 1;`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <dualtape/core/dtype.hpp>
#include <dualtape/core/formula.hpp>
#include <dualtape/core/machine/int_lane.hpp>
#include <dualtape/core/machine/kernel.hpp>
#include <dualtape/core/machine/span_map.hpp>

namespace dualtape::detail {

// Which dtypes a formula is compiled for. `numbers` adds the integers, whose lanes have only
// arithmetic, comparisons, abs, minimum, maximum, select; `booleans` is for formulas over masks.
enum class CompiledFor : std::uint8_t { floats, numbers, booleans, numbers_and_booleans };

template <class D, class Memory, std::size_t I, class T>
auto compiled_operand(const void* from) {
  if constexpr (I < mask_inputs_of<D> || std::same_as<T, bool>) {
    return ByteSpan<Memory>{static_cast<const std::uint8_t*>(from)};
  } else {
    return NumberSpan<Memory, T>{static_cast<const T*>(from)};
  }
}

template <class D, class T, unsigned Arch, std::size_t... I>
void run_compiled(const void* const* in, void* out, std::size_t n, std::index_sequence<I...>) {
  using Memory = LaneMemory<T, Arch>;
  const auto f = [](const auto&... x) { return D::formula(x...); };
  using Result = decltype(f(compiled_operand<D, Memory, I, T>(nullptr).at(0)...));
  if constexpr (std::same_as<Result, typename Memory::Mask>) {
    span_map<Memory::width, ByteOut<Memory>>(f, static_cast<std::uint8_t*>(out), n,
                                             compiled_operand<D, Memory, I, T>(in[I])...);
  } else {
    const auto g = [f](const auto&... x) { return typename Memory::Number(f(x...)); };
    span_map<Memory::width, NumberOut<Memory, T>>(g, static_cast<T*>(out), n,
                                                  compiled_operand<D, Memory, I, T>(in[I])...);
  }
}

template <class D, class T, unsigned Arch = lane_arch>
void compiled_span(const void* const* in, void* out, std::size_t n) {
  run_compiled<D, T, Arch>(in, out, n, std::make_index_sequence<formula_arity<D>>{});
}

// The kernel of D::formula for integer inputs of `dtype`, or boolean ones: all inputs are masks,
// which come and go as bytes. nullptr where it is not compiled for that dtype.
template <class D, CompiledFor For>
SpanKernel small_kernel(DType dtype) {
  constexpr bool numbers = For == CompiledFor::numbers || For == CompiledFor::numbers_and_booleans;
  constexpr bool booleans =
      For == CompiledFor::booleans || For == CompiledFor::numbers_and_booleans;
  if constexpr (numbers) {
    if (dtype == DType::int32) return &compiled_span<D, std::int32_t>;
    if (dtype == DType::int64) return &compiled_span<D, std::int64_t>;
  }
  if constexpr (booleans) {
    if (dtype == DType::boolean) return &compiled_span<D, bool>;
  }
  return nullptr;
}

// The same for float32 and float64 inputs; masks come and go as bytes.
template <class D>
SpanKernel compiled_kernel(DType dtype) {
  if (dtype == DType::float32) return &compiled_span<D, float>;
  if (dtype == DType::float64) return &compiled_span<D, double>;
  return nullptr;
}

}  // namespace dualtape::detail
