// Runs a contiguous span kernel over operands that broadcast.
// Private, without SIMD headers. An ElementwiseLoop is made once, when a program is planned, and is
// then read-only: any number of threads may run it, each with a workspace of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <dualtape/core/machine/kernel.hpp>
#include <dualtape/core/shape.hpp>

namespace dualtape::detail {

class ElementwiseLoop {
 public:
  // Every input shape must broadcast to the outputs', which is one for all (NumPy's rules); that
  // was checked when the node was made, so here it is asserted.
  ElementwiseLoop(std::span<const Type> inputs, std::span<const Type> outputs);

  std::size_t workspace_bytes() const { return workspace_bytes_; }

  // Calls `kernel` on stretches that cover the outputs once. Allocates nothing. `workspace` holds
  // workspace_bytes() and is aligned to 64 bytes. An output may be an input of the same type and
  // shape, if the kernel can bear it.
  void run(const void* const* in, void* const* out, void* workspace, BoundKernel kernel) const {
    run(in, out, workspace, kernel, 0, count());
  }
  // The same for elements first ... last - 1 of the outputs, best from a multiple of unit() on.
  // Distinct ranges may run at the same time, with a workspace each.
  void run(const void* const* in, void* const* out, void* workspace, BoundKernel kernel,
           std::size_t first, std::size_t last) const;
  std::size_t count() const { return static_cast<std::size_t>(count_); }
  std::size_t unit() const;
  // Whether run() would call the kernel once with the pointers it is given, for so few elements
  // that it would cost more than they do: then it may be left out.
  bool is_direct() const { return !tiled_ && !by_rows_ && count_ > 0 && count_ <= 1024; }

 private:
  // How one input reaches the kernel.
  enum class Feed : std::uint8_t {
    pass,      // contiguous like the output: a pointer into it
    row,       // its innermost axis is contiguous: a pointer to the row
    once,      // the same tile for every stretch: written once a run
    per_row,   // one value a row: a tile filled anew for each row
    gathered,  // anything else: copied into a tile, stretch by stretch
  };
  struct Operand {
    Feed feed = Feed::pass;
    std::size_t element = 0;            // bytes
    std::size_t tile = 0;               // offset of its tile in the workspace, if it has one
    std::vector<std::int64_t> strides;  // in elements, per collapsed axis; 0 where it broadcasts
  };
  struct Run;

  void collapse(std::span<const Type> inputs, const Shape& shape);
  void choose_feeds();
  void place_tiles();
  bool passes(const Operand& operand) const;

  void run_flat(Run& run, std::int64_t first, std::int64_t last) const;
  void run_rows(Run& run, std::int64_t first, std::int64_t last) const;
  void run_gathering(Run& run, std::int64_t first, std::int64_t last) const;
  void call(Run& run, std::int64_t first, std::int64_t n) const;
  const char* rows_of(const Operand& operand, std::size_t k, Run& run, std::int64_t first,
                      std::int64_t rows) const;
  void gather(const Operand& operand, const void* from, char* to, std::int64_t* index,
              std::int64_t first, std::int64_t rows) const;
  void start_at(std::int64_t row, std::int64_t* index) const;
  void next_row(std::int64_t* index) const;
  std::int64_t offset(const Operand& operand, const std::int64_t* index) const;

  std::vector<Operand> operands_;
  std::vector<std::int64_t> sizes_;  // collapsed axes of the output, at least one unless empty
  std::int64_t count_ = 0;
  std::int64_t inner_ = 1;                 // size of the innermost collapsed axis
  std::int64_t stretch_ = 0;               // most elements in one call where a tile is involved
  std::vector<std::size_t> out_elements_;  // bytes
  std::size_t workspace_bytes_ = 0;
  bool by_rows_ = false;
  bool tiled_ = false;
};

}  // namespace dualtape::detail
