#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include <dualtape/core/program.hpp>
#include <dualtape/core/registry.hpp>
#include <dualtape/modes/functional.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/kernels/products/blas.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/reduce.hpp>
#include <tests/errors.hpp>

extern "C" char* openblas_get_corename();

namespace dt = dualtape;
using dt::Shape;
using dt::Tensor;
using dt::testing::error_of;
using dt::testing::has;

namespace {

Tensor numbers(std::uint64_t seed, const Shape& shape, dt::DType dtype = dt::float64) {
  return dt::uniform(dt::Key{seed}, shape, -1.0, 1.0, dtype);
}

// Matrix `number` of a broadcast operand, as a plain function of row and column.
struct Matrices {
  const Tensor& tensor;
  bool transposed;

  std::int64_t rows() const { return tensor.size(transposed ? -1 : -2); }
  std::int64_t columns() const { return tensor.size(transposed ? -2 : -1); }
  double at(std::int64_t number, std::int64_t row, std::int64_t column) const {
    if (transposed) std::swap(row, column);
    const auto index = (number * tensor.size(-2) + row) * tensor.size(-1) + column;
    return tensor.data<double>()[static_cast<std::size_t>(index)];
  }
};

// The product by its definition; `pairs` names the matrices that meet, in the order of the result.
struct Pair {
  std::int64_t a;
  std::int64_t b;
};
Tensor naive(const Tensor& a, const Tensor& b, const Shape& shape, const std::vector<Pair>& pairs,
             dt::MatmulOptions options = {}) {
  const Matrices left{a, options.transpose_a};
  const Matrices right{b, options.transpose_b};
  Tensor c(shape, dt::float64);
  std::size_t next = 0;
  for (const Pair& pair : pairs)
    for (std::int64_t i = 0; i < left.rows(); ++i)
      for (std::int64_t j = 0; j < right.columns(); ++j, ++next)
        for (std::int64_t k = 0; k < left.columns(); ++k)
          c.data<double>()[next] += left.at(pair.a, i, k) * right.at(pair.b, k, j);
  REQUIRE(static_cast<std::int64_t>(next) == c.count());
  return c;
}

Tensor product(const Tensor& a, const Tensor& b, dt::MatmulOptions options = {}) {
  dt::Graph g;
  return dt::eval(dt::matmul(g.constant(a), b, options));
}

// Both dtypes against the definition.
void check_product(const Shape& a_shape, const Shape& b_shape, const Shape& c_shape,
                   const std::vector<Pair>& pairs, dt::MatmulOptions options = {}) {
  CAPTURE(a_shape);
  CAPTURE(b_shape);
  CAPTURE(options.transpose_a);
  CAPTURE(options.transpose_b);
  const Tensor a = numbers(1, a_shape);
  const Tensor b = numbers(2, b_shape);
  const Tensor wide = product(a, b, options);
  REQUIRE(wide.shape() == c_shape);
  CHECK(dt::all_close(wide, naive(a, b, c_shape, pairs, options), 0, 1e-13));

  const Tensor a32 = a.to(dt::float32);
  const Tensor b32 = b.to(dt::float32);
  const Tensor narrow = product(a32, b32, options);
  REQUIRE(narrow.dtype() == dt::float32);
  const Tensor exact = naive(a32.to(dt::float64), b32.to(dt::float64), c_shape, pairs, options);
  CHECK(dt::all_close(narrow.to(dt::float64), exact, 0, 1e-5));
}

}  // namespace

TEST_CASE("matrix products with every flag are those of the definition") {
  for (const bool ta : {false, true})
    for (const bool tb : {false, true})
      for (const std::int64_t m : {1, 2, 17})
        for (const std::int64_t n : {1, 3, 33})
          for (const std::int64_t k : {1, 5, 40})
            check_product(ta ? Shape{k, m} : Shape{m, k}, tb ? Shape{n, k} : Shape{k, n},
                          Shape{m, n}, {{0, 0}}, {ta, tb});
}

