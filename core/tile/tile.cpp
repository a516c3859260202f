#include <dualtape/core/tile/tile.hpp>

#include <algorithm>
#include <cassert>
#include <numeric>

#include <dualtape/core/error.hpp>

namespace dualtape::detail {
namespace {

constexpr std::size_t most_tile_bytes = 4096;      // 1024 floats: several tiles stay in L1
constexpr std::size_t least_tile_bytes = 512;      // below that the calls cost more than the work
constexpr std::size_t all_tiles_bytes = 1 << 16;   // long programs stay in L2
constexpr std::size_t between_tiles = 128;         // tiles 4 KiB apart would alias in the cache
constexpr std::size_t few = 1024;                  // elements
constexpr std::size_t pad_bytes = 64;              // a lane
constexpr std::size_t fetched_from = 1 << 14;      // elements still to come
constexpr std::size_t streamed_from = 1 << 24;     // bytes
constexpr std::size_t streamed_at_once = 1 << 16;  // elements

std::array<std::uint16_t, 3> operands_of(const Recording::Step& step) {
  return {step.a, step.b, step.c};
}

// `n` elements, then the first of them until there are `width`.
template <class T>
void pad_as(char* to, const char* from, std::size_t n, std::size_t width) {
  const T* const source = reinterpret_cast<const T*>(from);
  T* const target = reinterpret_cast<T*>(to);
  for (std::size_t k = 0; k < width; ++k) target[k] = source[k < n ? k : 0];
}
void pad(char* to, const char* from, std::size_t n, std::size_t width, std::size_t element) {
  switch (element) {
    case 1: return pad_as<std::uint8_t>(to, from, n, width);
    case 4: return pad_as<std::uint32_t>(to, from, n, width);
    default: return pad_as<std::uint64_t>(to, from, n, width);
  }
}
template <class T>
void copy_as(char* to, const char* from, std::size_t n) {
  for (std::size_t k = 0; k < n; ++k)
    reinterpret_cast<T*>(to)[k] = reinterpret_cast<const T*>(from)[k];
}
// So few that calling memcpy would cost more.
void copy_few(char* to, const char* from, std::size_t n, std::size_t element) {
  switch (element) {
    case 1: return copy_as<std::uint8_t>(to, from, n);
    case 4: return copy_as<std::uint32_t>(to, from, n);
    default: return copy_as<std::uint64_t>(to, from, n);
  }
}

}  // namespace

TileCode tile_code(const Recording& recording) {
  TileCode code;
  code.steps = recording.steps;
  code.outputs = {static_cast<std::uint16_t>(recording.steps.size() - 1)};
  code.kinds = recording.kinds;
  code.single.resize(recording.kinds.size());
  return code;
}

// Turns steps into instructions: folds constants, gives each value a tile and takes it back after
// its last use, and computes results where they belong.
class TileProgram::Compiler {
 public:
  Compiler(TileProgram& program, const TileCode& code)
      : program_(program),
        code_(code),
        steps_(code.steps),
        places_(steps_.size()),
        uses_(steps_.size()),
        same_tile_(steps_.size()) {
    std::iota(same_tile_.begin(), same_tile_.end(), std::size_t{0});
  }

  void compile() {
    program_.last_read_.resize(code_.kinds.size());
    program_.written_.resize(code_.outputs.size());
    count_uses();
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      const Recording::Step& step = steps_[i];
      if (step.prim == Prim::constant)
        places_[i] = fix(step.constant);
      else if (step.prim == Prim::input)
        places_[i] = step.mask ? widened(i) : Place{Kind::input, step.a};
      else
        emit(i);
      deliver(i);
    }
    program_.alone_ = drafts_.size() == 1 && drafts_[0].prim != Prim::constant &&
                      code_.outputs.size() == 1 && program_.registers_ == 0;
    join_pairs();
    resolve();
  }

 private:
  enum class Kind : std::uint8_t { input, output, fixed, tile };
  struct Place {
    Kind kind = Kind::tile;
    std::uint16_t index = 0;
    friend bool operator==(const Place&, const Place&) = default;
  };
  struct Draft {
    TileKernel kernel = nullptr;
    std::vector<Place> operands;
    Place result;
    Prim prim = Prim::constant;  // the primitive, if it is one on numbers
    bool passed_on = false;      // one later step alone reads the result
  };
  static constexpr std::size_t no_form = pair_forms.size();

