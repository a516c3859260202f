#include <dualtape/core/tile/broadcast.hpp>

#include <algorithm>
#include <cassert>
#include <cstring>

namespace dualtape::detail {
namespace {

constexpr std::int64_t tile_elements = 1024;  // 4 KiB of float32: a few tiles stay in L1
constexpr std::int64_t long_row = 128;        // rows from here on are worth a call of their own

const char* at(const void* base, std::int64_t elements, std::size_t element) {
  return static_cast<const char*>(base) + elements * static_cast<std::int64_t>(element);
}

template <class T>
void fill_as(char* to, const char* value, std::int64_t count) {
  T held;
  std::memcpy(&held, value, sizeof(T));
  std::fill_n(reinterpret_cast<T*>(to), count, held);
}

void fill(char* to, const char* value, std::int64_t count, std::size_t element) {
  switch (element) {
    case 1: return fill_as<std::uint8_t>(to, value, count);
    case 4: return fill_as<std::uint32_t>(to, value, count);
    default: return fill_as<std::uint64_t>(to, value, count);
  }
}

// Repeats the first `have` bytes until there are `want`.
void repeat(char* to, std::size_t have, std::size_t want) {
  while (have < want) {
    const std::size_t more = std::min(have, want - have);
    std::memcpy(to + have, to, more);
    have += more;
  }
}

// `rows` rows of `inner` elements, `step` elements apart; each is one value repeated, or copied.
template <class T>
void copy_rows_as(char* to, const char* from, std::int64_t rows, std::int64_t step,
                  std::int64_t inner, bool repeated) {
  T* target = reinterpret_cast<T*>(to);
  const T* source = reinterpret_cast<const T*>(from);
  for (std::int64_t row = 0; row < rows; ++row, source += step, target += inner) {
    if (repeated)
      std::fill_n(target, inner, *source);
    else
      std::copy_n(source, inner, target);
  }
}

void copy_rows(char* to, const char* from, std::int64_t rows, std::int64_t step, std::int64_t inner,
               bool repeated, std::size_t element) {
  const auto row_bytes = static_cast<std::size_t>(inner) * element;
  const std::size_t bytes = static_cast<std::size_t>(rows) * row_bytes;
  if (!repeated && step == inner) {
    std::memcpy(to, from, bytes);
    return;
  }
  if (!repeated && step == 0) {
    std::memcpy(to, from, row_bytes);
    return repeat(to, row_bytes, bytes);
  }
  switch (element) {
    case 1: return copy_rows_as<std::uint8_t>(to, from, rows, step, inner, repeated);
    case 4: return copy_rows_as<std::uint32_t>(to, from, rows, step, inner, repeated);
    default: return copy_rows_as<std::uint64_t>(to, from, rows, step, inner, repeated);
  }
}

// Strides, in elements, of `shape` broadcast to `out`; axes are those of `out`.
std::vector<std::int64_t> broadcast_strides(const Shape& shape, const Shape& out) {
  assert(shape.rank() <= out.rank());
  std::vector<std::int64_t> strides(out.rank(), 0);
  const std::size_t lead = out.rank() - shape.rank();
  std::int64_t step = 1;
  for (std::size_t axis = shape.rank(); axis-- > 0;) {
    assert(shape[axis] == 1 || shape[axis] == out[lead + axis]);
    if (shape[axis] != 1) strides[lead + axis] = step;
    step *= shape[axis];
  }
  return strides;
}

}  // namespace

// One call of run(): its pointers, and its parts of the workspace.
struct ElementwiseLoop::Run {
  const void* const* in;
  void* const* out;
  char* workspace;
  BoundKernel kernel;
  const void** pointers;  // what the kernel gets
  void** results;         // where it writes
  std::int64_t* index;    // odometer over the outer axes
  const char** held;      // the row that an operand's tile repeats, if it is such a tile
};

ElementwiseLoop::ElementwiseLoop(std::span<const Type> inputs, std::span<const Type> outputs)
    : count_(outputs[0].shape.count()) {
  for (const Type& output : outputs) {
    assert(output.shape == outputs[0].shape);
    out_elements_.push_back(size_of(output.dtype));
  }
  if (count_ == 0) return;
  collapse(inputs, outputs[0].shape);
  inner_ = sizes_.back();
  by_rows_ = sizes_.size() > 1 && inner_ >= long_row;
  const bool flat = sizes_.size() == 1;
  stretch_ = flat || by_rows_ ? std::min(inner_, tile_elements)
                              : std::min(tile_elements / inner_ * inner_, count_);
  choose_feeds();
  place_tiles();
}

// Drops axes of size 1 and joins neighbours that every operand steps through evenly.
void ElementwiseLoop::collapse(std::span<const Type> inputs, const Shape& shape) {
  std::vector<std::vector<std::int64_t>> strides;
  for (const Type& type : inputs) strides.push_back(broadcast_strides(type.shape, shape));
  operands_.resize(inputs.size());
  for (std::size_t k = 0; k < inputs.size(); ++k) operands_[k].element = size_of(inputs[k].dtype);

  for (std::size_t axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] == 1) continue;
    const bool joins = !sizes_.empty() && [&] {
      for (std::size_t k = 0; k < inputs.size(); ++k) {
        if (operands_[k].strides.back() != strides[k][axis] * shape[axis]) return false;
      }
      return true;
    }();
    if (joins) {
      sizes_.back() *= shape[axis];
    } else {
      sizes_.push_back(shape[axis]);
    }
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      auto& mine = operands_[k].strides;
      if (joins) mine.pop_back();
      mine.push_back(strides[k][axis]);
    }
  }
  if (sizes_.empty()) {  // one element: every operand is contiguous
    sizes_.push_back(1);
    for (Operand& operand : operands_) operand.strides.push_back(1);
  }
}

