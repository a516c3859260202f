#include <dualtape/ops/normalise.hpp>

#include <algorithm>
#include <cmath>

#include <dualtape/core/composite.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/core/machine/team.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/batching.hpp>
#include <dualtape/ops/declare/edge_calls.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/declare/standardised.hpp>
#include <dualtape/ops/kernels/rows/fold_plan.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

// Output 0 is the result; 1, 2 and 3 are the mean, 1 / sqrt(variance + epsilon) and what the mean's
// rounding missed of each row times the power of two that is output 4: the derivative reads them
// instead of finding them again.
struct LayerNorm {
  static constexpr bool can_fail = false;
  static constexpr auto promotion = Promotion::common_floating;
  static constexpr auto name = "layer_norm";
  static constexpr auto doc = "rows along the last axis brought to mean 0 and variance 1";
  static constexpr auto math =
      "z = r (x - mean x) with r = 1 / sqrt(var x + epsilon), var x = mean (x - mean x)^2; y = z, "
      "or y = scale z + shift. dz = r (dx - mean dx - z mean(z dx)); dy = scale dz + z dscale + "
      "dshift.";
  static constexpr auto example =
      Example{"layer_norm(g.constant(Tensor{1, 3, 3, 1}), 0.0)", "[-1.  1.  1. -1.]"};

  static bool in_place(std::size_t i, std::size_t o) { return i == 0 && o == 0; }

  static void infer(Inference& inference) {
    if (inference.in.size() != 3) inference.require_count(1);
    const Shape& shape = inference.shape(0);
    const std::size_t last = inference.axis(-1, shape.rank());
    for (std::size_t i = 1; i < inference.in.size(); ++i)
      if (inference.shape(i) != Shape{shape[last]})
        inference.shape_error(std::string(i == 1 ? "scale" : "shift") + " has shape " +
                                  to_string(inference.shape(i)) + ", and x has shape " +
                                  to_string(shape),
                              "give one number per column: shape " + to_string(Shape{shape[last]}));
    const auto epsilon = inference.attributes.get<double>("epsilon");
    if (!(epsilon >= 0 && std::isfinite(epsilon)))
      inference.value_error("epsilon is " + std::to_string(epsilon),
                            "use a small number that is not negative, such as 1e-5");
    std::vector<std::int64_t> sizes(shape.sizes().begin(), shape.sizes().end());
    sizes.back() = 1;
    const Type each_row{Shape(sizes), inference.dtype(0)};
    inference.out = {inference.in[0], each_row, each_row, each_row, each_row};
  }
  // With a scale and a shift for each member they come after.
  static std::vector<Var> batch(const BatchView& view) {
    const Var x = batched_operand(view, 0);
    if (view.in.size() == 1) return apply_batched(view, {x});
    if (!view.in[1] && !view.in[2])
      return apply_batched(view, {x, view.node.in[1], view.node.in[2]});
    std::vector<Var> out = apply_batched(view, {x});
    const std::size_t rank = view.node.out[0].rank();
    out[0] = out[0] * aligned_operand(view, 1, rank) + aligned_operand(view, 2, rank);
    return out;
  }
  static Cost cost(const KernelRequest& request) {
    Cost cost = bytes_only(request);
    cost.flops =
        (request.in.size() == 3 ? 10.0 : 8.0) * static_cast<double>(request.in[0].shape.count());
    return cost;
  }
  static Kernel kernel(const KernelRequest& request) {
    const bool affine = request.in.size() == 3;
    const auto size = static_cast<std::size_t>(request.in[0].shape.sizes().back());
    const auto rows = static_cast<std::size_t>(request.out[1].shape.count());
    const auto epsilon = request.attributes.get<double>("epsilon");
    return detail::for_floats(request, [&]<class T>() -> Kernel {
      return {[=, normalise = detail::row_kernels<T>().layer_norm](const KernelArgs& args) {
        detail::in_ranges(
            args, rows, 1, rows * size, [&](std::size_t first, std::size_t last, void*) {
              const auto of = [&](std::size_t o) { return args.output<T>(o) + first; };
              normalise(args.input<T>(0) + first * size, affine ? args.input<T>(1) : nullptr,
                        affine ? args.input<T>(2) : nullptr, last - first, size, epsilon,
                        args.output<T>(0) + first * size, {of(1), of(3), of(2), of(4)});
            });
      }};
    });
  }
  static std::vector<MaybeVar> jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    const bool affine = node.in.size() == 3;
    const Var inverse = node.out[2];
    const Var part = node.out[4];
    // The standardised rows: cheap operations, which cost less than keeping them.
    const Var z = affine ? detail::deviations(node.in[0], node.out[1], node.out[3], part) * inverse
                         : node.out[0];
    std::vector<MaybeVar> out(5);
    const auto add_to_result = [&](Var term) { out[0] = out[0] ? *out[0] + term : term; };
    if (tangents[0]) {
      const Var t = *tangents[0];
      const Var level = mean(t, {-1}, true);
      const Var along = mean(z * t, {-1}, true);
      const Var slope = inverse * part;
      // Of two elements z z^T takes all but a share epsilon r^2 from t less its mean.
      const Var rest = node.in[0].shape().back() == 2
                           ? (t - level) * detail::share_of_epsilon(node, slope)
                           : t - level - z * along;
      const Var dz = rest * slope;
      add_to_result(affine ? dz * node.in[1] : dz);
      out[1] = level * part;
      out[2] = -(inverse * along * slope);
    }
    if (affine && tangents[1]) add_to_result(z * *tangents[1]);
    if (affine && tangents[2]) add_to_result(broadcast_to(*tangents[2], node.out[0].shape()));
    return out;
  }
  static std::vector<Case> cases();
  static std::vector<Edge> edges();
};
constexpr General<LayerNorm> layer_norm_op;

