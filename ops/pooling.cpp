// Attributes of every pooling node: window, stride, padding (Ints of rows and columns); or
// `adaptive` = true with `window` the size of the result. A node with `channels_last` = true takes
// and gives (N, H, W, C), for passes that choose a layout.
#include <dualtape/ops/pooling.hpp>

#include <dualtape/core/detail/team.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/detail/families.hpp>
#include <dualtape/ops/detail/operand.hpp>
#include <dualtape/ops/detail/pool.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

using detail::is_channels_last;
using detail::PoolPlan;
using detail::shape_of;

std::string pair_text(const Ints& pair) {
  return std::to_string(pair[0]) + " x " + std::to_string(pair[1]);
}

// Along one axis: how many windows fit. `name` is rows or columns.
std::int64_t pooled_size(const Inference& inference, const Shape& x, std::int64_t size,
                         std::size_t k, const char* name) {
  const auto& window = inference.attributes.get<Ints>("window");
  const std::string of = std::string(" of ") + name;
  if (window[k] < 1)
    inference.shape_error(
        "the window is " + pair_text(window) + ", and x has shape " + to_string(x),
        "give sizes of 1 or more");
  if (inference.attributes.has("adaptive")) {
    if (size < 1)
      inference.shape_error("x of shape " + to_string(x) + " has no " + name + " to pool");
    return window[k];
  }
  const auto& stride = inference.attributes.get<Ints>("stride");
  const auto& padding = inference.attributes.get<Ints>("padding");
  if (stride[k] < 1)
    inference.shape_error("the stride" + of + " is " + std::to_string(stride[k]),
                          "give strides of 1 or more");
  if (padding[k] < 0 || padding[k] > window[k] / 2)
    inference.shape_error("the padding" + of + " is " + std::to_string(padding[k]) +
                              " and the window is " + pair_text(window),
                          "give from 0 to half the window, so that no window holds padding alone");
  if (size < 1 || size + 2 * padding[k] < window[k])
    inference.shape_error("the window of " + pair_text(window) + " does not fit x of shape " +
                              to_string(x) + " with padding " + pair_text(padding),
                          "use a smaller window, more padding or a global pool");
  return (size + 2 * padding[k] - window[k]) / stride[k] + 1;
}

// The shape of pooled x.
Shape pooled_shape(const Inference& inference, const Shape& x) {
  if (x.rank() != 4)
    inference.shape_error("x of shape " + to_string(x) + " is no batch of images (N, C, H, W)",
                          x.rank() == 3 ? "unsqueeze(x, 0) makes a batch of one image; sequences "
                                          "of shape (N, C, L) have the 1-D functions"
                                        : "reshape it to four axes");
  const std::size_t axis = is_channels_last(inference.attributes) ? 1 : 2;
  const auto& window = inference.attributes.get<Ints>("window");
  constexpr std::int64_t most = std::int64_t{1} << 24U;  // places are counted in float
  std::vector<std::int64_t> sizes = x.vector();
  sizes[axis] = pooled_size(inference, x, x[axis], 0, "rows");
  sizes[axis + 1] = pooled_size(inference, x, x[axis + 1], 1, "columns");
  const bool adaptive = inference.attributes.has("adaptive");
  if ((adaptive ? x[axis] : window[0]) >= most / (adaptive ? x[axis + 1] : window[1]))
    inference.shape_error("windows of " + std::to_string(most) + " elements and more, and x has " +
                              "shape " + to_string(x),
                          "reduce with max() or mean() instead");
  return Shape(sizes);
}

