#include <dualtape/ops/kernels/convolution/convolve.hpp>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/core/base/environment.hpp>
#include <dualtape/core/machine/kernel.hpp>
#include <dualtape/core/machine/team.hpp>
#include <dualtape/core/threads.hpp>
#include <dualtape/ops/declare/channel_blocks.hpp>
#include <dualtape/ops/kernels/convolution/divided_convolution.hpp>
#include <dualtape/ops/kernels/convolution/onednn_convolution.hpp>
#include <dualtape/ops/kernels/convolution/sizes.hpp>
#include <dualtape/ops/kernels/products/products.hpp>

namespace dualtape::detail {
namespace {

// Read once: a plan made later must not differ from one made before.
std::optional<ConvBackend> forced_backend() {
  static const std::optional<ConvBackend> forced =
      conv_backend_from(std::getenv("DUALTAPE_CONVOLUTION"));  // NOLINT(concurrency-mt-unsafe)
  return forced;
}

// For fewer channels than these, and at least this many weights for each output channel, a loop
// over rows was 0.9 to 3 times as fast as a product with columns, mostly 1.3 (AVX-512, one thread,
// 1 -> 2 to 3 -> 64 channels).
constexpr std::int64_t most_direct_channels = 7;
constexpr std::int64_t least_direct_weights = 9;

// ---- products of columns -----------------------------------------------------------------------

// Calls one(args, image, group, room for its columns) for each group of channels of each image.
template <class T, class One>
Kernel columns_kernel(const ConvShape& s, const Product& product, One one) {
  auto run = [=](const KernelArgs& args) {
    in_ranges(args, static_cast<std::size_t>(s.batch), 1, cheap_steps(s),
              [&](std::size_t first, std::size_t last, void* workspace) {
                for (auto n = static_cast<std::int64_t>(first); n < static_cast<std::int64_t>(last);
                     ++n)
                  for (std::int64_t g = 0; g < s.groups; ++g)
                    one(args, n, g, static_cast<T*>(workspace));
              });
  };
  const std::size_t bytes = Sizes<T>(s).column_bytes;
  return {std::move(run), bytes, "columns, " + product.note(s.batch * s.groups), bytes};
}

// The columns of one group of one image, which may be that itself.
template <class T>
const T* columns_of(const ConvShape& s, const ConvolveKernelsOf<T>& loops, const T* x, T* room) {
  if (s.is_pointwise()) return x;
  loops.to_columns(s, x, room);
  return room;
}

// y = w columns(x), image by image and group by group.
template <class T>
Kernel forward_by_columns(const ConvShape& s, const CompileOptions& options) {
  const Product product({false, false, static_cast<int>(s.out_group()),
                         static_cast<int>(s.out_plane()), static_cast<int>(s.column_rows())},
                        dtype_of<T>, ProductUse::assign, options);
  const Sizes<T> size(s);
  const auto& loops = convolve_kernels<T>();
  return columns_kernel<T>(
      s, product, [=, &loops](const KernelArgs& args, std::int64_t n, std::int64_t g, T* room) {
        const T* const x = args.input<T>(0) + n * size.x + g * size.x_group;
        product.assign(args.input<T>(1) + g * size.w_group, columns_of(s, loops, x, room),
                       args.output<T>() + n * size.y + g * size.y_group);
      });
}

// columns(x') = w^T y', each column added to the place in x' it was read from.
template <class T>
Kernel by_input_by_columns(const ConvShape& s, const CompileOptions& options) {
  const Product product({true, false, static_cast<int>(s.column_rows()),
                         static_cast<int>(s.out_plane()), static_cast<int>(s.out_group())},
                        dtype_of<T>, ProductUse::assign, options);
  const Sizes<T> size(s);
  const auto& loops = convolve_kernels<T>();
  const bool pointwise = s.is_pointwise();
  return columns_kernel<T>(
      s, product, [=, &loops](const KernelArgs& args, std::int64_t n, std::int64_t g, T* room) {
        T* const x = args.output<T>() + n * size.x + g * size.x_group;
        product.assign(args.input<T>(1) + g * size.w_group,
                       args.input<T>(0) + n * size.y + g * size.y_group, pointwise ? x : room);
        if (pointwise) return;
        std::fill_n(x, size.x_group, T{0});
        loops.add_columns(s, room, x);
      });
}

// w' as a sum over images. With a team each part of the images has a sum of its own, and these are
// added in order. `images(args, first, last, w, workspace)` writes one part's.
template <class T, class Images>
Kernel by_weights_in_parts(const ConvShape& s, Images images, std::size_t bytes, std::string note) {
  const std::int64_t count = Sizes<T>(s).w;
  auto run = [=](const KernelArgs& args) {
    if (args.team == nullptr || cheap_steps(s) < least_divided || s.batch == 1)
      return images(args, 0, s.batch, args.output<T>(), args.workspace);
    const std::int64_t step = (s.batch - 1) / args.team->threads() + 1;
    const std::int64_t parts = (s.batch - 1) / step + 1;
    // Sums are kept by part and the rest by thread, which may do several parts.
    const auto sum_of = [&](std::size_t part) {
      return part == 0 ? args.output<T>()
                       : reinterpret_cast<T*>(
                             static_cast<std::byte*>(args.team->workspace(static_cast<int>(part))) +
                             bytes);
    };
    args.team->run(static_cast<std::size_t>(parts), [&](std::size_t part, int thread) {
      const std::int64_t first = static_cast<std::int64_t>(part) * step;
      images(args, first, std::min(first + step, s.batch), sum_of(part),
             thread == 0 ? args.workspace : args.team->workspace(thread));
    });
    for (std::size_t part = 1; part < static_cast<std::size_t>(parts); ++part) {
      const T* const sum = sum_of(part);
      for (std::int64_t i = 0; i < count; ++i) args.output<T>()[i] += sum[i];
    }
  };
  return {std::move(run), bytes, std::move(note),
          bytes + aligned(static_cast<std::size_t>(count) * sizeof(T))};
}

// w' = the sum over images of y' columns(x)^T.
template <class T>
Kernel by_weights_by_columns(const ConvShape& s, const CompileOptions& options) {
  const Product product({false, true, static_cast<int>(s.out_group()),
                         static_cast<int>(s.column_rows()), static_cast<int>(s.out_plane())},
                        dtype_of<T>, ProductUse::assign, options);
  const Sizes<T> size(s);
  const auto& loops = convolve_kernels<T>();
  const auto images = [=, &loops](const KernelArgs& args, std::int64_t first, std::int64_t last,
                                  T* w, void* workspace) {
    for (std::int64_t n = first; n < last; ++n)
      for (std::int64_t g = 0; g < s.groups; ++g) {
        const T* const x = args.input<T>(0) + n * size.x + g * size.x_group;
        const T* const columns = columns_of(s, loops, x, static_cast<T*>(workspace));
        const T* const y = args.input<T>(1) + n * size.y + g * size.y_group;
        T* const to = w + g * size.w_group;
        if (n == first)
          product.assign(y, columns, to);
        else
          product.add(T{1}, y, columns, to);
      }
  };
  return by_weights_in_parts<T>(s, images, size.column_bytes,
                                "columns, " + product.note(s.batch * s.groups));
}

// ---- few channels in ---------------------------------------------------------------------------

template <class T>
bool has_direct_loop(const ConvShape& s) {
  const auto dense = [](const ConvAxis& a) { return a.stride == 1 && a.dilation == 1; };
  return s.groups == 1 && s.in_channels <= most_direct_channels &&
         s.column_rows() >= least_direct_weights && dense(s.rows) && dense(s.columns) &&
         s.columns.out >= convolve_kernels<T>().width;
}

// Room for an image with zeros around it, unless there are none.
template <class T>
std::size_t padded_bytes(const ConvShape& s) {
  const std::int64_t plane = s.padded_rows() * s.padded_columns();
  return plane == s.in_plane()
             ? 0
             : aligned(static_cast<std::size_t>(s.in_channels * plane) * sizeof(T));
}

template <class T>
Kernel direct_forward(const ConvShape& s) {
  const auto& loops = convolve_kernels<T>();
  const Sizes<T> size(s);
  const std::size_t padded = padded_bytes<T>(s);
  const std::size_t bytes = padded + aligned(static_cast<std::size_t>(size.w) * sizeof(T));
  auto run = [=, &loops](const KernelArgs& args) {
    in_ranges(args, static_cast<std::size_t>(s.batch), 1, cheap_steps(s),
              [&](std::size_t first, std::size_t last, void* workspace) {
                T* const image = static_cast<T*>(workspace);
                T* const w = reinterpret_cast<T*>(static_cast<std::byte*>(workspace) + padded);
                loops.pack_weights(s, args.input<T>(1), w);
                for (auto n = static_cast<std::int64_t>(first); n < static_cast<std::int64_t>(last);
                     ++n) {
                  const T* x = args.input<T>(0) + n * size.x;
                  if (padded != 0) {
                    loops.pad(s, x, image);
                    x = image;
                  }
                  loops.direct_forward(s, x, w, args.output<T>() + n * size.y);
                }
              });
  };
  return {std::move(run), bytes, "a loop over rows", bytes};
}

template <class T>
Kernel direct_by_weights(const ConvShape& s) {
  const auto& loops = convolve_kernels<T>();
  const Sizes<T> size(s);
  const std::size_t padded = padded_bytes<T>(s);
  const std::int64_t count = size.w * loops.width;
  const auto images = [=, &loops](const KernelArgs& args, std::int64_t first, std::int64_t last,
                                  T* w, void* workspace) {
    T* const image = static_cast<T*>(workspace);
    T* const sums = reinterpret_cast<T*>(static_cast<std::byte*>(workspace) + padded);
    std::fill_n(sums, count, T{0});
    for (std::int64_t n = first; n < last; ++n) {
      const T* x = args.input<T>(0) + n * size.x;
      if (padded != 0) {
        loops.pad(s, x, image);
        x = image;
      }
      loops.direct_by_weights(s, x, args.input<T>(1) + n * size.y, sums);
    }
    loops.add_sums(s, sums, w);
  };
  return by_weights_in_parts<T>(
      s, images, padded + aligned(static_cast<std::size_t>(count) * sizeof(T)), "a loop over rows");
}

// ---- one channel in each group -----------------------------------------------------------------

// Output channel m reads input channel m / out_group(), so nothing is to be multiplied as matrices.
template <class T>
Kernel depthwise_kernel(ConvPass pass, const ConvShape& s) {
  const auto& loops = convolve_kernels<T>();
  const std::int64_t in_plane = s.in_plane();
  const std::int64_t out_plane = s.out_plane();
  const std::int64_t window = s.window();
  const std::int64_t each = s.out_group();
  const bool by_weights = pass == ConvPass::by_weights;
  auto run = [=, &loops](const KernelArgs& args) {
    const T* const a = args.input<T>(0);
    const T* const b = args.input<T>(1);
    T* const out = args.output<T>();
    const std::int64_t planes =
        by_weights ? s.out_channels
                   : s.batch * (pass == ConvPass::forward ? s.out_channels : s.in_channels);
    const auto one_plane = [&](std::int64_t p) {
      switch (pass) {
        case ConvPass::forward: {
          const std::int64_t m = p % s.out_channels;
          std::fill_n(out + p * out_plane, out_plane, T{0});
          return loops.plane_forward(s, a + p / each * in_plane, b + m * window,
                                     out + p * out_plane);
        }
        case ConvPass::by_input: {
          const std::int64_t c = p % s.in_channels;
          std::fill_n(out + p * in_plane, in_plane, T{0});
          for (std::int64_t l = 0; l < each; ++l)
            loops.plane_by_input(s, a + (p * each + l) * out_plane, b + (c * each + l) * window,
                                 out + p * in_plane);
          return;
        }
        case ConvPass::by_weights:
          std::fill_n(out + p * window, window, T{0});
          for (std::int64_t n = 0; n < s.batch; ++n)
            loops.plane_by_weights(s, a + (n * s.in_channels + p / each) * in_plane,
                                   b + (n * s.out_channels + p) * out_plane, out + p * window);
      }
    };
    in_ranges(args, static_cast<std::size_t>(planes), 1, cheap_steps(s),
              [&](std::size_t first, std::size_t last, void*) {
                for (std::size_t p = first; p < last; ++p) one_plane(static_cast<std::int64_t>(p));
              });
  };
  return {std::move(run), 0, "a loop over channels"};
}

// ---- layouts -----------------------------------------------------------------------------------

// A kernel for images in blocks, by copies from and to the layout that users see.
Kernel with_copies(ConvPass pass, const ConvShape& s, ConvLayout layout, const Kernel& plain) {
  struct Part {
    bool blocked;
    std::int64_t rows;  // of blocks
    std::int64_t plane;
    std::size_t bytes() const {
      return blocked
                 ? aligned(static_cast<std::size_t>(rows * plane * channel_block()) * sizeof(float))
                 : 0;
    }
  };
  const Part x{layout.x_blocked, s.batch * s.in_channels / channel_block(), s.in_plane()};
  const Part y{layout.y_blocked, s.batch * s.out_channels / channel_block(), s.out_plane()};
  const Part none{false, 0, 0};
  const bool by_input = pass == ConvPass::by_input;
  const Part first = by_input ? y : x;
  const Part second = pass == ConvPass::by_weights ? y : none;
  const Part out = pass == ConvPass::forward ? y : by_input ? x : none;
  const std::size_t plain_bytes = aligned(plain.workspace_bytes);
  const std::size_t bytes = plain_bytes + first.bytes() + second.bytes() + out.bytes();
  auto run = [=, kernel = plain.run](const KernelArgs& args) {
    auto* space = static_cast<std::byte*>(args.workspace) + plain_bytes;
    const auto place = [&](const Part& part) {
      auto* const at = reinterpret_cast<float*>(space);
      space += part.bytes();
      return at;
    };
    const auto plain_operand = [&](const Part& part, std::size_t i) -> const void* {
      if (!part.blocked) return args.in[i];
      float* const copy = place(part);
      unpack_channels(args.in[i], copy, part.rows, part.plane, sizeof(float));
      return copy;
    };
    const void* const in[] = {plain_operand(first, 0), plain_operand(second, 1)};
    float* const result = out.blocked ? place(out) : args.output<float>();
    void* const outs[] = {result};
    kernel({in, outs, args.workspace, args.team});
    if (out.blocked) pack_channels(result, args.out[0], out.rows, out.plane, sizeof(float));
  };
  return {std::move(run), bytes, plain.note + ", in copies", plain.thread_workspace_bytes};
}

// ---- choice ------------------------------------------------------------------------------------

template <class T>
Kernel plain_kernel(ConvPass pass, const ConvShape& s, const CompileOptions& options) {
  if (s.groups > 1 && s.in_group() == 1) return depthwise_kernel<T>(pass, s);
  const bool direct = has_direct_loop<T>(s);
  switch (pass) {
    case ConvPass::forward:
      return direct ? direct_forward<T>(s) : forward_by_columns<T>(s, options);
    case ConvPass::by_input: return by_input_by_columns<T>(s, options);
    case ConvPass::by_weights: break;
  }
  return direct ? direct_by_weights<T>(s) : by_weights_by_columns<T>(s, options);
}

std::int64_t result_count(ConvPass pass, const ConvShape& s) {
  switch (pass) {
    case ConvPass::forward: return s.batch * s.out_channels * s.out_plane();
    case ConvPass::by_input: return s.batch * s.in_channels * s.in_plane();
    case ConvPass::by_weights: break;
  }
  return s.out_channels * s.in_group() * s.window();
}

}  // namespace

bool ConvShape::is_pointwise() const {
  const auto single = [](const ConvAxis& a) {
    return a.kernel == 1 && a.stride == 1 && a.before == 0 && a.after == 0;
  };
  return single(rows) && single(columns);
}

std::optional<ConvBackend> conv_backend_from(const char* text) {
  const std::string_view name = text == nullptr ? "" : text;
  if (name.empty()) return std::nullopt;
  if (name == "columns") return ConvBackend::columns;
  if (name == "onednn" && has_onednn_convolution()) return ConvBackend::onednn;
  refuse_environment(
      "DUALTAPE_CONVOLUTION", name,
      has_onednn_convolution() ? "columns, onednn" : "columns (built without oneDNN)",
      "to have the one that measured faster");
}

// oneDNN 2.6, one thread, AVX-512, batch 64. With copies from and to its layouts it was 1.3 to 4
// times as fast as columns with 8 channels and more; with fewer from 0.4 to 1.1 times, and a tenth
// to a third of that backwards to the images. Given blocks of results it gains some with few
// channels, too. Single pixels are products as they stand: 0.6 times with copies, 1.2 in blocks. Of
// depthwise ones it has code for whole blocks of channels alone: 5 to 8 times as fast as our loop
// in blocks, 1.1 to 1.6 with copies.
ConvBackend conv_backend(ConvPass pass, const ConvShape& s, DType dtype, bool blocked) {
  const std::optional<ConvBackend> forced = forced_backend();
  if (dtype != float32 || !has_onednn_convolution()) return ConvBackend::columns;
  if (forced) return *forced;
  if (s.groups > 1 && s.in_group() == 1)
    return s.out_group() == 1 && s.in_channels % channel_block() == 0 ? ConvBackend::onednn
                                                                      : ConvBackend::columns;
  constexpr std::int64_t few = 8;
  if (s.in_group() < few && pass == ConvPass::by_input) return ConvBackend::columns;
  if (blocked) return ConvBackend::onednn;
  return s.in_group() < few || s.out_group() < few || s.is_pointwise() ? ConvBackend::columns
                                                                       : ConvBackend::onednn;
}

std::int64_t channel_block() {
#if defined(__x86_64__)
  static const bool wide = __builtin_cpu_supports("avx512f") != 0;
  return wide ? 16 : 8;
#else
  return 8;
#endif
}

Kernel convolution_kernel(ConvPass pass, const ConvShape& s, DType dtype, ConvBackend backend,
                          ConvLayout layout, const CompileOptions& options) {
  const std::int64_t count = result_count(pass, s);
  if (count == 0 || s.products() == 0)
    return {[bytes = static_cast<std::size_t>(count) * size_of(dtype)](const KernelArgs& args) {
      std::fill_n(args.output<std::byte>(), bytes, std::byte{0});
    }};
  prepare_blas();
  if (dtype == float64) return plain_kernel<double>(pass, s, options);
  Kernel plain = plain_kernel<float>(pass, s, options);
  if (layout.x_blocked || layout.y_blocked) plain = with_copies(pass, s, layout, plain);
  return backend == ConvBackend::onednn ? onednn_kernel(pass, s, layout, options, std::move(plain))
                                        : plain;
}

}  // namespace dualtape::detail
