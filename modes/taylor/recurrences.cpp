// How the series of elementwise operators go on. A partial derivative that does not move makes the
// operator linear along the path. Else y' = sum_i p_i u_i' for the partials p_i, whose own series
// come from the nodes that the operator's declaration writes them with:
//   k y_k = sum_i sum_(j = 1 .. k) j u_ij p_i,(k - j).
// That is a recurrence where partials read the result, as those of exp do; where they are written
// for the sake of their digits, as those of tanh, or twist a quotient, a primitive has its own
// (Griewank and Walther, Evaluating Derivatives, 2nd edition, section 13.2).
#include <algorithm>
#include <array>
#include <string_view>

#include <dualtape/core/formula.hpp>
#include <dualtape/core/registry.hpp>
#include <dualtape/modes/taylor/expansion.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>
#include <dualtape/modes/walk/replay.hpp>
#include <dualtape/ops/arithmetic.hpp>

namespace dualtape::detail {
namespace {

using Index = std::size_t;

double number(Index k) { return static_cast<double>(k); }

// The sum of a_j b_(k - j) over j from `first` to `last`.
MaybeVar products(Expansion& series, Var a, Var b, Index k, Index first, Index last) {
  MaybeVar sum;
  for (Index j = first; j <= last && j <= k; ++j)
    sum = sum_of(sum, product_of(series.at(a, j), series.at(b, k - j)));
  return sum;
}
// factor times the sum of a_j a_(k - j) over j from `first` to k - first: pairs once. Where all
// directions share the value itself, the factor goes to it.
MaybeVar squares(Expansion& series, Var a, Index k, Index first, double factor = 1) {
  MaybeVar with_value, pairs;
  for (Index j = first; 2 * j < k; ++j) {
    const MaybeVar low = series.at(a, j), high = series.at(a, k - j);
    if (j == 0)
      with_value = high ? product_of(scaled_by(2 * factor, low), high) : MaybeVar{};
    else
      pairs = sum_of(pairs, product_of(low, high));
  }
  const MaybeVar middle = series.at(a, k / 2);
  MaybeVar sum = sum_of(with_value, scaled_by(2 * factor, pairs));
  if (k % 2 == 0) sum = sum_of(sum, scaled_by(factor, product_of(middle, middle)));
  return sum;
}

MaybeVar difference_of(const MaybeVar& a, const MaybeVar& b) {
  if (!b) return a;
  return a ? sub(*a, *b) : neg(*b);
}

// The sum over j < k of j u_j s_(k - j): what y' = s u' adds to k s_0 u_k. The products j u_j are
// the same for all k, and so are their nodes.
MaybeVar earlier_slopes(Expansion& series, Var u, Index k,
                        const std::function<MaybeVar(Index)>& slope) {
  MaybeVar sum;
  for (Index j = 1; j < k; ++j)
    sum = sum_of(sum, product_of(scaled_by(number(j), series.at(u, j)), slope(k - j)));
  return sum;
}

using Recurrence = MaybeVar (*)(Expansion&, GrowingNode&, Index);

MaybeVar mul_term(Expansion& series, GrowingNode& node, Index k) {
  if (node.in[0] == node.in[1]) return squares(series, node.in[0], k, 0);
  return products(series, node.in[0], node.in[1], k, 0, k);
}
MaybeVar square_term(Expansion& series, GrowingNode& node, Index k) {
  return squares(series, node.in[0], k, 0);
}
// y b = a
MaybeVar div_term(Expansion& series, GrowingNode& node, Index k) {
  const MaybeVar rest = products(series, node.out[0], node.in[1], k, 0, k - 1);
  const MaybeVar top = difference_of(series.at(node.in[0], k), rest);
  return top ? div(*top, node.in[1]) : MaybeVar{};
}
// y x = 1
MaybeVar reciprocal_term(Expansion& series, GrowingNode& node, Index k) {
  const MaybeVar rest = products(series, node.out[0], node.in[0], k, 0, k - 1);
  return rest ? neg(mul(*rest, node.out[0])) : MaybeVar{};
}
// y y = x
MaybeVar sqrt_term(Expansion& series, GrowingNode& node, Index k) {
  const MaybeVar rest = squares(series, node.out[0], k, 1);
  const MaybeVar top = difference_of(series.at(node.in[0], k), rest);
  return top ? mul(*top, 0.5 / node.out[0]) : MaybeVar{};
}
// x y' = x'
MaybeVar log_term(Expansion& series, GrowingNode& node, Index k) {
  const Var x = node.in[0];
  const MaybeVar rest =
      earlier_slopes(series, node.out[0], k, [&](Index j) { return series.at(x, j); });
  const MaybeVar top = difference_of(series.at(x, k), scaled_by(1 / number(k), rest));
  return top ? div(*top, x) : MaybeVar{};
}
// y' = s u' with s_0 as the operator declares it, where s is y times a number less y^2: that number
// less 2 y_0 is `front` of y_1, y_2 ... . What all directions share is multiplied last.
MaybeVar of_squared_slope(Expansion& series, GrowingNode& node, Index k, Var front) {
  const Var u = node.in[0], y = node.out[0];
  const MaybeVar last = series.at(u, k);
  const MaybeVar top =
      last ? series.tangents(node.view(), std::array{MaybeVar(*last)})[0] : MaybeVar{};
  const MaybeVar by_front = earlier_slopes(series, u, k, [&](Index j) { return series.at(y, j); });
  const MaybeVar rest = earlier_slopes(
      series, u, k, [&](Index j) { return j < 2 ? MaybeVar{} : squares(series, y, j, 1); });
  const MaybeVar below = difference_of(product_of(scaled_by(1 / number(k), front), by_front),
                                       scaled_by(1 / number(k), rest));
  return sum_of(top, below);
}
// s = 1 - y^2
MaybeVar tanh_term(Expansion& series, GrowingNode& node, Index k) {
  return of_squared_slope(series, node, k, -2 * node.out[0]);
}
// s = y - y^2
MaybeVar sigmoid_term(Expansion& series, GrowingNode& node, Index k) {
  return of_squared_slope(series, node, k, 1 - 2 * node.out[0]);
}

Recurrence recurrence_of(const Op& op) {
  struct Row {
    std::string_view name;
    Recurrence next;
  };
  static constexpr std::array rows{
      Row{"mul", &mul_term},   Row{"square", &square_term},         Row{"div", &div_term},
      Row{"sqrt", &sqrt_term}, Row{"reciprocal", &reciprocal_term}, Row{"log", &log_term},
      Row{"tanh", &tanh_term}, Row{"sigmoid", &sigmoid_term}};
  // By the registry, so that an operator of somebody's with the same name is not taken for it.
  for (const Row& row : rows)
    if (op.name() == row.name && &op == &require_op(row.name)) return row.next;
  return nullptr;
}

// A partial derivative and its series: a literal, or a Var that moves or does not.
struct Partial {
  std::size_t operand;
  Factor factor;
};

MaybeVar by_partials(Expansion& series, const GrowingNode& node,
                     const std::vector<Partial>& partials, Index k) {
  MaybeVar sum;
  for (const Partial& partial : partials) {
    const Var u = node.in[partial.operand];
    if (const MaybeVar last = series.at(u, k)) sum = add_scaled(sum, partial.factor, *last);
    if (partial.factor.is_literal()) continue;
    const Var slope = partial.factor.var();
    const MaybeVar rest =
        earlier_slopes(series, u, k, [&](Index j) { return series.at(slope, j); });
    sum = sum_of(sum, scaled_by(1 / number(k), rest));
  }
  return sum;
}

// Of the operands that move. Asked for when order 2 is: partials of partials have no end.
struct Partials {
  std::vector<Partial> all;
  bool move = false;
};
Partials partials_of(Expansion& series, const GrowingNode& node) {
  Partials found;
  std::vector<Var> vars;
  for (std::size_t i = 0; i < node.in.size(); ++i) {
    if (!series.moves(node.in[i])) continue;
    found.all.push_back({i, node.op->partial(node.view(), i)});
    if (!found.all.back().factor.is_literal()) vars.push_back(found.all.back().factor.var());
  }
  series.include(vars, node.view());
  found.move = std::ranges::any_of(vars, [&](Var var) { return series.moves(var); });
  return found;
}

// The tangents' rule for coefficients, each by itself.
MaybeVar alone(Expansion& series, const GrowingNode& node, Index k) {
  std::vector<MaybeVar> in;
  for (const Var& var : node.in) in.push_back(series.at(var, k));
  if (std::ranges::none_of(in, [](const MaybeVar& one) { return one.has_value(); }))
    return std::nullopt;
  return series.tangents(node.view(), in)[0];
}

MaybeVar of_shape(const MaybeVar& term, const GrowingNode& node) {
  return term ? broadcast_as(*term, node.out[0].shape()) : MaybeVar{};
}

}  // namespace

NextTerms elementwise_rule(Expansion& expansion, GrowingNode& node) {
  Expansion* const series = &expansion;
  if (node.op->derives_partials()) {
    const auto result = std::make_shared<MaybeVar>();
    return [series, &node, result](Index k) {
      if (!*result) {
        *result = replay_formula(node.view());
        series->include(std::array{Var(**result)}, node.view());
      }
      return std::vector{of_shape(series->at(**result, k), node)};
    };
  }
  const auto partials = std::make_shared<std::optional<Partials>>();
  return [series, &node, partials](Index k) {
    if (k == 1) return std::vector{alone(*series, node, k)};  // which checks the partials' shapes
    if (!*partials) *partials = partials_of(*series, node);
    if (!(*partials)->move) return std::vector{alone(*series, node, k)};
    const Recurrence next = recurrence_of(*node.op);
    return std::vector{of_shape(
        next != nullptr ? next(*series, node, k) : by_partials(*series, node, (*partials)->all, k),
        node)};
  };
}

}  // namespace dualtape::detail