// A kernel of one input and one output, or two, that runs over images.
template <auto member, bool two>
Kernel pool_kernel(const Shape& x, const KernelRequest& request) {
  const auto make = [&]<class T>() -> Kernel {
    const PoolPlan plan(x, request.attributes);
    const std::size_t cost = plan.outer * plan.in_size();
    const detail::PoolKernelsOf<T>& kernels = detail::pool_kernels<T>();
    return {[plan, cost, run = kernels.*(member.template operator()<T>())](const KernelArgs& args) {
      detail::in_ranges(args, plan.outer, 1, cost, [&](std::size_t first, std::size_t last, void*) {
        if constexpr (two)
          run(plan, args.input<T>(0), args.input<T>(1), args.output<T>(), first, last);
        else
          run(plan, args.input<T>(0), args.output<T>(), first, last);
      });
    }};
  };
  return request.out[0].dtype == float32 ? make.template operator()<float>()
                                         : make.template operator()<double>();
}
// Members of a table that is a template.
constexpr auto max_of = []<class T>() { return &detail::PoolKernelsOf<T>::max; };
constexpr auto select_of = []<class T>() { return &detail::PoolKernelsOf<T>::select; };
constexpr auto scatter_of = []<class T>() { return &detail::PoolKernelsOf<T>::scatter; };
constexpr auto average_of = []<class T>() { return &detail::PoolKernelsOf<T>::average; };
constexpr auto spread_of = []<class T>() { return &detail::PoolKernelsOf<T>::spread; };

Cost cost_for(const KernelRequest& request, const Shape& x, const Shape& pooled) {
  Cost cost = bytes_only(request);
  const auto& window = request.attributes.get<Ints>("window");
  cost.flops = request.attributes.has("adaptive")
                   ? static_cast<double>(x.count())
                   : static_cast<double>(pooled.count() * window[0] * window[1]);
  return cost;
}

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
  return {{"two by two", {2, 2, 4, 6}, 2},
          {"an odd row and column left over", {1, 2, 5, 5}, 2},
          {"overlapping", {1, 2, 5, 4}, {3, 2}, overlapping},
          {"padded", {2, 1, 4, 3}, {3, 2}, padded},
          {"apart", {1, 1, 7, 5}, {2, 1}, apart},
          {"one element", {2, 3, 1, 1}, 1},
          {"the whole image", {2, 2, 3, 2}, {3, 2}},
          {"no images", {0, 2, 4, 4}, 2}};
}
PoolOptions without_padding_counted(PoolOptions options) {
  options.count_include_pad = false;
  return options;
}

// No two elements within the step of a central difference.
Tensor distinct_values(const Shape& shape, Key key) {
  Tensor jitter = draw(Arg{shape, domain(0, 0.4)}, key, float64);
  const auto values = jitter.data<double>();
  const auto count = static_cast<std::int64_t>(values.size());
  // 59 and the counts of the samples have no common factor, so i * 59 mod count meets each once.
  for (std::int64_t i = 0; i < count; ++i)
    values[static_cast<std::size_t>(i)] =
        0.1 * (values[static_cast<std::size_t>(i)] + static_cast<double>(i * 59 % count) - 5);
  return jitter;
}
Arg distinct(const Shape& shape) {
  return {shape, {}, float64, [shape](Key key) { return distinct_values(shape, key); }};
}

std::vector<Var> one(Var value) { return {value}; }

Attributes pool_attributes(Size2d window, const PoolOptions& options) {
  const Size2d stride =
      options.stride.rows == 0 && options.stride.columns == 0 ? window : options.stride;
  return {{"window", Ints{window.rows, window.columns}},
          {"stride", Ints{stride.rows, stride.columns}},
          {"padding", Ints{options.padding.rows, options.padding.columns}}};
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
struct MaxPoolSelect {
  static constexpr bool can_fail = false;
  static constexpr auto promotion = Promotion::common_floating;
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
  static Cost cost(const KernelRequest& request) {
    return cost_for(request, request.in[0].shape, request.out[0].shape);
  }
  static Kernel kernel(const KernelRequest& request) {
    return pool_kernel<select_of, true>(request.in[0].shape, request);
  }
  static Var transpose(const NodeView& node, std::size_t, Var cotangent);
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    for (const Setting& s : settings())
      cases.push_back({s.name, {distinct(s.x), Arg{s.x}}, [s](std::span<const Var> in) {
                         return one(max_pool2d_select(in[0], in[1], s.window, s.options));
                       }});
    return cases;
  }
};
constexpr Linear<MaxPoolSelect> select_op;

