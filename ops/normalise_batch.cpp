// Normalisation of groups and over the batch.
#include <cmath>
#include <limits>
#include <numeric>

#include <dualtape/core/composite.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/core/machine/team.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/batching.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/declare/edge_calls.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/standardised.hpp>
#include <dualtape/ops/kernels/rows/fold_plan.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/normalise.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

// x of shape (N, C, ...) as a floating Var.
void require_channels(std::string_view function, const Shape& shape, Location where) {
  if (shape.rank() >= 2) return;
  fail<ShapeError>({.op = function,
                    .what = "x of shape " + to_string(shape) + " has no axis of channels",
                    .where = where,
                    .help = "give shape (N, C, ...)"});
}

void require_each_channel(std::string_view function, const char* what, const Var& numbers,
                          const Shape& x, Location where) {
  if (numbers.shape() != Shape{x[1]})
    fail<ShapeError>({.op = function,
                      .what = std::string(what) + " has shape " + to_string(numbers.shape()) +
                              ", and x has shape " + to_string(x),
                      .where = where,
                      .help = "give one number for each channel: shape " + to_string(Shape{x[1]})});
}
// One number for each channel, as (C, 1, ...), which broadcasts with x.
Var each_channel(std::string_view function, const char* what, const Var& numbers, const Var& x,
                 Location where) {
  require_each_channel(function, what, numbers, x.shape(), where);
  Ints sizes(x.rank() - 1, 1);
  sizes[0] = x.shape()[1];
  return reshape(numbers, sizes);
}

std::vector<Var> one(Var value) { return {value}; }

struct GroupNorm {
  static constexpr auto name = "group_norm";
  static constexpr auto doc = "groups of channels of each sample brought to mean 0 and variance 1";
  static constexpr auto math =
      "layer_norm of x as (N, groups, rest), then scale y + shift with one number for each channel";
  static constexpr Example example{"group_norm(g.constant(Tensor{{1, 3, 5, 7}}), 2, 0.0)",
                                   "[[-1.  1. -1.  1.]]"};
  static Var body(const Var& x, std::int64_t groups, double epsilon, Location where) {
    const Shape shape = x.shape();
    detail::require_epsilon(name, epsilon, where);
    require_channels(name, shape, where);
    if (groups < 1 || shape[1] % groups != 0)
      fail<ShapeError>({.op = name,
                        .what = "x of shape " + to_string(shape) + " has " +
                                std::to_string(shape[1]) + " channels, which do not part in " +
                                std::to_string(groups) + " groups",
                        .where = where,
                        .help = "give a number of groups that divides that of channels"});
    const std::int64_t size = shape[0] * groups;
    const Ints rows{shape[0], groups, size == 0 ? 0 : shape.count() / size};
    return reshape(layer_norm(reshape(x, rows), epsilon), shape);
  }
  static std::vector<Edge> edges() {
    using namespace detail;
    const auto call = [](std::span<const Var> in) {
      return one(group_norm(in[0], 1, 0x1p-16) * row({1, -2, 3}).to(in[0].dtype()));
    };
    return edges_of(call, {{"equal elements",
                            {table({1, 3}, {7, 7, 7})},
                            {table({1, 3}, {0, 0, 0})},
                            {table({1, 3}, {256.0 / 3, -2048.0 / 3, 1792.0 / 3})}},
                           {"spread below epsilon",
                            {table({1, 3}, {0x1p-40, -0x1p-40, 0})},
                            {table({1, 3}, {0x1p-32, 0x1p-31, 0})},
                            {table({1, 3}, {256.0 / 3, -2048.0 / 3, 1792.0 / 3})}},
                           {"squares beyond float32",
                            {table({1, 3}, {0x1p100, -0x1p100, 0})},
                            {table({1, 3}, {1.224744871391589, 2.449489742783178, 0})},
                            {table({1, 3}, {-1.1271789058958874e-30, -1.1271789058958874e-30,
                                            2.2543578117917747e-30})}}});
  }
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    const auto add = [&](const std::string& name, const Shape& shape, std::int64_t groups) {
      cases.push_back({name, {Arg{shape}}, [groups](std::span<const Var> in) {
                         return one(group_norm(in[0], groups, 1e-2));
                       }});
      const Shape channels{shape[1]};
      cases.push_back({name + ", scale and shift",
                       {Arg{shape}, Arg{channels}, Arg{channels}},
                       [groups](std::span<const Var> in) {
                         return one(group_norm(in[0], groups, in[1], in[2], 1e-2));
                       }});
    };
    add("two groups of images", {2, 4, 2, 3}, 2);
    add("one group", {2, 3, 2}, 1);
    add("a group for each channel", {1, 3, 4}, 3);
    return cases;
  }
};

