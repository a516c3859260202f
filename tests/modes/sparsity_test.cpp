// Sparse Jacobians and Hessians: patterns of known sizes, and values held to dense derivatives.
#include <dualtape/modes/sparsity.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <thread>
#include <vector>

#include <dualtape/dualtape.hpp>
#include <tests/errors.hpp>
#include <tests/modes/drawn.hpp>

namespace dt = dualtape;
using dualtape::testing::error_of;
using dualtape::testing::has;
using dualtape::testing::numbers;

namespace {

// The Brusselator on a periodic grid, u of shape (2, n, n): Hairer and Wanner, Solving Ordinary
// Differential Equations II, section IV.10.
dt::Var brusselator(dt::Var u) {
  const auto spread = [](dt::Var a) {
    return dt::roll(a, 1, 0) + dt::roll(a, -1, 0) + dt::roll(a, 1, 1) + dt::roll(a, -1, 1) -
           4.0 * a;
  };
  const dt::Var a = u[0], b = u[1];
  return dt::stack(
      {1.0 + a * a * b - 4.4 * a + 10.0 * spread(a), 3.4 * a - a * a * b + 10.0 * spread(b)});
}

dt::Var tridiagonal(dt::Var x) {
  const std::int64_t n = x.shape()[0];
  const dt::Var padded = dt::pad(x, {1}, {1});
  return dt::sin(x) - padded[dt::range(0, n)] * x + dt::exp(padded[dt::range(2, n + 2)]);
}

dt::Var rosenbrock(dt::Var x) {
  const dt::Var a = dt::slice(x, 0, 0, -1), b = dt::slice(x, 0, 1, x.shape()[0]);
  return dt::sum(100.0 * dt::square(b - a * a) + dt::square(1.0 - a));
}

template <class F>
void check_jacobian(F f, const dt::Tensor& x, const dt::SparseOptions& options = {}) {
  const dt::Csr<dt::Tensor> sparse = dt::sparse_jacobian(f, options)(x);
  const dt::Tensor dense = dt::jacobian(f)(x);
  CHECK(dt::all_close(dt::to_dense(sparse), dense.reshape({sparse.row_count, sparse.column_count}),
                      1e-13, 1e-13));
}
template <class F>
dt::SparsityPattern pattern_of(F f, dt::Shape shape) {
  return dt::jacobian_sparsity(f, numbers(std::move(shape), 1));
}

}  // namespace

