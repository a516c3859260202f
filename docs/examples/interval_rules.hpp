// Intervals of operators that are neither elementwise nor linear: by a rule each, or by what they
// are composed of. teach() gives them to an IntervalMode.
#pragma once

#include <cmath>
#include <vector>

#include "interval_compose.hpp"

namespace intervals {

inline std::int64_t axis_of(const dt::NodeView& node) {
  return node.attributes.get<std::int64_t>("axis");
}
// [softmax]
// e_i / (e_i + the others) grows with x_i and falls with the others: two corners of the box. What
// is taken from a sum is put back wider by the rounding of that sum.
inline Interval softmax_of(const Interval& x, std::int64_t axis) {
  const Var largest = dt::max(x.high, {axis}, true);
  const Var low = dt::exp(x.low - largest), high = dt::exp(x.high - largest);
  const Var all_low = dt::sum(low, {axis}, true), all_high = dt::sum(high, {axis}, true);
  // Relative errors: of x - largest in the exponent, in the kernel as well, and of the sums.
  const double n = count_of(low, all_low);
  const Var distance = dt::minimum(largest - x.low, 1000);  // e^-1000 is 0 in any case
  const Var slack = rounding(n, low) + 4 * epsilon_of(low) * (8 + distance);
  const Var least = low / (all_high - high + low + slack * all_high);
  const Var most = high / (all_low - low + high);
  return where_known(least <= most,
                     {dt::maximum(least * (1 - slack), 0), dt::minimum(most * (1 + slack), 1)});
}
// [/softmax]

// log sum e^x grows with each x; in the kernel the largest is taken out and put back.
inline Interval logsumexp_of(const dt::NodeView& node, Intervals in) {
  const Interval y = *monotone(node, in)[0];
  const auto n = static_cast<double>(node.in[0].shape().count());
  const auto slack = [&](Var end) {
    return rounding(n, end) * (dt::abs(end) + std::log(n + 1) + 1);
  };
  return settled({y.low - slack(y.low), y.high + slack(y.high)});
}

inline Var summed(const dt::NodeView& node, Var x) { return dt::sum(x, {axis_of(node)}, true); }
// t_i sum_j y_j less the sum of `yt`, for the slopes of softmax and its logarithm.
inline Var centred(const dt::NodeView& node, Var yt) {
  return node.in[1] * summed(node, node.in[0]) - summed(node, yt);
}

inline Var cross_entropy(const dt::NodeView& node) {
  if (node.attributes.has("ignore")) dt::refuse_node(node, "an interval", "it ignores labels");
  const Var chosen = dt::squeeze(dt::gather(node.in[0], dt::unsqueeze(node.in[1], -1), -1), {-1});
  const Var losses = dt::logsumexp(node.in[0], {-1}) - chosen;
  switch (static_cast<dt::Reduction>(node.attributes.get<std::int64_t>("reduction"))) {
    case dt::Reduction::mean: return dt::mean(losses);
    case dt::Reduction::sum: return dt::sum(losses);
    default: return losses;
  }
}

inline void teach(IntervalMode& mode) {
  mode.set_rule(dt::require_op("softmax"), [](const dt::NodeView& node, Intervals in) {
    const bool empty = node.out[0].shape().count() == 0;  // which has no largest
    return std::vector<MaybeInterval>{empty ? *in[0] : softmax_of(*in[0], axis_of(node))};
  });
  for (const char* name : {"logsumexp", "logcumsumexp"})
    mode.set_rule(dt::require_op(name), [](const dt::NodeView& node, Intervals in) {
      std::vector<MaybeInterval> out = monotone(node, in);
      for (MaybeInterval& result : out) result = unknown(result->low);
      out[0] = logsumexp_of(node, in);
      return out;
    });
  compose(mode, "log_softmax", [](const dt::NodeView& node) {
    return node.in[0] - dt::logsumexp(node.in[0], {axis_of(node)}, true);
  });
  compose(mode, "softmax_slope", [](const dt::NodeView& node) {
    return node.in[0] * centred(node, node.in[0] * node.in[1]);
  });
  compose(mode, "log_softmax_slope", [](const dt::NodeView& node) {
    const Var y = node.in[0], t = node.in[1];
    if (!node.attributes.get<bool>("transposed")) return centred(node, y * t);
    return t * summed(node, y) - y * summed(node, t);
  });
  compose(mode, "cross_entropy", cross_entropy);
  compose(mode, "cross_entropy_slope", [](const dt::NodeView& node) {
    if (node.attributes.has("ignore")) dt::refuse_node(node, "an interval", "it ignores labels");
    const Var x = node.in[0];
    return dt::softmax(x) - dt::one_hot(node.in[1], x.shape().back(), x.dtype());
  });
  teach_norms(mode);
}

}  // namespace intervals
