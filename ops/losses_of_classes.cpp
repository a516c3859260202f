// Losses of classes and their probabilities; cross-entropy is in ops/cross_entropy.cpp, its options
// in ops/cross_entropy_options.cpp.
#include <dualtape/core/base/enumeration.hpp>
#include <dualtape/core/composite.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/declare/builtin.hpp>
#include <dualtape/ops/declare/edge_calls.hpp>
#include <dualtape/ops/declare/families.hpp>
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
    return cut_log(1 - p, log1p(where(1 - p < least, 0, -p))) -
           cut_log(p, log(where(p < least, 1, p)));
  }
  // log(share), `log` where that is not cut off. Its slope is the one that dL/dp has, so that mixed
  // second slopes are the same by either order: value and slope are bounded apart, as in PyTorch.
  static Var cut_log(Var share, Var log) {
    const Var cut = share < least;
    const Var inside = where(cut, share, 0);
    const Var fixed = stop_gradient(inside);
    const Var value = maximum(dualtape::log(where(cut, fixed, 1)), lowest_log);
    return where(cut, value + (inside - fixed) / least, log);
  }
  static std::vector<Edge> edges() {
    const double cut = 100;  // the most a certain probability costs
    return {
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
  static Var body(const Composite& c, Reduction reduction) {
    const Var logits = c[0], labels = c[1];
    detail::require_labels(name, logits, logits.shape(), labels.shape());
    const Var p = softmax(logits);
    const Var chosen = detail::one_hot_of(name, labels, logits.shape().back(), p.dtype());
    const Var of_label = clamp(sum(p * chosen, {-1}), least, 1 - least);
    return detail::reduced(name, -log(of_label), reduction);
  }
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
  static Var body(const Composite& c, Reduction reduction) {
    const Shape rows = c[1].shape();
    detail::require_labels(name, c[0], c[0].shape(), rows);
    const Var chosen = detail::gather_of(name, c[0], unsqueeze(c[1], -1), -1);
    return detail::reduced(name, -reshape(chosen, rows), reduction);
  }
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
  static Var body(const Composite& c, Reduction reduction) {
    const Var logs = c[0], shares = c[1];
    // Where p is 0, log q may be -inf: both are replaced before they meet.
    const Var none = logical_and(equal(shares, 0), logical_not(isnan(logs)));
    // xlogy, whose second slope by p is 1 / p and takes no square of it.
    const Var safe = where(none, 1, shares);
    const Var entries = where(none, 0, xlogy(safe, safe) - safe * where(none, 0, logs));
    return detail::reduced(name, sum(entries, {-1}), reduction);
  }
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

}  // namespace

Var detail::reduced(std::string_view loss, Var entries, Reduction reduction) {
  detail::require_listed(loss, "Reduction", reduction, 3,
                         "Reduction::mean, Reduction::sum or Reduction::none",
                         entries.graph().pinned());
  switch (reduction) {
    case Reduction::mean: return mean(entries);
    case Reduction::sum: return sum(entries);
    case Reduction::none: break;
  }
  return entries;
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

Var clamped_cross_entropy(In logits, In labels, Reduction reduction) {
  return ClampedCrossEntropy::body({ClampedCrossEntropy::name, {logits, labels}}, reduction);
}

Var binary_cross_entropy(In p, In y, Reduction reduction) {
  detail::require_one_shape("binary_cross_entropy", p, y);
  const Composite c("binary_cross_entropy", {p, y});
  return detail::reduced("binary_cross_entropy", binary_cross_entropy_op(c[0], c[1]), reduction);
}

Var binary_cross_entropy_with_logits(In x, In y, Reduction reduction) {
  detail::require_one_shape("binary_cross_entropy_with_logits", x, y);
  const Composite c("binary_cross_entropy_with_logits", {x, y});
  return detail::reduced("binary_cross_entropy_with_logits",
                         binary_cross_entropy_with_logits_op(c[0], c[1]), reduction);
}

Var nll(In log_p, In labels, Reduction reduction) {
  return NegativeLogLikelihood::body({NegativeLogLikelihood::name, {log_p, labels}}, reduction);
}

Var kl_divergence(In log_q, In p, Reduction reduction) {
  detail::require_one_shape(KlDivergence::name, log_q, p);
  return KlDivergence::body({KlDivergence::name, {log_q, p}}, reduction);
}

void detail::register_losses_of_classes() {
  register_all(binary_cross_entropy_op, binary_cross_entropy_with_logits_op);
  register_composite<NegativeLogLikelihood>();
  register_composite<KlDivergence>();
  register_composite<ClampedCrossEntropy>();
}

}  // namespace dualtape
