// Any mixed partial derivative from Taylor coefficients along a family of directions (Griewank,
// Utke and Walther, Evaluating higher derivative tensors by forward propagation of univariate
// Taylor series, Mathematics of Computation 69, 2000).
#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include <dualtape/modes/taylor.hpp>
#include <dualtape/modes/taylor/sums.hpp>
#include <dualtape/modes/walk/vars.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

using Multi = std::vector<std::int64_t>;

// All multi-indices of so many entries that add up to `total`, the first entry falling.
std::vector<Multi> adding_up_to(std::int64_t total, std::size_t entries) {
  if (entries == 1) return {{total}};
  std::vector<Multi> all;
  for (std::int64_t first = total; first >= 0; --first)
    for (Multi rest : adding_up_to(total - first, entries - 1)) {
      rest.insert(rest.begin(), first);
      all.push_back(std::move(rest));
    }
  return all;
}
// All with 0 <= m <= most.
std::vector<Multi> up_to(const Multi& most) {
  std::vector<Multi> all{{}};
  for (const std::int64_t top : most) {
    std::vector<Multi> longer;
    for (const Multi& m : all)
      for (std::int64_t next = 0; next <= top; ++next) {
        longer.push_back(m);
        longer.back().push_back(next);
      }
    all = std::move(longer);
  }
  return all;
}
std::int64_t sum_of(const Multi& m) {
  std::int64_t sum = 0;
  for (const std::int64_t one : m) sum += one;
  return sum;
}
// a (a - 1) ... (a - k + 1) / k! for any number a, of each entry, multiplied.
double binomial(const std::vector<double>& a, const Multi& k) {
  double product = 1;
  for (std::size_t i = 0; i < k.size(); ++i)
    for (std::int64_t j = 0; j < k[i]; ++j)
      product *= (a[i] - static_cast<double>(j)) / static_cast<double>(j + 1);
  return product;
}

// What the coefficient of t^d along direction j counts in the derivative of orders i, which add up
// to d: the sum over 0 < m <= i of (-1)^(|i - m|) C(i, m) C(d m / |m|, j) (|m| / d)^d.
double weight(const Multi& i, const Multi& j) {
  const auto d = static_cast<double>(sum_of(i));
  const std::vector<double> orders(i.begin(), i.end());
  double sum = 0;
  for (const Multi& m : up_to(i)) {
    const auto size = static_cast<double>(sum_of(m));
    if (size == 0) continue;
    std::vector<double> stretched;
    for (const std::int64_t one : m) stretched.push_back(d * static_cast<double>(one) / size);
    const double sign = std::fmod(d - size, 2) == 0 ? 1 : -1;
    sum += sign * binomial(orders, m) * binomial(stretched, j) * std::pow(size / d, d);
  }
  return sum;
}

void check_orders(const Multi& orders, std::int64_t elements, const char* of, Location where) {
  constexpr std::int64_t most = 16;
  if (std::cmp_not_equal(orders.size(), elements))
    fail<ValueError>({.op = "mixed_partial",
                      .what = std::to_string(orders.size()) + " orders for " +
                              std::to_string(elements) + " " + of,
                      .where = where,
                      .help = "say for each how often the derivative is taken by it"});
  const bool negative = std::ranges::any_of(orders, [](std::int64_t one) { return one < 0; });
  const bool large = std::ranges::any_of(orders, [](std::int64_t one) { return one > most; });
  if (negative || large || sum_of(orders) < 1 || sum_of(orders) > most)
    fail<ValueError>({.op = "mixed_partial",
                      .what = "the orders " + to_string(Attribute(orders)) +
                              (negative ? " must not be negative"
                                        : " must add up to 1 to " + std::to_string(most)),
                      .where = where,
                      .help = "orders say how often the derivative is taken by each element"});
}

