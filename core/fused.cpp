#include <dualtape/core/detail/fused.hpp>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdint>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include <dualtape/core/detail/broadcast.hpp>
#include <dualtape/core/detail/team.hpp>

namespace dualtape::detail {
namespace {

constexpr std::string_view fused_name = "fused";
constexpr std::size_t drawn_at_once = 2048;                 // whole groups of every distribution
constexpr std::size_t fetched_from = std::size_t{1} << 20;  // elements of loops that fold

// Sums of chunks that overflowed, in double and made smaller; of one run.
struct LostSums {
  struct Sum {
    std::size_t fold;
    std::size_t place;  // among the fold's sums of chunks
    double sum;
  };
  std::mutex mutex;
  std::vector<Sum> sums;
};

// A mean that is a sum of chunks, which may overflow where the mean does not. Chunks whose sums are
// not finite are added up anew while their elements are at hand; sums of chunks that may overflow
// together are added up in double, too. That is taken where the sum by itself is lost.
template <class T>
class MeanOfSums {
 public:
  // `chunks` sums for each of the `results`; of `columns` each chunk has one for each.
  MeanOfSums(std::size_t fold, std::size_t chunks, std::size_t results, bool columns,
             std::size_t count)
      : fold_(fold),
        chunks_(chunks),
        results_(results),
        columns_(columns),
        count_(static_cast<double>(count)) {}

  // A chunk, whose elements lie at `from`; different ones at the same time.
  void look_at(std::size_t chunk, const T* all_sums, const T* from, std::size_t elements,
               LostSums& lost) const {
    const std::size_t width = columns_ ? results_ : 1;
    const T* const sums = all_sums + chunk * width;
    if (!exceeds(sums, width, std::numeric_limits<T>::max())) return;
    for (std::size_t c = 0; c < width; ++c) {
      if (std::isfinite(sums[c])) continue;
      double sum = 0;
      for (std::size_t i = c; i < elements; i += width) sum += small * static_cast<double>(from[i]);
      const std::lock_guard lock(lost.mutex);
      lost.sums.push_back({fold_, chunk * width + c, sum});
    }
  }
  // From the sums of all chunks; nothing where these cannot overflow together.
  std::vector<double> means(const T* sums, const LostSums& lost) const {
    const std::size_t n = chunks_ * results_;
    if (!exceeds(sums, n, std::numeric_limits<T>::max() / static_cast<T>(chunks_))) return {};
    std::vector<double> all(n);
    for (std::size_t i = 0; i < n; ++i) all[i] = small * static_cast<double>(sums[i]);
    for (const LostSums::Sum& one : lost.sums)
      if (one.fold == fold_) all[one.place] = one.sum;
    std::vector<double> means(results_);
    for (std::size_t i = 0; i < n; ++i) means[columns_ ? i % results_ : i / chunks_] += all[i];
    for (double& mean : means) mean = mean / count_ / small;
    return means;
  }
  static void mend(T* out, const std::vector<double>& means) {
    for (std::size_t i = 0; i < means.size(); ++i)
      if (!std::isfinite(out[i])) out[i] = static_cast<T>(means[i]);
  }

 private:
  static constexpr double small = sizeof(T) == sizeof(float) ? 1 : 0x1p-64;

  static bool exceeds(const T* sums, std::size_t n, T bound) {
    int found = 0;
    for (std::size_t i = 0; i < n; ++i) found |= static_cast<int>(!(std::abs(sums[i]) <= bound));
    return found != 0;
  }

  std::size_t fold_;
  std::size_t chunks_;
  std::size_t results_;
  bool columns_;
  double count_;
};

// The kernel of a fused node; read-only while it runs.
class FusedKernel {
 public:
  FusedKernel(const TileProgram& program, const FusedParts& parts, std::size_t looped,
              const KernelRequest& request)
      : loop_(request.in.first(looped), looped_over(parts, request)),
        program_(program),
        looped_(looped),
        inputs_(request.in.size()),
        stored_(parts.stored) {
    for (const Type& type : request.in.first(looped)) in_elements_.push_back(size_of(type.dtype));
    for (const Type& type : looped_over(parts, request))
      out_elements_.push_back(size_of(type.dtype));
    pointers_ = aligned(loop_.workspace_bytes());
    drawn_ = aligned(pointers_ + (inputs_ + 2 * out_elements_.size()) * sizeof(void*));
    for (const DrawnInput& draw : parts.draws) {
      const std::size_t key = looped + draws_.size();
      draws_.push_back(
          draw.op->slice({request.in.subspan(key, 1), {&draw.type, 1}, draw.attributes}));
      drawn_bytes_ = drawn_at_once * size_of(draw.type.dtype);
    }
    tiles_ = drawn_ + draws_.size() * drawn_bytes_;
    thread_bytes_ = tiles_ + program_.workspace_bytes();
    if (!parts.folds.empty()) plan_folds(parts, request);
  }