TEST_CASE("batches pair up by NumPy's rules") {
  for (const bool ta : {false, true})
    for (const bool tb : {false, true}) {
      const dt::MatmulOptions options{ta, tb};
      const auto a = [ta](std::vector<std::int64_t> batch) {
        batch.insert(batch.end(), {ta ? 4 : 3, ta ? 3 : 4});
        return Shape(batch);
      };
      const auto b = [tb](std::vector<std::int64_t> batch) {
        batch.insert(batch.end(), {tb ? 5 : 4, tb ? 4 : 5});
        return Shape(batch);
      };
      check_product(a({2}), b({2}), {2, 3, 5}, {{0, 0}, {1, 1}}, options);
      check_product(a({2}), b({}), {2, 3, 5}, {{0, 0}, {1, 0}}, options);
      check_product(a({}), b({2}), {2, 3, 5}, {{0, 0}, {0, 1}}, options);
      check_product(a({2}), b({1, 1}), {1, 2, 3, 5}, {{0, 0}, {1, 0}}, options);
      check_product(a({2, 1}), b({3}), {2, 3, 3, 5},
                    {{0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 2}}, options);
      check_product(a({2, 1, 2}), b({2, 1}), {2, 2, 2, 3, 5},
                    {{0, 0}, {1, 0}, {0, 1}, {1, 1}, {2, 0}, {3, 0}, {2, 1}, {3, 1}}, options);
    }
}

TEST_CASE("vectors are rows on the left and columns on the right, whatever the flags") {
  const Tensor a = numbers(1, {3, 4});
  const Tensor batch = numbers(2, {2, 3, 4});
  const Tensor four = numbers(3, {4});
  const Tensor three = numbers(4, {3});
  const auto column = [](const Tensor& v) { return v.reshape({-1, 1}); };
  const auto row = [](const Tensor& v) { return v.reshape({1, -1}); };
  const auto same = [](const Tensor& got, const Tensor& wanted, const Shape& shape) {
    REQUIRE(got.shape() == shape);
    CHECK(dt::all_close(got, wanted.reshape(shape), 0, 1e-13));
  };
  same(product(a, four), naive(a, column(four), {3, 1}, {{0, 0}}), {3});
  same(product(three, a), naive(row(three), a, {1, 4}, {{0, 0}}), {4});
  same(product(batch, four), naive(batch, column(four), {2, 3, 1}, {{0, 0}, {1, 0}}), {2, 3});
  same(product(three, batch), naive(row(three), batch, {2, 1, 4}, {{0, 0}, {0, 1}}), {2, 4});
  same(product(four, four), naive(row(four), column(four), {1, 1}, {{0, 0}}), {});
  same(product(a, three, {true, true}), naive(a, column(three), {4, 1}, {{0, 0}}, {true, false}),
       {4});
  same(product(four, a, {true, true}), naive(row(four), a, {1, 3}, {{0, 0}}, {false, true}), {3});
}

TEST_CASE("a parameter or tensor may be the vector") {
  dt::Graph g;
  const dt::Parameter v("v", Tensor{1, 2});
  const dt::Var x = g.constant(Tensor{{1, 2}, {3, 4}});
  CHECK(dt::identical(dt::eval(dt::matmul(x, v)), Tensor{5, 11}));
  CHECK(dt::identical(dt::eval(dt::matmul(Tensor{1, 2}, x)), Tensor{7, 10}));
  CHECK(dt::identical(dt::eval(dt::outer(v, dt::matmul(x, v))), Tensor{{5, 11}, {10, 22}}));
}

