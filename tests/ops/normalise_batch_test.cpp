// Normalisation by groups, by the batch and by mean squares: PyTorch's numbers, laws and errors.
#include <doctest/doctest.h>

#include <cmath>

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/normalise.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

#include "gradient.hpp"
#include "moving.hpp"
#include "torch_cases.hpp"

using namespace known;
using moving::check_refused;
using torch_cases::Vars;
using torch_cases::waves;

namespace {

TEST_CASE("values and gradients are PyTorch's") {
  torch_cases::check("layers.csv", "group_norm", {{2, 6, 3, 2}, {6}, {6}},
                     [](Vars x) { return dt::group_norm(x[0], 3, x[1], x[2], 1e-3); });
  torch_cases::check("layers.csv", "batch_norm", {{4, 3, 2, 3}, {3}, {3}},
                     [](Vars x) { return dt::batch_norm(x[0], x[1], x[2], 1e-3).y; });
  torch_cases::check("layers.csv", "batch_norm rows", {{5, 3}, {3}, {3}},
                     [](Vars x) { return dt::batch_norm(x[0], x[1], x[2], 1e-3).y; });
  torch_cases::check(
      "layers.csv", "batch_norm_inference", {{2, 3, 2, 2}, {3}, {3}, {3}, {3}}, [](Vars x) {
        return dt::batch_norm_inference(x[0], x[1], dt::square(x[2]) + 0.1, x[3], x[4], 1e-3);
      });
}

TEST_CASE("a batch's statistics are means, and its variance comes with either divisor") {
  dt::Graph graph;
  const dt::Var x = graph.constant(dt::Tensor{{1, 10}, {2, 10}, {6, 40}}.to(dt::float64));
  const dt::Var ones = graph.constant(dt::ones({2}, dt::float64));
  const dt::BatchNormed all = dt::batch_norm(x, ones, ones, 0);
  CHECK(numbers(dt::eval(all.mean)) == Numbers{3, 20});
  check_close(numbers(dt::eval(all.variance)), {14.0 / 3, 200}, 1e-15);
  check_close(numbers(dt::eval(all.unbiased_variance)), {7, 300}, 1e-15);
  // What was measured, used as given, gives the same result.
  const dt::Var again = dt::batch_norm_inference(x, all.mean, all.variance, ones, ones, 0);
  check_close(numbers(dt::eval(again)), numbers(dt::eval(all.y)), 1e-15);
}

TEST_CASE("a batch far from zero keeps its digits") {
  dt::Graph graph;
  const dt::Var x = graph.constant(dt::Tensor{{10001}, {10002}, {10003}, {10004}});
  const dt::Var one = graph.constant(dt::ones({1}));
  const dt::Var zero = graph.constant(dt::zeros({1}));
  const dt::BatchNormed all = dt::batch_norm(x, one, zero, 0);
  CHECK(dt::eval(all.variance).at({0}) == doctest::Approx(1.25).epsilon(1e-6));
  check_close(numbers(dt::eval(all.y)),
              {-1.5 / std::sqrt(1.25), -0.5 / std::sqrt(1.25), 0.5 / std::sqrt(1.25),
               1.5 / std::sqrt(1.25)},
              1e-6);
}

TEST_CASE("one element a channel has no unbiased variance") {
  dt::Graph graph;
  const dt::Var x = graph.constant(dt::Tensor{{5, 6}});
  const dt::Var ones = graph.constant(dt::ones({2}));
  const dt::BatchNormed all = dt::batch_norm(x, ones, ones);
  CHECK(numbers(dt::eval(all.y)) == Numbers{1, 1});
  CHECK(std::isnan(dt::eval(all.unbiased_variance).at({0})));
}

TEST_CASE("mean squares of rows are one, and integers become float32") {
  dt::Graph graph;
  const dt::Tensor values = waves(1, {3, 7});
  const Numbers y = numbers(dt::eval(dt::rms_norm(graph.constant(values), 0)));
  for (std::size_t row = 0; row < 3; ++row) {
    double squares = 0;
    for (std::size_t i = 0; i < 7; ++i) squares += y[row * 7 + i] * y[row * 7 + i];
    CHECK(squares == doctest::Approx(7).epsilon(1e-13));
  }
  const dt::Var scaled =
      dt::rms_norm(graph.constant(dt::Tensor::of({3, 4})), graph.constant(dt::Tensor{1, 10}), 0);
  CHECK(scaled.dtype() == dt::float32);
  check_close(numbers(dt::eval(scaled)), {3 / std::sqrt(12.5), 40 / std::sqrt(12.5)}, 1e-6);
}

TEST_CASE("scale and shift may be parameters and x as well") {
  dt::Graph graph;
  const dt::Parameter scale("scale", dt::ones({2}));
  const dt::Parameter shift("shift", dt::zeros({2}));
  const dt::Var x = graph.input("x", {4, 2});
  CHECK(dt::batch_norm(x, scale, shift).y.shape() == dt::Shape{4, 2});
  CHECK(dt::group_norm(x, 2, scale, shift).shape() == dt::Shape{4, 2});
  check_refused<dt::GraphError>([&] { dt::batch_norm(scale, scale, shift); },
                                {"batch_norm", "none of its operands belongs to a graph"});
}

TEST_CASE("what cannot be normalised is refused with its sizes") {
  dt::Graph graph;
  const dt::Var x = graph.input("x", {4, 6, 2});
  const dt::Var six = graph.input("six", {6});
  const dt::Var two = graph.input("two", {2});
  check_refused<dt::ShapeError>([&] { dt::group_norm(x, 4); }, {"6 channels", "4 groups"});
  check_refused<dt::ShapeError>([&] { dt::group_norm(x, 0); }, {"0 groups"});
  check_refused<dt::ShapeError>([&] { dt::group_norm(x, 3, six, two); },
                                {"group_norm", "shift has shape (2,)", "(4, 6, 2)"});
  check_refused<dt::ShapeError>([&] { dt::batch_norm(x, two, six); }, {"scale has shape (2,)"});
  check_refused<dt::ShapeError>([&] { dt::batch_norm(six, six, six); }, {"axis of channels"});
  check_refused<dt::ShapeError>(
      [&] {
        dt::batch_norm(graph.input("none", {0, 6}), six, six);
      },
      {"no element"});
  check_refused<dt::ShapeError>([&] { dt::batch_norm_inference(x, six, two, six, six); },
                                {"batch_norm_inference", "variance has shape (2,)"});
  check_refused<dt::ShapeError>([&] { dt::rms_norm(x, six); }, {"rms_norm", "(6,)", "(2,)"});
  check_refused<dt::ShapeError>([&] { dt::rms_norm(graph.input("s", {})); }, {"rms_norm"});
  check_refused<dt::ValueError>([&] { dt::rms_norm(x, -1.0); }, {"epsilon is -1"});
  check_refused<dt::ValueError>([&] { dt::batch_norm(x, six, six, NAN); }, {"epsilon"});
}

TEST_CASE("the derivatives hold in every mode") {
  moving::check_derivatives({"rms_norm", "group_norm", "batch_norm", "batch_norm_inference"});
}

TEST_CASE("numbers whose squares overflow or underflow are normalised all the same") {
  const double r = std::sqrt(12.5);
  for (const auto& pair : {std::pair{1e25, dt::float32},
                           {1e-25, dt::float32},
                           {8e37, dt::float32},
                           {1e200, dt::float64},
                           {1e-200, dt::float64},
                           {4e307, dt::float64}}) {
    const double size = pair.first;
    const dt::DType dtype = pair.second;
    CAPTURE(size);
    const double tolerance = dtype == dt::float32 ? 1e-6 : 1e-15;
    dt::Graph graph;
    const dt::Var one = graph.constant(dt::ones({1}, dtype));
    const dt::Var two = graph.constant(dt::ones({2}, dtype));
    const dt::Var row = graph.constant(tensor({3 * size, 4 * size}, dtype));
    check_close(numbers(dt::eval(dt::rms_norm(row, 0))), {3 / r, 4 / r}, tolerance);
    check_close(numbers(dt::eval(dt::rms_norm(row, two, 0))), {3 / r, 4 / r}, tolerance);
    check_close(numbers(dt::eval(dt::layer_norm(row, 0))), {-1, 1}, 8 * tolerance);
    check_close(numbers(dt::eval(dt::layer_norm(row, two, two, 0))), {0, 2}, 8 * tolerance);
    for (const dt::Shape& shape : {dt::Shape{2, 1}, {2, 1, 1}, {1, 1, 2}}) {
      const dt::BatchNormed all = dt::batch_norm(dt::reshape(row, shape), one, one - 1, 0);
      check_close(numbers(dt::eval(all.y)), {-1, 1}, 8 * tolerance);
    }
  }
}

TEST_CASE("a mean between two floats loses no digit of what is normalised") {
  dt::Graph graph;
  const dt::Var one = graph.constant(dt::ones({1}));
  const dt::Var x = graph.constant(tensor({16777214, 16777214, 16777215}, dt::float32));
  const double r = std::sqrt(2.0);  // deviations of -1/3, -1/3 and 2/3: variance 2/9
  for (const dt::Shape& shape : {dt::Shape{3, 1}, {3, 1, 1}, {1, 1, 3}}) {
    const dt::BatchNormed all = dt::batch_norm(dt::reshape(x, shape), one, one - 1, 0);
    check_close(numbers(dt::eval(all.y)), {-1 / r, -1 / r, 2 / r}, 1e-6);
    check_close(numbers(dt::eval(all.variance)), {2.0 / 9}, 1e-7);
    check_close(gradient(all.variance, x), {-2.0 / 9, -2.0 / 9, 4.0 / 9}, 1e-6);
  }
  const dt::Var pair = graph.constant(tensor({1e6, 1e6 + 0.25}, dt::float32));
  for (const dt::Shape& shape : {dt::Shape{2, 1}, {2, 1, 1}, {1, 1, 2}}) {
    const dt::BatchNormed all = dt::batch_norm(dt::reshape(pair, shape), one, one - 1, 0);
    CHECK(numbers(dt::eval(all.variance)) == Numbers{0.015625});
    check_close(numbers(dt::eval(all.y)), {-1, 1}, 1e-6);
  }
  // The slope of z_1^2 + 2 z_2^2 + 3 z_3^2, scaled and not.
  const dt::Var weights = graph.constant(tensor({1, 2, 3}, dt::float32));
  const dt::Var wide = graph.constant(tensor({-1, -1, 2}, dt::float64));
  const dt::Var of_wide =
      dt::sum(dt::square(dt::layer_norm(wide, 0)) * dt::cast(weights, dt::float64));
  const Numbers wanted = gradient(of_wide, wide);
  const dt::Var ones = graph.constant(dt::ones({3}));
  for (const dt::Var& y : {dt::layer_norm(x, 0), dt::layer_norm(x, ones, ones - 1, 0)}) {
    const Numbers slope = gradient(dt::sum(dt::square(y) * weights), x);
    for (std::size_t i = 0; i < 3; ++i) CHECK(std::abs(slope[i] / 3 - wanted[i]) < 1e-5);
  }
}

}  // namespace
