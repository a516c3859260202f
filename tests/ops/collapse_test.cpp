// Sums over a batch that go in front of what is linear in it: what is left of the plan, and the
// same numbers.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include <dualtape/core/pass.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/core/random.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/convolution.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/passes/passes.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/slice.hpp>
#include <tests/ops/leaves.hpp>

using namespace dualtape;
using dualtape::testing::Leaves;

namespace {

// Elements that products and convolutions of the plan compute.
std::int64_t product_elements(const Plan& plan) {
  std::int64_t count = 0;
  for (const PlanNode& node : plan.nodes)
    if (node.op->name() == "matmul" || node.op->name() == "conv2d")
      count += plan.values[node.first_value].shape.count();
  return count;
}

// The same after the pass; the value is what it is without it.
std::int64_t elements_left(const Leaves& leaves, const Var& value, bool reassociate = true) {
  Plan plan = make_plan(std::vector<Var>{value}, {});
  plan.options.reassociate = reassociate;
  detail::collapse(plan);
  CAPTURE(to_string(plan));
  Program with = compile({value}, {}, {.reassociate = reassociate});
  Program without = compile({value}, {}, {.without = {"collapse"}, .reassociate = reassociate});
  const Tensor a = with.run(leaves.feeds)[value].copy();
  const Tensor b = without.run(leaves.feeds)[value].copy();
  REQUIRE(a.type() == b.type());
  for (std::size_t i = 0; i < a.data<double>().size(); ++i)
    CHECK(std::abs(a.data<double>()[i] - b.data<double>()[i]) <= 1e-12 * 100);
  return product_elements(plan);
}

}  // namespace

TEST_CASE("a sum of products with one right operand is one product") {
  Leaves leaves;
  const Var w = leaves.add({4, 3});
  CHECK(elements_left(leaves, sum(matmul(leaves.add({6, 2, 4}), w), {0})) == 2 * 3);
  CHECK(elements_left(leaves, sum(matmul(leaves.add({6, 2, 4}), w), {0}, true)) == 2 * 3);
  CHECK(elements_left(leaves, mean(matmul(leaves.add({6, 2, 4}), w), {0})) == 2 * 3);
  CHECK(elements_left(leaves, sum(matmul(leaves.add({6, 2, 4}), w))) == 2 * 3);
  CHECK(elements_left(leaves, sum(matmul(leaves.add({2, 6, 2, 4}), w), {1})) == 2 * 2 * 3);
  // The batch may be rows or columns of a product, too, whichever way it reads them.
  CHECK(elements_left(leaves, sum(matmul(leaves.add({6, 4}), w), {0})) == 3);
  CHECK(elements_left(leaves, sum(matmul(leaves.add({4, 6}), w, {true, false}), {0})) == 3);
  CHECK(elements_left(leaves, sum(matmul(w, leaves.add({6, 3}), {false, true}), {1})) == 4);
  CHECK(elements_left(leaves, sum(matmul(w, leaves.add({3, 6})), {1})) == 4);
  CHECK(elements_left(leaves, sum(matmul(leaves.add({2, 4}), leaves.add({6, 4, 3})), {0})) ==
        2 * 3);
}

TEST_CASE("on the way are sums, factors, and what moves elements") {
  Leaves leaves;
  const Var w = leaves.add({4, 3}), x = leaves.add({6, 2, 4});
  const auto product = [&] { return matmul(leaves.add({6, 2, 4}), w); };
  const Var same = leaves.add({2, 3}), row = leaves.add({3}), scalar = leaves.add({});
  CHECK(elements_left(leaves, sum(-(product() - product()) + same, {0})) == 2 * 2 * 3);
  CHECK(elements_left(leaves, sum(scalar * (row * product() / same), {0})) == 2 * 3);
  CHECK(elements_left(leaves, sum(where(same > 0, product(), 0.0) + row, {0})) == 2 * 3);
  CHECK(elements_left(leaves, sum(reshape(product(), {6, 6}), {0})) == 2 * 3);
  CHECK(elements_left(leaves, sum(permute(product(), {1, 0, 2}), {1})) == 2 * 3);
  CHECK(elements_left(leaves, sum(sum(product(), {1}), {0})) == 2 * 3);
  CHECK(elements_left(leaves, sum(sum(product(), {2}, true), {0})) == 2 * 3);
  CHECK(elements_left(leaves, sum(slice(product(), 2, 0, 2), {0})) == 2 * 3);
  CHECK(elements_left(leaves, sum(pad(product(), {0, 1, 0}, {0, 0, 2}), {0})) == 2 * 3);
  CHECK(elements_left(leaves, sum(concat({product(), product()}, 1), {0})) == 2 * 2 * 3);
  CHECK(elements_left(leaves,
                      sum(broadcast_to(matmul(leaves.add({6, 1, 4}), w), {6, 2, 3}), {0})) == 3);
  // Members and rows of one axis: each sum is over rows that lie apart.
  const Var flat = matmul(reshape(x, {12, 4}), w);
  CHECK(elements_left(leaves, sum(reshape(flat, {6, 2, 3}), {0})) == 2 * 3);
  CHECK(elements_left(leaves, sum(reshape(flat, {3, 2, 2, 3}), {1})) == 3 * 2 * 3);
  // From layer to layer, past what is the same for all members.
  const Var deep = matmul(matmul(x, w) * exp(same), leaves.add({3, 5}));
  CHECK(elements_left(leaves, sum(deep, {0})) == 2 * 3 + 2 * 5);
}

