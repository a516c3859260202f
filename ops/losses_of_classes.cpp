// Losses of classes and their probabilities; the kernels of cross-entropy are in
// ops/cross_entropy.cpp.
#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/declare/builtin.hpp>
#include <dualtape/ops/declare/edge_calls.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/in_graph.hpp>
#include <dualtape/ops/declare/indices.hpp>
#include <dualtape/ops/declare/losses.hpp>
#include <dualtape/ops/declare/matrix.hpp>
#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/softmax.hpp>
#include <dualtape/ops/special.hpp>

namespace dualtape {
namespace {

struct BinaryCrossEntropy {
  static constexpr auto name = "binary_cross_entropy";
  static constexpr auto doc = "-(y log p + (1 - y) log(1 - p)) for probabilities p and targets y";
  static constexpr auto math =
      "L = -(y max(log p, -100) + (1 - y) max(log(1 - p), -100)); dL/dp = (1 - y) / max(1 - p, "
      "1e-12) - y / max(p, 1e-12), dL/dy = max(log(1 - p), -100) - max(log p, -100).";
  static constexpr auto example = Example{
      "binary_cross_entropy(g.constant(Tensor{0.5, 0.5}), g.constant(Tensor{0, 1}))", "0.6931472"};
  static constexpr double lowest_log = -100;
  static constexpr double least = 1e-12;

  static auto formula(auto p, auto y) {
    return -(y * maximum(log(p), lowest_log) + (1 - y) * maximum(log1p(-p), lowest_log));
  }
  static Factor partial(std::size_t i, std::span<const Var> in, Var) {
    const Var p = in[0];
    const Var y = in[1];
    if (i == 0) return (1 - y) / maximum(1 - p, least) - y / maximum(p, least);
    return maximum(log1p(-p), lowest_log) - maximum(log(p), lowest_log);
  }
  static std::vector<Edge> edges() {
    const double cut = 100;  // the most a certain probability costs
    std::vector<Edge> edges{
        edge("certain and right, 0", {0, 0}, 0, {1, cut}),
        edge("certain and right, 1", {1, 1}, 0, {-1, -cut}),
        edge("certain and wrong, 0", {0, 1}, cut, {-1e12, cut}),
        edge("certain and wrong, 1", {1, 0}, cut, {1e12, -cut}),
        edge("nearly 0", {0x1p-40, 0}, 9.094947017733418e-13,
             {1.0000000000009095, 27.725887222396903}),
        edge("nearly 0 and wrong", {0x1p-30, 1}, 20.79441541679836, {-0x1p30, 20.794415415867036}),
        edge("between", {0.25, 0.5}, 0.8369882167858358, {-4.0 / 3, 1.0986122886681098}),
        edge("a denormal of float32", {0x1p-130, 0}, 0x1p-130, {1}),
        edge("NaN", {not_a_number, 1}, not_a_number, {not_a_number, not_a_number}),
        edge("outside", {-0.5, 0.5}, not_a_number)};
    // Where p is cut off, value and slope are bounded apart, as in PyTorch, and so are the mixed
    // second slopes.
    for (Edge& one : edges) one.mixed = one.at[0].item() >= least && one.at[0].item() <= 1 - least;
    return edges;
  }
  static auto sample() { return std::array{domain(0.1, 0.9), domain(0, 1)}; }
};
constexpr detail::BuiltinElementwise<BinaryCrossEntropy> binary_cross_entropy_op;

struct BinaryCrossEntropyWithLogits {
  static constexpr auto name = "binary_cross_entropy_with_logits";
  static constexpr auto doc = "binary cross-entropy of sigmoid(x) and targets y";
  static constexpr auto math =
      "L = max(x, 0) (1 - y) - min(x, 0) y + log(1 + e^-|x|); dL/dx = (1 - y) sigmoid(x) - y "
      "sigmoid(-x), dL/dy = -x. A factor of 0 makes 0 of infinities.";
  static constexpr auto example = Example{
      "binary_cross_entropy_with_logits(g.constant(Tensor{0, 0}), g.constant(Tensor{0, 1}))",
      "0.6931472"};