  bool is_single(Place place) const {
    return place.kind == Kind::fixed || (place.kind == Kind::input && code_.single[place.index]);
  }

  void count_uses() {
    for (const Recording::Step& step : steps_) {
      const auto operands = operands_of(step);
      for (std::size_t k = 0; k < operand_count(step.prim); ++k) ++uses_[operands[k]];
    }
    for (const std::uint16_t output : code_.outputs) ++uses_[output];
  }

  Place fix(double value) {
    program_.fixed_.push_back(value);
    program_.fixed_single_.push_back(static_cast<float>(value));
    return {Kind::fixed, static_cast<std::uint16_t>(program_.fixed_.size() - 1)};
  }

  Place take_tile() {
    if (!free_.empty()) {
      const std::uint16_t tile = free_.back();
      free_.pop_back();
      return {Kind::tile, tile};
    }
    return {Kind::tile, program_.registers_++};
  }

  void release(std::size_t value) {
    value = same_tile_[value];
    if (--uses_[value] == 0 && places_[value].kind == Kind::tile)
      free_.push_back(places_[value].index);
  }

  void push(TileKernel kernel, std::vector<Place> operands, Place result) {
    for (const Place& operand : operands)
      if (operand.kind == Kind::input) program_.last_read_[operand.index] = drafts_.size();
    drafts_.push_back({kernel, std::move(operands), result});
  }

  Place widened(std::size_t i) {
    const Place tile = take_tile();
    push(tile_widen(program_.dtype_), {{Kind::input, steps_[i].a}}, tile);
    return tile;
  }

  void emit(std::size_t i) {
    const Recording::Step& step = steps_[i];
    const std::size_t arity = operand_count(step.prim);
    const auto from = operands_of(step);
    std::vector<Place> operands;
    bool constant = true;
    bool all_single = true;
    for (std::size_t k = 0; k < arity; ++k) {
      operands.push_back(places_[from[k]]);
      constant = constant && operands[k].kind == Kind::fixed;
      all_single = all_single && is_single(operands[k]);
    }
    if (constant) {
      places_[i] = fold(step, operands);
      return;
    }
    if (step.prim == Prim::select && !step.mask && is_fixed(operands[1], 1) &&
        is_fixed(operands[2], 0))
      return share_tile(i, step.a);
    Place spread;  // kernels want one operand that is no single value
    if (all_single) {
      spread = take_tile();
      push(tile_fill(program_.dtype_), {operands[0]}, spread);
      std::ranges::replace(operands, Place(operands[0]), spread);
    }
    unsigned fixed = 0;
    for (std::size_t k = 0; k < arity; ++k)
      if (is_single(operands[k])) fixed |= 1U << k;
    for (std::size_t k = 0; k < arity; ++k) release(from[k]);
    if (all_single) free_.push_back(spread.index);
    // Kernels may write over an operand, so a tile released here may be the result's.
    places_[i] = direct_output(i);
    push(tile_kernel(step.prim, step.mask, fixed, program_.dtype_), std::move(operands),
         places_[i]);
    drafts_.back().prim = step.mask ? Prim::constant : step.prim;
    drafts_.back().passed_on = uses_[i] == 1 && places_[i].kind == Kind::tile;
  }

  // The form of a draft whose operand `x` is the running value.
  std::size_t form_of(const Draft& draft, std::size_t x) const {
    PairForm form{draft.prim};
    if (draft.operands.size() == 2) {
      const bool fixed = is_single(draft.operands[1 - x]);
      form.operand = fixed ? PairForm::Operand::fixed : PairForm::Operand::tile;
      form.reversed = x == 1 && draft.prim == Prim::sub;
      // Which zero min and max give depends on the order; sums and products do not.
      if (x == 1 && (draft.prim == Prim::minimum || draft.prim == Prim::maximum)) return no_form;
    }
    const auto found = std::ranges::find(pair_forms, form);
    return static_cast<std::size_t>(found - pair_forms.begin());
  }

