#include <dualtape/core/tile/tile_fold.hpp>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include <dualtape/core/machine/kernel.hpp>
#include <dualtape/core/tile/fold_block.hpp>

namespace dualtape::detail {
namespace {

constexpr std::size_t chunk_elements = least_fold_block;
constexpr std::size_t column_elements = std::size_t{1} << 15;  // each chunk leaves a row of results
constexpr std::size_t most_chunk_elements = std::size_t{1} << 16;  // they are to stay in L2
constexpr std::size_t folded_in_turn = 16;  // rows; kernels add up more of them in a tree

// Any sum of so much smaller numbers is finite in double.
template <class T>
constexpr double small = sizeof(T) == sizeof(float) ? 1 : 0x1p-64;

// Without a branch for each, since it is asked of every mean.
template <class T>
bool any_beyond(const T* values, std::size_t count, T bound) {
  int found = 0;
  for (std::size_t i = 0; i < count; ++i)
    found |= static_cast<int>(!(std::abs(values[i]) <= bound));
  return found != 0;
}

template <class F>
void with_floating(DType dtype, F f) {
  if (dtype == float64)
    f.template operator()<double>();
  else
    f.template operator()<float>();
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
  sums_ = c.cut_ == Cut::rows ? c.lines_ : c.cut_ == Cut::blocks ? c.count_ : c.count_ * c.size_;
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

void ChunkFold::run(std::size_t chunk, const void* from, void* out, void* shared, void* workspace,
                    LostSums& lost) const {
  const std::size_t elements = chunks_.first(chunk + 1) - chunks_.first(chunk);
  void* result =
      static_cast<char*>(joins_.empty() ? out : shared) + chunk * results_of_chunk_ * element_;
  (elements == whole_elements_ ? whole_ : rest_)({&from, &result, workspace});
  if (divide_ != 1)
    with_floating(result_, [&]<class T>() {
      add_lost(chunk, static_cast<const T*>(from), elements, static_cast<const T*>(result), lost);
    });
}

template <class T>
void ChunkFold::add_lost(std::size_t chunk, const T* from, std::size_t elements, const T* sums,
                         LostSums& lost) const {
  // Of rows each result's elements stand together, of columns they are a row apart.
  const bool columns = chunks_.cut_ == FoldChunks::Cut::columns;
  const std::size_t each = columns ? chunks_.size_ : 1;
  const std::size_t length = chunks_.cut_ == FoldChunks::Cut::rows ? chunks_.size_ : elements;
  const std::size_t results = columns ? each : elements / length;
  if (!any_beyond(sums, results, std::numeric_limits<T>::max())) return;
  for (std::size_t i = 0; i < results; ++i) {
    if (std::isfinite(sums[i])) continue;
    const T* const begin = from + (columns ? i : i * length);
    double sum = 0;
    for (std::size_t k = 0; k < length; k += each) sum += small<T> * static_cast<double>(begin[k]);
    const std::lock_guard lock(lost.mutex);
    lost.sums.push_back({this, chunk * results_of_chunk_ + i, sum});
  }
}

// In double; none where the plain sums cannot overflow together.
template <class T>
std::vector<double> ChunkFold::means_of(const T* sums, const LostSums& lost) const {
  const std::size_t of_each = sums_ / results_;
  const T bound = std::numeric_limits<T>::max() / static_cast<T>(of_each);
  if (!any_beyond(sums, sums_, bound)) return {};
  std::vector<double> all(sums, sums + sums_);
  for (double& sum : all) sum *= small<T>;
  for (const LostSums::Sum& one : lost.sums)
    if (one.fold == this) all[one.place] = one.sum;
  std::vector<double> means(results_);
  const bool columns = chunks_.cut_ == FoldChunks::Cut::columns;
  for (std::size_t i = 0; i < sums_; ++i) means[columns ? i % results_ : i / of_each] += all[i];
  for (double& mean : means) mean = mean / static_cast<double>(divide_) / small<T>;
  return means;
}

void ChunkFold::finish(void* out, void* shared, void* workspace, const LostSums& lost) const {
  std::vector<double> means;
  if (divide_ != 1)
    with_floating(result_, [&]<class T>() {
      means = means_of(static_cast<const T*>(joins_.empty() ? out : shared), lost);
    });
  const void* from = shared;
  auto* other = static_cast<char*>(shared) + shared_bytes_ / 2;
  for (std::size_t i = 0; i < joins_.size(); ++i) {
    void* to = i + 1 == joins_.size() ? out : i % 2 == 0 ? other : shared;
    joins_[i]({&from, &to, workspace});
    from = to;
  }
  if (divide_ == 1) return;
  with_floating(result_, [&]<class T>() {
    T* const results = static_cast<T*>(out);
    for (std::size_t i = 0; i < results_; ++i) results[i] /= static_cast<T>(divide_);
    for (std::size_t i = 0; i < means.size(); ++i)
      if (!std::isfinite(results[i])) results[i] = static_cast<T>(means[i]);
  });
}

}  // namespace dualtape::detail