bool ElementwiseLoop::passes(const Operand& operand) const {
  std::int64_t step = 1;
  for (std::size_t axis = sizes_.size(); axis-- > 0;) {
    if (operand.strides[axis] != step) return false;
    step *= sizes_[axis];
  }
  return true;
}

void ElementwiseLoop::choose_feeds() {
  for (Operand& operand : operands_) {
    const auto& strides = operand.strides;
    const bool outer_fixed = std::all_of(strides.begin(), strides.end() - 1,
                                         [](std::int64_t stride) { return stride == 0; });
    if (passes(operand)) {
      operand.feed = Feed::pass;
    } else if (by_rows_ && strides.back() == 1) {
      operand.feed = Feed::row;
    } else if (outer_fixed) {  // a scalar, or short rows that repeat
      operand.feed = Feed::once;
    } else {
      operand.feed = by_rows_ ? Feed::per_row : Feed::gathered;
    }
  }
}

void ElementwiseLoop::place_tiles() {
  workspace_bytes_ =
      aligned(operands_.size() * sizeof(void*)) + aligned(out_elements_.size() * sizeof(void*)) +
      aligned(sizes_.size() * sizeof(std::int64_t)) + aligned(operands_.size() * sizeof(char*));
  for (Operand& operand : operands_) {
    if (operand.feed == Feed::pass || operand.feed == Feed::row) continue;
    tiled_ = true;
    operand.tile = workspace_bytes_;
    workspace_bytes_ += aligned(static_cast<std::size_t>(stretch_) * operand.element);
  }
}

// Ranges that begin there take no more calls, and copy no more, than the whole loop does.
std::size_t ElementwiseLoop::unit() const {
  const bool gathers = tiled_ && !by_rows_ && sizes_.size() > 1;
  return static_cast<std::size_t>(gathers ? stretch_ : 2 * tile_elements);
}

