// Linear, bilinear and monotone operators on intervals, with the rounding of sums. For
// intervals.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "interval.hpp"

namespace intervals {

using MaybeInterval = std::optional<Interval>;
using Intervals = std::span<const MaybeInterval>;

// [names]
// Operators that move numbers, or choose among them, and so keep their order and do not round.
inline constexpr auto movers = std::to_array<std::string_view>(
    {"broadcast_to", "concat",  "diag_embed", "diagonal",      "gather", "max_pool2d_select",
     "permute",      "reshape", "slice",      "slice_scatter", "split",  "stop_gradient",
     "take",         "tril",    "triu",       "all",           "any",    "cummax",
     "cummin",       "max",     "max_pool2d", "min",           "sort",   "top_k"});
// Sums with coefficients that are not negative, and sums of products without coefficients.
inline constexpr auto sums =
    std::to_array<std::string_view>({"avg_pool2d", "avg_pool2d_spread", "cumsum", "index_add",
                                     "max_pool2d_scatter", "mean", "scatter_add", "sum"});
inline constexpr auto products = std::to_array<std::string_view>(
    {"conv2d", "conv2d_input_gradient", "conv2d_weight_gradient", "matmul"});
// [/names]

inline bool is_one_of(std::span<const std::string_view> names, const dt::NodeView& node) {
  return std::ranges::find(names, node.op.name()) != names.end();
}

// [state]
// What does not depend on the boxes is a point.
inline Interval state(const dt::NodeView& node, Intervals in, std::size_t i) {
  return in[i] ? *in[i] : Interval{node.in[i], node.in[i]};
}
// [/state]

// Those with intervals, and those that the operator is linear in together with them. The places
// that an index says, or another operand, cannot be intervals.
inline std::unique_ptr<bool[]> moving_operands(const dt::NodeView& node, Intervals in) {
  auto moving = std::make_unique<bool[]>(in.size());
  const std::span<const bool> flags(moving.get(), in.size());
  for (std::size_t i = 0; i < in.size(); ++i) moving[i] = in[i].has_value();
  if (node.op.kind() != dt::Kind::linear || node.op.linear_in(node, flags)) return moving;
  for (std::size_t i = 0; i < in.size(); ++i)
    moving[i] = moving[i] || dt::is_floating(node.in[i].dtype());
  if (!node.op.linear_in(node, flags))
    dt::refuse_node(node, "an interval", "it moves numbers to places that vary");
  return moving;
}

// The operator on one end of each operand.
template <class End>
std::vector<Var> on_ends(const dt::NodeView& node, Intervals in, End end) {
  const auto moving = moving_operands(node, in);
  std::vector<dt::In> ends;
  for (std::size_t i = 0; i < in.size(); ++i)
    ends.emplace_back(moving[i] ? end(state(node, in, i)) : node.in[i]);
  return dt::apply_all(node.op, ends, node.attributes);
}
inline Interval any_whole(Var like) {
  using Limits = std::numeric_limits<std::int32_t>;
  using Wide = std::numeric_limits<std::int64_t>;
  if (like.dtype() == dt::int32)
    return {dt::full_like(like, Limits::min()), dt::full_like(like, Limits::max())};
  return {dt::full_like(like, Wide::min()), dt::full_like(like, Wide::max())};
}
// Each end from those of the operands. Indices beside the values chosen may be any. Where something
// is sorted that may be NaN, which goes last, all may move.
inline std::vector<MaybeInterval> monotone(const dt::NodeView& node, Intervals in) {
  const std::vector<Var> low = on_ends(node, in, [](const Interval& x) { return x.low; });
  const std::vector<Var> high = on_ends(node, in, [](const Interval& x) { return x.high; });
  std::vector<MaybeInterval> out{Interval{low[0], high[0]}};
  for (std::size_t i = 1; i < low.size(); ++i)
    out.push_back(dt::is_integer(low[i].dtype()) ? any_whole(low[i]) : Interval{low[i], high[i]});
  if (node.op.name() != "sort" && node.op.name() != "top_k") return out;
  const auto axis = node.attributes.get<std::int64_t>("axis");
  const Var nan = 0 * dt::sum(state(node, in, 0).low, axis, true);
  out[0] = Interval{low[0] + nan, high[0] + nan};
  return out;
}

// [rounding]
// Twice the bound n u / (1 - n u) of a sum of n terms by the sum of their magnitudes (Higham,
// Accuracy and Stability of Numerical Algorithms, 2002, section 3.1), once for the ends and once
// for the values held against them, with a few roundings of our own.
inline double rounding(double n, Var sum) {
  const double nu = (n + 8) * 0.5 * epsilon_of(sum);
  return nu < 1 ? 2 * nu / (1 - nu) : dt::infinity;
}
// [/rounding]

// [sum]
inline Interval sum_of(const dt::NodeView& node, Intervals in) {
  const auto on = [&](auto end) { return on_ends(node, in, end)[0]; };
  const Interval ends = *monotone(node, in)[0];
  double terms = 0;  // at most
  for (const Var& x : node.in) terms += static_cast<double>(x.shape().count());
  const Var slack = rounding(terms, ends.low) * on([](auto x) { return magnitude(x).high; });
  // A sum of numbers that are not negative is not, however it is rounded.
  const Var below = on([](auto x) { return dt::minimum(x.low, 0); });
  const Var above = on([](auto x) { return dt::maximum(x.high, 0); });
  const Var low = ends.low - slack, high = ends.high + slack;
  return settled({dt::where(dt::equal(below, 0), dt::maximum(low, 0), low),
                  dt::where(dt::equal(above, 0), dt::minimum(high, 0), high)});
}
// [/sum]

// How many products are added for one element of the result: no more than either factor has.
inline double terms_of(const dt::NodeView& node) {
  const dt::Type in[]{node.in[0].type(), node.in[1].type()}, out[]{node.out[0].type()};
  if (node.op.name() == "matmul")
    return node.op.cost({in, out, node.attributes}).flops /
           (2 * std::max(1.0, static_cast<double>(out[0].shape.count())));
  return static_cast<double>(std::min(in[0].shape.count(), in[1].shape.count()));
}

// [product]
// With a = m + s, b = n + t and |s| <= r, |t| <= q: a b is within |a| q + r |b| of m n, where |a|
// and |b| are the largest magnitudes.
inline Interval product_of(const dt::NodeView& node, Intervals in) {
  const auto times = [&](Var a, Var b) { return dt::apply(node.op, {a, b}, node.attributes); };
  const Interval a = state(node, in, 0), b = state(node, in, 1);
  const Var m = 0.5 * a.low + 0.5 * a.high, n = 0.5 * b.low + 0.5 * b.high;
  const Var size_a = magnitude(a).high, size_b = magnitude(b).high;
  Var off = rounding(terms_of(node), m) * size_a;  // what rounding adds, and the radius of a
  if (in[0]) off += dt::maximum(a.high - m, m - a.low);
  Var radius = times(off, size_b);
  if (in[1]) radius += times(size_a, dt::maximum(b.high - n, n - b.low));
  const Var middle = times(m, n);
  return settled({middle - radius, middle + radius});
}
// [/product]

}  // namespace intervals
