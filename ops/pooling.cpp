#include <dualtape/ops/pooling.hpp>

#include <concepts>

#include <dualtape/core/composite.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/core/machine/team.hpp>
#include <dualtape/ops/batching.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/declare/pool_shapes.hpp>
#include <dualtape/ops/declare/samples.hpp>
#include <dualtape/ops/kernels/pooling/pool.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

using detail::pooled_shape;
using detail::PoolPlan;
using detail::require_pooled;
using detail::shape_of;

// Their loops in a table of kernels.
constexpr auto max_loop = [](const auto& kernels) { return kernels.max; };
constexpr auto select_loop = [](const auto& kernels) { return kernels.select; };
constexpr auto scatter_loop = [](const auto& kernels) { return kernels.scatter; };
constexpr auto average_loop = [](const auto& kernels) { return kernels.average; };
constexpr auto spread_loop = [](const auto& kernels) { return kernels.spread; };

// What the operators share. `loop` goes from images to one value a window or, `outwards`, from
// those to images.
template <auto loop, bool outwards>
struct Pooling {
  static constexpr bool can_fail = false;
  static constexpr auto promotion = Promotion::common_floating;

  static const Shape& images(const KernelRequest& request) {
    return outwards ? request.out[0].shape : request.in[0].shape;
  }
  static const Shape& pooled(const KernelRequest& request) {
    return outwards ? request.in.back().shape : request.out[0].shape;
  }
  static Cost cost(const KernelRequest& request) {
    Cost cost = bytes_only(request);
    const auto& window = request.attributes.get<Ints>("window");
    cost.flops = request.attributes.has("adaptive")
                     ? static_cast<double>(images(request).count())
                     : static_cast<double>(pooled(request).count() * window[0] * window[1]);
    return cost;
  }
  template <class T>
  static constexpr bool of_two = std::same_as<decltype(loop(detail::pool_kernels<T>())),
                                              typename detail::PoolKernelsOf<T>::OfTwo>;
  template <class T>
  static Kernel kernel_of(const KernelRequest& request) {
    const PoolPlan plan(images(request), request.attributes);
    const std::size_t cost = plan.outer * plan.in_size();
    const auto run = loop(detail::pool_kernels<T>());
    return {[plan, cost, run](const KernelArgs& args) {
      detail::in_ranges(args, plan.outer, 1, cost, [&](std::size_t first, std::size_t last, void*) {
        if constexpr (of_two<T>)
          run(plan, args.input<T>(0), args.input<T>(1), args.output<T>(), first, last);
        else
          run(plan, args.input<T>(0), args.output<T>(), first, last);
      });
    }};
  }
  static Kernel kernel(const KernelRequest& request) {
    return request.out[0].dtype == float32 ? kernel_of<float>(request) : kernel_of<double>(request);
  }
  // The images of all members are one batch.
  static Var batch(const BatchView& view) {
    std::vector<In> in;
    for (std::size_t i = 0; i < view.in.size(); ++i)
      in.emplace_back(fold_batch(batched_operand(view, i)));
    std::vector<Attributes::Entry> entries = view.node.attributes.entries();
    for (auto& [name, value] : entries)
      if (auto* const shape = std::get_if<Shape>(&value))
        *shape = Shape{(*shape)[0] * view.size, (*shape)[1], (*shape)[2], (*shape)[3]};
    return unfold_batch(apply(view.node.op, in, Attributes(std::move(entries))), view);
  }
  // Of operators whose one operand is what is pooled.
  static void infer(Inference& inference) {
    inference.require_count(1);
    inference.out = {{pooled_shape(inference, inference.shape(0)), inference.dtype(0)}};
  }
};

