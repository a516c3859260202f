#include <dualtape/core/detail/tile_fold.hpp>

#include <algorithm>
#include <cassert>

#include <dualtape/core/detail/fold_block.hpp>
#include <dualtape/core/detail/kernel.hpp>

namespace dualtape::detail {
namespace {

constexpr std::size_t chunk_elements = least_fold_block;
constexpr std::size_t column_elements = std::size_t{1} << 15;  // each chunk leaves a row of results
constexpr std::size_t most_chunk_elements = std::size_t{1} << 16;  // they are to stay in L2
constexpr std::size_t folded_in_turn = 16;  // rows; kernels add up more of them in a tree

template <class T>
void divide(void* values, std::size_t count, std::size_t divisor) {
  for (std::size_t i = 0; i < count; ++i) static_cast<T*>(values)[i] /= static_cast<T>(divisor);
}

Shape shape_of(std::initializer_list<std::size_t> sizes) {
  std::vector<std::int64_t> signed_sizes;
  for (const std::size_t size : sizes) signed_sizes.push_back(static_cast<std::int64_t>(size));
  return Shape(signed_sizes);
}

}  // namespace

bool FoldChunks::possible(const Shape& shape, const Ints& axes) {
  FoldChunks chunks;
  return chunks.find(shape, axes);
}

FoldChunks::FoldChunks(const Shape& shape, const Ints& axes) {
  [[maybe_unused]] const bool found = find(shape, axes);
  assert(found);
}

bool FoldChunks::find(const Shape& shape, const Ints& axes) {
  std::vector<std::size_t> sizes;  // of neighbours that are all folded or all kept
  std::vector<bool> folded;
  for (std::size_t i = 0; i < shape.rank(); ++i) {
    if (shape[i] == 1) continue;
    const bool is_folded = std::ranges::find(axes, static_cast<std::int64_t>(i)) != axes.end();
    if (folded.empty() || folded.back() != is_folded) {
      folded.push_back(is_folded);
      sizes.push_back(1);
    }
    sizes.back() *= static_cast<std::size_t>(shape[i]);
  }
  if (sizes.empty() || sizes.size() > 2 || (sizes.size() == 1 && !folded[0])) return false;
  lines_ = sizes.size() == 1 ? 1 : sizes[0];
  size_ = sizes.back();
  if (folded.back() && size_ <= chunk_elements) {
    cut_ = Cut::rows;
    at_once_ = chunk_elements / size_;
    count_ = (lines_ + at_once_ - 1) / at_once_;
  } else if (folded.back()) {
    cut_ = Cut::blocks;
    at_once_ = fold_block(size_);
    per_line_ = (size_ + at_once_ - 1) / at_once_;
    count_ = lines_ * per_line_;
  } else {
    cut_ = Cut::columns;
    // The kernel halves the rows until few are left.
    while ((lines_ >> depth_) > folded_in_turn && (lines_ >> depth_) * size_ > column_elements)
      ++depth_;
    count_ = std::size_t{1} << depth_;
  }
  return longest() <= most_chunk_elements || cut_ == Cut::blocks;
}

// Of columns: where the chunk begins after halving `depth_` times, the smaller half first.
std::size_t FoldChunks::first_line(std::size_t chunk) const {
  if (chunk == count_) return lines_;
  std::size_t begin = 0;
  std::size_t lines = lines_;
  for (std::size_t bit = count_ / 2; bit > 0; bit /= 2) {
    const std::size_t half = lines / 2;
    const bool second = (chunk & bit) != 0;
    begin += second ? half : 0;
    lines = second ? lines - half : half;
  }
  return begin;
}

std::size_t FoldChunks::first(std::size_t chunk) const {
  if (chunk == count_) return lines_ * size_;
  switch (cut_) {
    case Cut::rows: return chunk * at_once_ * size_;
    case Cut::blocks: return chunk / per_line_ * size_ + chunk % per_line_ * at_once_;
    default: return first_line(chunk) * size_;
  }
}

std::size_t FoldChunks::longest() const {
  switch (cut_) {
    case Cut::rows: return std::min(lines_, at_once_) * size_;
    case Cut::blocks: return at_once_;
    default: return ((lines_ + count_ - 1) >> depth_) * size_;
  }
}

ChunkFold::ChunkFold(const FoldChunks& chunks, const FoldedOutput& fold, DType result)
    : chunks_(chunks), element_(size_of(result)), result_(result), divide_(fold.divide) {
  using Cut = FoldChunks::Cut;
  const FoldChunks& c = chunks_;
  const DType from = fold.type.dtype;
  results_ = c.cut_ == Cut::columns ? c.size_ : c.lines_;
  if (c.cut_ == Cut::rows) {
    whole_elements_ = c.at_once_ * c.size_;
    results_of_chunk_ = c.at_once_;
    whole_ = kernel(fold, shape_of({c.at_once_, c.size_}), 1, from).run;
    if (const std::size_t rest = c.lines_ % c.at_once_; rest > 0)
      rest_ = kernel(fold, shape_of({rest, c.size_}), 1, from).run;
  } else if (c.cut_ == Cut::blocks) {
    whole_elements_ = c.at_once_;
    whole_ = kernel(fold, shape_of({c.at_once_}), 0, from).run;
    if (const std::size_t rest = c.size_ % c.at_once_; rest > 0)
      rest_ = kernel(fold, shape_of({rest}), 0, from).run;
    joins_.push_back(kernel(fold, shape_of({c.lines_, c.per_line_}), 1, result).run);
    shared_bytes_ = aligned(c.count_ * element_);
  } else {
    const std::size_t lines = c.lines_ >> c.depth_;
    whole_elements_ = (lines + 1) * c.size_;
    results_of_chunk_ = c.size_;
    whole_ = kernel(fold, shape_of({lines + 1, c.size_}), 0, from).run;
    rest_ = kernel(fold, shape_of({lines, c.size_}), 0, from).run;
    for (std::size_t pairs = c.count_ / 2; pairs > 0; pairs /= 2)
      joins_.push_back(kernel(fold, shape_of({pairs, 2, c.size_}), 1, result).run);
    // Each level of the tree is joined from one half of the memory into the other.
    if (c.count_ > 1) shared_bytes_ = 2 * aligned(c.count_ * c.size_ * element_);
  }
}

Kernel ChunkFold::kernel(const FoldedOutput& fold, const Shape& shape, std::int64_t axis,
                         DType from) {
  const Type in{shape, from};
  std::vector<std::int64_t> kept = shape.vector();
  kept.erase(kept.begin() + axis);
  const Type out{Shape(kept), result_};
  Kernel made = fold.op->kernel({{&in, 1}, {&out, 1}, {{"axes", Ints{axis}}, {"keepdims", false}}});
  workspace_bytes_ = std::max(workspace_bytes_, made.workspace_bytes);
  return made;
}

void ChunkFold::run(std::size_t chunk, const void* from, void* out, void* shared,
                    void* workspace) const {
  const std::size_t elements = chunks_.first(chunk + 1) - chunks_.first(chunk);
  void* result =
      static_cast<char*>(joins_.empty() ? out : shared) + chunk * results_of_chunk_ * element_;
  (elements == whole_elements_ ? whole_ : rest_)({&from, &result, workspace});
}

void ChunkFold::finish(void* out, void* shared, void* workspace) const {
  const void* from = shared;
  auto* other = static_cast<char*>(shared) + shared_bytes_ / 2;
  for (std::size_t i = 0; i < joins_.size(); ++i) {
    void* to = i + 1 == joins_.size() ? out : i % 2 == 0 ? other : shared;
    joins_[i]({&from, &to, workspace});
    from = to;
  }
  if (divide_ == 1) return;
  if (result_ == float64)
    divide<double>(out, results_, divide_);
  else
    divide<float>(out, results_, divide_);
}

}  // namespace dualtape::detail
