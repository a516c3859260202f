#include <dualtape/ops/kernels/convolution/onednn_convolution.hpp>

#if defined(DUALTAPE_ONEDNN)
#include <dualtape/ops/kernels/products/onednn_handles.hpp>
#endif

#if defined(DUALTAPE_ONEDNN) && DNNL_VERSION_MAJOR == 2

#include <array>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <dualtape/core/machine/kernel.hpp>
#include <dualtape/ops/declare/channel_blocks.hpp>

namespace dualtape::detail {
namespace {

using namespace onednn;

dnnl_memory_desc_t described(const std::vector<dnnl_dim_t>& sizes, dnnl_format_tag_t tag) {
  dnnl_memory_desc_t result{};
  dnnl_dims_t dims{};
  for (std::size_t i = 0; i < sizes.size(); ++i) dims[i] = sizes[i];
  if (dnnl_memory_desc_init_by_tag(&result, static_cast<int>(sizes.size()), dims, dnnl_f32, tag) !=
      dnnl_success)
    result.ndims = 0;
  return result;
}

dnnl_format_tag_t block_tag() { return channel_block() == 16 ? dnnl_nChw16c : dnnl_nChw8c; }

// Sizes of x, w and y as oneDNN has them, and the layouts they come in.
struct Operands {
  std::vector<dnnl_dim_t> x;
  std::vector<dnnl_dim_t> w;
  std::vector<dnnl_dim_t> y;
  std::array<dnnl_memory_desc_t, 3> ours;  // x, w, y

  Operands(const ConvShape& s, ConvLayout layout)
      : x{s.batch, s.in_channels, s.rows.in, s.columns.in},
        w{s.out_channels, s.in_channels, s.rows.kernel, s.columns.kernel},
        y{s.batch, s.out_channels, s.rows.out, s.columns.out} {
    if (s.groups > 1) w = {s.groups, s.out_group(), s.in_group(), s.rows.kernel, s.columns.kernel};
    const dnnl_format_tag_t blocks = block_tag();
    ours = {described(x, layout.x_blocked ? blocks : dnnl_nchw),
            described(w, s.groups > 1 ? dnnl_goihw : dnnl_oihw),
            described(y, layout.y_blocked ? blocks : dnnl_nchw)};
  }
};

// Which of x, w, y the pass reads first, reads second and writes.
std::array<std::size_t, 3> roles_of(ConvPass pass) {
  switch (pass) {
    case ConvPass::forward: return {0, 1, 2};
    case ConvPass::by_input: return {2, 1, 0};
    case ConvPass::by_weights: break;
  }
  return {0, 2, 1};
}

// Images as oneDNN is to have them: as it likes, mostly blocks. Where channels do not fill these it
// was slower than with channels last, AVX-512, copies included: 8 -> 16 and 24 -> 24 channels, by
// weights, 0.6 and 0.8 times as fast; 8 -> 8, by input, 0.5 times. Forward from 8 it was faster.
dnnl_format_tag_t images_for(ConvPass pass, const ConvShape& s) {
  if (channel_block() != 16 || s.groups > 1) return dnnl_format_tag_any;
  const bool x_whole = s.in_channels % 16 == 0;
  const bool y_whole = s.out_channels % 16 == 0;
  const bool last = pass == ConvPass::by_weights ? !x_whole || !y_whole
                    : pass == ConvPass::by_input ? !y_whole
                                                 : !x_whole && s.in_channels > 16;
  return last && s.in_channels >= 8 ? dnnl_nhwc : dnnl_format_tag_any;
}

Description describe(ConvPass pass, const ConvShape& s, const Operands& operands,
                     dnnl_alg_kind_t algorithm, dnnl_format_tag_t images,
                     const_dnnl_primitive_attr_t attributes) {
  const auto x = described(operands.x, images);
  const auto w = described(operands.w, dnnl_format_tag_any);
  const auto y = described(operands.y, images);
  const dnnl_dims_t strides = {s.rows.stride, s.columns.stride};
  const dnnl_dims_t dilations = {s.rows.dilation - 1, s.columns.dilation - 1};
  const dnnl_dims_t before = {s.rows.before, s.columns.before};
  const dnnl_dims_t after = {s.rows.after, s.columns.after};
  dnnl_convolution_desc_t convolution;
  dnnl_status_t status = dnnl_success;
  // The backward passes are made from the description of a forward one.
  if (pass == ConvPass::by_input)
    status = dnnl_dilated_convolution_backward_data_desc_init(&convolution, algorithm, &x, &w, &y,
                                                              strides, dilations, before, after);
  else if (pass == ConvPass::by_weights)
    status = dnnl_dilated_convolution_backward_weights_desc_init(
        &convolution, algorithm, &x, &w, nullptr, &y, strides, dilations, before, after);
  else
    status = dnnl_dilated_convolution_forward_desc_init(&convolution, dnnl_forward_training,
                                                        algorithm, &x, &w, nullptr, &y, strides,
                                                        dilations, before, after);
  if (status != dnnl_success) return nullptr;
  Description hint;
  if (pass != ConvPass::forward) {
    hint = describe(ConvPass::forward, s, operands, algorithm, images, attributes);
    if (hint == nullptr) return nullptr;
  }
  return made<Description>([&](dnnl_primitive_desc_t* to) {
    return dnnl_primitive_desc_create(to, &convolution, attributes, cpu(), hint.get());
  });
}

class Convolution : public PreparedConvolution {
 public:
  static std::shared_ptr<const PreparedConvolution> make(ConvPass pass, const ConvShape& s,
                                                         ConvLayout layout, ConvAlgorithm way) {
    const OneThread one;  // the plan of blocks is for as many threads as there are now
    auto result = std::make_shared<Convolution>();
    return cpu() != nullptr && result->prepare(pass, s, layout, way) ? std::move(result) : nullptr;
  }

