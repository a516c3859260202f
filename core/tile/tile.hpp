// Runs elementwise code over contiguous spans, tile by tile, with the library's own SIMD kernels.
// Private, without SIMD headers. A TileProgram is made once, when a program is planned, and is then
// read-only: any number of threads may run it, each with a workspace of its own.
//
// The kernels are the functions of Lane, so the result has the same bits as the formula compiled
// over lanes (compiled.hpp), and fused operators the same bits as one after the other.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <dualtape/core/dtype.hpp>
#include <dualtape/core/formula.hpp>
#include <dualtape/core/machine/isa.hpp>
#include <dualtape/core/machine/kernel.hpp>

namespace dualtape::detail {

// One primitive over a tile: out[i] = prim(operands[0][i], ...). Masks in tiles are numbers, 0
// or 1. A fixed operand points to its one value.
using TileKernel = void (*)(const void* const* operands, void* out, std::size_t n);

// A Recording, or several in one: straight-line code with any number of results.
struct TileCode {
  std::vector<Recording::Step> steps;
  std::vector<std::uint16_t> outputs;  // steps
  std::vector<InputKind> kinds;        // of the inputs
  std::vector<bool> single;            // number inputs that are one value for all elements
};
TileCode tile_code(const Recording& recording);

class TileProgram {
 public:
  // `dtype`, float32 or float64, is that of the number inputs and results; TypeError for others.
  TileProgram(const TileCode& code, DType dtype);

  std::size_t workspace_bytes() const;
  std::size_t registers() const { return registers_; }  // tiles in use at once
  std::size_t instructions() const { return code_.size(); }

  // out[o][i] = code(in[0][i], ...) for i < n, booleans being bytes; allocates nothing. `workspace`
  // holds workspace_bytes(), aligned to 64 bytes. An output may be exactly one of the inputs where
  // may_overwrite() says so; other overlaps are not allowed.
  void run(const void* const* in, void* const* out, std::size_t n, void* workspace) const {
    run(in, out, n, workspace, n);
  }
  // The same for a range of arrays that have `all` elements; `ahead` elements are about to follow.
  void run(const void* const* in, void* const* out, std::size_t n, void* workspace, std::size_t all,
           std::size_t ahead = 0) const;

  // Whether output `o` may lie in the memory of input `i`: nobody reads that after it is written.
  bool may_overwrite(std::size_t i, std::size_t o) const { return last_read_[i] <= written_[o]; }

  // A kernel for ElementwiseLoop. Both arguments' objects must outlive it.
  struct Run {
    const TileProgram* program;
    void* workspace;
    std::size_t all;  // elements of the whole loop
  };
  static BoundKernel bind(Run& run);

 private:
  // What an instruction reads and writes is found in one table of addresses: the inputs, the
  // outputs, the fixed values, the tiles.
  using Slot = std::uint16_t;
  struct Instruction {
    TileKernel kernel = nullptr;
    std::array<Slot, 3> operands{};
    std::uint8_t arity = 0;
    Slot result = 0;
  };
  class Compiler;

  void run_alone(const void* const* in, void* const* out, std::size_t n) const;
  void run_block(char* const* slots, std::size_t n) const;
  void run_streaming(void* const* out, std::size_t n, char** slots, char* tiles) const;
  bool streams(const void* const* in, void* const* out, std::size_t n, std::size_t all) const;
  void fetch_next(char* const* slots, std::size_t n) const;
  void advance(char** slots, std::size_t n) const;
  void run_tail(const void* const* in, void* const* out, std::size_t first, std::size_t n,
                char** slots, char* pads) const;