  std::size_t workspace_bytes() const { return aligned(thread_bytes_) + shared_bytes_; }
  std::size_t thread_workspace_bytes() const { return thread_bytes_; }

  void run(const KernelArgs& args) const {
    if (chunks_) return run_chunks(args);
    if (draws_.empty() && loop_.is_direct())
      return program_.run(args.in, args.out, loop_.count(),
                          static_cast<char*>(args.workspace) + tiles_);
    in_ranges(args, loop_.count(), loop_.unit(), cost(),
              [&](std::size_t first, std::size_t last, void* workspace) {
                run_loop(args, args.out, first, last, workspace);
              });
  }

 private:
  struct Fold {
    ChunkFold fold;
    std::size_t value;   // what is folded, among the results of the program
    std::size_t shared;  // where its part of the shared memory begins
    std::variant<std::monostate, MeanOfSums<float>, MeanOfSums<double>> mean = {};
  };

  // Types of all that the program computes: of what is stored, and of what is folded only.
  static std::vector<Type> looped_over(const FusedParts& parts, const KernelRequest& request) {
    const auto stored = request.out.first(parts.stored);
    std::vector<Type> types(stored.begin(), stored.end());
    types.resize(parts.code.outputs.size());
    for (const FoldedOutput& fold : parts.folds) types[fold.value] = fold.type;
    return types;
  }

  void plan_folds(const FusedParts& parts, const KernelRequest& request) {
    chunks_.emplace(parts.folds[0].type.shape, parts.folds[0].axes);
    fetches_ = loop_.count() >= fetched_from && program_.instructions() > 1;
    scratch_ = aligned(thread_bytes_);
    for (std::size_t o = stored_; o < out_elements_.size(); ++o) {
      buffers_.push_back(scratch_);
      scratch_ += aligned(chunks_->longest() * out_elements_[o]);
    }
    thread_bytes_ = scratch_;
    for (const FoldedOutput& fold : parts.folds) {
      const DType result = request.out[stored_ + folds_.size()].dtype;
      folds_.push_back({ChunkFold(*chunks_, fold, result), fold.value, shared_bytes_});
      if (fold.divide != 1) add_mean(fold, request.out[stored_ + folds_.size() - 1]);
      shared_bytes_ += folds_.back().fold.shared_bytes();
      thread_bytes_ = std::max(thread_bytes_, scratch_ + folds_.back().fold.workspace_bytes());
    }
  }

  // Of the last fold, whose sum over chunks is divided.
  void add_mean(const FoldedOutput& fold, const Type& result) {
    const auto results = static_cast<std::size_t>(result.shape.count());
    const Shape& shape = fold.type.shape;
    std::size_t last = shape.rank() - 1;
    while (shape[last] == 1) --last;
    const bool columns =
        std::ranges::find(fold.axes, static_cast<std::int64_t>(last)) == fold.axes.end();
    const std::size_t chunks = columns ? chunks_->count() : chunks_->count() / results;
    const std::size_t f = folds_.size() - 1;
    if (result.dtype == float64)
      folds_[f].mean.emplace<MeanOfSums<double>>(f, chunks, results, columns, fold.divide);
    else
      folds_[f].mean.emplace<MeanOfSums<float>>(f, chunks, results, columns, fold.divide);
  }

  // In elements of cheap steps.
  std::size_t cost() const {
    return loop_.count() * (1 + program_.instructions() / 4 + 4 * draws_.size());
  }