  // sigmoid(x) - y and max(x, 0) - x y would cancel where x is large and y = 1.
  static auto formula(auto x, auto y) {
    const auto above = select(y == 1, 0, maximum(x, 0) * (1 - y));
    const auto below = select(y == 0, 0, minimum(x, 0) * y);
    return above - below + log1p(exp(-abs(x)));
  }
  static Factor partial(std::size_t i, std::span<const Var> in, Var) {
    if (i == 0) return (1 - in[1]) * sigmoid(in[0]) - in[1] * sigmoid(-in[0]);
    return -in[0];
  }
  static std::vector<Edge> edges() {
    return {edge("right, 1", {20, 1}, 2.061153620314381e-09, {-2.0611536181902037e-09, -20}),
            edge("wrong, 0", {20, 0}, 20.000000002061153, {0.9999999979388464, -20}),
            edge("wrong, 1", {-20, 1}, 20.000000002061153, {-0.9999999979388464, 20}),
            edge("right, 0", {-20, 0}, 2.061153620314381e-09, {2.0611536181902037e-09, 20}),
            edge("right and far, 1", {60, 1}, 8.75651076269652e-27, {-8.75651076269652e-27, -60}),
            edge("right and far, 0", {-60, 0}, 8.75651076269652e-27, {8.75651076269652e-27, 60}),
            edge("between and far", {80, 0.25}, 60, {0.75, -80}),
            edge("0", {0, 0.5}, 0.6931471805599453, {0, 0}),
            edge("limit of 1", {infinity, 1}, 0, {0, -infinity}),
            edge("limit of 0", {-infinity, 0}, 0, {0, infinity}),
            edge("limit of what is wrong", {infinity, 0}, infinity, {1, -infinity}),
            edge("NaN", {not_a_number, 1}, not_a_number, {not_a_number, not_a_number})};
  }
  static auto sample() { return std::array{domain(-3, 3).avoid(0), domain(0, 1)}; }
};
constexpr detail::BuiltinElementwise<BinaryCrossEntropyWithLogits>
    binary_cross_entropy_with_logits_op;

struct ClampedCrossEntropy {
  static constexpr auto name = "clamped_cross_entropy";
  static constexpr auto doc =
      "-log p[label] with p = softmax(logits) cut off to [2^-23, 1 - 2^-23]";
  static constexpr auto math =
      "y_n = -log min(max(p, e), 1 - e) with p = softmax(x_n)[label(n)] and e = 2^-23, then the "
      "mean "
      "or sum; dy_n as of cross_entropy, but 0 where p is cut off. Written as softmax, mul, sum, "
      "clamp and log.";
  static constexpr auto example = Example{
      "clamped_cross_entropy(g.constant(Tensor{{0, 0}, {99, 0}}), g.constant(Tensor::of({0, 1})))",
      "8.317766"};
  static constexpr double least = 0x1p-23;
  static std::vector<Edge> edges() {
    using namespace detail;
    const auto call = [](std::span<const Var> in) {
      return std::vector<Var>{clamped_cross_entropy(in[0], Tensor::of({1}))};
    };
    return edges_of(call, {{"wrong beyond doubt",
                            {table({1, 2}, {20, 0})},
                            {number(15.942385152878742)},
                            {table({1, 2}, {0, 0})}},
                           {"right beyond doubt",
                            {table({1, 2}, {0, 20})},
                            {number(1.1920929665620916e-07)},
                            {table({1, 2}, {0, 0})}},
                           {"ties far from zero",
                            {table({1, 2}, {0x1p27, 0x1p27})},
                            {number(0.6931471805599453)},
                            {table({1, 2}, {0.5, -0.5})}},
                           {"impossible",
                            {table({1, 2}, {0, -infinity})},
                            {number(15.942385152878742)},
                            {table({1, 2}, {0, 0})}}});
  }
  static std::vector<Case> cases() {
    return detail::loss_cases(
        Arg{{4, 3}}, detail::sample_labels(),
        [](Var x, Var y, Reduction reduction) { return clamped_cross_entropy(x, y, reduction); });
  }
};

struct NegativeLogLikelihood {
  static constexpr auto name = "nll";
  static constexpr auto doc = "-log_p[label] for integer labels; mean, sum or each";
  static constexpr auto math =
      "y_n = -x_n,label(n), then the mean or sum over n; dy_n = -dx_n,label(n). Written as gather "
      "and neg.";
  static constexpr auto example =
      Example{"nll(g.constant(Tensor{{-1, -2}, {-3, -4}}), g.constant(Tensor::of({0, 1})))", "2.5"};
  static std::vector<Edge> edges() {
    using namespace detail;
    const auto call = [](std::span<const Var> in) {
      return std::vector<Var>{nll(in[0], Tensor::of({1}))};
    };
    return edges_of(
        call, {{"the others do not count",
                {table({1, 2}, {-infinity, -3})},
                {number(3)},
                {table({1, 2}, {0, -1})}},
               {"impossible",
                {table({1, 2}, {0, -infinity})},
                {number(infinity)},
                {table({1, 2}, {0, -1})}},
               {"certain", {table({1, 2}, {-0x1p100, 0})}, {number(0)}, {table({1, 2}, {0, -1})}},
               {"NaN",
                {table({1, 2}, {0, not_a_number})},
                {number(not_a_number)},
                {table({1, 2}, {0, -1})}}});
  }
  static std::vector<Case> cases() {
    std::vector<Case> cases =
        detail::loss_cases(Arg{{4, 3}}, detail::sample_labels(),
                           [](Var x, Var y, Reduction reduction) { return nll(x, y, reduction); });
    cases.push_back({"one sample",
                     {Arg{{3}}, Arg{{}, domain(0, 2.99), int32}},
                     [](std::span<const Var> in) { return std::vector<Var>{nll(in[0], in[1])}; }});
    return cases;
  }
};

struct KlDivergence {
  static constexpr auto name = "kl_divergence";
  static constexpr auto doc = "how far probabilities, given by their logarithms, are from others";
  static constexpr auto math =
      "y_n = sum_c p_nc (log p_nc - l_nc) with 0 log 0 = 0, then the mean or sum over n; dy_n = "
      "sum_c (log p_nc + 1 - l_nc) dp_nc - p_nc dl_nc, 0 where p_nc = 0. Written as xlogy, sub, "
      "mul, "
      "where and sum.";
  static constexpr auto example = Example{
      "kl_divergence(log(g.constant(Tensor{0.5, 0.5})), g.constant(Tensor{0, 1}))", "0.6931472"};
  static std::vector<Edge> edges() {
    using namespace detail;
    const auto call = [](std::span<const Var> in) {
      return std::vector<Var>{kl_divergence(in[0], in[1], Reduction::sum)};
    };
    return edges_of(call, {{"a class that cannot be",
                            {row({0, -infinity}), row({1, 0})},
                            {number(0)},
                            {row({-1, 0}), row({1, 0})}},
                           {"a class held to be impossible",
                            {row({-infinity}), row({0.5})},
                            {number(infinity)},
                            {row({-0.5}), row({infinity})}},
                           {"close",
                            {row({-0.5, -1}), row({0.5, 0.25})},
                            {number(-0.19314718055994531)},
                            {row({-0.5, -0.25}), row({0.8068528194400547, 0.6137056388801094})}},
                           {"tiny",
                            {row({-1, -80}), row({1, 0x1p-100})},
                            {number(1)},
                            {row({-1, -0x1p-100}), row({2, 11.68528194400547})}},
                           {"NaN",
                            {row({not_a_number}), row({0})},
                            {number(not_a_number)},
                            {row({0}), row({not_a_number})}}});
  }
  static std::vector<Case> cases() {
    return detail::loss_cases(
        Arg{{3, 4}, domain(-3, -0.1)}, Arg{{3, 4}, domain(0.1, 0.9)},
        [](Var x, Var y, Reduction reduction) { return kl_divergence(x, y, reduction); });
  }
};

// The operands of a cross-entropy with options, in one graph.
struct Operands {
  Var logits;
  Var targets;
  MaybeVar weights;
  const CrossEntropyOptions& options;
  Location where;

