#include <doctest/doctest.h>

#include <limits>

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/normalise.hpp>
#include <dualtape/ops/reduce.hpp>

#include "gradient.hpp"

using namespace known;

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

// `count` numbers without order around `centre`.
Numbers scattered(std::size_t count, double centre = 0) {
  Numbers values;
  for (std::size_t i = 0; i < count; ++i)
    values.push_back(centre + 2 * std::sin(1.7 * static_cast<double>(i)));
  return values;
}

// By the definition.
Numbers normalised(const Numbers& x, std::size_t size, double epsilon) {
  Numbers y(x.size());
  for (std::size_t first = 0; first < x.size(); first += size) {
    long double sum = 0;
    long double squares = 0;
    for (std::size_t i = first; i < first + size; ++i) sum += x[i];
    const long double mean = sum / static_cast<long double>(size);
    for (std::size_t i = first; i < first + size; ++i) squares += (x[i] - mean) * (x[i] - mean);
    const long double root = std::sqrt(squares / static_cast<long double>(size) + epsilon);
    for (std::size_t i = first; i < first + size; ++i)
      y[i] = static_cast<double>((x[i] - mean) / root);
  }
  return y;
}

dt::Shape rows_of(std::size_t rows, std::size_t size) {
  return {static_cast<std::int64_t>(rows), static_cast<std::int64_t>(size)};
}

TEST_CASE("layer_norm by its definition, for rows of any length") {
  for (const std::size_t size : {1U, 2U, 7U, 8U, 15U, 16U, 17U, 64U, 65U, 1000U, 4097U, 9000U})
    for (const dt::DType dtype : {dt::float64, dt::float32}) {
      CAPTURE(size);
      const double tolerance = dtype == dt::float32 ? 4e-6 : 1e-14;
      const Numbers values = numbers(tensor(scattered(3 * size), dtype));
      const Numbers wanted = normalised(values, size, 1e-5);
      dt::Graph graph;
      const dt::Var x = graph.constant(tensor(values, dtype).reshape(rows_of(3, size)));
      const dt::Var y = dt::layer_norm(x);
      CHECK(y.dtype() == dtype);
      CHECK(y.shape() == x.shape());
      check_close(numbers(dt::eval(y)), wanted, tolerance);
      const Numbers scale = numbers(tensor(scattered(size, 1), dtype));
      const Numbers shift = numbers(tensor(scattered(size, -3), dtype));
      Numbers affine = wanted;
      for (std::size_t i = 0; i < affine.size(); ++i)
        affine[i] = affine[i] * scale[i % size] + shift[i % size];
      check_close(numbers(dt::eval(dt::layer_norm(x, tensor(scale, dtype), tensor(shift, dtype)))),
                  affine, 4 * tolerance);
    }
}

TEST_CASE("rows have mean 0 and variance 1, however far from zero they were") {
  for (const double centre : {0.0, 1e3, 1e6, -1e7}) {
    CAPTURE(centre);
    const std::size_t size = 600;
    const Numbers values = numbers(tensor(scattered(2 * size, centre), dt::float32));
    dt::Graph graph;
    const dt::Var x = graph.constant(tensor(values, dt::float32).reshape(rows_of(2, size)));
    const Numbers y = numbers(dt::eval(dt::layer_norm(x, 0.0)));
    // What float32 keeps of the rows is the question's, not the answer's error.
    check_close(y, normalised(values, size, 0), 2e-6);
    for (std::size_t row = 0; row < 2; ++row) {
      double sum = 0;
      double squares = 0;
      for (std::size_t i = 0; i < size; ++i) {
        sum += y[row * size + i];
        squares += y[row * size + i] * y[row * size + i];
      }
      CHECK(std::abs(sum / static_cast<double>(size)) < 1e-6);
      CHECK(squares / static_cast<double>(size) == doctest::Approx(1).epsilon(1e-6));
    }
  }
}

TEST_CASE("rows that are large, small, or all equal") {
  dt::Graph graph;
  const auto of = [&](const Numbers& values, double epsilon) {
    return numbers(dt::eval(dt::layer_norm(graph.constant(tensor(values, dt::float32)), epsilon)));
  };
  check_close(of({1e30, -1e30, 1e30, -1e30}, 1e-5), {1, -1, 1, -1}, 1e-6);
  check_close(of({1e-25, -1e-25, 1e-25, -1e-25}, 0), {1, -1, 1, -1}, 1e-6);
  for (const std::size_t size : {3U, 40U, 1000U})
    CHECK(of(Numbers(size, 0.1), 1e-5) == Numbers(size, 0.0));
  CHECK(of({5}, 1e-5) == Numbers{0});
  // Without an epsilon they are 0 / 0.
  for (const std::size_t size : {1U, 3U, 40U, 1000U})
    for (const double y : of(Numbers(size, 0.1), 0)) CHECK(std::isnan(y));
}

TEST_CASE("rows that hold NaN or infinities become NaN, and no other") {
  for (const double bad : {nan, inf, -inf})
    for (const std::size_t size : {3U, 16U, 70U}) {
      CAPTURE(bad);
      CAPTURE(size);
      Numbers values = scattered(3 * size);
      const Numbers good = normalised(values, size, 1e-5);
      values[2 * size - 1] = bad;
      dt::Graph graph;
      const dt::Var x = graph.constant(tensor(values, dt::float32).reshape(rows_of(3, size)));
      const Numbers y = numbers(dt::eval(dt::layer_norm(x)));
      for (std::size_t i = 0; i < y.size(); ++i)
        if (i / size == 1)
          CHECK(std::isnan(y[i]));
        else
          CHECK(y[i] == doctest::Approx(good[i]).epsilon(1e-5));
    }
}