  // What is folded is computed chunk by chunk and folded while it is in cache.
  void run_chunks(const KernelArgs& args) const {
    char* const shared = static_cast<char*>(args.workspace) + aligned(thread_bytes_);
    LostSums lost;
    in_ranges(args, chunks_->count(), 1, cost(),
              [&](std::size_t first, std::size_t last, void* workspace) {
                for (; first < last; ++first) run_chunk(args, first, workspace, shared, lost);
              });
    for (std::size_t f = 0; f < folds_.size(); ++f) {
      void* const out = args.out[stored_ + f];
      char* const sums = shared + folds_[f].shared;
      const auto finish = [&] {
        folds_[f].fold.finish(out, sums, static_cast<char*>(args.workspace) + scratch_);
      };
      const auto finish_mean = [&]<class T>(const MeanOfSums<T>& mean) {
        const std::vector<double> means = mean.means(reinterpret_cast<const T*>(sums), lost);
        finish();
        mean.mend(static_cast<T*>(out), means);
      };
      if (const auto* single = std::get_if<MeanOfSums<float>>(&folds_[f].mean))
        finish_mean(*single);
      else if (const auto* twice = std::get_if<MeanOfSums<double>>(&folds_[f].mean))
        finish_mean(*twice);
      else
        finish();
    }
  }

  void run_chunk(const KernelArgs& args, std::size_t chunk, void* workspace, char* shared,
                 LostSums& lost) const {
    char* const space = static_cast<char*>(workspace);
    const std::size_t first = chunks_->first(chunk);
    const std::size_t last = chunks_->first(chunk + 1);
    // Where elements 0 of the whole loop would lie, as the loop asks for it; no such memory is
    // touched.
    auto** const out = reinterpret_cast<void**>(space + pointers_) + inputs_ + out_elements_.size();
    std::copy_n(args.out, stored_, out);
    for (std::size_t o = stored_; o < out_elements_.size(); ++o)
      out[o] = moved(space + buffers_[o - stored_], first * out_elements_[o], false);
    if (draws_.empty() && loop_.is_direct())
      program_.run(args.in, out, loop_.count(), space + tiles_);
    else
      run_loop(args, out, first, last, workspace);
    for (std::size_t f = 0; f < folds_.size(); ++f) {
      const Fold& fold = folds_[f];
      const void* const from = moved(out[fold.value], first * out_elements_[fold.value], true);
      char* const sums = shared + fold.shared;
      fold.fold.run(chunk, from, args.out[stored_ + f], sums, space + scratch_);
      const auto look_at = [&]<class T>(const MeanOfSums<T>& mean) {
        mean.look_at(chunk, reinterpret_cast<const T*>(sums), static_cast<const T*>(from),
                     last - first, lost);
      };
      if (const auto* single = std::get_if<MeanOfSums<float>>(&fold.mean))
        look_at(*single);
      else if (const auto* twice = std::get_if<MeanOfSums<double>>(&fold.mean))
        look_at(*twice);
    }
  }
  // As addresses, since pointers may not leave their array.
  static void* moved(void* pointer, std::size_t bytes, bool up) {
    const auto address = reinterpret_cast<std::uintptr_t>(pointer);
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    return reinterpret_cast<void*>(up ? address + bytes : address - bytes);
  }

  void run_loop(const KernelArgs& args, void* const* out, std::size_t first, std::size_t last,
                void* workspace) const {
    char* const space = static_cast<char*>(workspace);
    Bound bound{this,
                &args,
                out,
                reinterpret_cast<const void**>(space + pointers_),
                reinterpret_cast<void**>(space + pointers_) + inputs_,
                space};
    for (std::size_t d = 0; d < draws_.size(); ++d)
      bound.in[looped_ + d] = space + drawn_ + d * drawn_bytes_;
    std::copy(args.in + looped_ + draws_.size(), args.in + inputs_,
              bound.in + looped_ + draws_.size());
    loop_.run(args.in, out, workspace, {draws_.empty() ? &call : &call_drawing, &bound}, first,
              last);
  }

  struct Bound {
    const FusedKernel* kernel;
    const KernelArgs* args;
    void* const* all_out;  // of the whole loop
    const void** in;       // of the program
    void** out;
    char* space;

    // The element of the loop that the program is to compute at `first_out`, of its first result.
    std::size_t place(const void* first_out) const {
      return (reinterpret_cast<std::uintptr_t>(first_out) -
              reinterpret_cast<std::uintptr_t>(all_out[0])) /
             kernel->out_elements_[0];
    }
    // How many follow after those n.
    std::size_t ahead(const void* first_out, std::size_t n) const {
      return kernel->loop_.count() - place(first_out) - n;
    }
  };

  static void call(void* context, const void* const* in, void* const* out, std::size_t n) {
    const Bound& bound = *static_cast<Bound*>(context);
    const FusedKernel& kernel = *bound.kernel;
    std::copy_n(in, kernel.looped_, bound.in);
    const std::size_t ahead = kernel.fetches_ ? bound.ahead(out[0], n) : 0;
    kernel.program_.run(bound.in, out, n, bound.space + kernel.tiles_, kernel.loop_.count(), ahead);
  }