  In here(const Var& x) const { return {x, where}; }
  In here(double x) const { return {x, where}; }
  double classes() const { return static_cast<double>(logits.shape().back()); }
  // x, which a weight of 0 takes away also where it is infinite.
  Var weighted(const Var& x, const Var& weight) const {
    const In nothing = here(equal(here(weight), here(0.0)));
    const In infinite = here(equal(here(abs(here(x))), here(infinity)));
    const In none = here(logical_and(nothing, infinite));
    return mul(here(dualtape::where(none, here(0.0), here(x))), here(weight));
  }
  // -sum_c w_c q_c log softmax(x)_c of each row, where 0 times what is not finite is 0.
  Var against(const Var& q) const {
    const In all = here(log_softmax(here(logits)));
    const In lost = here(logical_not(here(isfinite(all))));
    const In none = here(logical_and(here(equal(here(q), here(0.0))), lost));
    Var terms = mul(here(q), here(dualtape::where(none, here(0.0), all)));
    if (weights) terms = weighted(terms, *weights);
    return neg(here(sum(here(terms), {-1})));
  }
};

// x[n, label(n)] of each row, where labels outside the classes are refused.
Var at_labels(const Operands& o, const Var& x, const Var& labels) {
  Ints column = labels.shape().vector();
  column.push_back(1);
  const Var places = reshape(o.here(labels), Shape(column));
  const Var chosen = detail::gather_of("cross_entropy", o.here(x), o.here(places), -1);
  return reshape(o.here(chosen), labels.shape());
}

// Label smoothing: a share of each target, spread evenly over the classes. `labels` are 0 where a
// row is not kept.
Var smoothed_losses(const Operands& o, const Var& labels, const MaybeVar& kept) {
  const double smoothing = o.options.label_smoothing;
  Var logits = o.logits;
  // Rows passed over may hold anything: they are replaced before a NaN of theirs meets a 0.
  if (kept) logits = where(o.here(unsqueeze(o.here(*kept), -1)), o.here(logits), o.here(0.0));
  Var logs = log_softmax(o.here(logits));
  if (o.weights) logs = o.weighted(logs, *o.weights);
  Var losses = mul(o.here(sum(o.here(logs), {-1})), o.here(-smoothing / o.classes()));
  if (smoothing == 1) {
    // The label's own loss, which may be infinite, would meet a 0. That it is a label is still
    // asked: every class holds the row's loss.
    const Var column = unsqueeze(o.here(losses), -1);
    losses = at_labels(o, broadcast_to(o.here(column), logs.shape()), labels);
  } else {
    const Var own = mul(o.here(at_labels(o, logs, labels)), o.here(smoothing - 1));
    losses = add(o.here(own), o.here(losses));
  }
  return kept ? where(o.here(*kept), o.here(losses), o.here(0.0)) : losses;
}

Var of_labels(const Operands& o) {
  const In labels = o.here(o.targets);
  // Built for smoothed losses, too: it refuses logits and labels of other types.
  Var each = detail::cross_entropy_of_labels(o.here(o.logits), labels, Reduction::none,
                                             o.options.ignore_index);
  MaybeVar kept;  // none where every row is
  Var safe = o.targets;
  if (o.options.ignore_index) {
    kept = not_equal(labels, In(*o.options.ignore_index, o.where));
    safe = where(o.here(*kept), labels, In(std::int64_t{0}, o.where));
  }
  MaybeVar share;  // what each row counts for; none where that is 1
  if (o.weights) {
    share = detail::rows_of("cross_entropy: label", o.here(*o.weights), o.here(safe));
    if (kept) share = where(o.here(*kept), o.here(*share), o.here(0.0));
    each = o.weighted(each, *share);
  } else if (kept) {
    share = cast(o.here(*kept), each.dtype());
  }
  if (o.options.label_smoothing != 0) each = smoothed_losses(o, safe, kept);
  if (o.options.reduction != Reduction::mean || !share)
    return detail::reduced(o.here(each), o.options.reduction);
  // The mean of nothing is NaN in every mode, also where smoothing leaves something to divide.
  const In total = o.here(sum(o.here(*share)));
  const In nothing = o.here(equal(total, o.here(0.0)));
  return div(o.here(sum(o.here(each))), o.here(where(nothing, o.here(not_a_number), total)));
}

Var of_probabilities(const Operands& o) {
  Var q = cast(o.here(o.targets), o.logits.dtype());
  const double smoothing = o.options.label_smoothing;
  if (smoothing != 0)
    q = add(o.here(mul(o.here(q), o.here(1 - smoothing))), o.here(smoothing / o.classes()));
  return detail::reduced(o.here(o.against(q)), o.options.reduction);
}

void check_options(const Operands& o, bool probabilities) {
  const auto refuse = [&](std::string what, std::string help) {
    fail<ValueError>({.op = "cross_entropy",
                      .what = std::move(what),
                      .where = o.where,
                      .help = std::move(help)});
  };
  const double smoothing = o.options.label_smoothing;
  if (!(smoothing >= 0 && smoothing <= 1))
    refuse("label_smoothing is " + std::to_string(smoothing),
           "give a share from 0 to 1; 0.1 is usual");
  if (probabilities && o.options.ignore_index)
    refuse("ignore_index is of labels, and the targets are probabilities",
           "give rows of zeros where a sample is to count for nothing");
  const Shape classes{o.logits.shape().back()};
  if (o.weights && o.weights->shape() != classes)
    fail<ShapeError>({.op = "cross_entropy",
                      .what = "the weights have shape " + to_string(o.weights->shape()) +
                              ", and the logits " + to_string(o.logits.shape()),
                      .where = o.where,
                      .help = "give one weight for each class: shape " + to_string(classes)});
}

}  // namespace

Var detail::reduced(const In& entries, Reduction reduction) {
  switch (reduction) {
    case Reduction::mean: return mean(entries);
    case Reduction::sum: return sum(entries);
    default: return entries.var();
  }
}
bool detail::are_labels_of(const Shape& logits, const Shape& labels) {
  return !logits.empty_rank() &&
         std::ranges::equal(logits.sizes().first(logits.rank() - 1), labels.sizes());
}
std::string detail::misfit_text(const Shape& logits, const Shape& labels) {
  return "labels must have the shape of the logits without its last axis, the classes: logits " +
         to_string(logits) + ", labels " + to_string(labels);
}
void detail::require_labels(std::string_view loss, const In& logits, const Shape& of_logits,
                            const Shape& of_labels) {
  if (are_labels_of(of_logits, of_labels)) return;
  fail<ShapeError>({.op = loss,
                    .what = misfit_text(of_logits, of_labels),
                    .where = logits.where(),
                    .help = "one label per row of logits"});
}

void detail::require_one_shape(std::string_view loss, const In& a, const In& b) {
  if (a.is_literal() || b.is_literal() || detail::shape_of(a) == detail::shape_of(b)) return;
  fail<ShapeError>({.op = loss,
                    .what = "both operands must have one shape: " + to_string(detail::shape_of(a)) +
                            " and " + to_string(detail::shape_of(b)),
                    .where = a.where(),
                    .help = "reshape one of them; a loss does not broadcast"});
}

std::vector<Case> detail::cross_entropy_option_cases() {
  const Arg logits{{4, 3}};
  const Arg weights{{3}, domain(0.5, 2)};
  const Arg probabilities{{4, 3}, domain(0.1, 0.6)};
  std::vector<Case> cases;
  for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none}) {
    const auto call = [reduction](double smoothing, bool ignoring) {
      return [=](std::span<const Var> in) {
        CrossEntropyOptions options{.reduction = reduction, .label_smoothing = smoothing};
        if (ignoring) options.ignore_index = 1;
        if (in.size() > 2) options.weights = in[2];
        return std::vector<Var>{cross_entropy(in[0], in[1], options)};
      };
    };
    const std::string name = ", reduction " + std::to_string(static_cast<int>(reduction));
    const Arg labels = detail::sample_labels();
    cases.push_back({"labels passed over" + name, {logits, labels}, call(0, true)});
    cases.push_back({"weights and smoothing" + name, {logits, labels, weights}, call(0.1, false)});
    cases.push_back({"all options" + name, {logits, labels, weights}, call(0.2, true)});
    cases.push_back({"probabilities" + name, {logits, probabilities}, call(0, false)});
    cases.push_back(
        {"weighted probabilities" + name, {logits, probabilities, weights}, call(0.1, false)});
  }
  // Fixed labels: with drawn ones all could be ignored, and the mean would be NaN.
  for (Case& sample : cases)
    if (sample.args[1].dtype == int64)
      sample.args[1].make = [](Key) { return Tensor::of({0, 1, 2, 2}); };
  return cases;
}

