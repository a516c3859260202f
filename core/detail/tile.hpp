// Runs a Recording over contiguous spans, tile by tile, with the library's own SIMD kernels.
// Private, without SIMD headers. A TileProgram is made once, when a program is planned, and is then
// read-only: any number of threads may run it, each with a workspace of its own.
//
// The kernels are the functions of Lane, so the result has the same bits as the formula compiled
// over lanes (compiled.hpp).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <dualtape/core/detail/kernel.hpp>
#include <dualtape/core/dtype.hpp>
#include <dualtape/core/formula.hpp>

namespace dualtape::detail {

// One primitive over a tile: out[i] = prim(operands[0][i], ...). Masks in tiles are numbers, 0
// or 1. A fixed operand points to its one value.
using TileKernel = void (*)(const void* const* operands, void* out, std::size_t n);

class TileProgram {
 public:
  // `dtype`, float32 or float64, is that of the number inputs and of a number result; TypeError for
  // others.
  TileProgram(const Recording& recording, DType dtype);

  std::size_t workspace_bytes() const;
  std::size_t registers() const { return registers_; }  // tiles in use at once

  // As SpanKernel; allocates nothing. `workspace` holds workspace_bytes(), aligned to 64 bytes.
  void run(const void* const* in, void* out, std::size_t n, void* workspace) const;

  // A kernel for ElementwiseLoop. Both arguments' objects must outlive it.
  struct Run {
    const TileProgram* program;
    void* workspace;
  };
  static BoundKernel bind(Run& run);

 private:
  enum class Place : std::uint8_t { input, tile, fixed, output };
  struct Operand {
    Place place = Place::tile;
    std::uint16_t index = 0;
  };
  struct Instruction {
    TileKernel kernel = nullptr;
    std::array<Operand, 3> operands;
    std::uint8_t arity = 0;
    Operand result;
  };
  class Compiler;

  const void* source(Operand operand, const void* const* in, std::size_t first,
                     char* workspace) const;

  DType dtype_ = DType::float32;
  std::size_t element_ = sizeof(float);      // bytes
  std::size_t out_element_ = sizeof(float);  // 1 for masks
  std::vector<std::size_t> input_elements_;  // bytes
  std::vector<Instruction> code_;
  std::vector<double> fixed_;  // constants; in place they are T
  std::vector<float> fixed_single_;
  std::uint16_t registers_ = 0;
};

// What a TileProgram of this recording needs to run.
std::size_t tile_workspace_bytes(const Recording& recording, DType dtype);

// The kernels, built for one instruction set in core/tile_kernels.cpp. `fixed` has bit k set where
// operand k is one value; at least one operand is not fixed.
TileKernel tile_kernel(Prim prim, bool mask, unsigned fixed, DType dtype);
TileKernel tile_copy(DType dtype);    // numbers to numbers
TileKernel tile_fill(DType dtype);    // a fixed number to numbers
TileKernel tile_widen(DType dtype);   // bytes to a tile's mask
TileKernel tile_narrow(DType dtype);  // a tile's mask to bytes

}  // namespace dualtape::detail