  std::size_t scratch_bytes() const override { return bytes_; }
  std::string note() const override { return note_; }

  bool run(const float* a, const float* b, float* out, void* scratch) const override {
    const OneThread one;
    // A program belongs to one thread at a time, so nobody waits; but kernels may be copied.
    const std::lock_guard lock(mutex_);
    const std::array<void*, 3> ours{const_cast<float*>(a), const_cast<float*>(b), out};
    for (const Place& place : places_) {
      void* const data = place.operand < ours.size()
                             ? ours[place.operand]
                             : static_cast<std::byte*>(scratch) + place.offset;
      if (dnnl_memory_set_data_handle_v2(place.memory.get(), data, stream_.get()) != dnnl_success)
        return false;
    }
    for (const Step& step : steps_)
      if (dnnl_primitive_execute(step.primitive.get(), stream_.get(),
                                 static_cast<int>(step.operands.size()),
                                 step.operands.data()) != dnnl_success)
        return false;
    if (dnnl_stream_wait(stream_.get()) != dnnl_success) return false;
    if (unpack_)
      unpack_images(
          reinterpret_cast<const float*>(static_cast<const std::byte*>(scratch) + unpack_->offset),
          out, unpack_->images, unpack_->channels, unpack_->plane);
    return true;
  }

 private:
  static constexpr std::size_t in_scratch = 3;
  // Memory of operand 0 or 1, of the output (2), or in the scratch memory.
  struct Place {
    Memory memory;
    std::size_t operand;
    std::size_t offset;
  };
  struct Step {
    Primitive primitive;
    std::vector<dnnl_exec_arg_t> operands;
  };

  // A result in blocks in the scratch memory, to be copied out of them.
  struct Unpack {
    std::size_t offset;
    std::int64_t images;
    std::int64_t channels;
    std::int64_t plane;
  };