  // The same in stretches, for each of which the random numbers are drawn.
  static void call_drawing(void* context, const void* const* in, void* const* out, std::size_t n) {
    const Bound& bound = *static_cast<Bound*>(context);
    const FusedKernel& kernel = *bound.kernel;
    const std::size_t begin = bound.place(out[0]);
    for (std::size_t first = 0; first < n; first += drawn_at_once) {
      const std::size_t count = std::min(drawn_at_once, n - first);
      for (std::size_t d = 0; d < kernel.draws_.size(); ++d)
        kernel.draws_[d](bound.args->in + kernel.looped_ + d,
                         bound.space + kernel.drawn_ + d * kernel.drawn_bytes_, begin + first,
                         count);
      for (std::size_t i = 0; i < kernel.looped_; ++i)
        bound.in[i] = static_cast<const char*>(in[i]) + first * kernel.in_elements_[i];
      for (std::size_t o = 0; o < kernel.out_elements_.size(); ++o)
        bound.out[o] = static_cast<char*>(out[o]) + first * kernel.out_elements_[o];
      kernel.program_.run(bound.in, bound.out, count, bound.space + kernel.tiles_);
    }
  }

  ElementwiseLoop loop_;
  const TileProgram& program_;
  std::vector<Slice> draws_;
  std::vector<std::size_t> in_elements_;   // bytes; of the looped inputs
  std::vector<std::size_t> out_elements_;  // of all that the program computes
  std::size_t looped_;
  std::size_t inputs_;
  std::size_t stored_;
  std::optional<FoldChunks> chunks_;
  std::vector<Fold> folds_;
  bool fetches_ = false;      // what chunks to come read
  std::size_t pointers_ = 0;  // where these begin in the workspace: the program's operands,
  std::size_t drawn_ = 0;     // what is drawn,
  std::size_t drawn_bytes_ = 0;
  std::size_t tiles_ = 0;             // the program's own workspace,
  std::vector<std::size_t> buffers_;  // chunks of what is folded and not stored,
  std::size_t scratch_ = 0;           // and what the folds want
  std::size_t thread_bytes_ = 0;
  std::size_t shared_bytes_ = 0;
};

class FusedOp : public Op {
 public:
  explicit FusedOp(FusedParts parts)
      : parts_(std::move(parts)),
        program_(parts_.code, parts_.dtype),
        looped_(static_cast<std::size_t>(std::ranges::count(parts_.code.single, false)) -
                parts_.draws.size()),
        arithmetic_(static_cast<std::size_t>(std::ranges::count_if(
                        parts_.code.steps,
                        [](const Recording::Step& step) {
                          return step.prim != Prim::input && step.prim != Prim::constant;
                        })) +
                    parts_.folds.size()) {
    assert(std::ranges::is_sorted(parts_.code.single));
    info_.name = fused_name;
    info_.doc = parts_.members;
    info_.kind = Kind::none;
    info_.reason = "plans are not differentiated";
  }
  const OpInfo& info() const override { return info_; }
  void infer(Inference&) const override { assert(false && "made by a pass, never in a graph"); }
  std::vector<Case> cases() const override { return {}; }
  bool can_fail() const override { return false; }
  bool in_place(std::size_t i, std::size_t o) const override {
    return i < looped_ && o < parts_.stored && program_.may_overwrite(i, o);
  }
  Cost cost(const KernelRequest& request) const override {
    Cost cost = bytes_only(request);
    const Shape& shape = parts_.folds.empty() ? request.out[0].shape : parts_.folds[0].type.shape;
    cost.flops = static_cast<double>(arithmetic_) * static_cast<double>(shape.count());
    return cost;
  }
  Kernel kernel(const KernelRequest& request) const override {
    const auto planned = std::make_shared<const FusedKernel>(program_, parts_, looped_, request);
    return {.run = [planned](const KernelArgs& args) { planned->run(args); },
            .workspace_bytes = planned->workspace_bytes(),
            .thread_workspace_bytes = planned->thread_workspace_bytes()};
  }

 private:
  FusedParts parts_;
  TileProgram program_;
  std::size_t looped_;
  std::size_t arithmetic_;  // operations an element
  OpInfo info_;
};

}  // namespace

std::shared_ptr<const Op> make_fused_op(FusedParts parts) {
  return std::make_shared<FusedOp>(std::move(parts));
}

bool is_fused(const Op& op) { return op.name() == fused_name; }

}  // namespace dualtape::detail
