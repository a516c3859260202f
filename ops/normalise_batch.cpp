// Normalisation that other operators are enough for: the planner joins their elementwise steps.
#include <cmath>
#include <limits>

#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/detail/families.hpp>
#include <dualtape/ops/detail/in_graph.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/normalise.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

void require_epsilon(std::string_view function, double epsilon, Location where) {
  if (epsilon >= 0 && std::isfinite(epsilon)) return;
  fail<ValueError>({.op = function,
                    .what = "epsilon is " + std::to_string(epsilon),
                    .where = where,
                    .help = "use a small number that is not negative, such as 1e-5"});
}

// x of shape (N, C, ...) as a floating Var.
void require_channels(std::string_view function, const Shape& shape, Location where) {
  if (shape.rank() >= 2) return;
  fail<ShapeError>({.op = function,
                    .what = "x of shape " + to_string(shape) + " has no axis of channels",
                    .where = where,
                    .help = "give shape (N, C, ...)"});
}

// One number for each channel, as (C, 1, ...), which broadcasts with x.
Var each_channel(std::string_view function, const char* what, const Var& numbers, const Shape& x,
                 Location where) {
  if (numbers.shape() != Shape{x[1]})
    fail<ShapeError>({.op = function,
                      .what = std::string(what) + " has shape " + to_string(numbers.shape()) +
                              ", and x has shape " + to_string(x),
                      .where = where,
                      .help = "give one number for each channel: shape " + to_string(Shape{x[1]})});
  Ints sizes(x.rank() - 1, 1);
  sizes[0] = x[1];
  return reshape(In(numbers, where), sizes);
}

Var floating(const Var& x, Location where) {
  return is_floating(x.dtype()) ? x : cast(In(x, where), float32);
}

std::vector<Var> one(Var value) { return {value}; }

struct RmsNorm {
  static constexpr auto name = "rms_norm";
  static constexpr auto doc = "rows along the last axis brought to mean square 1";
  static constexpr auto math =
      "y = x r with r = 1 / sqrt(mean x^2 + epsilon), or y = scale x r; dy = r (dx - x r^2 "
      "mean(x dx))";
  static constexpr Example example{"rms_norm(g.constant(Tensor{3, -3}), 0.0)", "[ 1. -1.]"};
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    const auto add = [&](const std::string& name, const Shape& shape, double epsilon) {
      cases.push_back({name, {Arg{shape}}, [epsilon](std::span<const Var> in) {
                         return one(rms_norm(in[0], epsilon));
                       }});
      cases.push_back(
          {name + ", scaled",
           {Arg{shape}, Arg{Shape{shape.sizes().back()}}},
           [epsilon](std::span<const Var> in) { return one(rms_norm(in[0], in[1], epsilon)); }});
    };
    add("rows", {3, 5}, 1e-2);
    add("three axes", {2, 2, 3}, 1e-2);
    add("a vector", {6}, 1e-2);
    add("one column", {3, 1}, 0.5);
    add("no rows", {0, 3}, 1e-2);
    return cases;
  }
};