TEST_CASE("the Brusselator's Jacobian has six entries a row, and takes twelve products") {
  const auto f = [](dt::Var u) { return brusselator(u); };
  const dt::SparseFunction jacobian = dt::sparse_jacobian(f);
  const dt::SparseInfo info = jacobian.prepare(numbers({2, 32, 32}, 1));
  CHECK(info.pattern.entries() == 12'288);  // 2 n^2 rows of 5 neighbours and the other species
  CHECK(info.forward_sweeps + info.reverse_sweeps <= 12);
  check_jacobian(f, numbers({2, 6, 6}, 2));
}

TEST_CASE("a convolution's Jacobian has 36504 entries") {
  const dt::Tensor w = numbers({2, 3, 3, 3}, 3);
  const auto f = [w](dt::Var x) { return dt::conv2d(x, w); };
  const dt::SparsityPattern pattern = pattern_of(f, {1, 3, 28, 28});
  CHECK(pattern.row_count == 26 * 26 * 2);
  CHECK(pattern.column_count == 28 * 28 * 3);
  CHECK(pattern.entries() == 36'504);  // 26 x 26 x 2 windows of 27
}

TEST_CASE("a tridiagonal map of 100000 takes three products, and so does its Hessian") {
  constexpr std::int64_t n = 100'000;
  const dt::Tensor x = numbers({n}, 4);
  const dt::SparseFunction jacobian = dt::sparse_jacobian([](dt::Var v) { return tridiagonal(v); });
  const dt::SparseInfo info = jacobian.prepare(x);
  CHECK(info.pattern.entries() == 3 * n - 2);
  CHECK(info.forward_sweeps == 3);
  CHECK(info.reverse_sweeps == 0);
  const dt::Csr<dt::Tensor> j = jacobian(x);
  const auto at = x.data<double>(), values = j.values.data<double>();
  REQUIRE(values.size() == 3 * n - 2);
  std::size_t wrong = 0;
  for (std::size_t i = 1; i + 1 < n; ++i) {  // the entries of row i begin at 3 i - 1
    wrong += std::abs(values[3 * i - 1] + at[i]) > 1e-15 ? 1 : 0;
    wrong += std::abs(values[3 * i] - (std::cos(at[i]) - at[i - 1])) > 1e-14 ? 1 : 0;
    wrong += std::abs(values[3 * i + 1] - std::exp(at[i + 1])) > 1e-14 ? 1 : 0;
  }
  CHECK(wrong == 0);

  const dt::SparseInfo second =
      dt::sparse_hessian([](dt::Var v) { return rosenbrock(v); }).prepare(x);
  CHECK(second.pattern.entries() == 3 * n - 2);
  CHECK(second.forward_sweeps == 3);
}

TEST_CASE("a Hessian has entries where variables meet in what is not linear") {
  const auto f = [](dt::Var x) {
    return x[0] * x[1] + 7.0 * x[2] + dt::sin(x[3]) + dt::sum(x) + x[4] * dt::exp(x[0]);
  };
  const dt::Tensor x = numbers({6}, 5);
  const dt::SparsityPattern pattern = dt::hessian_sparsity(f, x);
  CHECK(pattern.columns == std::vector<std::int64_t>{0, 1, 4, 0, 3, 0});
  CHECK(pattern.row_starts == std::vector<std::int64_t>{0, 3, 4, 4, 5, 6, 6});
  CHECK(dt::all_close(dt::to_dense(dt::sparse_hessian(f, x)), dt::hessian(f)(x), 1e-14, 1e-14));
  const dt::Tensor y = numbers({40}, 6);
  CHECK(dt::all_close(dt::to_dense(dt::sparse_hessian(rosenbrock, y)), dt::hessian(rosenbrock)(y),
                      1e-13, 1e-13));
}

TEST_CASE("the sparsity of a gradient is that of a Hessian") {
  const auto slope = dt::grad([](dt::Var x) { return rosenbrock(x); });
  const dt::Tensor x = numbers({12}, 7);
  CHECK(dt::jacobian_sparsity(slope, x) == dt::hessian_sparsity(rosenbrock, x));
  CHECK(dt::all_close(dt::to_dense(dt::sparse_jacobian(slope, x)), dt::hessian(rosenbrock)(x),
                      1e-13, 1e-13));
}

TEST_CASE("rows, columns and some of both give the same Jacobian") {
  // One result depends on all elements, and all results on one element.
  const auto f = [](dt::Var x) {
    return dt::concat({dt::reshape(dt::sum(dt::sin(x)), {1}), dt::square(x) * x[0]});
  };
  const dt::Tensor x = numbers({9}, 8);
  for (const dt::Sweeps sweeps :
       {dt::Sweeps::fewest, dt::Sweeps::columns, dt::Sweeps::rows, dt::Sweeps::both})
    check_jacobian(f, x, {.sweeps = sweeps});
  const auto count = [&](dt::Sweeps sweeps) {
    const dt::SparseInfo info = dt::sparse_jacobian(f, {.sweeps = sweeps}).prepare(x);
    return std::pair(info.forward_sweeps, info.reverse_sweeps);
  };
  CHECK(count(dt::Sweeps::columns) == std::pair<std::int64_t, std::int64_t>(9, 0));
  CHECK(count(dt::Sweeps::rows) == std::pair<std::int64_t, std::int64_t>(0, 10));
  CHECK(count(dt::Sweeps::fewest) == std::pair<std::int64_t, std::int64_t>(2, 1));
}

TEST_CASE("known zeros of a matrix, of a kernel, of factors and of masks are no entries") {
  dt::Tensor band({5, 5}, dt::float64);
  for (std::size_t i = 0; i < 5; ++i)
    for (std::size_t k = i == 0 ? 0 : i - 1; k < std::min<std::size_t>(i + 2, 5); ++k)
      band.data<double>()[i * 5 + k] = 1.0 + static_cast<double>(i + k);
  CHECK(pattern_of([=](dt::Var x) { return dt::matmul(band, dt::sin(x)); }, {5}).entries() == 13);
  CHECK(pattern_of([=](dt::Var x) { return dt::matmul(x, band); }, {2, 5}).entries() == 26);
  // The five-point stencil: 3 x 3 points within, of 5 entries.
  const dt::Tensor stencil =
      dt::Tensor::from(std::vector<double>{0, 1, 0, 1, -4, 1, 0, 1, 0}, {1, 1, 3, 3});
  CHECK(pattern_of([=](dt::Var x) { return dt::conv2d(x, stencil); }, {1, 1, 5, 5}).entries() ==
        45);
  const dt::Tensor half = dt::Tensor::of({1, 0, 2, 0}, dt::float64);
  CHECK(pattern_of([=](dt::Var x) { return half * dt::sin(x); }, {4}).entries() == 2);
  const dt::Tensor mask = half.to(dt::boolean);
  CHECK(pattern_of([=](dt::Var x) { return dt::where(mask, x, dt::roll(x, 1, 0)); }, {4}).columns ==
        std::vector<std::int64_t>{0, 0, 2, 2});
}

TEST_CASE("what operators add up is found for large operands, too") {
  // Larger than those that are run on one unit after the other.
  CHECK(pattern_of([](dt::Var x) { return dt::sum(x, {1}); }, {60, 50}).entries() == 3000);
  CHECK(pattern_of([](dt::Var x) { return dt::mean(x, {0}); }, {60, 50}).entries() == 3000);
  CHECK(pattern_of([](dt::Var x) { return dt::cumsum(x); }, {2000}).entries() == 2000 * 2001 / 2);
  CHECK(pattern_of([](dt::Var x) { return dt::softmax(x); }, {50, 40}).entries() == 50 * 40 * 40);
  CHECK(pattern_of([](dt::Var x) { return dt::avg_pool2d(x, 2); }, {1, 2, 40, 40}).entries() ==
        3200);
  const auto joined = [](dt::Var x) {
    const dt::Tensor index = dt::arange(0, 3000, 1, dt::int64);
    return dt::index_add(dt::sin(x), dt::Tensor(index.reshape({3000})), dt::exp(x));
  };
  CHECK(pattern_of(joined, {3000}).entries() == 3000);
}

TEST_CASE("the pattern holds at all points, unless it is asked for at one") {
  // The largest of each row: any may be.
  const auto f = [](dt::Var x) { return dt::square(dt::max(x, {1})); };
  const dt::Tensor x = numbers({3, 4}, 9), other = numbers({3, 4}, 10);
  CHECK(dt::sparse_jacobian(f).prepare(x).pattern.entries() == 12);

  // A rank that values decide: y_i = x_(index of the i-th smallest).
  const auto sorted = [](dt::Var v) { return dt::square(dt::sort(v).values); };
  const dt::Tensor a = numbers({7}, 11), b = numbers({7}, 12);
  CHECK(dt::sparse_jacobian(sorted).prepare(a).pattern.entries() == 49);
  const dt::SparseFunction at_point = dt::sparse_jacobian(sorted, {.at_point = true});
  CHECK(at_point.prepare(a).pattern.entries() == 7);
  CHECK(at_point.prepare(a).forward_sweeps == 1);
  for (const dt::Tensor& point : {a, b, a}) {
    const dt::Csr<dt::Tensor> j = at_point(point);
    CHECK(j.values.count() == 7);
    CHECK(dt::all_close(dt::to_dense(j), dt::jacobian(sorted)(point), 1e-14, 1e-14));
  }
  check_jacobian(f, other, {.at_point = true});
}

TEST_CASE(
    "functions that are called are looked into, member by member where they are looped over") {
  const auto f = [](dt::Var x) {
    return dt::checkpoint([](std::span<const dt::Var> in) { return std::vector{dt::sin(in[0])}; },
                          {x})[0];
  };
  CHECK(pattern_of(f, {5}).entries() == 5);
  check_jacobian(f, numbers({5}, 13));
  const auto squares = dt::vmap([](dt::Var row) { return dt::square(dt::cumsum(row)); });
  CHECK(pattern_of([&](dt::Var x) { return squares(x); }, {3, 4}).entries() == 3 * 10);
}

TEST_CASE("values come with derivatives, and others follow the first argument") {
  const auto f = [](dt::Var x, dt::Var scale) { return scale * dt::square(x); };
  const dt::SparseFunction jacobian = dt::sparse_jacobian(f);
  const dt::Tensor x = numbers({4}, 14), scale = numbers({4}, 15);
  const auto [value, j] = jacobian.value_and(x, scale);
  CHECK(dt::all_close(value, dt::eval(f, {x, scale}), 1e-15, 0));
  CHECK(dt::all_close(dt::to_dense(j), dt::jacobian(f)(x, scale)[0].reshape({4, 4}), 1e-15, 0));
}

TEST_CASE("of Vars they are nodes, and may be differentiated again") {
  dt::Graph graph;
  const dt::Tensor at = numbers({6}, 16);
  const dt::Var x = graph.constant(at);
  const dt::Csr<dt::Var> j = dt::sparse_jacobian(tridiagonal(x), x);
  const dt::Var energy = dt::sum(dt::square(j.values));
  const dt::Tensor slope = dt::eval(dt::reverse(energy, {x})[x]);
  const auto dense = [](dt::Var v) { return dt::sum(dt::square(dt::jacobian(tridiagonal(v), v))); };
  CHECK(dt::all_close(slope, dt::grad(dense)(at), 1e-12, 1e-13));
  const dt::Csr<dt::Var> h = dt::sparse_hessian(rosenbrock(x), x);
  CHECK(dt::eval(h.values).count() == 16);
}

TEST_CASE("a value that does not move has an empty derivative, and float32 stays") {
  const auto f = [](dt::Var x) { return dt::floor(x); };
  const dt::Csr<dt::Tensor> j = dt::sparse_jacobian(f, numbers({3}, 17));
  CHECK(j.values.count() == 0);
  CHECK(dt::to_dense(j).shape() == dt::Shape{3, 3});
  const auto none = [](dt::Var x) { return dt::slice(x, 0, 0, 0); };
  CHECK(dt::sparse_jacobian(none, numbers({3}, 17)).row_count == 0);
  const dt::Tensor narrow = numbers({8}, 18).to(dt::float32);
  const dt::Csr<dt::Tensor> single = dt::sparse_jacobian(tridiagonal, narrow);
  CHECK(single.values.dtype() == dt::float32);
  CHECK(dt::all_close(dt::to_dense(single), dt::jacobian(tridiagonal)(narrow), 1e-6, 1e-6));
}

TEST_CASE("threads may evaluate one sparse derivative together") {
  const dt::SparseFunction jacobian = dt::sparse_jacobian(tridiagonal);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      const dt::Tensor x = numbers({20}, t);
      for (int i = 0; i < 20; ++i)
        if (!dt::all_close(dt::to_dense(jacobian(x)), dt::jacobian(tridiagonal)(x), 1e-13, 1e-13))
          ++wrong;
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST_CASE("mistakes are told with the user's line") {
  dt::Graph graph;
  const dt::Var x = graph.input("x", {3}, dt::float64), k = graph.input("k", {3}, dt::int64);
  CHECK(has(error_of<dt::TypeError>([&] { dt::sparse_jacobian(x, k); }), "sparsity_test.cpp"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::sparse_hessian(x, x); }), "not one number"));
  CHECK(has(error_of<dt::ValueError>([&] { dt::sparse_jacobian(x, x, {.at_point = true}); }),
            "a Var has no value"));
  dt::Graph other;
  const dt::Var foreign = other.input("y", {3}, dt::float64);
  CHECK(has(error_of<dt::GraphError>([&] { dt::jacobian_sparsity(foreign, x); }),
            "sparsity_test.cpp"));
  CHECK(has(error_of<dt::GraphError>([&] { dt::sparse_jacobian(dt::VarFunction()); }),
            "sparsity_test.cpp"));
  const auto f = [](dt::Var) { return dt::Var(); };
  CHECK(has(error_of<dt::GraphError>([&] { dt::sparse_jacobian(f, numbers({3}, 1)); }),
            "sparsity_test.cpp"));
}
