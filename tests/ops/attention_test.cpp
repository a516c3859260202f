// Embedding and attention against PyTorch and against their definition; masks and errors.
#include <doctest/doctest.h>

#include <cmath>

#include <dualtape/ops/attention.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/slice.hpp>

#include "moving.hpp"
#include "torch_cases.hpp"

using namespace known;
using moving::check_refused;
using torch_cases::Vars;
using torch_cases::waves;

namespace {

TEST_CASE("values and gradients are PyTorch's") {
  torch_cases::check("layers.csv", "embedding", {{5, 2}}, [](Vars x) {
    return dt::embedding(x[0], dt::Tensor::of({1, 4, 1, 0, 3, 3}).reshape({2, 3}));
  });
  torch_cases::check("layers.csv", "attention", {{2, 3, 4}, {2, 5, 4}, {2, 5, 3}},
                     [](Vars x) { return dt::scaled_dot_product_attention(x[0], x[1], x[2]); });
  torch_cases::check(
      "layers.csv", "attention causal", {{2, 4, 3}, {2, 4, 3}, {2, 4, 2}},
      [](Vars x) { return dt::scaled_dot_product_attention(x[0], x[1], x[2], {.causal = true}); });
  // PyTorch's matrices are (out, in), those of queries, keys and values in one.
  torch_cases::check(
      "layers.csv", "multi_head_attention",
      {{2, 3, 4}, {2, 5, 4}, {2, 5, 4}, {12, 4}, {12}, {4, 4}, {4}}, [](Vars x) {
        const auto part = [&](std::int64_t i) {
          return dt::transpose(dt::slice(x[3], 0, 4 * i, 4 * i + 4));
        };
        const auto bias = [&](std::int64_t i) { return dt::slice(x[4], 0, 4 * i, 4 * i + 4); };
        return dt::multi_head_attention(
            x[0], x[1], x[2],
            {part(0), part(1), part(2), dt::transpose(x[5]), bias(0), bias(1), bias(2), x[6]}, 2);
      });
}

// By definition, one batch; `seen` says whether query i may see key j.
template <class Seen>
Numbers attend(const dt::Tensor& q, const dt::Tensor& k, const dt::Tensor& v, double scale,
               Seen seen) {
  Numbers y;
  for (std::int64_t i = 0; i < q.shape()[0]; ++i) {
    Numbers weights;
    double total = 0;
    for (std::int64_t j = 0; j < k.shape()[0]; ++j) {
      double score = 0;
      for (std::int64_t e = 0; e < q.shape()[1]; ++e) score += q.at({i, e}) * k.at({j, e});
      weights.push_back(seen(i, j) ? std::exp(score * scale) : 0);
      total += weights.back();
    }
    for (std::int64_t d = 0; d < v.shape()[1]; ++d) {
      double sum = 0;
      for (std::int64_t j = 0; j < k.shape()[0]; ++j)
        sum += weights[static_cast<std::size_t>(j)] / total * v.at({j, d});
      y.push_back(sum);
    }
  }
  return y;
}

TEST_CASE("masks of truth values, masks that are added, and the scale") {
  const dt::Tensor q = waves(1, {4, 3}), k = waves(2, {5, 3}), v = waves(3, {5, 2});
  dt::Graph graph;
  const dt::Var qs = graph.constant(q), ks = graph.constant(k), vs = graph.constant(v);
  const auto attention = [&](const dt::AttentionOptions& options) {
    return numbers(dt::eval(dt::scaled_dot_product_attention(qs, ks, vs, options)));
  };
  const double root = 1 / std::sqrt(3.0);
  check_close(attention({}), attend(q, k, v, root, [](auto, auto) { return true; }), 1e-14);
  check_close(attention({.scale = 0.7}), attend(q, k, v, 0.7, [](auto, auto) { return true; }),
              1e-14);
  check_close(attention({.causal = true}),
              attend(q, k, v, root, [](auto i, auto j) { return j <= i; }), 1e-14);
  // Keys 0 and 3 may be seen by all.
  const dt::Tensor seen = dt::Tensor::of({1, 0, 0, 1, 0}).to(dt::boolean);
  const auto two = [](auto, auto j) { return j % 3 == 0; };
  dt::AttentionOptions masked;
  masked.mask = graph.constant(seen);
  check_close(attention(masked), attend(q, k, v, root, two), 1e-14);
  masked.mask = graph.constant(dt::Tensor{0, -1e4, -1e4, 0, -1e4}.to(dt::float64));
  check_close(attention(masked), attend(q, k, v, root, two), 1e-14);
  masked.mask = graph.constant(seen);
  masked.causal = true;
  check_close(attention(masked),
              attend(q, k, v, root, [](auto i, auto j) { return j <= i && j % 3 == 0; }), 1e-14);
}

TEST_CASE("what a causal query may not see has no influence") {
  dt::Graph graph;
  const dt::Var x = graph.constant(waves(0, {4, 2}));
  const dt::Var y = dt::scaled_dot_product_attention(x, x, x, {.causal = true});
  const dt::Var first = dt::slice(y, 0, 0, 2);
  const Numbers slope = numbers(dt::eval(dt::reverse(dt::sum(first), {x})[x]));
  CHECK(slope[0] != 0);
  for (std::size_t i = 4; i < 8; ++i) CHECK(slope[i] == 0);
}

TEST_CASE("a query that may see nothing gives 0, the others their numbers") {
  dt::Graph graph;
  const dt::Var x = graph.constant(waves(0, {2, 2}));
  dt::AttentionOptions options;
  options.mask = graph.constant(dt::Tensor::of({1, 0}).reshape({2, 1}).to(dt::boolean));
  const Numbers y = numbers(dt::eval(dt::scaled_dot_product_attention(x, x, x, options)));
  CHECK(std::isfinite(y[0]));
  CHECK(y[2] == 0);
  CHECK(y[3] == 0);
}

TEST_CASE("rows that are masked as a whole have derivatives of 0, the others theirs") {
  const auto attend = [](dt::Graph& graph, dt::Var x, bool added) {
    dt::AttentionOptions options;
    const double never = -dt::infinity;
    if (added)
      options.mask = graph.constant(dt::Tensor{{0, 0}, {never, never}}.to(dt::float64));
    else
      options.mask = graph.constant(dt::Tensor::of({1, 0}).reshape({2, 1}).to(dt::boolean));
    return dt::scaled_dot_product_attention(x, x + 1, x * x, options);
  };
  for (const bool added : {false, true}) {
    dt::Graph graph;
    const dt::Var x = graph.constant(waves(0, {2, 2}));
    const dt::Var v = graph.constant(waves(3, {2, 2}));
    const dt::Var y = dt::sum(attend(graph, x, added));
    const dt::Var first = dt::sum(dt::slice(attend(graph, x, added), 0, 0, 1));
    const auto all_orders = [&](const dt::Var& of) {
      Numbers found = numbers(dt::eval(dt::reverse(of, {x})[x]));
      const dt::Var slope = dt::forward(of, {x}, {v});
      found.push_back(dt::eval(slope).item());
      for (const double second : numbers(dt::eval(dt::reverse(slope, {x})[x])))
        found.push_back(second);
      for (const double second : numbers(dt::eval(dt::forward(dt::reverse(of, {x})[x], {x}, {v}))))
        found.push_back(second);
      return found;
    };
    check_close(all_orders(y), all_orders(first), 1e-14);
    for (const double slope : all_orders(first)) CHECK(std::isfinite(slope));
  }
}

TEST_CASE("one head with unit matrices is plain attention") {
  dt::Graph graph;
  const dt::Var x = graph.constant(waves(0, {2, 3, 2}));
  const dt::Var unit = graph.constant(dt::Tensor{{1, 0}, {0, 1}}.to(dt::float64));
  CHECK(numbers(dt::eval(dt::multi_head_attention(x, x, x, {unit, unit, unit, unit}, 1))) ==
        numbers(dt::eval(dt::scaled_dot_product_attention(x, x, x))));
}

TEST_CASE("what does not fit is refused with its sizes") {
  dt::Graph graph;
  const dt::Var a = graph.input("a", {2, 3});
  const dt::Var b = graph.input("b", {4, 5});
  const dt::Var unit = graph.input("unit", {3, 3});
  const auto masked = [&](const dt::Tensor& mask) {
    return [&, mask] {
      dt::AttentionOptions options;
      options.mask = graph.constant(mask);
      dt::scaled_dot_product_attention(a, a, a, options);
    };
  };
  const std::int64_t rows = a.shape()[0];
  for (const dt::DType dtype : {dt::int32, dt::int64})
    check_refused<dt::TypeError>(masked(dt::ones({rows, rows}, dtype)),
                                 {"scaled_dot_product_attention", "mask", "int", "mask > 0"});
  const std::string scores = dt::to_string(dt::Shape{rows, rows});
  for (const dt::DType dtype : {dt::boolean, dt::float32})
    check_refused<dt::ShapeError>(
        masked(dt::ones({7, 9}).to(dtype)),
        {"scaled_dot_product_attention", "the mask of shape (7, 9)", "scores of shape " + scores});
  check_refused<dt::ShapeError>([&] { dt::scaled_dot_product_attention(a, b, b); },
                                {"scaled_dot_product_attention", "(2, 3)", "(4, 5)"});
  check_refused<dt::ShapeError>([&] { dt::scaled_dot_product_attention(a, a, b); }, {"(4, 5)"});
  check_refused<dt::ShapeError>(
      [&] {
        dt::multi_head_attention(a, a, a, {unit, unit, unit, unit}, 2);
      },
      {"multi_head_attention", "(2, 3)", "2 heads"});
  check_refused<dt::ValueError>(
      [&] {
        dt::multi_head_attention(a, a, a, {unit, unit, unit, unit}, 0);
      },
      {"heads is 0"});
  check_refused<dt::ShapeError>([&] { dt::embedding(graph.input("s", {}), dt::Tensor::of({0})); },
                                {"embedding", "scalar"});
  check_refused<dt::TypeError>([&] { dt::embedding(a, b); }, {"int"});
}

TEST_CASE("an id outside the table is an error with its number") {
  for (const std::int64_t id : {-1, 3}) {
    dt::Graph graph;
    const dt::Var table = graph.constant(waves(0, {3, 2}));
    const dt::Var rows = dt::embedding(table, graph.constant(dt::Tensor::of({0, id})));
    check_refused<dt::ValueError>([&] { dt::eval(rows); }, {std::to_string(id), "2"});
  }
}

TEST_CASE("the derivatives hold in every mode") {
  moving::check_derivatives({"embedding", "scaled_dot_product_attention", "multi_head_attention"});
}

}  // namespace
