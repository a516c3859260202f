#include <dualtape/core/detail/fused.hpp>

#include <algorithm>
#include <cassert>
#include <utility>

#include <dualtape/core/detail/broadcast.hpp>
#include <dualtape/core/detail/team.hpp>

namespace dualtape::detail {
namespace {

constexpr std::string_view fused_name = "fused";
constexpr std::size_t drawn_at_once = 2048;  // whole groups of every distribution

// The kernel of a fused node; read-only while it runs.
class FusedKernel {
 public:
  FusedKernel(const TileProgram& program, const std::vector<DrawnInput>& draws, std::size_t looped,
              const KernelRequest& request)
      : loop_(request.in.first(looped), request.out),
        program_(program),
        looped_(looped),
        inputs_(request.in.size()) {
    for (const Type& type : request.in.first(looped)) in_elements_.push_back(size_of(type.dtype));
    for (const Type& type : request.out) out_elements_.push_back(size_of(type.dtype));
    pointers_ = aligned(loop_.workspace_bytes());
    drawn_ = aligned(pointers_ + (inputs_ + request.out.size()) * sizeof(void*));
    for (const DrawnInput& draw : draws) {
      const std::size_t key = looped + draws_.size();
      draws_.push_back(
          draw.op->slice({request.in.subspan(key, 1), {&draw.type, 1}, draw.attributes}));
      drawn_bytes_ = drawn_at_once * size_of(draw.type.dtype);
    }
    tiles_ = drawn_ + draws_.size() * drawn_bytes_;
  }

  std::size_t workspace_bytes() const { return tiles_ + program_.workspace_bytes(); }

  void run(const KernelArgs& args) const {
    if (draws_.empty() && loop_.is_direct())
      return program_.run(args.in, args.out, loop_.count(),
                          static_cast<char*>(args.workspace) + tiles_);
    const std::size_t cost = loop_.count() * (1 + program_.instructions() / 4 + 4 * draws_.size());
    in_ranges(args, loop_.count(), loop_.unit(), cost,
              [&](std::size_t first, std::size_t last, void* workspace) {
                run(args, first, last, workspace);
              });
  }

 private:
  void run(const KernelArgs& args, std::size_t first, std::size_t last, void* workspace) const {
    char* const space = static_cast<char*>(workspace);
    Bound bound{this, &args, reinterpret_cast<const void**>(space + pointers_),
                reinterpret_cast<void**>(space + pointers_) + inputs_, space};
    for (std::size_t d = 0; d < draws_.size(); ++d)
      bound.in[looped_ + d] = space + drawn_ + d * drawn_bytes_;
    std::copy(args.in + looped_ + draws_.size(), args.in + inputs_,
              bound.in + looped_ + draws_.size());
    loop_.run(args.in, args.out, workspace, {draws_.empty() ? &call : &call_drawing, &bound}, first,
              last);
  }

  struct Bound {
    const FusedKernel* kernel;
    const KernelArgs* args;
    const void** in;  // of the program
    void** out;
    char* space;
  };

  static void call(void* context, const void* const* in, void* const* out, std::size_t n) {
    const Bound& bound = *static_cast<Bound*>(context);
    const FusedKernel& kernel = *bound.kernel;
    std::copy_n(in, kernel.looped_, bound.in);
    kernel.program_.run(bound.in, out, n, bound.space + kernel.tiles_, kernel.loop_.count());
  }

  // The same in stretches, for each of which the random numbers are drawn.
  static void call_drawing(void* context, const void* const* in, void* const* out, std::size_t n) {
    const Bound& bound = *static_cast<Bound*>(context);
    const FusedKernel& kernel = *bound.kernel;
    const auto begin = static_cast<std::size_t>(static_cast<const char*>(out[0]) -
                                                static_cast<const char*>(bound.args->out[0])) /
                       kernel.out_elements_[0];
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
  std::vector<std::size_t> in_elements_;  // bytes; of the looped inputs
  std::vector<std::size_t> out_elements_;
  std::size_t looped_;
  std::size_t inputs_;
  std::size_t pointers_ = 0;  // where these begin in the workspace: the program's operands,
  std::size_t drawn_ = 0;     // what is drawn,
  std::size_t drawn_bytes_ = 0;
  std::size_t tiles_ = 0;  // the program's own workspace
};

class FusedOp : public Op {
 public:
  explicit FusedOp(FusedParts parts)
      : program_(parts.code, parts.dtype),
        draws_(std::move(parts.draws)),
        looped_(static_cast<std::size_t>(std::ranges::count(parts.code.single, false)) -
                draws_.size()),
        arithmetic_(static_cast<std::size_t>(
            std::ranges::count_if(parts.code.steps,
                                  [](const Recording::Step& step) {
                                    return step.prim != Prim::input && step.prim != Prim::constant;
                                  }))),
        members_(std::move(parts.members)) {
    assert(std::ranges::is_sorted(parts.code.single));
    info_.name = fused_name;
    info_.doc = members_;
    info_.kind = Kind::none;
    info_.reason = "plans are not differentiated";
  }
  const OpInfo& info() const override { return info_; }
  void infer(Inference&) const override { assert(false && "made by a pass, never in a graph"); }
  std::vector<Case> cases() const override { return {}; }
  bool can_fail() const override { return false; }
  bool in_place(std::size_t i, std::size_t o) const override {
    return i < looped_ && program_.may_overwrite(i, o);
  }
  Cost cost(const KernelRequest& request) const override {
    Cost cost = bytes_only(request);
    cost.flops =
        static_cast<double>(arithmetic_) * static_cast<double>(request.out[0].shape.count());
    return cost;
  }
  Kernel kernel(const KernelRequest& request) const override {
    const auto planned = std::make_shared<const FusedKernel>(program_, draws_, looped_, request);
    return {.run = [planned](const KernelArgs& args) { planned->run(args); },
            .workspace_bytes = planned->workspace_bytes(),
            .thread_workspace_bytes = planned->workspace_bytes()};
  }

 private:
  TileProgram program_;
  std::vector<DrawnInput> draws_;
  std::size_t looped_;
  std::size_t arithmetic_;  // operations an element
  std::string members_;
  OpInfo info_;
};

}  // namespace

std::shared_ptr<const Op> make_fused_op(FusedParts parts) {
  return std::make_shared<FusedOp>(std::move(parts));
}

bool is_fused(const Op& op) { return op.name() == fused_name; }

}  // namespace dualtape::detail
