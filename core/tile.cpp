#include <dualtape/core/detail/tile.hpp>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <optional>

#include <dualtape/core/error.hpp>

namespace dualtape::detail {
namespace {

constexpr std::size_t tile_bytes = 4096;             // 1024 floats: several tiles stay in L1
constexpr std::size_t tile_step = tile_bytes + 128;  // tiles 4 KiB apart would alias in the cache

std::array<std::uint16_t, 3> operands_of(const Recording::Step& step) {
  return {step.a, step.b, step.c};
}

}  // namespace

// Turns steps into instructions: folds constants, gives each value a tile and takes it back after
// its last use.
class TileProgram::Compiler {
 public:
  Compiler(TileProgram& program, const Recording& recording)
      : program_(program), steps_(recording.steps), places_(steps_.size()), uses_(steps_.size()) {}

  void compile() {
    count_uses();
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      const Recording::Step& step = steps_[i];
      if (step.prim == Prim::constant) {
        places_[i] = fix(step.constant);
      } else if (step.prim == Prim::input) {
        places_[i] = step.mask ? widened(i) : Operand{Place::input, step.a};
      } else {
        emit(i);
      }
    }
    deliver();
  }

 private:
  bool last(std::size_t i) const { return i + 1 == steps_.size(); }

  void count_uses() {
    for (const Recording::Step& step : steps_) {
      const auto operands = operands_of(step);
      for (std::size_t k = 0; k < operand_count(step.prim); ++k) ++uses_[operands[k]];
    }
  }

  Operand fix(double value) {
    program_.fixed_.push_back(value);
    program_.fixed_single_.push_back(static_cast<float>(value));
    return {Place::fixed, static_cast<std::uint16_t>(program_.fixed_.size() - 1)};
  }

  Operand take_tile() {
    if (!free_.empty()) {
      const std::uint16_t tile = free_.back();
      free_.pop_back();
      return {Place::tile, tile};
    }
    return {Place::tile, program_.registers_++};
  }

  void release(std::size_t value) {
    if (--uses_[value] == 0 && places_[value].place == Place::tile) {
      free_.push_back(places_[value].index);
    }
  }

  void push(TileKernel kernel, std::initializer_list<Operand> operands, Operand result) {
    Instruction instruction;
    instruction.kernel = kernel;
    std::copy(operands.begin(), operands.end(), instruction.operands.begin());
    instruction.arity = static_cast<std::uint8_t>(operands.size());
    instruction.result = result;
    program_.code_.push_back(instruction);
  }

  Operand widened(std::size_t i) {
    const Operand tile = take_tile();
    push(tile_widen(program_.dtype_), {{Place::input, steps_[i].a}}, tile);
    return tile;
  }

  void emit(std::size_t i) {
    const Recording::Step& step = steps_[i];
    const std::size_t arity = operand_count(step.prim);
    const auto from = operands_of(step);
    std::array<Operand, 3> operands;
    unsigned fixed = 0;
    for (std::size_t k = 0; k < arity; ++k) {
      operands[k] = places_[from[k]];
      if (operands[k].place == Place::fixed) fixed |= 1U << k;
    }
    if (fixed == (1U << arity) - 1U) {
      places_[i] = fold(step, operands, arity);
      return;
    }
    for (std::size_t k = 0; k < arity; ++k) release(from[k]);
    // Kernels may write over an operand, so a tile released here may be the result's.
    places_[i] = last(i) && !step.mask ? Operand{Place::output, 0} : take_tile();
    Instruction instruction;
    instruction.kernel = tile_kernel(step.prim, step.mask, fixed, program_.dtype_);
    instruction.operands = operands;
    instruction.arity = static_cast<std::uint8_t>(arity);
    instruction.result = places_[i];
    program_.code_.push_back(instruction);
  }