  bool prepare(ConvPass pass, const ConvShape& s, ConvLayout layout, ConvAlgorithm way) {
    const Operands operands(s, layout);
    for (const auto& description : operands.ours)
      if (description.ndims == 0) return false;
    attributes_ = made<Attributes>(dnnl_primitive_attr_create);
    stream_ = made<Stream>(
        [](dnnl_stream_t* to) { return dnnl_stream_create(to, cpu(), dnnl_stream_default_flags); });
    if (attributes_ == nullptr || stream_ == nullptr ||
        dnnl_primitive_attr_set_scratchpad_mode(attributes_.get(), dnnl_scratchpad_mode_user) !=
            dnnl_success)
      return false;
    const Description description = describe(
        pass, s, operands,
        way == ConvAlgorithm::winograd ? dnnl_convolution_winograd : dnnl_convolution_direct,
        way == ConvAlgorithm::winograd ? dnnl_format_tag_any : images_for(pass, s),
        attributes_.get());
    if (description == nullptr) return false;
    const char* name = nullptr;
    // Its fall-back loops and its products of columns are slower than ours.
    if (dnnl_primitive_desc_query(description.get(), dnnl_query_impl_info_str, 0, &name) !=
            dnnl_success ||
        std::string_view(name).starts_with("ref") || std::string_view(name).starts_with("gemm") ||
        std::string_view(name).starts_with("x64:gemm"))
      return false;
    constexpr std::array forward{DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    constexpr std::array by_input{DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST};
    constexpr std::array by_weights{DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST};
    const auto& names = pass == ConvPass::forward    ? forward
                        : pass == ConvPass::by_input ? by_input
                                                     : by_weights;
    const auto roles = roles_of(pass);
    std::vector<dnnl_exec_arg_t> arguments;
    std::size_t copies = 0;
    dnnl_memory_t result_ours = nullptr;
    dnnl_memory_t result_theirs = nullptr;
    for (std::size_t i = 0; i < roles.size(); ++i) {
      const dnnl_memory_desc_t& ours = operands.ours[roles[i]];
      const dnnl_memory_desc_t& theirs =
          *dnnl_primitive_desc_query_md(description.get(), dnnl_query_exec_arg_md, names[roles[i]]);
      const dnnl_memory_t outside = add_place(ours, i);
      if (outside == nullptr) return false;
      dnnl_memory_t inside = outside;
      if (dnnl_memory_desc_equal(&ours, &theirs) == 0) {
        ++copies;
        inside = add_place(theirs, in_scratch);
        if (inside == nullptr) return false;
        if (i < 2 && !add_copy(outside, inside)) return false;
        if (i == 2 && pass != ConvPass::by_weights) unpack_ = unpacking(pass, s, ours, theirs);
      }
      if (i == 2) {
        result_ours = outside;
        result_theirs = inside;
      }
      arguments.push_back({names[roles[i]], inside});
    }
    if (!add_step(description, std::move(arguments))) return false;
    if (result_ours != result_theirs && !unpack_ && !add_copy(result_theirs, result_ours))
      return false;
    note_ = name;
    if (copies != 0) note_ += ", " + std::to_string(copies) + (copies == 1 ? " copy" : " copies");
    return true;
  }

  // How a result comes out of the blocks it has just been given a place in, if it lies in blocks;
  // oneDNN's own copy took longer by a half.
  std::optional<Unpack> unpacking(ConvPass pass, const ConvShape& s, const dnnl_memory_desc_t& ours,
                                  const dnnl_memory_desc_t& theirs) const {
    const bool is_x = pass == ConvPass::by_input;
    const auto sizes = std::vector<dnnl_dim_t>(ours.dims, ours.dims + ours.ndims);
    const auto plain = described(sizes, dnnl_nchw);
    const auto blocks = described(sizes, block_tag());
    if (dnnl_memory_desc_equal(&ours, &plain) == 0 || dnnl_memory_desc_equal(&theirs, &blocks) == 0)
      return std::nullopt;
    return Unpack{places_.back().offset, s.batch, is_x ? s.in_channels : s.out_channels,
                  is_x ? s.in_plane() : s.out_plane()};
  }

  dnnl_memory_t add_place(const dnnl_memory_desc_t& description, std::size_t operand) {
    auto memory = made<Memory>([&](dnnl_memory_t* to) {
      return dnnl_memory_create(to, &description, cpu(), DNNL_MEMORY_NONE);
    });
    const dnnl_memory_t raw = memory.get();
    places_.push_back({std::move(memory), operand, bytes_});
    if (operand == in_scratch) bytes_ += aligned(dnnl_memory_desc_get_size(&description));
    return raw;
  }
  bool add_copy(dnnl_memory_t from, dnnl_memory_t to) {
    const dnnl_memory_desc_t* source = nullptr;
    const dnnl_memory_desc_t* target = nullptr;
    if (dnnl_memory_get_memory_desc(from, &source) != dnnl_success ||
        dnnl_memory_get_memory_desc(to, &target) != dnnl_success)
      return false;
    const auto description = made<Description>([&](dnnl_primitive_desc_t* made_description) {
      return dnnl_reorder_primitive_desc_create(made_description, source, cpu(), target, cpu(),
                                                attributes_.get());
    });
    return description != nullptr &&
           add_step(description, {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
  }
  bool add_step(const Description& description, std::vector<dnnl_exec_arg_t> operands) {
    const dnnl_memory_desc_t& scratch =
        *dnnl_primitive_desc_query_md(description.get(), dnnl_query_scratchpad_md, 0);
    if (dnnl_memory_desc_get_size(&scratch) != 0) {
      const dnnl_memory_t place = add_place(scratch, in_scratch);
      if (place == nullptr) return false;
      operands.push_back({DNNL_ARG_SCRATCHPAD, place});
    }
    auto primitive = made<Primitive>(
        [&](dnnl_primitive_t* to) { return dnnl_primitive_create(to, description.get()); });
    if (primitive == nullptr) return false;
    steps_.push_back({std::move(primitive), std::move(operands)});
    return true;
  }

  Attributes attributes_;
  Stream stream_;
  std::vector<Place> places_;
  std::vector<Step> steps_;
  std::optional<Unpack> unpack_;
  std::size_t bytes_ = 0;
  std::string note_;
  mutable std::mutex mutex_;
};

}  // namespace

bool has_onednn_convolution() { return true; }

std::shared_ptr<const PreparedConvolution> prepare_onednn_convolution(ConvPass pass,
                                                                      const ConvShape& shape,
                                                                      ConvLayout layout,
                                                                      ConvAlgorithm algorithm) {
  return Convolution::make(pass, shape, layout, algorithm);
}

}  // namespace dualtape::detail

#else

namespace dualtape::detail {

bool has_onednn_convolution() { return false; }

std::shared_ptr<const PreparedConvolution> prepare_onednn_convolution(ConvPass, const ConvShape&,
                                                                      ConvLayout, ConvAlgorithm) {
  return nullptr;
}

}  // namespace dualtape::detail

#endif
