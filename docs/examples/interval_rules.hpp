// Intervals of operators that are neither elementwise nor linear: by a rule each, or by what they
// are composed of. teach() gives them to an IntervalMode.
#pragma once

#include <cmath>
#include <functional>
#include <string_view>
#include <vector>

#include "intervals.hpp"

namespace intervals {

inline Interval unknown(Var like) {
  return {dt::full_like(like, dt::not_a_number), dt::full_like(like, dt::not_a_number)};
}

// [compose]
// The operator as an expression of its operands, whose intervals then serve for it; of results but
// the first nothing is known.
using Expression = std::function<Var(const dt::NodeView&)>;
inline void compose(IntervalMode& mode, std::string_view name, const Expression& expression) {
  mode.set_rule(dt::require_op(name), [&mode, expression](const dt::NodeView& node, Intervals in) {
    std::vector<Var> operands;
    std::vector<Interval> boxes;
    for (std::size_t i = 0; i < in.size(); ++i) {
      if (!in[i]) continue;
      operands.push_back(node.in[i]);
      boxes.push_back(*in[i]);
    }
    std::vector<MaybeInterval> out;
    for (const Var& result : node.out) out.push_back(unknown(result));
    const std::vector<Var> composed{expression(node)};
    out[0] = mode.run(node.out[0].graph(), operands, boxes, composed)[0];
    return out;
  });
}
// [/compose]

inline std::int64_t axis_of(const dt::NodeView& node) {
  return node.attributes.get<std::int64_t>("axis");
}
inline double count_of(Var x, Var folded) {
  return static_cast<double>(x.shape().count()) / static_cast<double>(folded.shape().count());
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

inline Var variance_of(const dt::NodeView& node, double correction, const dt::Ints& axes,
                       bool keepdims) {
  const Var x = node.in[0];
  const Var mean = dt::mean(x, axes, true);
  return dt::sum(dt::square(x - mean), axes, keepdims) / (count_of(x, mean) - correction);
}
inline Expression variance(bool root) {
  return [root](const dt::NodeView& node) {
    const auto& a = node.attributes;
    const Var y = variance_of(node, static_cast<double>(a.get<std::int64_t>("correction")),
                              a.get<dt::Ints>("axes"), a.get<bool>("keepdims"));
    return root ? dt::sqrt(y) : y;
  };
}
inline Var norm(const dt::NodeView& node) {
  const auto& a = node.attributes;
  const double p = a.has("p") ? a.get<double>("p") : 2;
  const auto sum = [&](Var x) {
    return dt::sum(x, a.get<dt::Ints>("axes"), a.get<bool>("keepdims"));
  };
  if (p == 2) return dt::sqrt(sum(dt::square(node.in[0])));
  return dt::pow(sum(dt::pow(dt::abs(node.in[0]), p)), 1 / p);
}
// Rows times a scale and plus a shift, where the node has them.
inline Var scaled(const dt::NodeView& node, Var y) {
  if (node.in.size() > 1) y = y * node.in[1];
  return node.in.size() > 2 ? y + node.in[2] : y;
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
    const auto sum = [&](Var x) { return dt::sum(x, {axis_of(node)}, true); };
    const Var y = node.in[0], t = node.in[1];
    return y * (t * sum(y) - sum(y * t));
  });
  compose(mode, "log_softmax_slope", [](const dt::NodeView& node) {
    const auto sum = [&](Var x) { return dt::sum(x, {axis_of(node)}, true); };
    const Var y = node.in[0], t = node.in[1];
    const bool transposed = node.attributes.get<bool>("transposed");
    return t * sum(y) - (transposed ? y * sum(t) : sum(y * t));
  });
  compose(mode, "cross_entropy", cross_entropy);
  compose(mode, "cross_entropy_slope", [](const dt::NodeView& node) {
    if (node.attributes.has("ignore")) dt::refuse_node(node, "an interval", "it ignores labels");
    const Var x = node.in[0];
    return dt::softmax(x) - dt::one_hot(node.in[1], x.shape().back(), x.dtype());
  });
  compose(mode, "norm", norm);
  compose(mode, "var", variance(false));
  compose(mode, "std", variance(true));
  compose(mode, "layer_norm", [](const dt::NodeView& node) {
    const Var spread = variance_of(node, 0, {-1}, true) + node.attributes.get<double>("epsilon");
    return scaled(node, (node.in[0] - dt::mean(node.in[0], {-1}, true)) / dt::sqrt(spread));
  });
  compose(mode, "rms_norm", [](const dt::NodeView& node) {
    const Var square = dt::mean(dt::square(node.in[0]), {-1}, true);
    return scaled(node, node.in[0] / dt::sqrt(square + node.attributes.get<double>("epsilon")));
  });
}

}  // namespace intervals
