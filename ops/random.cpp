#include <bit>
#include <cmath>

#include <dualtape/core/kinds.hpp>
#include <dualtape/core/machine/team.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/random.hpp>

namespace dualtape {
namespace {

constexpr std::string_view no_dependence =
    "the numbers drawn depend on the key alone, which is an integer";

void require_key(const Inference& inference) {
  if (inference.dtype(0) != int64)
    inference.type_error("the key must be int64, got " + to_string(inference.in[0]),
                         "feed Key(seed).to_tensor()");
  if (inference.shape(0).rank() != 0)
    inference.shape_error("the key must have shape (), got " + to_string(inference.in[0]),
                          "feed Key(seed).to_tensor()");
}

// All three draws may carry the attribute "replay", an int64 that no kernel looks at: it only keeps
// a draw apart from others of the same numbers when equal nodes are merged (see draw_again).
void infer_draw(Inference& inference) {
  inference.require_count(1);
  require_key(inference);
  const auto dtype = inference.attributes.get<DType>("dtype");
  if (!is_floating(dtype))
    inference.type_error(
        "random numbers are float32 or float64, not " + std::string(name_of(dtype)),
        "draw float32 and cast() it");
  inference.out = {{inference.attributes.get<Shape>("shape"), dtype}};
}

bool finite_in(DType dtype, double x) {
  return dtype == float32 ? std::isfinite(static_cast<float>(x)) : std::isfinite(x);
}

Key key_at(const void* memory) {
  return Key(std::bit_cast<std::uint64_t>(*static_cast<const std::int64_t*>(memory)));
}

// What descriptors of draws share: `fill(attributes)` gives a function of (elements as floats or
// doubles, key, number of the first element).
template <class D>
struct Drawn {
  static constexpr auto reason = no_dependence;
  static constexpr bool is_random = true;
  static constexpr bool can_fail = false;

  static Slice slice(const KernelRequest& request) {
    const auto fill = D::fill(request.attributes);
    if (request.out[0].dtype == float32)
      return [=](const void* const* in, void* out, std::size_t first, std::size_t n) {
        fill(std::span<float>(static_cast<float*>(out), n), key_at(in[0]), first);
      };
    return [=](const void* const* in, void* out, std::size_t first, std::size_t n) {
      fill(std::span<double>(static_cast<double*>(out), n), key_at(in[0]), first);
    };
  }
  static Kernel kernel(const KernelRequest& request) {
    const auto count = static_cast<std::size_t>(request.out[0].shape.count());
    const std::size_t bytes = size_of(request.out[0].dtype);
    return {[count, bytes, some = slice(request)](const KernelArgs& args) {
      constexpr std::size_t unit = 2048;  // whole groups of every distribution
      detail::in_ranges(args, count, unit, 4 * count,
                        [&](std::size_t first, std::size_t last, void*) {
                          some(args.in, static_cast<std::byte*>(args.out[0]) + first * bytes, first,
                               last - first);
                        });
    }};
  }
};

const Arg key_arg{Shape{}, domain(0, 1000), int64};

struct RandomUniform : Drawn<RandomUniform> {
  static constexpr auto name = "random_uniform";
  static constexpr auto doc = "numbers uniform on [low, high), from a key";
  static constexpr auto math = "y = low + (high - low) u with u uniform on [0, 1)";
  static constexpr Example example{"random_uniform(g, Key{1}, {2}, 3, 3)", "[3. 3.]"};

  static void infer(Inference& inference) {
    infer_draw(inference);
    const auto low = inference.attributes.get<double>("low");
    const auto high = inference.attributes.get<double>("high");
    const DType dtype = inference.out[0].dtype;
    if (!(low <= high) || !finite_in(dtype, low) || !finite_in(dtype, high) ||
        !finite_in(dtype, high - low))
      inference.value_error("the interval from " + std::to_string(low) + " to " +
                                std::to_string(high) + " is empty or not finite in " +
                                std::string(name_of(dtype)),
                            "give low <= high, both finite");
  }
  static auto fill(const Attributes& attributes) {
    return [low = attributes.get<double>("low"), high = attributes.get<double>("high")](
               auto out, Key key, std::size_t first) { fill_uniform(out, key, low, high, first); };
  }
  static std::vector<Edge> edges() { return detail::draw_edges(name); }
  static std::vector<Case> cases() {
    return {{"matrix",
             {key_arg},
             [](std::span<const Var> in) {
               return std::vector<Var>{random_uniform(in[0], {3, 4}, -1, 2)};
             }},
            {"scalar", {key_arg}, [](std::span<const Var> in) {
               return std::vector<Var>{random_uniform(in[0], {}, 0, 1, float64)};
             }}};
  }
};
constexpr ZeroDerivative<RandomUniform> random_uniform_op;

struct RandomNormal : Drawn<RandomNormal> {
  static constexpr auto name = "random_normal";
  static constexpr auto doc = "normal numbers, from a key";
  static constexpr auto math = "y = mean + stddev z with z standard normal";
  static constexpr Example example{"random_normal(g, Key{1}, {2}, 3, 0)", "[3. 3.]"};