const Arg variances{{3}, domain(0.3, 2)};

// Output 0 is the result; 1 and 2 are the mean and the variance, one number for each channel. Those
// that derivatives read are outputs 3 to 5, 1 / sqrt(variance + epsilon), the mean and what its
// rounding missed, all times the power of two that is output 6.
struct BatchNorm {
  static constexpr bool can_fail = false;
  static constexpr auto promotion = Promotion::common_floating;
  static constexpr auto name = "batch_norm";
  static constexpr auto doc = "channels brought to mean 0 and variance 1 over the batch";
  static constexpr auto math =
      "z = (x - m) r with m = mean x, v = mean (x - m)^2, r = 1 / sqrt(v + epsilon) over all axes "
      "but that of channels; y = scale z + shift. dz = r (dx - mean dx - z mean(z dx)), dm = mean "
      "dx, dv = 2 mean((x - m) dx).";
  static constexpr Example example{
      "batch_norm(g.constant(Tensor{{1, 2}, {3, 2}}), g.constant(Tensor{1, 1}), "
      "g.constant(Tensor{0, 5}), 1e-30).y",
      "[[-1.  5.]\n [ 1.  5.]]"};

  static bool in_place(std::size_t i, std::size_t o) { return i == 0 && o == 0; }
  static void infer(Inference& inference) {
    inference.require_count(3);
    const Shape& x = inference.shape(0);
    if (x.rank() < 2)
      inference.shape_error("x of shape " + to_string(x) + " has no axis of channels",
                            "give shape (N, C, ...)");
    for (std::size_t i = 1; i < 3; ++i)
      if (inference.shape(i) != Shape{x[1]})
        inference.shape_error(std::string(i == 1 ? "scale" : "shift") + " has shape " +
                                  to_string(inference.shape(i)) + ", and x has shape " +
                                  to_string(x),
                              "give one number for each channel: shape " + to_string(Shape{x[1]}));
    const Type channels{{x[1]}, inference.dtype(0)};
    inference.out = {7, channels};
    inference.out[0] = inference.in[0];
  }
  // The members' channels stand side by side: each has statistics of its own.
  static std::vector<Var> batch(const BatchView& view) {
    const Var x = batched_operand(view, 0);
    Ints order(x.rank());
    std::iota(order.begin(), order.end(), 0);
    std::swap(order[0], order[1]);
    const Var beside = permute(x, order);
    Ints sizes = beside.shape().vector();
    sizes[1] *= sizes[2];
    sizes.erase(sizes.begin() + 2);
    std::vector<Var> out =
        apply_batched(view, {reshape(beside, sizes), fold_batch(batched_operand(view, 1)),
                             fold_batch(batched_operand(view, 2))});
    out[0] = permute(reshape(out[0], beside.shape()), order);
    for (std::size_t i = 1; i < out.size(); ++i) out[i] = unfold_batch(out[i], view, i);
    return out;
  }
  static Cost cost(const KernelRequest& request) {
    Cost cost = bytes_only(request);
    cost.flops = 10.0 * static_cast<double>(request.in[0].shape.count());
    return cost;
  }
  static Kernel kernel(const KernelRequest& request) {
    const Shape& shape = request.in[0].shape;
    const auto count = static_cast<std::size_t>(shape.count());
    const auto channels = static_cast<std::size_t>(shape[1]);
    const auto outer = static_cast<std::size_t>(shape[0]);
    const std::size_t inner = count == 0 ? 0 : count / channels / outer;
    const detail::ChannelBlocks blocks{outer, channels, inner};
    const auto epsilon = request.attributes.get<double>("epsilon");
    return detail::for_floats(request, [&]<class T>() -> Kernel {
      return {[=, normalise = detail::row_kernels<T>().batch_norm](const KernelArgs& args) {
        const detail::BatchNormArgs<T> parts{
            args.input<T>(0),
            args.input<T>(1),
            args.input<T>(2),
            epsilon,
            args.output<T>(0),
            args.output<T>(1),
            args.output<T>(2),
            {args.output<T>(4), args.output<T>(5), args.output<T>(3), args.output<T>(6)}};
        detail::in_ranges(args, channels, blocks.inner == 1 ? 64 : 1, count,
                          [&](std::size_t first, std::size_t last, void*) {
                            normalise(blocks, parts, first, last);
                          });
      }};
    });
  }
  static std::vector<MaybeVar> jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    const Var x = node.in[0];
    Ints axes{0};
    Ints sizes(x.rank() - 1, 1);
    sizes[0] = x.shape()[1];
    for (std::size_t axis = 2; axis < x.rank(); ++axis)
      axes.push_back(static_cast<std::int64_t>(axis));
    const auto each = [&](const Var& numbers) { return reshape(numbers, sizes); };
    const Var inverse = node.out[3];
    const Var part = node.out[6];
    const Var centred = detail::deviations(x, each(node.out[4]), each(node.out[5]), each(part));
    const Var z = centred * each(inverse);
    std::vector<MaybeVar> out(7);
    const auto add_to_result = [&](Var term) { out[0] = out[0] ? *out[0] + term : term; };
    if (tangents[0]) {
      const Var t = *tangents[0];
      const Var level = mean(t, axes);
      const Var along = mean(z * t, axes);
      const Var slope = inverse * part;
      // Of two elements z z^T takes all but a share epsilon r^2 from t less its mean.
      const Var rest = x.shape().count() == 2 * x.shape()[1]
                           ? (t - each(level)) * each(detail::share_of_epsilon(node, slope))
                           : t - each(level) - z * each(along);
      add_to_result(rest * each(slope * node.in[1]));
      out[1] = level;
      out[2] = 2 * mean(centred * t, axes) / part;
      out[3] = -(inverse * along * slope);
      out[4] = level * part;
    }
    if (tangents[1]) add_to_result(z * each(*tangents[1]));
    if (tangents[2]) add_to_result(broadcast_to(each(*tangents[2]), x.shape()));
    return out;
  }
  static std::vector<Edge> edges() {
    using namespace detail;
    // With weights, since the sum of the results is always 0.
    const auto call = [](double epsilon, Shape shape, bool variance = true) {
      return [=](std::span<const Var> in) {
        const DType dtype = in[0].dtype();
        const Tensor weights = row({1, -2, 3}).to(dtype).reshape(shape);
        const BatchNormed all =
            batch_norm(reshape(in[0], shape), ones({1}, dtype), zeros({1}, dtype), epsilon);
        std::vector<Var> out{reshape(all.y * weights, {3})};
        if (variance) out.push_back(all.variance * 0.0);
        return out;
      };
    };
    std::vector<Edge> far{
        {"far from zero",
         {row({1e6, 1e6 + 0.25, 1e6 + 0.5})},
         {row({-1.224744871391589, 0, 3.6742346141747673})},
         {row({6.531972647421808, -13.063945294843617, 6.531972647421808})}},
        {"a mean between floats",
         {row({16777212, 16777214, 16777215})},
         {row({-1.3363062095621219, -0.5345224838248488, 3.207134902949093})},
         {row({0.7445134596131822, -2.2335403788395465, 1.4890269192263643})}},
        {"squares below float32",
         {row({0x1p-60, -0x1p-60, 0})},
         {row({1.224744871391589, 2.449489742783178, 0})},
         {row({-1.647373816531695e+18, -1.647373816531695e+18, 3.29474763306339e+18})}}};
    const std::vector<Edge> huge{
        {"differences beyond float32",
         {row({0x1.8p127, -0x1.8p127, -0x1p127})},
         {row({1.3970013970020956, 1.778001778002667, -1.524001524002286})},
         {row({-1.9503745934253867e-39, -9.751872967126933e-39, 1.170224756055232e-38})}}};
    std::vector<Edge> tiny{
        {"a mean below float32",
         {row({0x1.8p-123, -0x1.4p-123, -0x1p-126})},
         {row({1.2918735734197337, 2.288461758629243, -0.4429280823153373})},
         {row({-9.58687843331347e+36, -1.38477132925639e+37, 2.3434591725877373e+37})},
         4,
         64,
         false},  // second slopes are beyond all floats
        {"a mean below float64",
         {row({0x1.8p-1019, -0x1.4p-1019, -0x1p-1022})},
         {row({1.2918735734197337, 2.288461758629243, -0.4429280823153373})},
         {row({-5.064695446981961e+306, -7.315671201196165e+306, 1.2380366648178127e+307})},
         4,
         64,
         false}};
    for (Edge& edge : far) edge.slope_ulp = 64;  // slopes that are differences of larger ones
    const std::vector<Edge> near{{"a mean below float32, beside epsilon",
                                  {row({0, 0, 0x1.8p-126})},
                                  {row({-0x1p-119, 0x1p-118, 0x1.8p-117})},
                                  {row({256.0 / 3, -2048.0 / 3, 1792.0 / 3})},
                                  4,
                                  16,
                                  false},
                                 {"equal elements",
                                  {row({7, 7, 7})},
                                  {row({0, 0, 0})},
                                  {row({256.0 / 3, -2048.0 / 3, 1792.0 / 3})}},
                                 {"spread below epsilon",
                                  {row({0x1p-40, -0x1p-40, 0})},
                                  {row({0x1p-32, 0x1p-31, 0})},
                                  {row({256.0 / 3, -2048.0 / 3, 1792.0 / 3})}}};
    const auto of_two = [](std::span<const Var> in) {
      const DType dtype = in[0].dtype();
      const Var y =
          batch_norm(reshape(in[0], {2, 1}), ones({1}, dtype), zeros({1}, dtype), 0x1p-16).y;
      return std::vector<Var>{reshape(y, {2}) * row({1, -2}).to(dtype)};
    };
    std::vector<Edge> all =
        edges_of(of_two, {{"two elements far above epsilon",
                           {row({1, -1})},
                           {row({0.9999923706927791, 1.9999847413855583})},
                           {row({2.288765973479361e-05, -2.288765973479361e-05})}}});
    for (const Shape& shape : {Shape{3, 1}, Shape{3, 1, 1}, Shape{1, 1, 3}})
      all = joined({all, edges_of(call(0, shape), far), edges_of(call(0, shape, false), huge),
                    edges_of(call(0, shape), tiny), edges_of(call(0x1p-16, shape), near)});
    return all;
  }
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    const auto add = [&](const std::string& name, const Shape& shape) {
      const Shape channels{shape[1]};
      cases.push_back(
          {name, {Arg{shape}, Arg{channels}, Arg{channels}}, [](std::span<const Var> in) {
             const BatchNormed all = batch_norm(in[0], in[1], in[2], 1e-2);
             return std::vector<Var>{all.y, all.mean, all.variance};
           }});
    };
    add("rows", {4, 3});
    add("images", {2, 3, 2, 2});
    add("sequences", {3, 1, 2});
    return cases;
  }
};
constexpr General<BatchNorm> batch_norm_op;