  // Where one cheap primitive feeds the next and nobody else, both run in one loop.
  void join_pairs() {
    std::vector<Draft> joined;
    std::vector<std::size_t> place(drafts_.size());
    for (std::size_t d = 0; d < drafts_.size(); ++d) {
      if (d + 1 < drafts_.size() && join(drafts_[d], drafts_[d + 1])) {
        place[d] = joined.size();
        ++d;
      }
      place[d] = joined.size();
      joined.push_back(std::move(drafts_[d]));
    }
    drafts_ = std::move(joined);
    for (std::size_t& d : program_.last_read_) d = place.empty() ? 0 : place[d];
    for (std::size_t& d : program_.written_) d = place[d];
  }

  // Makes `second` do the work of both if it can.
  bool join(const Draft& first, Draft& second) const {
    if (!first.passed_on || first.prim == Prim::constant || second.prim == Prim::constant)
      return false;
    const auto read = std::ranges::count(second.operands, first.result);
    if (read != 1 || first.operands.size() > 2 || second.operands.size() > 2) return false;
    const std::size_t x = is_single(first.operands[0]) ? 1 : 0;
    const std::size_t y = second.operands[0] == first.result ? 0 : 1;
    const std::size_t one = form_of(first, x);
    const std::size_t two = form_of(second, y);
    if (one == no_form || two == no_form) return false;
    const Place value = first.operands[x];
    const auto other = [&](const Draft& draft, std::size_t running) {
      return draft.operands.size() == 2 ? draft.operands[1 - running] : value;
    };
    second.operands = {value, other(first, x), other(second, y)};
    second.kernel = pair_kernel(one, two, program_.dtype_);
    return true;
  }

  bool is_fixed(Place place, double value) const {
    return place.kind == Kind::fixed && program_.fixed_[place.index] == value;
  }
  // A mask as numbers is what its tile holds.
  void share_tile(std::size_t i, std::uint16_t mask) {
    places_[i] = places_[mask];
    same_tile_[i] = same_tile_[mask];
    uses_[same_tile_[mask]] += uses_[i];
    release(mask);
  }

  // Where a number is a result it is computed there; everything else gets a tile.
  Place direct_output(std::size_t i) {
    const auto output = std::ranges::find(code_.outputs, i);
    if (steps_[i].mask || output == code_.outputs.end()) return take_tile();
    return {Kind::output, static_cast<std::uint16_t>(output - code_.outputs.begin())};
  }

