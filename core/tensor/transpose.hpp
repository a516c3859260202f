// Rows of a matrix to columns: the one loop under transposes and changes of layout.
// Private, without SIMD headers. Pure functions; any thread.
#pragma once

#include <cstdint>

#include <dualtape/core/machine/isa.hpp>

namespace dualtape::detail {

// For elements of one size; in core/tensor/transpose_kernels.cpp.
// out[i * out_stride + j] = in[i + j * in_stride] for i < rows and j < columns. Strides count
// elements; the memories must not overlap.
template <class T>
using Transpose = void (*)(const T* in, std::int64_t in_stride, T* out, std::int64_t out_stride,
                           std::int64_t rows, std::int64_t columns);
struct TransposeKernels {
  Transpose<std::uint8_t> bytes1;
  Transpose<std::uint32_t> bytes4;
  Transpose<std::uint64_t> bytes8;
};
const TransposeKernels& transpose_kernels(IsaTag<Isa::baseline>);
const TransposeKernels& transpose_kernels(IsaTag<Isa::avx2>);
const TransposeKernels& transpose_kernels(IsaTag<Isa::avx512>);

// By the kernels for the instruction set in use; T is anything of 1, 4 or 8 bytes.
template <class T>
void transpose(const T* in, std::int64_t in_stride, T* out, std::int64_t out_stride,
               std::int64_t rows, std::int64_t columns) {
  const TransposeKernels& kernels =
      *for_isa(isa(), [](auto tag) { return &transpose_kernels(tag); });
  const auto run = [&]<class Bits>(Transpose<Bits> kernel) {
    kernel(reinterpret_cast<const Bits*>(in), in_stride, reinterpret_cast<Bits*>(out), out_stride,
           rows, columns);
  };
  if constexpr (sizeof(T) == 1)
    run(kernels.bytes1);
  else if constexpr (sizeof(T) == 4)
    run(kernels.bytes4);
  else
    run(kernels.bytes8);
}

}  // namespace dualtape::detail