std::vector<Edge> LayerNorm::edges() {
  using namespace detail;
  // With weights, since the sum of the results is always 0.
  const auto call = [](double epsilon, bool affine) {
    return [=](std::span<const Var> in) {
      const Tensor weights = row({1, -2, 3}).to(in[0].dtype());
      const Tensor none = zeros({3}, in[0].dtype());
      return std::vector<Var>{affine ? layer_norm(in[0], weights, none, epsilon)
                                     : layer_norm(in[0], epsilon) * weights};
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
      {"differences beyond float32",
       {row({0x1.8p127, -0x1.8p127, -0x1p127})},
       {row({1.3970013970020956, 1.778001778002667, -1.524001524002286})},
       {row({-1.9503745934253867e-39, -9.751872967126933e-39, 1.170224756055232e-38})}},
      {"squares beyond float32",
       {row({0x1p100, -0x1p100, 0x1p99})},
       {row({0.9805806756909201, 2.7456258919345764, 1.1766968108291043})},
       {row({-1.1781636028816815e-30, -3.927212009605605e-31, 1.570884803842242e-30})}},
      {"squares below float32",
       {row({0x1p-100, -0x1p-100, 0})},
       {row({1.224744871391589, 2.449489742783178, 0})},
       {row({-1.8113066665703257e+30, -1.8113066665703257e+30, 3.6226133331406514e+30})}},
      {"squares beyond float64",
       {row({0x1p700, -0x1p700, 0x1p699})},
       {row({0.9805806756909201, 2.7456258919345764, 1.1766968108291043})},
       {row({-2.83927987092575e-211, -9.464266236419166e-212, 3.7857064945676664e-211})}},
      {"NaN",
       {row({not_a_number, 1, 2})},
       {row({not_a_number, not_a_number, not_a_number})},
       {row({not_a_number, not_a_number, not_a_number})}}};
  std::vector<Edge> near{{"equal elements",
                          {row({7, 7, 7})},
                          {row({0, 0, 0})},
                          {row({256.0 / 3, -2048.0 / 3, 1792.0 / 3})}},
                         {"spread below epsilon",
                          {row({0x1p-40, -0x1p-40, 0})},
                          {row({0x1p-32, 0x1p-31, 0})},
                          {row({256.0 / 3, -2048.0 / 3, 1792.0 / 3})}}};
  // Beside them epsilon is little: what is left of a slope along the row itself.
  const auto of_two = [](bool affine) {
    return [=](std::span<const Var> in) {
      const Tensor weights = row({1, -2}).to(in[0].dtype());
      const Tensor none = zeros({2}, in[0].dtype());
      return std::vector<Var>{affine ? layer_norm(in[0], weights, none, 0x1p-16)
                                     : layer_norm(in[0], 0x1p-16) * weights};
    };
  };
  const std::vector<Edge> pair{{"two elements far above epsilon",
                                {row({1, -1})},
                                {row({0.9999923706927791, 1.9999847413855583})},
                                {row({2.288765973479361e-05, -2.288765973479361e-05})}}};
  // Whose second slopes are beyond all floats.
  const std::vector<Edge> tiny{
      {"a mean below float32",
       {row({0x1.8p-123, -0x1.4p-123, -0x1p-126})},
       {row({1.2918735734197337, 2.288461758629243, -0.4429280823153373})},
       {row({-9.58687843331347e+36, -1.38477132925639e+37, 2.3434591725877373e+37})}},
      {"a mean below float64",
       {row({0x1.8p-1019, -0x1.4p-1019, -0x1p-1022})},
       {row({1.2918735734197337, 2.288461758629243, -0.4429280823153373})},
       {row({-5.064695446981961e+306, -7.315671201196165e+306, 1.2380366648178127e+307})}}};
  for (const Edge& edge : tiny) {
    far.push_back(edge);
    far.back().second_order = false;
  }
  // Second slopes are differences of products that are below all floats.
  near.push_back({"a mean below float32, beside epsilon",
                  {row({0, 0, 0x1.8p-126})},
                  {row({-0x1p-119, 0x1p-118, 0x1.8p-117})},
                  {row({256.0 / 3, -2048.0 / 3, 1792.0 / 3})},
                  4,
                  16,
                  false});
  near.push_back({"differences below float32, beside epsilon",
                  {row({0x1p-126, 0x1.2p-126, 0x1.4p-126})},
                  {row({-0x1p-121, 0, 0x1.8p-120})},
                  {row({256.0 / 3, -2048.0 / 3, 1792.0 / 3})},
                  4,
                  16,
                  false});
  for (Edge& edge : far)
    edge.slope_ulp = std::max(edge.slope_ulp, 64.0);  // slopes that are differences of larger ones
  return joined({edges_of(of_two(false), pair), edges_of(of_two(true), pair),
                 edges_of(call(0, false), far), edges_of(call(0, true), far),
                 edges_of(call(0x1p-16, false), near), edges_of(call(0x1p-16, true), near)});
}

std::vector<Case> LayerNorm::cases() {
  std::vector<Case> cases;
  const auto add = [&](const std::string& name, const Shape& shape, double epsilon) {
    cases.push_back({name, {Arg{shape}}, [epsilon](std::span<const Var> in) {
                       return std::vector<Var>{layer_norm(in[0], epsilon)};
                     }});
    const Shape columns{shape.sizes().back()};
    cases.push_back({name + ", scale and shift",
                     {Arg{shape}, Arg{columns}, Arg{columns}},
                     [epsilon](std::span<const Var> in) {
                       return std::vector<Var>{layer_norm(in[0], in[1], in[2], epsilon)};
                     }});
  };
  add("rows", {3, 5}, 1e-2);
  add("rows longer than a register", {2, 19}, 1e-5);
  add("three axes", {2, 2, 4}, 1e-2);
  add("a vector", {6}, 1e-2);
  add("one column", {3, 1}, 1e-5);
  add("no rows", {0, 3}, 1e-5);
  add("no columns", {2, 0}, 1e-5);
  return cases;
}

std::vector<Var> one(Var value) { return {value}; }

// Output 0 is the result, 1 is 1 / sqrt(mean x^2 + epsilon) of each row times the power of two that
// is output 2.
struct RmsNorm {
  static constexpr bool can_fail = false;
  static constexpr auto promotion = Promotion::common_floating;
  static constexpr auto name = "rms_norm";
  static constexpr auto doc = "rows along the last axis brought to mean square 1";
  static constexpr auto math =
      "y = x r with r = 1 / sqrt(mean x^2 + epsilon), or y = scale x r; dy = r (dx - x r^2 "
      "mean(x dx))";
  static constexpr Example example{"rms_norm(g.constant(Tensor{3, -3}), 0.0)", "[ 1. -1.]"};

  static bool in_place(std::size_t i, std::size_t o) { return i == 0 && o == 0; }
  static void infer(Inference& inference) {
    if (inference.in.size() != 2) inference.require_count(1);
    const Shape& shape = inference.shape(0);
    const std::size_t last = inference.axis(-1, shape.rank());
    if (inference.in.size() == 2 && inference.shape(1) != Shape{shape[last]})
      inference.shape_error("scale has shape " + to_string(inference.shape(1)) +
                                ", and x has shape " + to_string(shape),
                            "give one number per column: shape " + to_string(Shape{shape[last]}));
    Ints sizes = shape.vector();
    sizes.back() = 1;
    const Type each_row{Shape(sizes), inference.dtype(0)};
    inference.out = {inference.in[0], each_row, each_row};
  }
  static std::vector<Var> batch(const BatchView& view) {
    const Var x = batched_operand(view, 0);
    if (view.in.size() == 1) return apply_batched(view, {x});
    if (!view.in[1]) return apply_batched(view, {x, view.node.in[1]});
    std::vector<Var> out = apply_batched(view, {x});
    out[0] = out[0] * aligned_operand(view, 1, view.node.out[0].rank());
    return out;
  }
  static Cost cost(const KernelRequest& request) {
    Cost cost = bytes_only(request);
    cost.flops = 4.0 * static_cast<double>(request.in[0].shape.count());
    return cost;
  }
  static Kernel kernel(const KernelRequest& request) {
    const bool scaled = request.in.size() == 2;
    const auto size = static_cast<std::size_t>(request.in[0].shape.back());
    const auto rows = static_cast<std::size_t>(request.out[1].shape.count());
    const auto epsilon = request.attributes.get<double>("epsilon");
    return detail::for_floats(request, [&]<class T>() -> Kernel {
      return {[=, normalise = detail::row_kernels<T>().rms_norm](const KernelArgs& args) {
        detail::in_ranges(
            args, rows, 1, rows * size, [&](std::size_t first, std::size_t last, void*) {
              normalise(args.input<T>(0) + first * size, scaled ? args.input<T>(1) : nullptr,
                        last - first, size, epsilon, args.output<T>(0) + first * size,
                        args.output<T>(1) + first, args.output<T>(2) + first);
            });
      }};
    });
  }
  static std::vector<MaybeVar> jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    const bool scaled = node.in.size() == 2;
    const Var inverse = node.out[1];
    const Var part = node.out[2];
    const Var z = scaled ? node.in[0] * part * inverse : node.out[0];
    std::vector<MaybeVar> out(3);
    if (tangents[0]) {
      const Var along = mean(z * *tangents[0], {-1}, true);
      const Var slope = inverse * part;
      // Of one element x^2 r^2 is all of 1 but a share epsilon r^2.
      const Var rest = node.in[0].shape().back() == 1
                           ? *tangents[0] * detail::share_of_epsilon(node, slope)
                           : *tangents[0] - z * along;
      const Var dz = rest * slope;
      out[0] = scaled ? dz * node.in[1] : dz;
      out[1] = -(inverse * along * slope);
    }
    if (scaled && tangents[1]) {
      const Var by_scale = z * *tangents[1];
      out[0] = out[0] ? *out[0] + by_scale : by_scale;
    }
    return out;
  }
  static std::vector<Edge> edges() {
    using namespace detail;
    const auto call = [](double epsilon) {
      return [=](std::span<const Var> in) {
        const Tensor weights = row({1, -2}).to(in[0].dtype());
        return one(rms_norm(in[0], weights, epsilon));
      };
    };
    // The slope by the scale is the row brought to mean square 1, whatever its size.
    const auto by_scale = [](std::vector<double> x) {
      return [=](std::span<const Var> in) {
        return one(rms_norm(row(x).to(in[0].dtype()), in[0], 0));
      };
    };
    std::vector<double> lone(64);
    lone[0] = 0x1p-126;
    std::vector<double> eight(64);
    eight[0] = 8;
    const Tensor weights = row(std::vector<double>(64, 1));
    const auto of_one = [](std::span<const Var> in) { return one(rms_norm(in[0], 0x1p-16)); };
    return joined(
        {edges_of(of_one, {{"one element far above epsilon",
                            {row({1})},
                            {row({0.9999923706927791})},
                            {row({1.5258439823195739e-05})}}}),
         edges_of(by_scale({0x1p127, 0x1p127}),
                  {{"the scale of a row that has no reciprocal in float32",
                    {row({1, -2})},
                    {row({1, -2})},
                    {row({1, 1})}}}),
         edges_of(by_scale(lone), {{"the scale of a row shorter than floats have reciprocals for",
                                    {weights},
                                    {row(eight)},
                                    {row(eight)}}}),
         edges_of(call(0), {{"squares beyond float32",
                             {row({0x1.8p101, 0x1p102})},
                             {row({0.848528137423857, -2.262741699796952})},
                             {row({3.569976931166309e-31, -2.677482698374732e-31})}},
                            {"squares below float32",
                             {row({0x1.8p-99, 0x1p-98})},
                             {row({0.848528137423857, -2.262741699796952})},
                             {row({5.736731747818101e+29, -4.302548810863576e+29})}},
                            {"squares beyond float64",
                             {row({0x1.8p701, 0x1p702})},
                             {row({0.848528137423857, -2.262741699796952})},
                             {row({8.60335832437672e-212, -6.45251874328254e-212})}},
                            {"squares below float64",
                             {row({0x1.8p-699, 0x1p-698})},
                             {row({0.848528137423857, -2.262741699796952})},
                             {row({2.380465770206508e+210, -1.785349327654881e+210})}},
                            {"a length that has no reciprocal in float32",
                             {row({0x1p127, 0x1p127})},
                             {row({1, -2})},
                             {row({0x1.8p-127, -0x1.8p-127})}},
                            {"NaN",
                             {row({not_a_number, 1})},
                             {row({not_a_number, not_a_number})},
                             {row({not_a_number, not_a_number})}}}),
         edges_of(call(0x1p-16), {{"zeros", {row({0, 0})}, {row({0, 0})}, {row({256, -512})}},
                                  {"tiny beside epsilon",
                                   {row({0x1p-126, 0})},
                                   {row({0x1p-118, 0})},
                                   {row({256, -512})},
                                   4,
                                   16,
                                   false},
                                  {"below epsilon",
                                   {row({0x1p-40, 0x1p-41})},
                                   {row({0x1p-32, -0x1p-32})},
                                   {row({256, -512})}}})});
  }
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
constexpr General<RmsNorm> rms_norm_op;

}  // namespace