struct Setting {
  std::string name;
  Shape x;
  Size2d window;
  PoolOptions options = {};
};
std::vector<Setting> settings() {
  PoolOptions overlapping;
  overlapping.stride = {2, 1};
  PoolOptions padded;
  padded.stride = {2, 1};
  padded.padding = {1, 1};
  PoolOptions apart;
  apart.stride = {3, 2};
  PoolOptions rounded_up;
  rounded_up.ceil_mode = true;
  PoolOptions padded_up = rounded_up;
  padded_up.stride = {2, 3};
  padded_up.padding = 1;
  return {{"two by two", {2, 2, 4, 6}, 2},
          {"an odd row and column left over", {1, 2, 5, 5}, 2},
          {"overlapping", {1, 2, 5, 4}, {3, 2}, overlapping},
          {"padded", {2, 1, 4, 3}, {3, 2}, padded},
          {"apart", {1, 1, 7, 5}, {2, 1}, apart},
          {"one element", {2, 3, 1, 1}, 1},
          {"the whole image", {2, 2, 3, 2}, {3, 2}},
          {"rounded up", {1, 2, 5, 7}, 2, rounded_up},
          {"rounded up, padded", {1, 2, 6, 5}, {3, 2}, padded_up},
          {"no images", {0, 2, 4, 4}, 2}};
}
// For means also without the padding counted.
std::vector<Setting> settings_of_means() {
  std::vector<Setting> all;
  for (const Setting& s : settings()) {
    all.push_back(s);
    if (s.options.padding.rows == 0) continue;
    all.push_back(s);
    all.back().name += ", padding not counted";
    all.back().options.count_include_pad = false;
  }
  return all;
}
Shape pooled_of(const Setting& s) {
  Graph graph;
  return max_pool2d(graph.input("x", s.x, float64), s.window, s.options).shape();
}
// For each setting call(s, in), with args(s) drawn.
template <class Args, class Call>
std::vector<Case> cases_of(const std::vector<Setting>& settings, Args args, Call call) {
  std::vector<Case> cases;
  cases.reserve(settings.size());
  for (const Setting& s : settings)
    cases.push_back({s.name, args(s),
                     [s, call](std::span<const Var> in) { return std::vector<Var>{call(s, in)}; }});
  return cases;
}
// Elements without ties, where maxima have kinks.
Arg distinct(const Shape& shape) { return detail::distinct(shape, 0.1); }

Attributes pool_attributes(Size2d window, const PoolOptions& options) {
  const Size2d stride =
      options.stride.rows == 0 && options.stride.columns == 0 ? window : options.stride;
  Attributes attributes{{"window", Ints{window.rows, window.columns}},
                        {"stride", Ints{stride.rows, stride.columns}},
                        {"padding", Ints{options.padding.rows, options.padding.columns}}};
  return options.ceil_mode ? attributes.with("ceil_mode", true) : attributes;
}
Attributes average_attributes(Size2d window, const PoolOptions& options) {
  const Attributes all = pool_attributes(window, options);
  return all.with("count_include_pad", options.count_include_pad);
}
Attributes adaptive_attributes(Size2d size) {
  return {{"window", Ints{size.rows, size.columns}}, {"adaptive", true}};
}

// ---- the largest ------------------------------------------------------------------------------

// x and t have one shape, the result the pooled one.
struct MaxPoolSelect : Pooling<select_loop, false> {
  static constexpr auto name = "max_pool2d_select";
  static constexpr auto doc = "t at the place of the largest x of each window";
  static constexpr auto math =
      "y_w = t_i with i the first place of the window w where x_i = max_w x; linear in t, and its "
      "transpose is max_pool2d_scatter. x is held constant, since the place is piecewise constant.";
  static constexpr Example example{
      "flatten(max_pool2d_select(g.constant(Tensor{1, 3, 2, 0}.reshape({1, 1, 2, 2})), "
      "g.constant(Tensor{5, 6, 7, 8}.reshape({1, 1, 2, 2})), 2))",
      "[6.]"};