// x has the shape of the result, t the pooled one.
struct MaxPoolScatter {
  static constexpr bool can_fail = false;
  static constexpr auto promotion = Promotion::common_floating;
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
    const Shape& x = inference.shape(0);
    const Shape pooled = pooled_shape(inference, x);
    if (inference.shape(1) != pooled)
      inference.shape_error("x of shape " + to_string(x) + " is pooled to " + to_string(pooled) +
                                ", and t has shape " + to_string(inference.shape(1)),
                            "give t one value a window");
    inference.out = {inference.in[0].type()};
  }
  static Cost cost(const KernelRequest& request) {
    return cost_for(request, request.in[0].shape, request.in[1].shape);
  }
  static Kernel kernel(const KernelRequest& request) {
    return pool_kernel<scatter_of, true>(request.in[0].shape, request);
  }
  static Var transpose(const NodeView& node, std::size_t, Var cotangent) {
    return select_op(node.in[0], cotangent, node.attributes);
  }
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    for (const Setting& s : settings()) {
      // The pooled shape is that of a node made on the way.
      Graph graph;
      const Shape pooled = max_pool2d(graph.input("x", s.x, float64), s.window, s.options).shape();
      cases.push_back({s.name, {distinct(s.x), Arg{pooled}}, [s](std::span<const Var> in) {
                         return one(max_pool2d_scatter(in[0], in[1], s.window, s.options));
                       }});
    }
    return cases;
  }
};
constexpr Linear<MaxPoolScatter> scatter_op;

Var MaxPoolSelect::transpose(const NodeView& node, std::size_t, Var cotangent) {
  return scatter_op(node.in[0], cotangent, node.attributes);
}

struct MaxPool {
  static constexpr bool can_fail = false;
  static constexpr auto promotion = Promotion::common_floating;
  static constexpr auto name = "max_pool2d";
  static constexpr auto doc = "the largest element of windows sliding over images";
  static constexpr auto math =
      "y_w = max of x over the window w; dy_w = dx at the first place of the largest x "
      "(max_pool2d_select), which the window's whole derivative goes to. NaN if an element is NaN.";
  static constexpr Example example{
      "flatten(max_pool2d(g.constant(Tensor{1, 3, 2, 0}.reshape({1, 1, 2, 2})), 2))", "[3.]"};

  static void infer(Inference& inference) {
    inference.require_count(1);
    inference.out = {{pooled_shape(inference, inference.shape(0)), inference.dtype(0)}};
  }
  static Cost cost(const KernelRequest& request) {
    return cost_for(request, request.in[0].shape, request.out[0].shape);
  }
  static Kernel kernel(const KernelRequest& request) {
    return pool_kernel<max_of, false>(request.in[0].shape, request);
  }
  static MaybeVar jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    return select_op(stop_gradient(node.in[0]), *tangents[0], node.attributes);
  }
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    for (const Setting& s : settings())
      cases.push_back({s.name, {distinct(s.x)}, [s](std::span<const Var> in) {
                         return one(max_pool2d(in[0], s.window, s.options));
                       }});
    return cases;
  }
};
constexpr General<MaxPool> max_pool_op;

// ---- the mean ---------------------------------------------------------------------------------

struct AvgPool {
  static constexpr bool can_fail = false;
  static constexpr auto promotion = Promotion::common_floating;
  static constexpr auto name = "avg_pool2d";
  static constexpr auto doc = "the mean of windows sliding over images";
  static constexpr auto math =
      "y_w = (sum of x over the window w) / n_w, n_w the number of places with the padding or "
      "without; linear, and its transpose is avg_pool2d_spread.";
  static constexpr Example example{
      "flatten(avg_pool2d(g.constant(Tensor{1, 3, 2, 0}.reshape({1, 1, 2, 2})), 2))", "[1.5]"};