void ElementwiseLoop::run(const void* const* in, void* const* out, void* workspace,
                          BoundKernel kernel, std::size_t begin, std::size_t end) const {
  if (count_ == 0) return;
  assert(begin <= end && end <= count());
  const auto first = static_cast<std::int64_t>(begin);
  const auto last = static_cast<std::int64_t>(end);
  auto* space = static_cast<char*>(workspace);
  char* const results = space + aligned(operands_.size() * sizeof(void*));
  char* const index = results + aligned(out_elements_.size() * sizeof(void*));
  Run run{in,
          out,
          space,
          kernel,
          reinterpret_cast<const void**>(space),
          reinterpret_cast<void**>(results),
          reinterpret_cast<std::int64_t*>(index),
          reinterpret_cast<const char**>(index + aligned(sizes_.size() * sizeof(std::int64_t)))};
  if (!tiled_ && !by_rows_) {
    for (std::size_t k = 0; k < operands_.size(); ++k)
      run.pointers[k] = at(in[k], first, operands_[k].element);
    call(run, first, last - first);
    return;
  }
  for (std::size_t k = 0; k < operands_.size(); ++k) {
    const Operand& operand = operands_[k];
    run.pointers[k] =
        operand.feed == Feed::pass || operand.feed == Feed::row ? in[k] : space + operand.tile;
    if (operand.feed != Feed::once) continue;
    if (operand.strides.back() == 0) {
      fill(space + operand.tile, static_cast<const char*>(in[k]), stretch_, operand.element);
    } else {
      const auto element = static_cast<std::int64_t>(operand.element);
      std::memcpy(space + operand.tile, in[k], static_cast<std::size_t>(inner_ * element));
      repeat(space + operand.tile, static_cast<std::size_t>(inner_ * element),
             static_cast<std::size_t>(stretch_ * element));
    }
  }
  if (by_rows_) return run_rows(run, first, last);
  if (sizes_.size() == 1) return run_flat(run, first, last);
  run_gathering(run, first, last);
}

// The kernel on elements [first, first + n) of the outputs; run.pointers is set.
void ElementwiseLoop::call(Run& run, std::int64_t first, std::int64_t n) const {
  for (std::size_t o = 0; o < out_elements_.size(); ++o)
    run.results[o] =
        static_cast<char*>(run.out[o]) + first * static_cast<std::int64_t>(out_elements_[o]);
  run.kernel(run.pointers, run.results, static_cast<std::size_t>(n));
}

// One axis: operands are contiguous or a scalar's tile.
void ElementwiseLoop::run_flat(Run& run, std::int64_t first, std::int64_t last) const {
  for (; first < last; first += stretch_) {
    for (std::size_t k = 0; k < operands_.size(); ++k) {
      if (operands_[k].feed == Feed::pass) {
        run.pointers[k] = at(run.in[k], first, operands_[k].element);
      }
    }
    call(run, first, std::min(stretch_, last - first));
  }
}

// Long rows: a call for each, in stretches where tiles are shorter than the row.
void ElementwiseLoop::run_rows(Run& run, std::int64_t first, std::int64_t last) const {
  const std::int64_t step = tiled_ ? stretch_ : inner_;
  start_at(first / inner_, run.index);
  std::int64_t row = first / inner_ * inner_;
  for (; row < last; row += inner_, next_row(run.index)) {
    for (std::size_t k = 0; k < operands_.size(); ++k) {
      if (operands_[k].feed != Feed::per_row) continue;
      const Operand& operand = operands_[k];
      fill(run.workspace + operand.tile, at(run.in[k], offset(operand, run.index), operand.element),
           stretch_, operand.element);
    }
    const std::int64_t row_end = std::min(row + inner_, last);
    for (; first < row_end; first = std::min(first + step, row_end)) {
      for (std::size_t k = 0; k < operands_.size(); ++k) {
        const Operand& operand = operands_[k];
        if (operand.feed == Feed::pass || operand.feed == Feed::row) {
          run.pointers[k] =
              at(run.in[k], offset(operand, run.index) + first - row, operand.element);
        }
      }
      call(run, first, std::min(step, row_end - first));
    }
  }
}