Var cross_entropy(In logits, In targets, const CrossEntropyOptions& options) {
  const Location where = logits.where();
  const Shape shape = detail::shape_of(logits);
  const bool probabilities = !shape.empty_rank() && detail::shape_of(targets) == shape &&
                             is_floating(detail::dtype_of_operand(targets));
  const bool plain = !options.ignore_index && !options.weights && options.label_smoothing == 0;
  if (plain && !probabilities)
    return detail::cross_entropy_of_labels(logits, targets, options.reduction, {});
  const std::vector<Var> vars = detail::in_one_graph("cross_entropy", {logits, targets});
  Operands o{vars[0], vars[1], options.weights, options, where};
  if (o.weights && is_floating(vars[0].dtype()))
    o.weights = cast(o.here(*o.weights), vars[0].dtype());
  if (!probabilities) detail::require_labels("cross_entropy", logits, shape, vars[1].shape());
  check_options(o, probabilities);
  return probabilities ? of_probabilities(o) : of_labels(o);
}
Var cross_entropy(In logits, In targets, Reduction reduction) {
  return cross_entropy(logits, targets, CrossEntropyOptions{.reduction = reduction});
}

Var clamped_cross_entropy(In logits, In labels, Reduction reduction) {
  const Location where = logits.where();
  const auto here = [where](Var var) { return In(var, where); };
  const Shape shape = detail::shape_of(logits);
  detail::require_labels("clamped_cross_entropy", logits, shape, detail::shape_of(labels));
  const Var p = softmax(logits);
  const MaybeVar found = detail::as_var(labels, here(p));
  const Var chosen =
      detail::one_hot_of("clamped_cross_entropy", found ? In(*found, labels.where()) : labels,
                         shape.back(), p.dtype());
  const Var of_label = sum(here(mul(here(p), here(chosen))), {-1});
  constexpr double least = ClampedCrossEntropy::least;
  const Var cut = clamp(here(of_label), In(least, where), In(1 - least, where));
  return detail::reduced(here(neg(here(log(here(cut))))), reduction);
}