  static void infer(Inference& inference) {
    inference.require_count(1);
    inference.out = {{pooled_shape(inference, inference.shape(0)), inference.dtype(0)}};
  }
  static Cost cost(const KernelRequest& request) {
    return cost_for(request, request.in[0].shape, request.out[0].shape);
  }
  static Kernel kernel(const KernelRequest& request) {
    return pool_kernel<average_of, false>(request.in[0].shape, request);
  }
  static Var transpose(const NodeView& node, std::size_t, Var cotangent);
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    const auto add = [&](const std::string& name, const Setting& s, const PoolOptions& options) {
      cases.push_back({name, {Arg{s.x}}, [s, options](std::span<const Var> in) {
                         return one(avg_pool2d(in[0], s.window, options));
                       }});
    };
    for (const Setting& s : settings()) {
      add(s.name, s, s.options);
      if (s.options.padding.rows > 0)
        add(s.name + ", padding not counted", s, without_padding_counted(s.options));
    }
    return cases;
  }
};
constexpr Linear<AvgPool> avg_pool_op;

struct AvgPoolSpread {
  static constexpr bool can_fail = false;
  static constexpr auto promotion = Promotion::common_floating;
  static constexpr auto name = "avg_pool2d_spread";
  static constexpr auto doc = "one value a window, divided among the elements of its window";
  static constexpr auto math =
      "y_i = sum of t_w / n_w over the windows w that hold i; linear, the transpose of avg_pool2d.";
  static constexpr Example example{
      "flatten(avg_pool2d_spread(g.constant(Tensor{8}.reshape({1, 1, 1, 1})), 2, 2))",
      "[2. 2. 2. 2.]"};

  static void infer(Inference& inference) {
    inference.require_count(1);
    const auto& shape = inference.attributes.get<Shape>("shape");
    const Shape pooled = pooled_shape(inference, shape);
    if (inference.shape(0) != pooled)
      inference.shape_error("images of shape " + to_string(shape) + " are pooled to " +
                                to_string(pooled) + ", and t has shape " +
                                to_string(inference.shape(0)),
                            "give t one value a window");
    inference.out = {{shape, inference.dtype(0)}};
  }
  static Cost cost(const KernelRequest& request) {
    return cost_for(request, request.out[0].shape, request.in[0].shape);
  }
  static Kernel kernel(const KernelRequest& request) {
    return pool_kernel<spread_of, false>(request.out[0].shape, request);
  }
  static Var transpose(const NodeView& node, std::size_t, Var cotangent) {
    std::vector<Attributes::Entry> entries;
    Attributes kept;
    for (const auto& [key, value] : node.attributes.entries())
      if (key != "shape") kept = kept.with(key, value);
    return avg_pool_op(cotangent, kept);
  }
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    const auto add = [&](const std::string& name, const Setting& s, const PoolOptions& options) {
      Graph graph;
      const Shape pooled = avg_pool2d(graph.input("x", s.x, float64), s.window, options).shape();
      cases.push_back({name, {Arg{pooled}}, [s, options](std::span<const Var> in) {
                         return one(avg_pool2d_spread(in[0], {s.x[2], s.x[3]}, s.window, options));
                       }});
    };
    for (const Setting& s : settings()) {
      add(s.name, s, s.options);
      if (s.options.padding.rows > 0)
        add(s.name + ", padding not counted", s, without_padding_counted(s.options));
    }
    return cases;
  }
};
constexpr Linear<AvgPoolSpread> spread_op;

Var AvgPool::transpose(const NodeView& node, std::size_t, Var cotangent) {
  return spread_op(cotangent, node.attributes.with("shape", node.in[0].shape()));
}

// ---- functions of these -----------------------------------------------------------------------

// x as images of one row. Throws in the name of `function`.
Var as_rows(std::string_view function, In x) {
  const Shape shape = shape_of(x);
  if (shape.rank() != 3)
    fail<ShapeError>(
        {.op = function,
         .what = "x of shape " + to_string(shape) + " is no batch of sequences (N, C, L)",
         .where = x.where(),
         .help = "unsqueeze() and reshape() bring it to three axes"});
  return unsqueeze(x, 2);
}
PoolOptions of_columns(const PoolOptions& options) {
  PoolOptions flat = options;
  if (options.stride.columns != 0) flat.stride = {1, options.stride.columns};
  flat.padding = {0, options.padding.columns};
  return flat;
}
template <class Pool>
Var pool_rows(std::string_view function, In x, std::int64_t window, const PoolOptions& options,
              Pool pool) {
  const In rows(as_rows(function, x), x.where());
  return squeeze(In(pool(rows, Size2d(1, window), of_columns(options)), x.where()), {2});
}

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

