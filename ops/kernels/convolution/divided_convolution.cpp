#include <dualtape/ops/kernels/convolution/divided_convolution.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/core/machine/kernel.hpp>
#include <dualtape/core/machine/team.hpp>
#include <dualtape/core/threads.hpp>
#include <dualtape/ops/kernels/convolution/onednn_convolution.hpp>
#include <dualtape/ops/kernels/convolution/sizes.hpp>

namespace dualtape::detail {
namespace {

// Winograd's way is for 3 x 3 windows that lie next to each other, and pays with many channels.
bool suits_winograd(const ConvShape& s) {
  const auto fits = [](const ConvAxis& a) {
    return a.kernel == 3 && a.stride == 1 && a.dilation == 1;
  };
  return s.groups == 1 && fits(s.rows) && fits(s.columns) && s.in_channels >= 32 &&
         s.out_channels >= 32;
}

std::shared_ptr<const PreparedConvolution> prepare(ConvPass pass, const ConvShape& s,
                                                   ConvLayout layout) {
  std::shared_ptr<const PreparedConvolution> prepared;
  if (suits_winograd(s))
    prepared = prepare_onednn_convolution(pass, s, layout, ConvAlgorithm::winograd);
  if (prepared == nullptr)
    prepared = prepare_onednn_convolution(pass, s, layout, ConvAlgorithm::direct);
  return prepared;
}

// oneDNN's kernel for each part of the images, one part for a thread. Gradients of weights are a
// sum for each part, added in order.
class DividedConvolution {
 public:
  DividedConvolution(ConvPass pass, const ConvShape& s, ConvLayout layout,
                     const CompileOptions& options)
      : pass_(pass), size_(s) {
    const int threads = options.threads != 0 ? options.threads : num_threads();
    const std::int64_t most = cheap_steps(s) < least_divided ? 1 : threads;
    step_ = (s.batch - 1) / std::min(most, s.batch) + 1;
    for (std::int64_t first = 0; first < s.batch; first += step_) {
      ConvShape part = s;
      part.batch = std::min(step_, s.batch - first);
      parts_.push_back(prepare(pass, part, layout));
      if (parts_.back() == nullptr) {
        parts_.clear();
        return;
      }
      scratch_ = std::max(scratch_, aligned(parts_.back()->scratch_bytes()));
    }
  }
  bool exists() const { return !parts_.empty(); }
  std::string note() const {
    std::string text = "onednn " + parts_[0]->note();
    if (parts_.size() > 1) text += ", in " + std::to_string(parts_.size()) + " parts";
    return text;
  }
  std::size_t thread_bytes() const { return parts_.size() > 1 ? scratch_ : 0; }
  std::size_t workspace_bytes() const {
    return scratch_ + (pass_ == ConvPass::by_weights ? (parts_.size() - 1) * sum_bytes() : 0);
  }

  bool run(const KernelArgs& args) const {
    std::atomic<bool> ok = true;
    const auto one = [&](std::size_t part, void* scratch) {
      const std::int64_t n = static_cast<std::int64_t>(part) * step_;
      const float* const x = args.input<float>(0) + n * size_.x;
      const float* const y = args.input<float>(pass_ == ConvPass::by_input ? 0 : 1) + n * size_.y;
      const auto* const w = args.input<float>(1);
      const PreparedConvolution& prepared = *parts_[part];
      bool done = false;
      switch (pass_) {
        case ConvPass::forward:
          done = prepared.run(x, w, args.output<float>() + n * size_.y, scratch);
          break;
        case ConvPass::by_input:
          done = prepared.run(y, w, args.output<float>() + n * size_.x, scratch);
          break;
        case ConvPass::by_weights: done = prepared.run(x, y, sum_of(args, part), scratch); break;
      }
      if (!done) ok = false;
    };
    if (args.team == nullptr || parts_.size() == 1)
      for (std::size_t part = 0; part < parts_.size(); ++part) one(part, args.workspace);
    else
      args.team->run(parts_.size(), [&](std::size_t part, int thread) {
        one(part, thread == 0 ? args.workspace : args.team->workspace(thread));
      });
    if (pass_ == ConvPass::by_weights)
      for (std::size_t part = 1; part < parts_.size(); ++part) {
        const float* const sum = sum_of(args, part);
        for (std::int64_t i = 0; i < size_.w; ++i) args.output<float>()[i] += sum[i];
      }
    return ok;
  }

 private:
  std::size_t sum_bytes() const {
    return aligned(static_cast<std::size_t>(size_.w) * sizeof(float));
  }
  // The first part's is the result; the others' lie after the scratch memory.
  float* sum_of(const KernelArgs& args, std::size_t part) const {
    if (part == 0) return args.output<float>();
    return reinterpret_cast<float*>(static_cast<std::byte*>(args.workspace) + scratch_ +
                                    (part - 1) * sum_bytes());
  }

  ConvPass pass_;
  Sizes<float> size_;
  std::int64_t step_ = 1;
  std::vector<std::shared_ptr<const PreparedConvolution>> parts_;
  std::size_t scratch_ = 0;  // of one thread
};

}  // namespace

Kernel onednn_kernel(ConvPass pass, const ConvShape& s, ConvLayout layout,
                     const CompileOptions& options, Kernel plain) {
  DividedConvolution divided(pass, s, layout, options);
  if (!divided.exists()) return plain;
  const std::size_t bytes = std::max(divided.workspace_bytes(), plain.workspace_bytes);
  const std::size_t thread_bytes = std::max(divided.thread_bytes(), plain.thread_workspace_bytes);
  std::string note = divided.note();
  return {[divided = std::move(divided), refused = plain.run](const KernelArgs& args) {
            if (!divided.run(args)) refused(args);
          },
          bytes, std::move(note), thread_bytes};
}

}  // namespace dualtape::detail