// The directions that count, as nonnegative integers for the elements of an order above 0, and what
// they count.
struct Family {
  std::vector<std::size_t> elements;
  std::vector<Multi> directions;
  Tensor weights;
};
Family family_of(const Multi& orders) {
  Family family;
  Multi above;
  for (std::size_t e = 0; e < orders.size(); ++e) {
    if (orders[e] == 0) continue;
    family.elements.push_back(e);
    above.push_back(orders[e]);
  }
  std::vector<double> weights;
  for (const Multi& j : adding_up_to(sum_of(above), above.size())) {
    const double w = weight(above, j);
    if (w == 0) continue;
    family.directions.push_back(j);
    weights.push_back(w);
  }
  family.weights = Tensor::from(weights, {static_cast<std::int64_t>(weights.size())});
  return family;
}

// Entry (k, elements[i]) is directions[k][i].
Tensor directions_of(const Family& family, std::size_t elements, DType dtype) {
  Tensor all = zeros(
      {static_cast<std::int64_t>(family.directions.size()), static_cast<std::int64_t>(elements)},
      float64);
  const auto data = all.data<double>();
  for (std::size_t k = 0; k < family.directions.size(); ++k)
    for (std::size_t i = 0; i < family.elements.size(); ++i)
      data[k * elements + family.elements[i]] = static_cast<double>(family.directions[k][i]);
  return all.to(dtype);
}

}  // namespace

Var mixed_partial(Var y, Var x, const std::vector<std::int64_t>& orders, Location where) {
  detail::require_derivable(y, "mixed_partial", "the value", where);
  detail::require_derivable(x, "mixed_partial", "the input", where);
  detail::require_one_graph(std::array{y, x}, "mixed_partial", "value and input", where);
  check_orders(orders, x.shape().count(), "elements", where);
  const Family family = family_of(orders);
  Ints sizes = x.shape().vector();
  sizes.insert(sizes.begin(), static_cast<std::int64_t>(family.directions.size()));
  const Var directions =
      reshape(x.graph().constant(directions_of(family, orders.size(), x.dtype()), where), sizes);
  return detail::sum_over_directions(y, {{x, directions}}, family.weights,
                                     static_cast<int>(sum_of(orders)), where);
}

Var mixed_partial(Var y, const std::vector<Var>& x, const std::vector<std::int64_t>& orders,
                  Location where) {
  detail::require_derivable(y, "mixed_partial", "the value", where);
  check_orders(orders, static_cast<std::int64_t>(x.size()), "inputs", where);
  for (const Var& one : x) {
    detail::require_derivable(one, "mixed_partial", "an input", where);
    detail::require_one_graph(std::array{y, one}, "mixed_partial", "value and input", where);
    if (one.rank() != 0)
      fail<ShapeError>({.op = "mixed_partial",
                        .label = one.label(),
                        .what = "an input is " + to_string(one.type()) + ", not a single number",
                        .where = where,
                        .help = "of several inputs each must be a number; one input may have any "
                                "shape and an order for each element"});
  }
  const Family family = family_of(orders);
  std::vector<detail::DirectionsOf> along;
  for (const std::size_t e : family.elements) {
    std::vector<double> steps;
    for (const Multi& direction : family.directions)
      steps.push_back(static_cast<double>(direction[static_cast<std::size_t>(
          std::ranges::find(family.elements, e) - family.elements.begin())]));
    const Tensor column = Tensor::from(steps, {static_cast<std::int64_t>(steps.size())});
    along.push_back({x[e], y.graph().constant(column.to(x[e].dtype()), where)});
  }
  return detail::sum_over_directions(y, along, family.weights, static_cast<int>(sum_of(orders)),
                                     where);
}

Var detail::partial_by_arguments(Var y, std::span<const Var> x,
                                 const std::vector<std::int64_t>& orders, Location where) {
  if (x.size() == 1) return mixed_partial(y, x[0], orders, where);
  return mixed_partial(y, std::vector<Var>(x.begin(), x.end()), orders, where);
}

}  // namespace dualtape