TEST_CASE("convolutions, by their images") {
  Leaves leaves;
  const Var w = leaves.add({5, 2, 3, 3}), x = leaves.add({6, 2, 4, 4});
  CHECK(elements_left(leaves, sum(conv2d(x, w), {0})) == 5 * 2 * 2);
  const Var members = reshape(conv2d(x, w), {3, 2, 5, 2, 2});
  CHECK(elements_left(leaves, sum(members, {0})) == 2 * 5 * 2 * 2);
  CHECK(elements_left(leaves, sum(conv2d(x, w), {1})) == 6 * 5 * 2 * 2);  // of channels
}

TEST_CASE("a number for each member goes into the sum") {
  Leaves leaves;
  const Var w = leaves.add({4, 3}), weights = leaves.add({6, 1, 1}), same = leaves.add({2, 3});
  const Var product = matmul(leaves.add({6, 2, 4}), w);
  CHECK(elements_left(leaves, sum(weights * product, {0})) == 2 * 3);
  CHECK(elements_left(leaves, sum(weights * (product * same), {0})) == 2 * 3);
  const Var flat = reshape(matmul(reshape(leaves.add({6, 2, 4}), {12, 4}), w), {6, 2, 3});
  CHECK(elements_left(leaves, sum(flat * weights, {0})) == 2 * 3);
  // What stands beside it would count by the sum of the weights: that is left alone.
  CHECK(elements_left(leaves, sum(weights * (product + same), {0})) == 6 * 2 * 3);
  // Numbers that are known only later than the product.
  const Var late = leaves.add({6, 1, 1});
  CHECK(elements_left(leaves, sum(exp(late) * product, {0})) == 6 * 2 * 3);
}

TEST_CASE("what somebody needs for all members stays, and so does what is not linear") {
  Leaves leaves;
  const Var w = leaves.add({4, 3}), x = leaves.add({6, 2, 4});
  const Var product = matmul(x, w);
  const std::int64_t all = 6 * 2 * 3;
  CHECK(elements_left(leaves, sum(product, {0}) + sum(exp(product), {0})) == all);
  CHECK(elements_left(leaves, sum(exp(product), {0})) == all);
  CHECK(elements_left(leaves, sum(product * product, {0})) == all);
  CHECK(elements_left(leaves, sum(matmul(x, leaves.add({6, 4, 3})), {0})) == all);
  CHECK(elements_left(leaves, sum(product / leaves.add({6, 1, 1}), {0})) == all);
  CHECK(elements_left(leaves, sum(where(leaves.add({6, 1, 1}) > 0, product, 0.0), {0})) == all);
  CHECK(elements_left(leaves, sum(product, {0}, true) + sum(product, {1}, true)) == all);
  // Two readers that want the same sum are no hindrance.
  CHECK(elements_left(leaves, sum(product, {0}) + sum(2.0 * product, {0, 1})) == 2 * 3);
}

TEST_CASE("products over nothing, and sums over nothing") {
  Leaves leaves;
  CHECK(elements_left(leaves, sum(matmul(leaves.add({1, 0}), leaves.add({0, 3})), {1})) == 3);
  CHECK(elements_left(leaves, sum(matmul(leaves.add({0, 2, 4}), leaves.add({4, 3})), {0})) == 0);
  CHECK(elements_left(leaves, sum(matmul(leaves.add({1, 2, 4}), leaves.add({4, 3})), {0})) == 6);
}

TEST_CASE("a user's own products are left alone, unless asked for") {
  Leaves leaves;
  const Var y = sum(matmul(leaves.add({6, 2, 4}), leaves.add({4, 3})), {0});
  CHECK(elements_left(leaves, y, false) == 6 * 2 * 3);
  CHECK(elements_left(leaves, y, true) == 2 * 3);
}