  static bool linear_in(std::span<const bool> active) { return !active[0]; }
  static void infer(Inference& inference) {
    inference.require_count(2);
    const Shape& x = inference.shape(0);
    Shape pooled = pooled_shape(inference, x);
    if (inference.shape(1) != x)
      inference.shape_error(
          "x has shape " + to_string(x) + " and t has shape " + to_string(inference.shape(1)),
          "give t the shape of x");
    inference.out = {{std::move(pooled), inference.dtype(0)}};
  }
  static Var transpose(const NodeView& node, std::size_t, Var cotangent);
  static std::vector<Edge> edges() { return detail::window_edges(name); }
  static std::vector<Case> cases() {
    return cases_of(
        settings(),
        [](const Setting& s) {
          return std::vector{distinct(s.x), Arg{s.x}};
        },
        [](const Setting& s, auto in) {
          return max_pool2d_select(in[0], in[1], s.window, s.options);
        });
  }
};
constexpr Linear<MaxPoolSelect> select_op;

// x has the shape of the result, t the pooled one.
struct MaxPoolScatter : Pooling<scatter_loop, true> {
  static constexpr auto name = "max_pool2d_scatter";
  static constexpr auto doc =
      "one value a window, added up at the places of the windows' largest x";
  static constexpr auto math =
      "y_i = sum of t_w over the windows w whose first largest x stands at i, else 0; linear in t, "
      "and its transpose is max_pool2d_select. x is held constant.";
  static constexpr Example example{
      "flatten(max_pool2d_scatter(g.constant(Tensor{1, 3, 2, 0}.reshape({1, 1, 2, 2})), "
      "g.constant(Tensor{5}.reshape({1, 1, 1, 1})), 2))",
      "[0. 5. 0. 0.]"};

  static bool linear_in(std::span<const bool> active) { return !active[0]; }
  static void infer(Inference& inference) {
    inference.require_count(2);
    require_pooled(inference, inference.shape(0), inference.shape(1));
    inference.out = {inference.in[0]};
  }
  static Var transpose(const NodeView& node, std::size_t, Var cotangent) {
    return select_op(node.in[0], cotangent, node.attributes);
  }
  static std::vector<Edge> edges() { return detail::window_edges(name); }
  static std::vector<Case> cases() {
    return cases_of(
        settings(),
        [](const Setting& s) {
          return std::vector{distinct(s.x), Arg{pooled_of(s)}};
        },
        [](const Setting& s, auto in) {
          return max_pool2d_scatter(in[0], in[1], s.window, s.options);
        });
  }
};
constexpr Linear<MaxPoolScatter> scatter_op;

Var MaxPoolSelect::transpose(const NodeView& node, std::size_t, Var cotangent) {
  return scatter_op(node.in[0], cotangent, node.attributes);
}

struct MaxPool : Pooling<max_loop, false> {
  static constexpr auto name = "max_pool2d";
  static constexpr auto doc = "the largest element of windows sliding over images";
  static constexpr auto math =
      "y_w = max of x over the window w; dy_w = dx at the first place of the largest x "
      "(max_pool2d_select), which the window's whole derivative goes to. NaN if an element is NaN.";
  static constexpr Example example{
      "flatten(max_pool2d(g.constant(Tensor{1, 3, 2, 0}.reshape({1, 1, 2, 2})), 2))", "[3.]"};

  static MaybeVar jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    return select_op(stop_gradient(node.in[0]), *tangents[0], node.attributes);
  }
  static std::vector<Edge> edges() { return detail::window_edges(name); }
  static std::vector<Case> cases() {
    return cases_of(
        settings(), [](const Setting& s) { return std::vector{distinct(s.x)}; },
        [](const Setting& s, auto in) { return max_pool2d(in[0], s.window, s.options); });
  }
};
constexpr General<MaxPool> max_pool_op;

// ---- the mean ---------------------------------------------------------------------------------

struct AvgPool : Pooling<average_loop, false> {
  static constexpr auto name = "avg_pool2d";
  static constexpr auto doc = "the mean of windows sliding over images";
  static constexpr auto math =
      "y_w = (sum of x over the window w) / n_w, n_w the number of places with the padding or "
      "without; linear, and its transpose is avg_pool2d_spread.";
  static constexpr Example example{
      "flatten(avg_pool2d(g.constant(Tensor{1, 3, 2, 0}.reshape({1, 1, 2, 2})), 2))", "[1.5]"};
  static Attributes defaults() { return {{"count_include_pad", true}}; }