template <bool largest>
struct Pool1d {
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    const auto add = [&](const std::string& name, const Shape& shape, std::int64_t window,
                         const PoolOptions& options) {
      cases.push_back({name, {distinct(shape)}, [window, options](std::span<const Var> in) {
                         return one(largest ? max_pool1d(in[0], window, options)
                                            : avg_pool1d(in[0], window, options));
                       }});
    };
    PoolOptions padded;
    padded.stride = 1;
    padded.padding = 1;
    add("halves", {2, 2, 6}, 2, {});
    add("padded", {1, 2, 5}, 3, padded);
    return cases;
  }
};
struct MaxPool1d : Pool1d<true> {
  static constexpr auto name = "max_pool1d";
  static constexpr auto doc = "the largest element of windows sliding over sequences";
  static constexpr auto math = "max_pool2d of images of one row";
  static constexpr Example example{
      "flatten(max_pool1d(g.constant(Tensor{1, 3, 2, 0}.reshape({1, 1, 4})), 2))", "[3. 2.]"};
};
struct AvgPool1d : Pool1d<false> {
  static constexpr auto name = "avg_pool1d";
  static constexpr auto doc = "the mean of windows sliding over sequences";
  static constexpr auto math = "avg_pool2d of images of one row";
  static constexpr Example example{
      "flatten(avg_pool1d(g.constant(Tensor{1, 3, 2, 0}.reshape({1, 1, 4})), 2))", "[2. 1.]"};
};

template <class Function>
std::vector<Case> image_cases(Function function, bool sized) {
  std::vector<Case> cases;
  const auto add = [&](const std::string& name, const Shape& shape, Size2d size) {
    cases.push_back({name, {distinct(shape)}, [function, size](std::span<const Var> in) {
                       return one(function(in[0], size));
                     }});
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
  return select_op(In(stop_gradient(x), x.where()), t, pool_attributes(window, options));
}
Var max_pool2d_scatter(In x, In t, Size2d window, const PoolOptions& options) {
  return scatter_op(In(stop_gradient(x), x.where()), t, pool_attributes(window, options));
}
Var avg_pool2d_spread(In t, Size2d size, Size2d window, const PoolOptions& options) {
  std::vector<std::int64_t> sizes = shape_of(t).vector();
  if (sizes.size() == 4) {
    sizes[2] = size.rows;
    sizes[3] = size.columns;
  }
  return spread_op(t, average_attributes(window, options).with("shape", Shape(sizes)));
}

Var max_pool1d(In x, std::int64_t window, const PoolOptions& options) {
  return pool_rows(
      "max_pool1d", x, window, options,
      [](In rows, Size2d size, const PoolOptions& o) { return max_pool2d(rows, size, o); });
}
Var avg_pool1d(In x, std::int64_t window, const PoolOptions& options) {
  return pool_rows(
      "avg_pool1d", x, window, options,
      [](In rows, Size2d size, const PoolOptions& o) { return avg_pool2d(rows, size, o); });
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
  const Shape shape = shape_of(x);
  return squeeze(In(max_pool2d(x, {shape[2], shape[3]}), x.where()), {2, 3});
}

void detail::register_pooling() {
  register_all(max_pool_op, select_op, scatter_op, avg_pool_op, spread_op);
  register_composite<MaxPool1d>();
  register_composite<AvgPool1d>();
  register_composite<AdaptiveAvgPool>();
  register_composite<AdaptiveMaxPool>();
  register_composite<GlobalAvgPool>();
  register_composite<GlobalMaxPool>();
}

}  // namespace dualtape
