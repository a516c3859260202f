// Cross-entropy with weights of classes, smoothed labels and labels passed over, and of
// probabilities, by other operators.
#include <optional>
#include <string>
#include <utility>

#include <dualtape/core/composite.hpp>
#include <dualtape/core/error.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
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
  if (weights) {
    share = detail::rows_of("cross_entropy: label", *weights, safe);
    if (kept) share = where(*kept, *share, 0.0);
    if (o.options.reduction == Reduction::mean && o.targets.shape().count() > 0) {
      // By the largest of them: a mean takes no notice, and no loss overflows by its weight.
      const Var most = stop_gradient(max(abs(*share)));
      share = *share / most;
      weights = *weights / most;
    }
    each = weighted(each, *share);
  } else if (kept) {
    share = cast(*kept, each.dtype());
  }
  if (o.options.label_smoothing != 0) each = smoothed_losses(o, safe, kept, weights);
  if (o.options.reduction != Reduction::mean || !share)
    return detail::reduced(each, o.options.reduction);
  // A quotient of means, which are finite where sums may not be. The mean of nothing is NaN in
  // every mode, also where smoothing leaves something to divide.
  const Var level = mean(*share);
  return mean(each) / where(equal(level, 0.0), not_a_number, level);
}

Var of_probabilities(const Operands& o) {
  Var q = cast(o.targets, o.logits.dtype());
  const double smoothing = o.options.label_smoothing;
  if (smoothing != 0) q = q * (1 - smoothing) + smoothing / o.classes();
  return detail::reduced(against(o, q), o.options.reduction);
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