  static Var transpose(const NodeView& node, std::size_t, Var cotangent);
  static std::vector<Edge> edges() { return detail::window_edges(name); }
  static std::vector<Case> cases() {
    return cases_of(
        settings_of_means(), [](const Setting& s) { return std::vector{Arg{s.x}}; },
        [](const Setting& s, auto in) { return avg_pool2d(in[0], s.window, s.options); });
  }
};
constexpr Linear<AvgPool> avg_pool_op;

struct AvgPoolSpread : Pooling<spread_loop, true> {
  static constexpr auto name = "avg_pool2d_spread";
  static constexpr auto doc = "one value a window, divided among the elements of its window";
  static constexpr auto math =
      "y_i = sum of t_w / n_w over the windows w that hold i; linear, the transpose of avg_pool2d.";
  static constexpr Example example{
      "flatten(avg_pool2d_spread(g.constant(Tensor{8}.reshape({1, 1, 1, 1})), 2, 2))",
      "[2. 2. 2. 2.]"};
  static Attributes defaults() { return {{"count_include_pad", true}}; }

  static void infer(Inference& inference) {
    inference.require_count(1);
    const auto& shape = inference.attributes.get<Shape>("shape");
    require_pooled(inference, shape, inference.shape(0));
    inference.out = {{shape, inference.dtype(0)}};
  }
  static Var transpose(const NodeView& node, std::size_t, Var cotangent) {
    Attributes kept;
    for (const auto& [key, value] : node.attributes.entries())
      if (key != "shape") kept = kept.with(key, value);
    return avg_pool_op(cotangent, kept);
  }
  static std::vector<Edge> edges() { return detail::window_edges(name); }
  static std::vector<Case> cases() {
    return cases_of(
        settings_of_means(), [](const Setting& s) { return std::vector{Arg{pooled_of(s)}}; },
        [](const Setting& s, auto in) {
          return avg_pool2d_spread(in[0], {s.x[2], s.x[3]}, s.window, s.options);
        });
  }
};
constexpr Linear<AvgPoolSpread> spread_op;

Var AvgPool::transpose(const NodeView& node, std::size_t, Var cotangent) {
  return spread_op(cotangent, node.attributes.with("shape", node.in[0].shape()));
}

// ---- functions of these -----------------------------------------------------------------------

void require_images(std::string_view function, const In& x) {
  const Shape shape = shape_of(x);
  if (shape.rank() != 4 || shape[2] < 1 || shape[3] < 1)
    fail<ShapeError>(
        {.op = function,
         .what = "x of shape " + to_string(shape) + " is no batch of images (N, C, H, W)",
         .where = x.where(),
         .help =
             shape.rank() == 4 ? "an image needs a row and a column" : "reshape it to four axes"});
}