TEST_CASE("other dtypes and ranks") {
  dt::Graph graph;
  const dt::Var ints = dt::layer_norm(graph.constant(tensor({1, 3}, dt::int64)), 0.0);
  CHECK(ints.dtype() == dt::float32);
  CHECK(numbers(dt::eval(ints)) == Numbers{-1, 1});
  const dt::Var wide = dt::layer_norm(graph.constant(tensor({1, 3}, dt::float32)), tensor({2, 2}),
                                      tensor({1, 1}), 0);
  CHECK(wide.dtype() == dt::float64);
  CHECK(numbers(dt::eval(wide)) == Numbers{-1, 3});
  const dt::Var cube = graph.constant(tensor(scattered(24)).reshape({2, 3, 4}));
  check_close(numbers(dt::eval(dt::layer_norm(cube))), normalised(scattered(24), 4, 1e-5), 1e-14);
  CHECK(dt::layer_norm(graph.constant(dt::zeros({0, 3}))).shape() == dt::Shape{0, 3});
  CHECK(dt::eval(dt::layer_norm(graph.constant(dt::zeros({2, 0})))).shape() == dt::Shape{2, 0});
}

// dz_i = r (dx_i - mean dx - z_i mean(z dx)), written out with plain numbers.
TEST_CASE("the derivative, by x, scale and shift, in both modes") {
  const std::size_t n = 9;
  const Numbers values = scattered(n);
  const Numbers scale = scattered(n, 2);
  const Numbers weights = scattered(n, -1);
  const Numbers z = normalised(values, n, 0.1);
  const auto count = static_cast<double>(n);
  double mean = 0;
  for (const double v : values) mean += v / count;
  double variance = 0;
  for (const double v : values) variance += (v - mean) * (v - mean) / count;
  const double r = 1 / std::sqrt(variance + 0.1);
  double level = 0;
  double along = 0;
  for (std::size_t i = 0; i < n; ++i) {
    level += weights[i] * scale[i] / count;
    along += weights[i] * scale[i] * z[i] / count;
  }
  Numbers by_x;
  Numbers by_scale;
  for (std::size_t i = 0; i < n; ++i) {
    by_x.push_back(r * (weights[i] * scale[i] - level - z[i] * along));
    by_scale.push_back(weights[i] * z[i]);
  }
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor(values));
  const dt::Var a = graph.constant(tensor(scale));
  const dt::Var b = graph.constant(tensor(scattered(n, 5)));
  const dt::Var loss = dt::sum(dt::layer_norm(x, a, b, 0.1) * graph.constant(tensor(weights)));
  check_close(gradient(loss, x), by_x, 1e-14);
  check_close(gradient(loss, a), by_scale, 1e-14);
  check_close(gradient(loss, b), weights, 1e-14);
  for (std::size_t i = 0; i < n; ++i) {
    Numbers unit(n, 0);
    unit[i] = 1;
    CHECK(dt::eval(dt::forward(loss, {x}, {graph.constant(tensor(unit))})).item() ==
          doctest::Approx(by_x[i]).epsilon(1e-13));
  }
  // The rows are insensitive to their own level and, without epsilon, to their scale.
  const dt::Var plain = dt::layer_norm(x, 0.0);
  check_close(numbers(dt::eval(dt::forward(plain, {x}, {x}))), Numbers(n, 0), 1e-14);
}

TEST_CASE("the way back is a few sweeps over the rows") {
  dt::Graph graph;
  const dt::Var x = graph.input("x", {32, 128});
  const dt::Var c = graph.input("c", {32, 128});
  const dt::Var scale = graph.input("scale", {128});
  const dt::Var shift = graph.input("shift", {128});
  const std::size_t bytes = dt::bytes_of(c.type());
  const dt::Var plain = dt::sum(dt::layer_norm(x) * c);
  const dt::Program of_x = dt::compile({dt::reverse(plain, {x})[x]});
  INFO(of_x.explain());
  CHECK(of_x.steps() <= 8);
  CHECK(of_x.memory().peak_activation_bytes <= 4 * bytes);
  const dt::Var affine = dt::sum(dt::layer_norm(x, scale, shift) * c);
  const auto grad = dt::reverse(affine, {x, scale, shift});
  const dt::Program of_all = dt::compile({grad[x], grad[scale], grad[shift]});
  INFO(of_all.explain());
  CHECK(of_all.steps() <= 12);
  CHECK(of_all.memory().peak_activation_bytes <= 5 * bytes);
}

TEST_CASE("misuse is told with the user's line") {
  dt::Graph graph;
  const dt::Var x = graph.constant(dt::zeros({2, 3}));
  const dt::Var two = graph.constant(dt::ones({2}));
  const std::string text = error_of<dt::ShapeError>([&] { dt::layer_norm(x, two, x); });
  CHECK(has(text, "[layer_norm] scale has shape (2,), and x has shape (2, 3)"));
  CHECK(has(text, "give one number per column: shape (3,)"));
  CHECK(has(text, "normalise_test.cpp:" + std::to_string(__LINE__ - 3)));
  CHECK(has(error_of<dt::ShapeError>([&] {
              dt::layer_norm(x, dt::ones({3}), dt::ones({1, 3}));
            }),
            "shift has shape (1, 3)"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::layer_norm(graph.constant(1.0, dt::float32)); }),
            "[layer_norm] axis -1 is out of range for rank 0"));
  for (const double bad : {-1.0, nan, inf})
    CHECK(
        has(error_of<dt::ValueError>([&] { dt::layer_norm(x, bad); }), "[layer_norm] epsilon is"));
}

}  // namespace
