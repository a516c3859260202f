// Intervals of an operator by what it is composed of; so norms, variances and layer norms. For
// interval_rules.hpp.
#pragma once

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

inline double count_of(Var x, Var folded) {
  return static_cast<double>(x.shape().count()) / static_cast<double>(folded.shape().count());
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

inline void teach_norms(IntervalMode& mode) {
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