  // The step's value, by the same kernel that would have computed it for every element.
  Operand fold(const Recording::Step& step, const std::array<Operand, 3>& operands,
               std::size_t arity) {
    const auto evaluate = [&]<class T>() {
      std::array<T, 3> values{};
      std::array<const void*, 3> pointers{};
      for (std::size_t k = 0; k < arity; ++k) {
        values[k] = static_cast<T>(program_.fixed_[operands[k].index]);
        pointers[k] = &values[k];
      }
      T result = 0;
      tile_kernel(step.prim, step.mask, 0, program_.dtype_)(pointers.data(), &result, 1);
      return static_cast<double>(result);
    };
    return fix(program_.dtype_ == DType::float64 ? evaluate.template operator()<double>()
                                                 : evaluate.template operator()<float>());
  }

  // Brings the last value to the output unless it is there already.
  void deliver() {
    const Operand result = places_.back();
    const DType dtype = program_.dtype_;
    const Operand output{Place::output, 0};
    if (result.place == Place::output) return;
    if (!steps_.back().mask) {
      push(result.place == Place::fixed ? tile_fill(dtype) : tile_copy(dtype), {result}, output);
      return;
    }
    Operand mask = result;
    if (mask.place == Place::fixed) {
      mask = take_tile();
      push(tile_fill(dtype), {result}, mask);
    }
    push(tile_narrow(dtype), {mask}, output);
  }

  TileProgram& program_;
  const std::vector<Recording::Step>& steps_;
  std::vector<Operand> places_;
  std::vector<std::size_t> uses_;
  std::vector<std::uint16_t> free_;
};

TileProgram::TileProgram(const Recording& recording, DType dtype)
    : dtype_(dtype), element_(size_of(dtype)), out_element_(recording.mask_result ? 1 : element_) {
  if (!is_floating(dtype)) {
    fail<TypeError>({.op = "formula",
                     .what = "recorded formulas run on float32 and float64, not on " +
                             std::string(name_of(dtype)),
                     .help = "cast the inputs to a floating dtype first"});
  }
  assert(!recording.steps.empty());
  for (const InputKind kind : recording.kinds) {
    input_elements_.push_back(kind == InputKind::mask ? 1 : element_);
  }
  Compiler(*this, recording).compile();
}

std::size_t TileProgram::workspace_bytes() const { return registers_ * tile_step; }

const void* TileProgram::source(Operand operand, const void* const* in, std::size_t first,
                                char* workspace) const {
  switch (operand.place) {
    case Place::input:
      return static_cast<const char*>(in[operand.index]) + first * input_elements_[operand.index];
    case Place::fixed:
      return dtype_ == DType::float64 ? static_cast<const void*>(&fixed_[operand.index])
                                      : &fixed_single_[operand.index];
    default: return workspace + operand.index * tile_step;
  }
}

void TileProgram::run(const void* const* in, void* out, std::size_t n, void* workspace) const {
  auto* const space = static_cast<char*>(workspace);
  // Without tiles there is nothing to keep in cache: one call does it all.
  const std::size_t stretch = registers_ == 0 ? n : tile_bytes / element_;
  for (std::size_t first = 0; first < n; first += stretch) {
    const std::size_t count = std::min(stretch, n - first);
    for (const Instruction& instruction : code_) {
      std::array<const void*, 3> operands{};
      for (std::size_t k = 0; k < instruction.arity; ++k) {
        operands[k] = source(instruction.operands[k], in, first, space);
      }
      void* const result = instruction.result.place == Place::output
                               ? static_cast<char*>(out) + first * out_element_
                               : space + instruction.result.index * tile_step;
      instruction.kernel(operands.data(), result, count);
    }
  }
}

BoundKernel TileProgram::bind(Run& run) {
  return {[](void* context, const void* const* in, void* out, std::size_t n) {
            const Run& bound = *static_cast<Run*>(context);
            bound.program->run(in, out, n, bound.workspace);
          },
          &run};
}

std::size_t tile_workspace_bytes(const Recording& recording, DType dtype) {
  return TileProgram(recording, dtype).workspace_bytes();
}

}  // namespace dualtape::detail