struct BatchNormInference {
  static constexpr auto name = "batch_norm_inference";
  static constexpr auto doc = "channels brought to mean 0 and variance 1 by statistics given";
  static constexpr auto math = "y = (x - mean) / sqrt(variance + epsilon) scale + shift";
  static constexpr Example example{
      "batch_norm_inference(g.constant(Tensor{{1, 2}}), g.constant(Tensor{0, 2}), "
      "g.constant(Tensor{4, 1}), g.constant(Tensor{1, 1}), g.constant(Tensor{0, 5}), 0.0)",
      "[[0.5 5. ]]"};
  static Var body(const Composite& c, double epsilon) {
    const Var x = c[0];
    detail::require_epsilon(name, epsilon, c.where());
    require_channels(name, x.shape(), c.where());
    const auto each = [&](const char* what, std::size_t i) {
      return each_channel(name, what, c[i], x, c.where());
    };
    const Var v = each("variance", 2) + epsilon;
    const Var centred = x - each("mean", 1);
    const Var scale = each("scale", 3);
    const Var shift = each("shift", 4);
    // v^(-3/2) of the least v is a float unless epsilon is next to nothing: one product less.
    if (epsilon > (v.dtype() == float32 ? 1e-24 : 1e-200))
      return centred * (rsqrt(v) * scale) + shift;
    // Else its product with a small difference may be one where it is none. So the root is held
    // constant and put right by (v / held v)^(-1/2), which is 1 and has the slope -1/(2 v): that,
    // and not the slope of the root, meets the rest. 0 and infinity have no quotient.
    const Var still = stop_gradient(v);
    const Var held = where(logical_and(still > 0, still < infinity), still, 1);
    return centred * rsqrt(held) * (rsqrt(v / held) * scale) + shift;
  }
  static std::vector<Edge> edges() {
    using namespace detail;
    const auto call_with = [](double epsilon) {
      return [=](std::span<const Var> in) {
        return one(batch_norm_inference(in[0], in[1], in[2], in[3], in[4], epsilon));
      };
    };
    // Second slopes are beyond float32.
    const std::vector<Edge> tiny{
        {"a variance whose power -3/2 is beyond float32",
         {table({1, 1}, {0x1.8p-59}), row({0x1p-60}), row({0x1p-100}), row({2}), row({0})},
         {table({1, 1}, {0x1p-8})},
         {table({1, 1}, {0x1p51}), row({-0x1p51}), row({-0x1p91}), row({0x1p-9}), row({1})},
         4,
         16,
         false}};
    return joined(
        {edges_of(call_with(0), tiny),
         edges_of(call_with(0x1p-16),
                  {{"the mean itself, variance 0",
                    {table({1, 1}, {3}), row({3}), row({0}), row({2}), row({5})},
                    {table({1, 1}, {5})},
                    {table({1, 1}, {512}), row({-512}), row({0}), row({0}), row({1})}},
                   {"far out",
                    {table({1, 1}, {0x1p30}), row({0}), row({0x1p40}), row({1}), row({0})},
                    {table({1, 1}, {0x1p10})},
                    {table({1, 1}, {0x1p-20}), row({-0x1p-20}), row({-0x1p-31}), row({0x1p10}),
                     row({1})}},
                   {"NaN",
                    {table({1, 1}, {not_a_number}), row({0}), row({1}), row({1}), row({0})},
                    {table({1, 1}, {not_a_number})},
                    {table({1, 1}, {0.9999923706927791}), row({-0.9999923706927791}),
                     row({not_a_number}), row({not_a_number}), row({1})}}})});
  }
  static std::vector<Case> cases() {
    const auto build = [](std::span<const Var> in) {
      return one(batch_norm_inference(in[0], in[1], in[2], in[3], in[4], 1e-2));
    };
    return {{"rows", {Arg{{2, 3}}, Arg{{3}}, variances, Arg{{3}}, Arg{{3}}}, build},
            {"images", {Arg{{2, 3, 2, 1}}, Arg{{3}}, variances, Arg{{3}}, Arg{{3}}}, build}};
  }
};

}  // namespace