  static void infer(Inference& inference) {
    infer_draw(inference);
    const auto mean = inference.attributes.get<double>("mean");
    const auto stddev = inference.attributes.get<double>("stddev");
    const DType dtype = inference.out[0].dtype;
    if (!finite_in(dtype, mean) || !finite_in(dtype, stddev) || stddev < 0)
      inference.value_error("mean " + std::to_string(mean) + " and stddev " +
                                std::to_string(stddev) + " describe no normal distribution in " +
                                std::string(name_of(dtype)),
                            "give a finite mean and a finite stddev >= 0");
  }
  static auto fill(const Attributes& attributes) {
    return
        [mean = attributes.get<double>("mean"), stddev = attributes.get<double>("stddev")](
            auto out, Key key, std::size_t first) { fill_normal(out, key, mean, stddev, first); };
  }
  static std::vector<Edge> edges() { return detail::draw_edges(name); }
  static std::vector<Case> cases() {
    return {{"matrix",
             {key_arg},
             [](std::span<const Var> in) {
               return std::vector<Var>{random_normal(in[0], {3, 4}, 1, 2)};
             }},
            {"empty", {key_arg}, [](std::span<const Var> in) {
               return std::vector<Var>{random_normal(in[0], {0, 2}, 0, 1, float64)};
             }}};
  }
};
constexpr ZeroDerivative<RandomNormal> random_normal_op;

struct RandomRademacher : Drawn<RandomRademacher> {
  static constexpr auto name = "random_rademacher";
  static constexpr auto doc = "-1 or +1 with equal probability, from a key";
  static constexpr auto math = "P(y = 1) = P(y = -1) = 1/2";
  static constexpr Example example{
      "random_rademacher(g, Key{1}, {2}) * random_rademacher(g, Key{1}, {2})", "[1. 1.]"};

  static void infer(Inference& inference) { infer_draw(inference); }
  static auto fill(const Attributes&) {
    return [](auto out, Key key, std::size_t first) { fill_rademacher(out, key, first); };
  }
  static std::vector<Edge> edges() { return detail::draw_edges(name); }
  static std::vector<Case> cases() {
    return {{"vector", {key_arg}, [](std::span<const Var> in) {
               return std::vector<Var>{random_rademacher(in[0], {7})};
             }}};
  }
};
constexpr ZeroDerivative<RandomRademacher> random_rademacher_op;

struct FoldKey {
  static constexpr auto name = "fold_key";
  static constexpr auto doc = "the key of a numbered sub-stream";
  static constexpr auto math = "Philox4x32-10 of n under the key, its first 64 bits";
  static constexpr auto reason = "keys are integers";
  static constexpr Example example{
      "equal(fold_key(g.constant(Key{1}.to_tensor()), 2), Key{1}.fold(2).to_tensor())", "True"};
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    inference.require_count(2);
    require_key(inference);
    if (!is_integer(inference.dtype(1)) || inference.shape(1).rank() != 0)
      inference.type_error("the number of the sub-stream must be an int32 or int64 scalar, got " +
                           to_string(inference.in[1]));
    inference.out = {{Shape{}, int64}};
  }
  static Kernel kernel(const KernelRequest& request) {
    return {[narrow = request.in[1].dtype == int32](const KernelArgs& args) {
      const std::int64_t n = narrow ? *args.input<std::int32_t>(1) : *args.input<std::int64_t>(1);
      const Key folded = key_at(args.in[0]).fold(std::bit_cast<std::uint64_t>(n));
      *args.output<std::int64_t>() = std::bit_cast<std::int64_t>(folded.value());
    }};
  }
  static std::vector<Edge> edges() { return detail::draw_edges(name); }
  static std::vector<Case> cases() {
    return {{"keys", {key_arg, key_arg}, [](std::span<const Var> in) {
               return std::vector<Var>{fold_key(in[0], in[1])};
             }}};
  }
};
constexpr ZeroDerivative<FoldKey> fold_key_op;

Var key_of(Graph& graph, Key key, Location where) { return graph.constant(key.to_tensor(), where); }

}  // namespace

Var random_uniform(In key, Shape shape, double low, double high, DType dtype) {
  return random_uniform_op(
      key, {{"shape", std::move(shape)}, {"low", low}, {"high", high}, {"dtype", dtype}});
}
Var random_uniform(Graph& graph, Key key, Shape shape, double low, double high, DType dtype,
                   Location where) {
  return random_uniform(In(key_of(graph, key, where), where), std::move(shape), low, high, dtype);
}

Var random_normal(In key, Shape shape, double mean, double stddev, DType dtype) {
  return random_normal_op(
      key, {{"shape", std::move(shape)}, {"mean", mean}, {"stddev", stddev}, {"dtype", dtype}});
}
Var random_normal(Graph& graph, Key key, Shape shape, double mean, double stddev, DType dtype,
                  Location where) {
  return random_normal(In(key_of(graph, key, where), where), std::move(shape), mean, stddev, dtype);
}

Var random_rademacher(In key, Shape shape, DType dtype) {
  return random_rademacher_op(key, {{"shape", std::move(shape)}, {"dtype", dtype}});
}
Var random_rademacher(Graph& graph, Key key, Shape shape, DType dtype, Location where) {
  return random_rademacher(In(key_of(graph, key, where), where), std::move(shape), dtype);
}

Var draw_again(In draw, std::int64_t replay) {
  const bool is_draw = draw.form() == In::Form::var && draw.var().defined() &&
                       draw.var().node().op->is_random() &&
                       !draw.var().node().attributes.has("replay");
  if (!is_draw || replay < 1)
    fail<ValueError>(
        {.op = "draw_again",
         .label = is_draw ? draw.var().label() : std::string(),
         .what = is_draw ? "replay is " + std::to_string(replay) + ", but must be at least 1"
                         : "takes the result of random_uniform, random_normal or random_rademacher",
         .where = draw.where()});
  const Var drawn = draw.var();
  const Node& node = drawn.node();
  return apply(*node.op, {In(drawn.graph().var(node.inputs()[0]), draw.where())},
               node.attributes.with("replay", replay));
}

Var fold_key(In key, In n) { return fold_key_op(key, n); }

namespace detail {

void register_random() {
  register_all(random_uniform_op, random_normal_op, random_rademacher_op, fold_key_op);
}

}  // namespace detail
}  // namespace dualtape