struct GroupNorm {
  static constexpr auto name = "group_norm";
  static constexpr auto doc = "groups of channels of each sample brought to mean 0 and variance 1";
  static constexpr auto math =
      "layer_norm of x as (N, groups, rest), then scale y + shift with one number for each channel";
  static constexpr Example example{"group_norm(g.constant(Tensor{{1, 3, 5, 7}}), 2, 0.0)",
                                   "[[-1.  1. -1.  1.]]"};
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

struct BatchNorm {
  static constexpr auto name = "batch_norm";
  static constexpr auto doc = "channels brought to mean 0 and variance 1 over the batch";
  static constexpr auto math =
      "z = (x - m) r with m = mean x, v = mean (x - m)^2, r = 1 / sqrt(v + epsilon) over all axes "
      "but that of channels; y = scale z + shift. dz = r (dx - mean dx - z mean(z dx)).";
  static constexpr Example example{
      "batch_norm(g.constant(Tensor{{1, 2}, {3, 2}}), g.constant(Tensor{1, 1}), "
      "g.constant(Tensor{0, 5}), 1e-30).y",
      "[[-1.  5.]\n [ 1.  5.]]"};
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

struct BatchNormInference {
  static constexpr auto name = "batch_norm_inference";
  static constexpr auto doc = "channels brought to mean 0 and variance 1 by statistics given";
  static constexpr auto math = "y = (x - mean) / sqrt(variance + epsilon) scale + shift";
  static constexpr Example example{
      "batch_norm_inference(g.constant(Tensor{{1, 2}}), g.constant(Tensor{0, 2}), "
      "g.constant(Tensor{4, 1}), g.constant(Tensor{1, 1}), g.constant(Tensor{0, 5}), 0.0)",
      "[[0.5 5. ]]"};
  static std::vector<Case> cases() {
    const auto build = [](std::span<const Var> in) {
      return one(batch_norm_inference(in[0], in[1], in[2], in[3], in[4], 1e-2));
    };
    return {{"rows", {Arg{{2, 3}}, Arg{{3}}, variances, Arg{{3}}, Arg{{3}}}, build},
            {"images", {Arg{{2, 3, 2, 1}}, Arg{{3}}, variances, Arg{{3}}, Arg{{3}}}, build}};
  }
};

}  // namespace

Var rms_norm(In x, double epsilon) {
  const Location where = x.where();
  const auto here = [where](Var var) { return In(var, where); };
  require_epsilon("rms_norm", epsilon, where);
  static_cast<void>(detail::require_axis("rms_norm", x, -1, detail::shape_of(x).rank()));
  const Var rows = floating(detail::in_one_graph("rms_norm", {x})[0], where);
  const Var squares = mean(here(square(here(rows))), {-1}, true);
  return mul(here(rows), here(rsqrt(here(add(here(squares), In(epsilon, where))))));
}
Var rms_norm(In x, In scale, double epsilon) {
  const Location where = x.where();
  const std::vector<Var> vars = detail::in_one_graph("rms_norm", {x, scale});
  const Var y = rms_norm(In(vars[0], where), epsilon);
  if (vars[1].shape() != Shape{y.shape().back()})
    fail<ShapeError>(
        {.op = "rms_norm",
         .what = "scale has shape " + to_string(vars[1].shape()) + ", and x has shape " +
                 to_string(y.shape()),
         .where = where,
         .help = "give one number per column: shape " + to_string(Shape{y.shape().back()})});
  return mul(In(y, where), In(vars[1], where));
}

Var group_norm(In x, std::int64_t groups, double epsilon) {
  const Location where = x.where();
  const Shape shape = detail::shape_of(x);
  require_epsilon("group_norm", epsilon, where);
  require_channels("group_norm", shape, where);
  if (groups < 1 || shape[1] % groups != 0)
    fail<ShapeError>({.op = "group_norm",
                      .what = "x of shape " + to_string(shape) + " has " +
                              std::to_string(shape[1]) + " channels, which do not part in " +
                              std::to_string(groups) + " groups",
                      .where = where,
                      .help = "give a number of groups that divides that of channels"});
  const std::int64_t size = shape[0] * groups;
  const Ints rows{shape[0], groups, size == 0 ? 0 : shape.count() / size};
  const Var each = layer_norm(In(reshape(x, rows), where), epsilon);
  return reshape(In(each, where), shape);
}
Var group_norm(In x, std::int64_t groups, In scale, In shift, double epsilon) {
  const Location where = x.where();
  const auto here = [where](Var var) { return In(var, where); };
  const std::vector<Var> vars = detail::in_one_graph("group_norm", {x, scale, shift});
  const Var z = group_norm(here(vars[0]), groups, epsilon);
  const Var factor = each_channel("group_norm", "scale", vars[1], z.shape(), where);
  const Var level = each_channel("group_norm", "shift", vars[2], z.shape(), where);
  return add(here(mul(here(z), here(factor))), here(level));
}

BatchNormed batch_norm(In x, In scale, In shift, double epsilon) {
  const Location where = x.where();
  const auto here = [where](Var var) { return In(var, where); };
  const std::vector<Var> vars = detail::in_one_graph("batch_norm", {x, scale, shift});
  const Shape shape = vars[0].shape();
  require_epsilon("batch_norm", epsilon, where);
  require_channels("batch_norm", shape, where);
  if (shape.count() == 0)
    fail<ShapeError>({.op = "batch_norm",
                      .what = "x of shape " + to_string(shape) + " has no element to be measured",
                      .where = where,
                      .help = "batch_norm_inference takes statistics that are given"});
  const Var factor = each_channel("batch_norm", "scale", vars[1], shape, where);
  const Var level = each_channel("batch_norm", "shift", vars[2], shape, where);
  Ints axes{0};
  for (std::size_t axis = 2; axis < shape.rank(); ++axis)
    axes.push_back(static_cast<std::int64_t>(axis));
  const Var all = floating(vars[0], where);
  const Var centre = mean(here(all), axes, true);
  const Var centred = sub(here(all), here(centre));
  const Var spread = mean(here(square(here(centred))), axes, true);
  const Var inverse = rsqrt(here(add(here(spread), In(epsilon, where))));
  const Var z = mul(here(centred), here(mul(here(inverse), here(factor))));
  const Ints channels{shape[1]};
  const Var variance = reshape(here(spread), channels);
  const std::int64_t of_a_channel = shape.count() / shape[1];
  const auto count = static_cast<double>(of_a_channel);
  const double correction =
      count > 1 ? count / (count - 1) : std::numeric_limits<double>::quiet_NaN();
  return {add(here(z), here(level)), reshape(here(centre), channels), variance,
          mul(here(variance), In(correction, where))};
}

Var batch_norm_inference(In x, In mean, In variance, In scale, In shift, double epsilon) {
  constexpr std::string_view function = "batch_norm_inference";
  const Location where = x.where();
  const auto here = [where](Var var) { return In(var, where); };
  const std::vector<Var> vars = detail::in_one_graph(function, {x, mean, variance, scale, shift});
  const Shape shape = vars[0].shape();
  require_epsilon(function, epsilon, where);
  require_channels(function, shape, where);
  const Var centre = each_channel(function, "mean", vars[1], shape, where);
  const Var spread = each_channel(function, "variance", vars[2], shape, where);
  const Var factor = each_channel(function, "scale", vars[3], shape, where);
  const Var level = each_channel(function, "shift", vars[4], shape, where);
  const Var inverse = rsqrt(here(add(here(spread), In(epsilon, where))));
  const Var centred = sub(here(vars[0]), here(centre));
  return add(here(mul(here(centred), here(mul(here(inverse), here(factor))))), here(level));
}

void detail::register_normalise_batch() {
  register_composite<RmsNorm>();
  register_composite<GroupNorm>();
  register_composite<BatchNorm>();
  register_composite<BatchNormInference>();
}

}  // namespace dualtape