TEST_CASE("empty products: zeros for an inner size of 0, nothing for no rows or columns") {
  for (const dt::DType dtype : {dt::float32, dt::float64}) {
    const auto of = [dtype](const Shape& a, const Shape& b) {
      return product(dt::ones(a, dtype), dt::ones(b, dtype));
    };
    CHECK(dt::identical(of({2, 0}, {0, 3}), dt::zeros({2, 3}, dtype)));
    CHECK(dt::identical(of({2, 2, 0}, {0, 3}), dt::zeros({2, 2, 3}, dtype)));
    CHECK(dt::identical(of({0}, {0}), dt::zeros({}, dtype)));
    CHECK(of({0, 2}, {2, 3}).shape() == Shape{0, 3});
    CHECK(of({2, 3}, {3, 0}).shape() == Shape{2, 0});
    CHECK(of({0, 2, 3}, {3, 4}).shape() == Shape{0, 2, 4});
    CHECK(of({0, 1, 2, 3}, {5, 3, 4}).shape() == Shape{0, 5, 2, 4});
  }
}

TEST_CASE("results do not depend on what the memory held, and NaNs come through") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const Shape& b_shape : {Shape{2, 3}, Shape{2, 1}}) {
    const auto n = b_shape[1];
    const dt::Type out{Shape{4, n}, dt::float64};
    const dt::Type in[] = {{Shape{4, 2}, dt::float64}, {b_shape, dt::float64}};
    const dt::Attributes flags{{"transpose_a", false}, {"transpose_b", false}};
    const dt::Kernel kernel = dt::require_op("matmul").kernel({in, {&out, 1}, flags});
    const Tensor a = numbers(1, {4, 2});
    const Tensor b = numbers(2, b_shape);
    Tensor c = dt::full({4, n}, nan, dt::float64);
    const void* inputs[] = {a.raw(), b.raw()};
    void* outputs[] = {c.raw()};
    kernel.run({inputs, outputs, nullptr});
    CHECK(dt::all_close(c, naive(a, b, {4, n}, {{0, 0}}), 0, 1e-13));
  }
  Tensor bad = dt::zeros({2, 2}, dt::float64);
  bad.data<double>()[0] = nan;
  const Tensor c = product(bad, dt::ones({2, 2}, dt::float64));
  CHECK(std::isnan(c.at({0, 1})));
  CHECK(c.at({1, 1}) == 0);
}

TEST_CASE("integers become float32, and the wider floating dtype wins") {
  const Tensor whole = Tensor::of({1, 2}).reshape({1, 2});
  CHECK(dt::identical(product(whole, whole.reshape({2, 1})), Tensor{{5.0}}));
  CHECK(product(dt::ones({2, 2}), dt::ones({2, 2}, dt::float64)).dtype() == dt::float64);
}

TEST_CASE("outer and inner products of vectors") {
  dt::Graph g;
  const dt::Var a = g.constant(Tensor{1, 2, 3});
  CHECK(dt::identical(dt::eval(dt::outer(a, Tensor{4, 5})), Tensor{{4, 5}, {8, 10}, {12, 15}}));
  CHECK(dt::identical(dt::eval(dt::dot(a, Tensor{4, 5, 6})), Tensor(32.0)));
}

TEST_CASE("gradients of sum(matmul) are the sums of the other operand") {
  const Tensor a = numbers(1, {2, 3, 4});
  const Tensor w = numbers(2, {4, 5});
  const auto f = [](dt::Var x, dt::Var y) { return dt::sum(dt::matmul(x, y)); };
  const auto grads = dt::vjp(f, {a, w}).pullback.all(Tensor::scalar(1.0));
  REQUIRE(grads[0].shape() == a.shape());
  REQUIRE(grads[1].shape() == w.shape());
  for (std::int64_t k = 0; k < 4; ++k) {
    double row = 0;
    for (std::int64_t j = 0; j < 5; ++j) row += w.at({k, j});
    double column = 0;
    for (std::int64_t i = 0; i < 6; ++i) column += a.reshape({6, 4}).at({i, k});
    for (std::int64_t i = 0; i < 6; ++i)
      CHECK(grads[0].reshape({6, 4}).at({i, k}) == doctest::Approx(row));
    for (std::int64_t j = 0; j < 5; ++j) CHECK(grads[1].at({k, j}) == doctest::Approx(column));
  }
}