Var layer_norm(In x, double epsilon) { return layer_norm_op(x, Attributes{{"epsilon", epsilon}}); }
Var layer_norm(In x, In scale, In shift, double epsilon) {
  return layer_norm_op(x, scale, shift, Attributes{{"epsilon", epsilon}});
}

Var rms_norm(In x, double epsilon) {
  detail::require_epsilon("rms_norm", epsilon, x.where());
  static_cast<void>(detail::require_axis("rms_norm", x, -1, detail::shape_of(x).rank()));
  return rms_norm_op(x, Attributes{{"epsilon", epsilon}});
}
Var rms_norm(In x, In scale, double epsilon) {
  const Composite c("rms_norm", {x, scale});
  detail::require_epsilon("rms_norm", epsilon, c.where());
  const Shape shape = c[0].shape();
  static_cast<void>(detail::require_axis("rms_norm", c[0], -1, shape.rank()));
  if (c[1].shape() != Shape{shape.back()})
    fail<ShapeError>(
        {.op = "rms_norm",
         .what =
             "scale has shape " + to_string(c[1].shape()) + ", and x has shape " + to_string(shape),
         .where = c.where(),
         .help = "give one number per column: shape " + to_string(Shape{shape.back()})});
  return rms_norm_op(c[0], c[1], Attributes{{"epsilon", epsilon}});
}

void detail::register_normalise() { register_all(layer_norm_op, rms_norm_op); }

}  // namespace dualtape
