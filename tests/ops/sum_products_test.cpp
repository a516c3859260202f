// Sums of thin products as one product: how many steps are left, and the same numbers.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include <dualtape/core/program.hpp>
#include <dualtape/core/random.hpp>
#include <dualtape/modes/estimators.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/reduce.hpp>
#include <tests/ops/leaves.hpp>

using namespace dualtape;
using dualtape::testing::Leaves;

namespace {

std::ptrdiff_t count_of(const Program& program, std::string_view op) {
  return std::ranges::count_if(program.plan().nodes,
                               [&](const PlanNode& n) { return n.op->name() == op; });
}

// The product and sum nodes left of the value, which is what it is without the pass.
std::ptrdiff_t products_left(const Leaves& leaves, const Var& value) {
  Program with = compile({value}, {}, {.reassociate = true});
  Program without = compile({value}, {}, {.without = {"sum_products"}, .reassociate = true});
  CAPTURE(to_string(with.plan()));
  const Tensor a = with.run(leaves.feeds)[value].copy();
  const Tensor b = without.run(leaves.feeds)[value].copy();
  for (std::size_t i = 0; i < a.data<double>().size(); ++i)
    CHECK(std::abs(a.data<double>()[i] - b.data<double>()[i]) <= 1e-13 * 20);
  return count_of(with, "matmul") + count_of(with, "matmul_add");
}

}  // namespace

TEST_CASE("sums of thin products are one product, with all their factors and signs") {
  Leaves leaves;
  const auto outer = [&](bool ta = false, bool tb = false) {
    return matmul(leaves.add(ta ? Shape{1, 40} : Shape{40, 1}),
                  leaves.add(tb ? Shape{50, 1} : Shape{1, 50}), {ta, tb});
  };
  const Var s = leaves.add({});
  const Var t = leaves.add({});
  CHECK(products_left(leaves, outer() + outer()) == 1);
  CHECK(products_left(leaves, outer() - outer() + outer()) == 1);
  CHECK(products_left(leaves, s * outer() - (outer() * t - s * (t * outer()))) == 1);
  CHECK(products_left(leaves, -(s * outer() + outer()) - outer()) == 1);
  CHECK(products_left(leaves, outer(true) + outer(false, true) + outer(true, true)) == 1);
  // Behind the sum: its factor stays one of the product, which is added to what it is taken from.
  const Var w = leaves.add({40, 50});
  CHECK(products_left(leaves, w - s * (outer() + t * outer() + outer())) == 1);
  const Var thick = matmul(leaves.add({40, 2}), leaves.add({2, 50}));
  CHECK(products_left(leaves, thick + matmul(leaves.add({40, 3}), leaves.add({3, 50}))) == 1);
  const Var turned = matmul(leaves.add({2, 40}), leaves.add({50, 2}), {true, true});
  CHECK(products_left(
            leaves, turned + matmul(leaves.add({1, 40}), leaves.add({50, 1}), {true, true})) == 1);
}

TEST_CASE("sums that would not gain stay as they are") {
  Leaves leaves;
  const auto product = [&](std::int64_t inner) {
    return matmul(leaves.add({40, inner}), leaves.add({inner, 50}));
  };
  const Var a = product(2);
  const Var b = product(2);
  CHECK(products_left(leaves, product(9) + product(9)) == 2);       // joining would copy too much
  CHECK(products_left(leaves, a + b + sum(exp(a)) + sum(b)) == 2);  // the products are wanted
  CHECK(products_left(leaves, a * b + product(2)) == 3);
  const auto vector = [&] { return matmul(leaves.add({1, 5}), leaves.add({5, 400})); };
  CHECK(products_left(leaves, vector() + vector()) == 2);
}

TEST_CASE("an estimate from many directions of low rank updates its weight at once") {
  Parameter w("w", zeros({64, 48}, float64));
  Graph g;
  const Var x = g.input("x", {8, 64}, float64);
  const Var key = g.input("key", {}, int64);
  const Var by_product = sum(square(matmul(x, w)));
  // Beside a parameter of three axes, each direction has a sweep of its own.
  const Parameter cube("cube", zeros({2, 2, 2}, float64));
  const Var by_both = by_product + sum(square(g.read(cube)));
  struct Updated {
    Tensor value;
    std::ptrdiff_t products;
    std::ptrdiff_t adds;
  };
  const auto updated = [&](Var loss, const WrtList& wrt, const CompileOptions& options) {
    w.set(normal(Key{1}, {64, 48}, 0, 0.1, float64));
    const auto estimate = forward_gradient(
        loss, wrt, key, {.perturbation = Perturbation::rademacher, .count = 5, .rank = 1});
    Program step = compile({}, {assign(w, g.read(w) - 0.01 * estimate.gradients[w])}, options);
    step.run({{x, normal(Key{2}, {8, 64}, 0, 1, float64)}, {key, Key{3}.to_tensor()}});
    const auto count = [&](std::string_view name) {
      return std::ranges::count_if(step.plan().nodes, [&](const PlanNode& n) {
        return n.op->name() == name && n.role == Role::primal;
      });
    };
    return Updated{w.value().copy(), count("matmul") + count("matmul_add"), count("matmul_add")};
  };
  const CompileOptions without{{"sum_products"}};
  CHECK(updated(by_product, {w}, {}).adds == 1);
  CHECK(updated(by_product, {w}, without).adds == 1);  // one sweep has one product
  const Updated a = updated(by_both, {w, cube}, {});
  const Updated b = updated(by_both, {w, cube}, without);
  CHECK(a.products < b.products);
  for (std::size_t i = 0; i < a.value.data<double>().size(); ++i)
    CHECK(a.value.data<double>()[i] == doctest::Approx(b.value.data<double>()[i]).epsilon(1e-12));
}
