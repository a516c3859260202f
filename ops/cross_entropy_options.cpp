// Cross-entropy with weights of classes, smoothed labels and labels passed over, and of
// probabilities, by other operators.
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include <dualtape/core/composite.hpp>
#include <dualtape/core/error.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/declare/edge_calls.hpp>
#include <dualtape/ops/declare/indices.hpp>
#include <dualtape/ops/declare/losses.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/extremes.hpp>
#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/softmax.hpp>

namespace dualtape {
namespace {

// The operands of a cross-entropy with options, in one graph.
struct Operands {
  Var logits;
  Var targets;
  MaybeVar weights;
  const CrossEntropyOptions& options;
  Location where;

  double classes() const { return static_cast<double>(logits.shape().back()); }
};

// x, which a weight of 0 takes away also where it is infinite.
Var weighted(const Var& x, const Var& weight) {
  const Var none = logical_and(equal(weight, 0.0), equal(abs(x), infinity));
  return where(none, 0.0, x) * weight;
}

// -sum_c w_c q_c log softmax(x)_c of each row, where 0 times what is not finite is 0.
Var against(const Operands& o, const Var& q) {
  const Var all = log_softmax(o.logits);
  const Var none = logical_and(equal(q, 0.0), logical_not(isfinite(all)));
  Var terms = q * where(none, 0.0, all);
  if (o.weights) terms = weighted(terms, *o.weights);
  return -sum(terms, {-1});
}

// x[n, label(n)] of each row, where labels outside the classes are refused.
Var at_labels(const Var& x, const Var& labels) {
  const Var chosen = detail::gather_of("cross_entropy", x, unsqueeze(labels, -1), -1);
  return reshape(chosen, labels.shape());
}

// Label smoothing: a share of each target, spread evenly over the classes. `labels` are 0 where a
// row is not kept.
Var smoothed_losses(const Operands& o, const Var& labels, const MaybeVar& kept,
                    const MaybeVar& weights) {
  const double smoothing = o.options.label_smoothing;
  // Rows passed over may hold anything: they are replaced before a NaN of theirs meets a 0.
  Var logs = log_softmax(kept ? where(unsqueeze(*kept, -1), o.logits, 0.0) : o.logits);
  if (weights) logs = weighted(logs, *weights);
  // A share of each first: the sum of all may be too large.
  Var losses = sum(logs * (-smoothing / o.classes()), {-1});
  if (smoothing == 1) {
    // The label's own loss, which may be infinite, would meet a 0. That it is a label is still
    // asked: every class holds the row's loss.
    losses = at_labels(broadcast_to(unsqueeze(losses, -1), logs.shape()), labels);
  } else {
    losses = at_labels(logs, labels) * (smoothing - 1) + losses;
  }
  return kept ? where(*kept, losses, 0.0) : losses;
}

Var of_labels(const Operands& o) {
  // Built for smoothed losses, too: it refuses logits and labels of other types.
  Var each =
      detail::cross_entropy_of_labels(o.logits, o.targets, Reduction::none, o.options.ignore_index);
  MaybeVar kept;  // none where every row is
  Var safe = o.targets;
  if (o.options.ignore_index) {
    kept = not_equal(o.targets, *o.options.ignore_index);
    safe = where(*kept, o.targets, std::int64_t{0});
  }
  MaybeVar share;  // what each row counts for; none where that is 1
  MaybeVar weights = o.weights;
  const bool averaged = o.options.reduction == Reduction::mean && o.targets.shape().count() > 0;
  if (kept && !weights) share = cast(*kept, each.dtype());
  // A mean that would pass over every row passes over none: it is NaN, and so are its slopes.
  MaybeVar taken = kept;
  if (kept && averaged) taken = logical_or(*kept, logical_not(any(*kept)));
  if (weights) {
    const auto of_rows = [&](const MaybeVar& counted) {
      const Var all = detail::rows_of("cross_entropy: label", *weights, safe);
      return counted ? where(*counted, all, 0.0) : all;
    };
    if (averaged) {
      // By the largest of them: a mean takes no notice, and no loss overflows by its weight. It is
      // all weights that turn NaN where none counts, since their slopes do.
      const Var most = stop_gradient(max(abs(of_rows(kept))));
      weights = *weights / where(equal(most, 0.0), not_a_number, most);
    }
    share = of_rows(taken);
    each = weighted(each, *share);
  }
  if (o.options.label_smoothing != 0) each = smoothed_losses(o, safe, taken, weights);
  if (o.options.reduction != Reduction::mean || !share)
    return detail::reduced("cross_entropy", each, o.options.reduction);
  // A quotient of means, which are finite where sums may not be. The mean of nothing is NaN in
  // every mode, also where smoothing leaves something to divide.
  const Var level = mean(*share);
  return mean(each) / where(equal(level, 0.0), not_a_number, level);
}

Var of_probabilities(const Operands& o) {
  Var q = cast(o.targets, o.logits.dtype());
  const double smoothing = o.options.label_smoothing;
  if (smoothing != 0) q = q * (1 - smoothing) + smoothing / o.classes();
  return detail::reduced("cross_entropy", against(o, q), o.options.reduction);
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

std::vector<Edge> detail::cross_entropy_option_edges() {
  // Operand 1, where there is one, is the weights of classes.
  const auto call = [](Tensor labels, double smoothing) {
    return [=](std::span<const Var> in) {
      CrossEntropyOptions options{.ignore_index = -1, .label_smoothing = smoothing};
      if (in.size() > 1) options.weights = in[1];
      return std::vector<Var>{cross_entropy(in[0], labels, options)};
    };
  };
  const Tensor logits = table({3, 3}, {1, 2, 3, 0, 1, -1, 4, 0, 0});
  std::vector<Edge> tiny;
  std::vector<Edge> tiny_and_smooth;
  for (const double unit : {0x1p-66, 0x1p-120}) {
    const std::string name = "weights of 2^" + std::to_string(std::ilogb(unit));
    const Tensor weights = row({unit, 3 * unit, 2 * unit});
    const double slope = 0.1356975279419844 / unit;
    tiny.push_back(
        {name,
         {logits, weights},
         {number(3.221791132096287)},
         {table({3, 3}, {-0.15166157113826992, 0.04078807850913294, 0.11087349262913698,
                         0.08157615701826589, 0.22174698525827397, -0.30332314227653984,
                         0.48233157798595194, -0.49116578899297597, 0.008834211007024025}),
          row({-slope, slope, -slope})}});
    tiny_and_smooth.push_back(
        {name + ", smoothed",
         {logits, weights},
         {number(2.9039423681252945)},
         {table({3, 3}, {-0.12013251947839296, 0.00931843146974951, 0.11081408800864345,
                         0.06768726812937699, 0.1800803185916073, -0.24776758672098428,
                         0.4282483909315671, -0.40856863991022796, -0.01967975102133909}),
          row({-0.12955092373426608 / unit, 0.1017731459564883 / unit,
               -0.08788425706759942 / unit})}});
  }
  const Tensor none = table({2, 2}, {not_a_number, not_a_number, not_a_number, not_a_number});
  const Tensor two = table({2, 2}, {1, 2, 3, 4});
  const Edge passed{"every label passed over", {two}, {number(not_a_number)}, {none}};
  const Edge weighted{"every label passed over, weighted",
                      {two, row({1, 4})},
                      {number(not_a_number)},
                      {none, row({not_a_number, not_a_number})}};
  const Edge weightless{"every weight 0",
                        {two, row({0, 4})},
                        {number(not_a_number)},
                        {none, row({not_a_number, not_a_number})}};
  std::vector<Edge> all = joined({edges_of(call(Tensor::of({0, 2, 1}), 0), tiny),
                                  edges_of(call(Tensor::of({0, 2, 1}), 0.25), tiny_and_smooth)});
  for (const double smoothing : {0.0, 0.25})
    all = joined({all, edges_of(call(Tensor::of({-1, -1}), smoothing), {passed, weighted}),
                  edges_of(call(Tensor::of({0, 0}), smoothing), {weightless})});
  return all;
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
  const Shape shape = detail::shape_of(logits);
  const bool probabilities = !shape.empty_rank() && detail::shape_of(targets) == shape &&
                             is_floating(detail::dtype_of_operand(targets));
  const bool plain = !options.ignore_index && !options.weights && options.label_smoothing == 0;
  if (plain && !probabilities)
    return detail::cross_entropy_of_labels(logits, targets, options.reduction, {});
  const Composite c("cross_entropy", {logits, targets});
  Operands o{c[0], c[1], options.weights, options, c.where()};
  if (o.weights && is_floating(c[0].dtype())) o.weights = cast(*o.weights, c[0].dtype());
  if (!probabilities) detail::require_labels("cross_entropy", logits, shape, c[1].shape());
  check_options(o, probabilities);
  return probabilities ? of_probabilities(o) : of_labels(o);
}
Var cross_entropy(In logits, In targets, Reduction reduction) {
  return cross_entropy(logits, targets, CrossEntropyOptions{.reduction = reduction});
}

}  // namespace dualtape