template <class Function>
std::vector<Case> image_cases(Function function, bool sized) {
  std::vector<Case> cases;
  const auto add = [&](const std::string& name, const Shape& shape, Size2d size) {
    cases.push_back(detail::unary_case_of(name, distinct(shape),
                                          [function, size](Var x) { return function(x, size); }));
  };
  add("divisible", {2, 2, 4, 6}, 2);
  add("one pixel", {2, 3, 1, 1}, 1);
  if (!sized) return cases;
  add("windows that overlap", {1, 2, 5, 4}, {3, 3});
  add("larger than the image", {1, 2, 2, 3}, {3, 5});
  return cases;
}
struct AdaptiveAvgPool {
  static constexpr auto name = "adaptive_avg_pool2d";
  static constexpr auto doc = "means of windows that bring images to a size";
  static constexpr auto math =
      "avg_pool2d with windows floor(i H / n) ... ceil((i + 1) H / n) - 1 of rows, and of columns";
  static constexpr Example example{
      "flatten(adaptive_avg_pool2d(g.constant(Tensor{1, 3, 2}.reshape({1, 1, 1, 3})), {1, 2}))",
      "[2.  2.5]"};
  static std::vector<Edge> edges() { return detail::window_edges(name); }
  static std::vector<Case> cases() {
    return image_cases([](Var x, Size2d size) { return adaptive_avg_pool2d(x, size); }, true);
  }
};
struct AdaptiveMaxPool {
  static constexpr auto name = "adaptive_max_pool2d";
  static constexpr auto doc = "the largest elements of windows that bring images to a size";
  static constexpr auto math =
      "max_pool2d with windows floor(i H / n) ... ceil((i + 1) H / n) - 1 of rows, and of columns";
  static constexpr Example example{
      "flatten(adaptive_max_pool2d(g.constant(Tensor{1, 3, 2}.reshape({1, 1, 1, 3})), {1, 2}))",
      "[3. 3.]"};
  static std::vector<Edge> edges() { return detail::window_edges(name); }
  static std::vector<Case> cases() {
    return image_cases([](Var x, Size2d size) { return adaptive_max_pool2d(x, size); }, true);
  }
};
struct GlobalAvgPool {
  static constexpr auto name = "global_avg_pool";
  static constexpr auto doc = "the mean of every channel of every image";
  static constexpr auto math = "mean over H and W";
  static constexpr Example example{
      "global_avg_pool(g.constant(Tensor{1, 3, 2, 0}.reshape({1, 1, 2, 2})))", "[[1.5]]"};
  static std::vector<Edge> edges() { return detail::window_edges(name); }
  static std::vector<Case> cases() {
    return image_cases([](Var x, Size2d) { return global_avg_pool(x); }, false);
  }
};
struct GlobalMaxPool {
  static constexpr auto name = "global_max_pool";
  static constexpr auto doc = "the largest element of every channel of every image";
  static constexpr auto math = "max_pool2d with the image as its window, without its last two axes";
  static constexpr Example example{
      "global_max_pool(g.constant(Tensor{1, 3, 2, 0}.reshape({1, 1, 2, 2})))", "[[3.]]"};
  static std::vector<Edge> edges() { return detail::window_edges(name); }
  static std::vector<Case> cases() {
    return image_cases([](Var x, Size2d) { return global_max_pool(x); }, false);
  }
};

}  // namespace

Var max_pool2d(In x, Size2d window, const PoolOptions& options) {
  return max_pool_op(x, pool_attributes(window, options));
}
Var avg_pool2d(In x, Size2d window, const PoolOptions& options) {
  return avg_pool_op(x, average_attributes(window, options));
}
Var max_pool2d_select(In x, In t, Size2d window, const PoolOptions& options) {
  const Composite c("max_pool2d_select", {x, t});
  return select_op(stop_gradient(c[0]), c[1], pool_attributes(window, options));
}
Var max_pool2d_scatter(In x, In t, Size2d window, const PoolOptions& options) {
  const Composite c("max_pool2d_scatter", {x, t});
  return scatter_op(stop_gradient(c[0]), c[1], pool_attributes(window, options));
}
Var avg_pool2d_spread(In t, Size2d size, Size2d window, const PoolOptions& options) {
  const Shape images = detail::spread_shape("avg_pool2d_spread", t, size.rows, size.columns);
  return spread_op(t, average_attributes(window, options).with("shape", images));
}

Var adaptive_avg_pool2d(In x, Size2d size) {
  require_images("adaptive_avg_pool2d", x);
  return avg_pool_op(x, adaptive_attributes(size));
}
Var adaptive_max_pool2d(In x, Size2d size) {
  require_images("adaptive_max_pool2d", x);
  return max_pool_op(x, adaptive_attributes(size));
}
Var global_avg_pool(In x) {
  require_images("global_avg_pool", x);
  return mean(x, {2, 3});
}
Var global_max_pool(In x) {
  require_images("global_max_pool", x);
  const Composite c("global_max_pool", {x});
  const Shape shape = c[0].shape();
  return squeeze(max_pool2d(c[0], {shape[2], shape[3]}), {2, 3});
}

void detail::register_pooling() {
  register_all(max_pool_op, select_op, scatter_op, avg_pool_op, spread_op);
  register_pooling1d();
  register_composite<AdaptiveAvgPool>();
  register_composite<AdaptiveMaxPool>();
  register_composite<GlobalAvgPool>();
  register_composite<GlobalMaxPool>();
}

}  // namespace dualtape