Var group_norm(In x, std::int64_t groups, double epsilon) {
  const Composite c(GroupNorm::name, {x});
  return GroupNorm::body(c[0], groups, epsilon, c.where());
}
Var group_norm(In x, std::int64_t groups, In scale, In shift, double epsilon) {
  const Composite c(GroupNorm::name, {x, scale, shift});
  const Var z = GroupNorm::body(c[0], groups, epsilon, c.where());
  const auto each = [&](const char* what, std::size_t i) {
    return each_channel(GroupNorm::name, what, c[i], z, c.where());
  };
  return z * each("scale", 1) + each("shift", 2);
}

BatchNormed batch_norm(In x, In scale, In shift, double epsilon) {
  const Composite c("batch_norm", {x, scale, shift});
  const Location where = c.where();
  const Shape shape = c[0].shape();
  detail::require_epsilon("batch_norm", epsilon, where);
  require_channels("batch_norm", shape, where);
  if (shape.count() == 0)
    fail<ShapeError>({.op = "batch_norm",
                      .what = "x of shape " + to_string(shape) + " has no element to be measured",
                      .where = where,
                      .help = "batch_norm_inference takes statistics that are given"});
  require_each_channel("batch_norm", "scale", c[1], shape, where);
  require_each_channel("batch_norm", "shift", c[2], shape, where);
  const std::vector<In> operands{c[0], c[1], c[2]};
  const std::vector<Var> out = apply_all(batch_norm_op.op(), operands, {{"epsilon", epsilon}});
  const std::int64_t of_a_channel = shape.count() / shape[1];
  const auto count = static_cast<double>(of_a_channel);
  const double correction =
      count > 1 ? count / (count - 1) : std::numeric_limits<double>::quiet_NaN();
  return {out[0], out[1], out[2], out[2] * correction};
}

Var batch_norm_inference(In x, In mean, In variance, In scale, In shift, double epsilon) {
  return BatchNormInference::body({BatchNormInference::name, {x, mean, variance, scale, shift}},
                                  epsilon);
}

void detail::register_normalise_batch() {
  register_all(batch_norm_op);
  register_composite<GroupNorm>();
  register_composite<BatchNormInference>();
}

}  // namespace dualtape
