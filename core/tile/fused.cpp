#include <dualtape/core/tile/fused.hpp>

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <optional>
#include <utility>

#include <dualtape/core/machine/team.hpp>
#include <dualtape/core/tile/broadcast.hpp>

namespace dualtape::detail {
namespace {

constexpr std::string_view fused_name = "fused";
constexpr std::size_t drawn_at_once = 2048;                 // whole groups of every distribution
constexpr std::size_t fetched_from = std::size_t{1} << 20;  // elements of loops that fold

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
      shared_bytes_ += folds_.back().fold.shared_bytes();
      thread_bytes_ = std::max(thread_bytes_, scratch_ + folds_.back().fold.workspace_bytes());
    }
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
    for (std::size_t f = 0; f < folds_.size(); ++f)
      folds_[f].fold.finish(args.out[stored_ + f], shared + folds_[f].shared,
                            static_cast<char*>(args.workspace) + scratch_, lost);
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
      fold.fold.run(chunk, moved(out[fold.value], first * out_elements_[fold.value], true),
                    args.out[stored_ + f], shared + fold.shared, space + scratch_, lost);
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