// Short rows: whole numbers of them are copied into tiles, and the kernel runs over the tiles.
void ElementwiseLoop::run_gathering(Run& run, std::int64_t first, std::int64_t last) const {
  std::fill_n(run.held, operands_.size(), nullptr);
  while (first < last) {
    const std::int64_t skipped = first % inner_;  // of the first row
    const std::int64_t n = std::min(stretch_ - skipped, last - first);
    const std::int64_t rows = (skipped + n + inner_ - 1) / inner_;
    for (std::size_t k = 0; k < operands_.size(); ++k) {
      const Operand& operand = operands_[k];
      if (operand.feed == Feed::pass) {
        run.pointers[k] = at(run.in[k], first, operand.element);
        continue;
      }
      const char* from = run.workspace + operand.tile;
      if (operand.feed == Feed::gathered) from = rows_of(operand, k, run, first - skipped, rows);
      run.pointers[k] = at(from, skipped, operand.element);
    }
    call(run, first, n);
    first += n;
  }
}

// The same, copied only if need be: not where they lie next to each other as they are, nor where
// the tile has the one row that they all are already.
const char* ElementwiseLoop::rows_of(const Operand& operand, std::size_t k, Run& run,
                                     std::int64_t first, std::int64_t rows) const {
  char* const tile = run.workspace + operand.tile;
  const std::size_t axis = sizes_.size() - 2;
  start_at(first / inner_, run.index);
  const bool evenly = rows <= sizes_[axis] - run.index[axis] && operand.strides.back() == 1;
  const char* const source = at(run.in[k], offset(operand, run.index), operand.element);
  if (evenly && operand.strides[axis] == inner_) return source;
  if (evenly && operand.strides[axis] == 0) {
    if (run.held[k] != source)
      copy_rows(tile, source, stretch_ / inner_, 0, inner_, false, operand.element);
    run.held[k] = source;
    return tile;
  }
  run.held[k] = nullptr;
  gather(operand, run.in[k], tile, run.index, first, rows);
  return tile;
}

// So many rows of the broadcast operand, from element `first` on.
void ElementwiseLoop::gather(const Operand& operand, const void* from, char* to,
                             std::int64_t* index, std::int64_t first, std::int64_t rows) const {
  start_at(first / inner_, index);
  const std::size_t axis = sizes_.size() - 2;  // rows next to each other lie along it
  while (rows > 0) {
    const std::int64_t together = std::min(rows, sizes_[axis] - index[axis]);
    const char* source = at(from, offset(operand, index), operand.element);
    copy_rows(to, source, together, operand.strides[axis], inner_, operand.strides.back() == 0,
              operand.element);
    to += together * inner_ * static_cast<std::int64_t>(operand.element);
    rows -= together;
    index[axis] += together - 1;
    next_row(index);
  }
}

void ElementwiseLoop::start_at(std::int64_t row, std::int64_t* index) const {
  const std::size_t last = sizes_.size() - 1;
  index[last] = 0;
  for (std::size_t axis = last; axis-- > 0;) {
    index[axis] = row % sizes_[axis];
    row /= sizes_[axis];
  }
}

void ElementwiseLoop::next_row(std::int64_t* index) const {
  for (std::size_t axis = sizes_.size() - 1; axis-- > 0;) {
    if (++index[axis] < sizes_[axis]) return;
    index[axis] = 0;
  }
}

// Of the row that `index` stands at.
std::int64_t ElementwiseLoop::offset(const Operand& operand, const std::int64_t* index) const {
  std::int64_t sum = 0;
  for (std::size_t axis = 0; axis + 1 < sizes_.size(); ++axis) {
    sum += index[axis] * operand.strides[axis];
  }
  return sum;
}

}  // namespace dualtape::detail