  // The step's value, by the same kernel that would have computed it for every element.
  Place fold(const Recording::Step& step, const std::vector<Place>& operands) {
    const auto evaluate = [&]<class T>() {
      std::array<T, 3> values{};
      std::array<const void*, 3> pointers{};
      for (std::size_t k = 0; k < operands.size(); ++k) {
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

  // Brings the value to the outputs it is, unless it was computed there.
  void deliver(std::size_t i) {
    for (std::size_t o = 0; o < code_.outputs.size(); ++o) {
      if (code_.outputs[o] != i) continue;
      const Place output{Kind::output, static_cast<std::uint16_t>(o)};
      if (places_[i] != output) push_copy(i, output);
      program_.written_[o] = drafts_.size() - 1;
      release(i);
    }
  }
  void push_copy(std::size_t i, Place output) {
    const DType dtype = program_.dtype_;
    Place from = places_[i];
    if (!steps_[i].mask)
      return push(is_single(from) ? tile_fill(dtype) : tile_copy(dtype), {from}, output);
    const bool fixed = from.kind == Kind::fixed;
    if (fixed) {
      from = take_tile();
      push(tile_fill(dtype), {places_[i]}, from);
    }
    push(tile_narrow(dtype), {from}, output);
    if (fixed) free_.push_back(from.index);
  }

  // Now that the number of each kind is known, places become slots.
  void resolve() {
    const std::size_t inputs = code_.kinds.size();
    const std::size_t outputs = code_.outputs.size();
    const std::array<std::size_t, 4> begin{0, inputs, inputs + outputs,
                                           inputs + outputs + program_.fixed_.size()};
    const auto slot = [&](Place place) {
      return static_cast<Slot>(begin[static_cast<std::size_t>(place.kind)] + place.index);
    };
    for (const Draft& draft : drafts_) {
      Instruction instruction;
      instruction.kernel = draft.kernel;
      instruction.arity = static_cast<std::uint8_t>(draft.operands.size());
      std::ranges::transform(draft.operands, instruction.operands.begin(), slot);
      instruction.result = slot(draft.result);
      program_.code_.push_back(instruction);
    }
  }

  TileProgram& program_;
  const TileCode& code_;
  const std::vector<Recording::Step>& steps_;
  std::vector<Place> places_;
  std::vector<std::size_t> uses_;
  std::vector<std::size_t> same_tile_;  // the step whose tile each one's value lies in
  std::vector<std::uint16_t> free_;
  std::vector<Draft> drafts_;
};

TileProgram::TileProgram(const TileCode& code, DType dtype) : dtype_(dtype) {
  if (!is_floating(dtype)) {
    fail<TypeError>({.op = "formula",
                     .what = "recorded formulas run on float32 and float64, not on " +
                             std::string(name_of(dtype)),
                     .help = "cast the inputs to a floating dtype first"});
  }
  assert(!code.steps.empty() && !code.outputs.empty());
  for (std::size_t i = 0; i < code.kinds.size(); ++i)
    in_elements_.push_back(code.single[i]                     ? 0
                           : code.kinds[i] == InputKind::mask ? 1
                                                              : size_of(dtype));
  for (const std::uint16_t output : code.outputs)
    out_elements_.push_back(code.steps[output].mask ? 1 : size_of(dtype));
  Compiler(*this, code).compile();
  width_ = tile_lane_width(dtype);
  const std::size_t bytes =
      std::clamp(all_tiles_bytes / std::max<std::size_t>(registers_, 1) / 64 * 64, least_tile_bytes,
                 most_tile_bytes);
  tile_ = bytes / size_of(dtype);
  tile_bytes_ = bytes + between_tiles;
}

std::size_t TileProgram::workspace_bytes() const {
  const std::size_t slots = in_elements_.size() + out_elements_.size() + fixed_.size() + registers_;
  return aligned(slots * sizeof(char*)) + (in_elements_.size() + out_elements_.size()) * pad_bytes +
         (registers_ + out_elements_.size()) * tile_bytes_;
}

void TileProgram::run(const void* const* in, void* const* out, std::size_t n, void* workspace,
                      std::size_t all, std::size_t ahead) const {
  if (alone_ && n <= few) return run_alone(in, out, n);
  const std::size_t inputs = in_elements_.size();
  const std::size_t outputs = out_elements_.size();
  auto** const slots = static_cast<char**>(workspace);
  char* const pads = static_cast<char*>(workspace) +
                     aligned((inputs + outputs + fixed_.size() + registers_) * sizeof(char*));
  char* const tiles = pads + (inputs + outputs) * pad_bytes;
  // Never written through: kernels take operands as pointers to const.
  for (std::size_t i = 0; i < inputs; ++i) slots[i] = static_cast<char*>(const_cast<void*>(in[i]));
  for (std::size_t o = 0; o < outputs; ++o) slots[inputs + o] = static_cast<char*>(out[o]);
  for (std::size_t f = 0; f < fixed_.size(); ++f) {
    const void* const value = dtype_ == DType::float64
                                  ? static_cast<const void*>(&fixed_[f])
                                  : static_cast<const void*>(&fixed_single_[f]);
    slots[inputs + outputs + f] = static_cast<char*>(const_cast<void*>(value));
  }
  for (std::size_t r = 0; r < registers_; ++r)
    slots[inputs + outputs + fixed_.size() + r] = tiles + r * tile_bytes_;

  if (streams(in, out, n, all))
    return run_streaming(out, n, slots, tiles + registers_ * tile_bytes_);
  const std::size_t whole = n / width_ * width_;
  // Without tiles there is nothing to keep in cache: one call does it all.
  const std::size_t stretch = registers_ == 0 && code_.size() == 1 ? whole : tile_;
  for (std::size_t first = 0; first < whole; first += stretch) {
    const std::size_t count = std::min(stretch, whole - first);
    if (whole + ahead - first - count >= fetched_from) fetch_next(slots, count);
    run_block(slots, count);
    advance(slots, count);
  }
  if (whole < n) run_tail(in, out, whole, n - whole, slots, pads);
}

// A table of addresses would cost more than a few elements.
void TileProgram::run_alone(const void* const* in, void* const* out, std::size_t n) const {
  const std::size_t inputs = in_elements_.size();
  std::array<const void*, 3> operands{};
  for (std::size_t k = 0; k < code_[0].arity; ++k) {
    const Slot slot = code_[0].operands[k];
    if (slot < inputs)
      operands[k] = in[slot];
    else if (dtype_ == DType::float64)
      operands[k] = &fixed_[slot - inputs - 1];
    else
      operands[k] = &fixed_single_[slot - inputs - 1];
  }
  code_[0].kernel(operands.data(), out[0], n);
}

void TileProgram::advance(char** slots, std::size_t n) const {
  for (const std::size_t element : in_elements_) *slots++ += n * element;
  for (const std::size_t element : out_elements_) *slots++ += n * element;
}

// Asks for the inputs of the next tile. Left to itself the processor notices them late, as it looks
// ahead within pages of 4 KiB, and a tile is one.
void TileProgram::fetch_next(char* const* slots, std::size_t n) const {
  for (std::size_t i = 0; i < in_elements_.size(); ++i) {
    const char* const next = slots[i] + n * in_elements_[i];
    for (std::size_t at = 0; at < n * in_elements_[i]; at += 64) __builtin_prefetch(next + at);
  }
}

// Whether the results are so large that they leave the caches before anybody reads them, so that
// fetching their old contents would be in vain.
bool TileProgram::streams(const void* const* in, void* const* out, std::size_t n,
                          std::size_t all) const {
  std::size_t bytes = 0;
  for (std::size_t o = 0; o < out_elements_.size(); ++o) {
    bytes += all * out_elements_[o];
    if (out_elements_[o] == 1 || reinterpret_cast<std::uintptr_t>(out[o]) % 64 != 0) return false;
    for (std::size_t i = 0; i < in_elements_.size(); ++i)
      if (in[i] == out[o]) return false;
  }
  // Rows and stretches are too short: each call ends in a fence.
  return bytes >= streamed_from && n >= streamed_at_once && n % (64 / size_of(dtype_)) == 0;
}

// Computes into tiles after the others and copies them out past the caches.
void TileProgram::run_streaming(void* const* out, std::size_t n, char** slots, char* tiles) const {
  const std::size_t inputs = in_elements_.size();
  const std::size_t element = size_of(dtype_);
  for (std::size_t first = 0; first < n; first += tile_) {
    const std::size_t count = std::min(tile_, n - first);
    if (n - first > count) fetch_next(slots, std::min(count, n - first - count));
    for (std::size_t o = 0; o < out_elements_.size(); ++o)
      slots[inputs + o] = tiles + o * tile_bytes_;
    run_block(slots, count);
    for (std::size_t o = 0; o < out_elements_.size(); ++o)
      tile_kernels().stream(tiles + o * tile_bytes_, static_cast<char*>(out[o]) + first * element,
                            count * element);
    advance(slots, count);
  }
  tile_kernels().end_stream();
}

void TileProgram::run_block(char* const* slots, std::size_t n) const {
  for (const Instruction& instruction : code_) {
    const std::array<const void*, 3> operands{slots[instruction.operands[0]],
                                              slots[instruction.operands[1]],
                                              slots[instruction.operands[2]]};
    instruction.kernel(operands.data(), slots[instruction.result], n);
  }
}

// The last elements go through the same lanes, copied to pads as wide as one and filled up with the
// first of them, which is a value the code has to expect anyway.
void TileProgram::run_tail(const void* const* in, void* const* out, std::size_t first,
                           std::size_t n, char** slots, char* pads) const {
  const std::size_t inputs = in_elements_.size();
  for (std::size_t i = 0; i < inputs; ++i) {
    const std::size_t element = in_elements_[i];
    if (element == 0) continue;
    slots[i] = pads + i * pad_bytes;
    pad(slots[i], static_cast<const char*>(in[i]) + first * element, n, width_, element);
  }
  for (std::size_t o = 0; o < out_elements_.size(); ++o)
    slots[inputs + o] = pads + (inputs + o) * pad_bytes;
  run_block(slots, width_);
  for (std::size_t o = 0; o < out_elements_.size(); ++o)
    copy_few(static_cast<char*>(out[o]) + first * out_elements_[o], slots[inputs + o], n,
             out_elements_[o]);
}

BoundKernel TileProgram::bind(Run& run) {
  return {[](void* context, const void* const* in, void* const* out, std::size_t n) {
            const Run& bound = *static_cast<Run*>(context);
            bound.program->run(in, out, n, bound.workspace, bound.all);
          },
          &run};
}

}  // namespace dualtape::detail