Var binary_cross_entropy(In p, In y, Reduction reduction) {
  detail::require_one_shape("binary_cross_entropy", p, y);
  return detail::reduced(In(binary_cross_entropy_op(p, y), p.where()), reduction);
}

Var binary_cross_entropy_with_logits(In x, In y, Reduction reduction) {
  detail::require_one_shape("binary_cross_entropy_with_logits", x, y);
  return detail::reduced(In(binary_cross_entropy_with_logits_op(x, y), x.where()), reduction);
}

Var nll(In log_p, In labels, Reduction reduction) {
  const auto here = [where = log_p.where()](Var x) { return In(x, where); };
  const Shape rows = detail::shape_of(labels);
  detail::require_labels("nll", log_p, detail::shape_of(log_p), rows);
  const MaybeVar found = detail::as_var(labels, log_p);
  Ints column = rows.vector();
  column.push_back(1);
  const Var places = reshape(found ? In(*found, labels.where()) : labels, Shape(column));
  const Var chosen = detail::gather_of("nll", log_p, In(places, labels.where()), -1);
  return detail::reduced(here(neg(here(reshape(here(chosen), rows)))), reduction);
}

Var kl_divergence(In log_q, In p, Reduction reduction) {
  detail::require_one_shape("kl_divergence", log_q, p);
  const auto here = [where = log_q.where()](auto x) { return In(x, where); };
  const std::vector<Var> both = detail::in_one_graph("kl_divergence", {log_q, p});
  const In logs = here(both[0]);
  const In shares = here(both[1]);
  // Where p is 0, log q may be -inf: both are replaced before they meet.
  const In none =
      here(logical_and(here(equal(shares, here(0))), here(logical_not(here(isnan(logs))))));
  // xlogy, whose second slope by p is 1 / p and takes no square of it.
  const In safe = here(where(none, here(1), shares));
  const In own = here(xlogy(safe, safe));
  const In crossed = here(safe * here(where(none, here(0), logs)));
  const Var entries = where(none, here(0), here(own - crossed));
  return detail::reduced(here(sum(here(entries), {-1})), reduction);
}

void detail::register_losses_of_classes() {
  register_all(binary_cross_entropy_op, binary_cross_entropy_with_logits_op);
  register_composite<NegativeLogLikelihood>();
  register_composite<KlDivergence>();
  register_composite<ClampedCrossEntropy>();
}

}  // namespace dualtape