TEST_CASE("transposing emits flags, never a transposed copy or a sum over a batch") {
  for (const bool ta : {false, true})
    for (const bool tb : {false, true}) {
      dt::Graph g;
      const dt::Var a = g.input("a", ta ? Shape{3, 2} : Shape{2, 3});
      const dt::Var b = g.input("b", tb ? Shape{4, 3} : Shape{3, 4});
      dt::reverse(dt::sum(dt::matmul(a, b, {ta, tb})), {a, b});
      for (dt::NodeId id = 0; id < g.size(); ++id) CHECK(g.node(id).op->name() != "permute");
    }
  dt::Graph g;
  const dt::Var x = g.input("x", {6, 2, 3});
  const dt::Var w = g.input("w", {3, 4});
  const auto first = static_cast<dt::NodeId>(g.size());
  dt::reverse(dt::sum(dt::matmul(x, w)), {w});
  std::size_t sums = 0;
  for (dt::NodeId id = first; id < g.size(); ++id) sums += g.node(id).op->name() == "sum";
  CHECK(sums == 1);  // the one of the loss
}

TEST_CASE("errors of products name both shapes and a mend") {
  dt::Graph g;
  const dt::Var x = g.input("x", {64, 784});
  const dt::Var w = g.input("w", {10, 784});
  const dt::Var v = g.input("v", {10});
  const auto first = error_of<dt::ShapeError>([&] { dt::matmul(x, w); });
  CHECK(has(first, "(64, 784) x (10, 784), 784 against 10"));
  CHECK(has(first, "transpose the second operand"));
  CHECK(has(first, "matmul_test.cpp:"));
  CHECK(has(error_of<dt::ShapeError>([&] {
              dt::matmul(x, g.input("y", {64, 3}));
            }),
            "transpose the first operand"));
  CHECK(has(error_of<dt::ShapeError>([&] {
              dt::matmul(x, w, {true, true});
            }),
            "without transpose_a"));
  const auto third = error_of<dt::ShapeError>([&] { dt::matmul(x, v); });
  CHECK(has(third, "(64, 784) x (10,), 784 against 10"));
  CHECK(has(third, "matmul_test.cpp:"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::matmul(x, 2.0); }), "multiply by a scalar with *"));
  CHECK(has(error_of<dt::ShapeError>([&] {
              dt::matmul(g.input("p", {2, 3, 4}), g.input("q", {3, 4, 5}));
            }),
            "batch axes of (2, 3, 4) and (3, 4, 5)"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::dot(v, g.input("u", {9})); }), "(10,) and (9,)"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::dot(x, v); }), "takes two vectors"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::outer(v, x); }), "flatten() them first"));
  CHECK_THROWS_AS(dt::matmul(Tensor{1, 2}, Tensor{1, 2}), dt::GraphError);
}

TEST_CASE("OpenBLAS does not run a processor it does not know as one of 2004") {
  using dt::detail::better_blas_core;
  CHECK(std::string(better_blas_core("Prescott", true, true)) == "SkylakeX");
  CHECK(std::string(better_blas_core("Prescott", true, false)) == "Haswell");
  CHECK(std::string(better_blas_core("Prescott", false, false)).empty());
  CHECK(std::string(better_blas_core("Zen", true, true)).empty());
  CHECK(std::string(better_blas_core("SkylakeX", true, true)).empty());
#if defined(__x86_64__)
  if (std::getenv("OPENBLAS_CORETYPE") == nullptr && __builtin_cpu_supports("avx2") &&
      __builtin_cpu_supports("fma"))
    CHECK(std::string(openblas_get_corename()) != "Prescott");
#endif
}