  DType dtype_ = DType::float32;
  std::vector<std::size_t> in_elements_;   // bytes; 0 for a single value
  std::vector<std::size_t> out_elements_;  // bytes; 1 for masks
  std::vector<Instruction> code_;
  std::vector<double> fixed_;  // constants; in place they are T
  std::vector<float> fixed_single_;
  std::vector<std::size_t> last_read_;  // of each input: an instruction
  std::vector<std::size_t> written_;    // each output: by which instruction
  std::uint16_t registers_ = 0;
  bool alone_ = false;          // one primitive of inputs and constants, whose kernel takes any n
  std::size_t width_ = 0;       // elements of a lane
  std::size_t tile_ = 0;        // elements of a tile
  std::size_t tile_bytes_ = 0;  // from one tile to the next
};

// The kernels of core/tile/tile_kernels.cpp, for each instruction set it is compiled for.
struct TileKernels {
  // `fixed` has bit k set where operand k is one value; at least one operand is not fixed.
  TileKernel (*kernel)(Prim prim, bool mask, unsigned fixed, DType dtype);
  TileKernel (*copy)(DType dtype);         // numbers to numbers
  TileKernel (*fill)(DType dtype);         // a fixed number to numbers
  TileKernel (*widen)(DType dtype);        // bytes to a tile's mask
  TileKernel (*narrow)(DType dtype);       // a tile's mask to bytes
  std::size_t (*lane_width)(DType dtype);  // elements the kernels handle at once
  // Copies past the caches; both are aligned to 64 bytes, of which `bytes` is a multiple.
  void (*stream)(const char* from, char* to, std::size_t bytes);
  void (*end_stream)();  // after the last of them, before others may look
};
const TileKernels& tile_kernels(IsaTag<Isa::baseline>);
const TileKernels& tile_kernels(IsaTag<Isa::avx2>);
const TileKernels& tile_kernels(IsaTag<Isa::avx512>);

// Two primitives in one loop, of core/tile/pair_kernels.cpp: operand 0 is x, operands 1 and 2 are
// the other operands of the first and the second, or anything where they take none. `n` is a
// multiple of the lane width.
struct PairForm {
  enum class Operand : std::uint8_t { none, fixed, tile };
  Prim prim;
  Operand operand = Operand::none;
  bool reversed = false;  // the running value is the second operand
  friend constexpr bool operator==(const PairForm&, const PairForm&) = default;
};
inline constexpr std::array<PairForm, 12> pair_forms{{
    {Prim::neg},
    {Prim::abs},
    {Prim::add, PairForm::Operand::fixed},
    {Prim::add, PairForm::Operand::tile},
    {Prim::sub, PairForm::Operand::fixed},
    {Prim::sub, PairForm::Operand::fixed, true},
    {Prim::sub, PairForm::Operand::tile},
    {Prim::sub, PairForm::Operand::tile, true},
    {Prim::mul, PairForm::Operand::fixed},
    {Prim::mul, PairForm::Operand::tile},
    {Prim::minimum, PairForm::Operand::fixed},
    {Prim::maximum, PairForm::Operand::fixed},
}};
using PairKernel = TileKernel (*)(std::size_t first, std::size_t second, DType dtype);
PairKernel pair_kernel(IsaTag<Isa::baseline>);
PairKernel pair_kernel(IsaTag<Isa::avx2>);
PairKernel pair_kernel(IsaTag<Isa::avx512>);
inline TileKernel pair_kernel(std::size_t first, std::size_t second, DType dtype) {
  return for_isa(isa(), [](auto tag) { return pair_kernel(tag); })(first, second, dtype);
}

// Those for the instruction set in use.
inline const TileKernels& tile_kernels() {
  return *for_isa(isa(), [](auto tag) { return &tile_kernels(tag); });
}
inline TileKernel tile_kernel(Prim prim, bool mask, unsigned fixed, DType dtype) {
  return tile_kernels().kernel(prim, mask, fixed, dtype);
}
inline TileKernel tile_copy(DType dtype) { return tile_kernels().copy(dtype); }
inline TileKernel tile_fill(DType dtype) { return tile_kernels().fill(dtype); }
inline TileKernel tile_widen(DType dtype) { return tile_kernels().widen(dtype); }
inline TileKernel tile_narrow(DType dtype) { return tile_kernels().narrow(dtype); }
inline std::size_t tile_lane_width(DType dtype) { return tile_kernels().lane_width(dtype); }

}  // namespace dualtape::detail
