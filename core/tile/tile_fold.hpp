// Reductions that a loop makes of its results as it computes them: how the loop is cut into chunks
// that stay in cache, and what becomes of each. Private, without SIMD headers. Immutable once made;
// any thread, with memory of its own for what it writes.
//
// The order of additions is that of the reduction's own kernel, which does the work: a chunk is a
// number of whole rows, or a block of a long row (fold_block.hpp), or, where leading axes are
// folded, the rows that meet in one node of the kernel's tree. So the bits are the same as those of
// the reduction by itself, on any number of threads.
#pragma once

#include <cstddef>
#include <mutex>
#include <span>
#include <vector>

#include <dualtape/core/op.hpp>

namespace dualtape::detail {

struct FoldedOutput {
  const Op* op;            // sum, max, any ...: of which a fold of folds is the fold of everything
  Type type;               // of what is folded
  Ints axes;               // as in the operator's attributes
  std::size_t value = 0;   // what is folded, among the results of the code
  std::size_t divide = 1;  // the result is divided by that, which makes a sum a mean
};

// The chunks of a loop over `shape` whose results are folded along `axes`.
class FoldChunks {
 public:
  // Whether the axes are the last ones or the first ones, not counting those of size 1, and chunks
  // are small enough.
  static bool possible(const Shape& shape, const Ints& axes);
  FoldChunks(const Shape& shape, const Ints& axes);

  std::size_t count() const { return count_; }
  std::size_t first(std::size_t chunk) const;  // element; first(count()) is the end
  std::size_t longest() const;                 // elements

 private:
  friend class ChunkFold;
  enum class Cut : std::uint8_t { rows, blocks, columns };

  FoldChunks() = default;
  bool find(const Shape& shape, const Ints& axes);
  std::size_t first_line(std::size_t chunk) const;

  Cut cut_ = Cut::rows;
  std::size_t lines_ = 1;     // rows that are folded, or that are added up to one
  std::size_t size_ = 1;      // elements of a row
  std::size_t at_once_ = 1;   // rows of a chunk, or elements of a block
  std::size_t per_line_ = 1;  // blocks of a row
  std::size_t depth_ = 0;     // of the tree over rows that are added up; its leaves are the chunks
  std::size_t count_ = 1;
};

// Sums of chunks that overflowed where the mean they are part of may not: added up anew, in double
// and made smaller, while their elements are at hand. Of one run of a loop, for all its folds.
struct LostSums {
  struct Sum {
    const void* fold;
    std::size_t place;  // among the fold's sums
    double sum;
  };
  std::mutex mutex;
  std::vector<Sum> sums;  // empty but for such a case
};

// One reduction of a chunked loop. A mean is a sum that is divided at the end, and finite wherever
// the mean is.
class ChunkFold {
 public:
  // `result` is the dtype of what comes out.
  ChunkFold(const FoldChunks& chunks, const FoldedOutput& fold, DType result);

  // Memory for what chunks leave for finish(), one for all threads.
  std::size_t shared_bytes() const { return shared_bytes_; }
  // Scratch of each call.
  std::size_t workspace_bytes() const { return workspace_bytes_; }
  // Folds the chunk, whose elements lie at `from`; different chunks may be folded at the same time.
  void run(std::size_t chunk, const void* from, void* out, void* shared, void* workspace,
           LostSums& lost) const;
  // After the last chunk.
  void finish(void* out, void* shared, void* workspace, const LostSums& lost) const;

 private:
  template <class T>
  void add_lost(std::size_t chunk, const T* from, std::size_t elements, const T* sums,
                LostSums& lost) const;
  template <class T>
  std::vector<double> means_of(const T* sums, const LostSums& lost) const;
  Kernel kernel(const FoldedOutput& fold, const Shape& shape, std::int64_t axis, DType from);

  FoldChunks chunks_;
  std::size_t element_;  // bytes, of a result
  DType result_;
  std::size_t divide_;
  std::size_t results_ = 1;
  std::size_t results_of_chunk_ = 1;
  std::size_t sums_ = 1;  // of all chunks
  std::size_t whole_elements_ = 1;
  KernelFunction whole_;               // of whole chunks
  KernelFunction rest_;                // of those with less in them
  std::vector<KernelFunction> joins_;  // of results of chunks
  std::size_t shared_bytes_ = 0;
  std::size_t workspace_bytes_ = 0;
};

}  // namespace dualtape::detail
