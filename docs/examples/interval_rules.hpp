// Intervals of operators that are neither elementwise nor linear: by a rule each, or by what they
// are composed of. teach() gives them to an IntervalMode.
#pragma once

#include <cmath>
#include <functional>
#include <limits>
#include <string_view>
#include <vector>

#include "interval_compose.hpp"

namespace intervals {

inline std::int64_t axis_of(const dt::NodeView& node) {
  return node.attributes.has("axes") ? node.attributes.get<dt::Ints>("axes")[0]
                                     : node.attributes.get<std::int64_t>("axis");
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

// Rows whose label is ignored have the loss 0 and do not count in the mean.
inline Var kept_rows(const dt::NodeView& node) {
  const std::int64_t none = std::numeric_limits<std::int64_t>::min();
  const auto& a = node.attributes;
  return dt::not_equal(node.in[1], a.has("ignore") ? a.get<std::int64_t>("ignore") : none);
}
inline Var cross_entropy(const dt::NodeView& node) {
  const Var x = node.in[0], kept = kept_rows(node);
  const Var labels = dt::unsqueeze(dt::where(kept, node.in[1], 0), -1);
  const Var chosen = dt::squeeze(dt::gather(x, labels, -1), {-1});
  const Var losses = dt::where(kept, dt::logsumexp(x, {-1}) - chosen, 0);
  switch (static_cast<dt::Reduction>(node.attributes.get<std::int64_t>("reduction"))) {
    case dt::Reduction::mean: return dt::sum(losses) / dt::sum(dt::cast(kept, x.dtype()));
    case dt::Reduction::sum: return dt::sum(losses);
    default: return losses;
  }
}
inline Var cross_entropy_slope(const dt::NodeView& node) {
  const Var x = node.in[0], kept = kept_rows(node);
  const Var labels = dt::where(kept, node.in[1], 0);
  const Var slope = dt::softmax(x) - dt::one_hot(labels, x.shape().back(), x.dtype());
  return dt::where(dt::unsqueeze(kept, -1), slope, 0);
}

// [grows]
// An operator that grows with its operand, wherever `known` is true.
using Known = std::function<Var(const Interval&)>;
inline void grows(IntervalMode& mode, std::string_view name, const Known& known) {
  const dt::Op& op = dt::require_op(name);
  mode.set_rule(op, [&op, known](const dt::NodeView& node, Intervals in) {
    const Interval ends = *monotone(node, in)[0];
    return std::vector<MaybeInterval>{outwards(where_known(known(*in[0]), ends), accuracy_of(op))};
  });
}
// [/grows]

// From the first to the last element along an axis that may be the largest, since it is not below
// another for certain.
inline Interval largest_of(const Interval& x, std::int64_t axis, bool keepdims) {
  const Var best = dt::max(x.low, {axis}, true);
  const Var may = dt::cast(dt::logical_not(x.high < best), dt::int32);
  const std::int64_t last = x.low.shape()[static_cast<std::size_t>(axis)] - 1;
  return {dt::argmax(may, axis, keepdims),
          last - dt::argmax(dt::flip(may, {axis}), axis, keepdims)};
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
  compose(mode, "cross_entropy_slope", cross_entropy_slope);
  for (const char* name : {"erfinv", "i1"})
    grows(mode, name, [](const Interval& x) { return x.low <= x.high; });
  grows(mode, "digamma", [](const Interval& x) { return x.low > 0; });
  for (const bool most : {true, false})
    mode.set_rule(dt::require_op(most ? "argmax" : "argmin"),
                  [most](const dt::NodeView& node, Intervals in) {
                    const Interval x = most ? *in[0] : Interval{-in[0]->high, -in[0]->low};
                    const bool keepdims = node.attributes.get<bool>("keepdims");
                    return std::vector<MaybeInterval>{largest_of(x, axis_of(node), keepdims)};
                  });
  teach_norms(mode);
}

}  // namespace intervals
