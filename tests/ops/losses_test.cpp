#include <doctest/doctest.h>

#include <limits>

#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/softmax.hpp>

#include "gradient.hpp"

using namespace known;
using dt::Reduction;

namespace {

double value(dt::Var x) { return dt::eval(x).item(); }

TEST_CASE("cross-entropy at known points") {
  for (const dt::DType dtype : {dt::float32, dt::float64}) {
    const double tolerance = dtype == dt::float32 ? 1e-6 : 1e-14;
    dt::Graph graph;
    const dt::Var labels = graph.constant(dt::Tensor::of({0, 3, 9}));
    const dt::Var uniform = graph.constant(dt::zeros({3, 10}, dtype));
    CHECK(value(dt::cross_entropy(uniform, labels)) ==
          doctest::Approx(2.302585092994046).epsilon(tolerance));
    // Probabilities taken for logits: the loss cannot fall below ln(e + 9) - 1.
    Numbers certain(30, 0);
    certain[0] = certain[13] = certain[29] = 1;
    const dt::Var perfect = graph.constant(tensor(certain, dtype).reshape({3, 10}));
    CHECK(value(dt::cross_entropy(perfect, labels)) == doctest::Approx(1.461150).epsilon(1e-6));
    const dt::Var sure = graph.constant(tensor(certain, dtype).reshape({3, 10})) * 1000;
    CHECK(value(dt::cross_entropy(sure, labels)) == 0);
    const dt::Var wrong = graph.constant(dt::Tensor::of({1, 1, 1}));
    CHECK(value(dt::cross_entropy(sure, wrong)) == 1000);
  }
}

TEST_CASE("cross-entropy by each reduction, for few and many classes, and its derivative") {
  struct Sizes {
    std::int64_t rows, classes;
  };
  for (const Sizes& sizes : {Sizes{5, 3}, {150, 10}, {3, 64}, {3, 65}, {2, 5000}, {4, 1}}) {
    const std::int64_t rows = sizes.rows;
    const std::int64_t classes = sizes.classes;
    CAPTURE(classes);
    Numbers x;
    std::vector<std::int32_t> labels;
    for (std::int64_t i = 0; i < rows * classes; ++i)
      x.push_back(3 * std::sin(2.3 * static_cast<double>(i)));
    for (std::int64_t i = 0; i < rows; ++i)
      labels.push_back(static_cast<std::int32_t>(7 * i % classes));
    const auto width = static_cast<std::size_t>(classes);
    Numbers losses;
    Numbers slope(x.size());
    double total = 0;
    for (std::size_t row = 0; row < labels.size(); ++row) {
      const auto label = static_cast<std::size_t>(labels[row]);
      double sum = 0;
      for (std::size_t c = 0; c < width; ++c) sum += std::exp(x[row * width + c]);
      losses.push_back(std::log(sum) - x[row * width + label]);
      total += losses.back();
      for (std::size_t c = 0; c < width; ++c)
        slope[row * width + c] = std::exp(x[row * width + c]) / sum - (c == label ? 1 : 0);
    }
    dt::Graph graph;
    const dt::Var logits = graph.constant(tensor(x).reshape({rows, classes}));
    const dt::Var y = graph.constant(dt::Tensor::from(labels, dt::Shape{rows}));
    check_close(numbers(dt::eval(dt::cross_entropy(logits, y, Reduction::none))), losses, 1e-13);
    const dt::Var sum = dt::cross_entropy(logits, y, Reduction::sum);
    CHECK(value(sum) == doctest::Approx(total).epsilon(1e-13));
    check_close(gradient(sum, logits), slope, 1e-13);
    const dt::Var mean = dt::cross_entropy(logits, y);
    CHECK(value(mean) == doctest::Approx(total / static_cast<double>(rows)).epsilon(1e-13));
    for (double& entry : slope) entry /= static_cast<double>(rows);
    check_close(gradient(mean, logits), slope, 1e-13);
  }
}

TEST_CASE("cross-entropy of one sample, of none, and with more axes") {
  dt::Graph graph;
  const dt::Var one = graph.constant(dt::zeros({4}));
  const dt::Var label = graph.constant(dt::Tensor(std::int64_t{2}));
  CHECK(value(dt::cross_entropy(one, label)) == doctest::Approx(std::log(4.0)));
  CHECK(dt::cross_entropy(one, label, Reduction::none).shape() == dt::Shape{});
  const dt::Var nothing = graph.constant(dt::zeros({0, 4}));
  const dt::Var no_labels = graph.constant(dt::zeros({0}, dt::int64));
  CHECK(value(dt::cross_entropy(nothing, no_labels, Reduction::sum)) == 0);
  CHECK(std::isnan(value(dt::cross_entropy(nothing, no_labels))));
  const dt::Var deep = graph.constant(dt::zeros({2, 3, 4}));
  const dt::Var deep_labels = graph.constant(dt::zeros({2, 3}, dt::int64));
  CHECK(dt::cross_entropy(deep, deep_labels, Reduction::none).shape() == dt::Shape{2, 3});
  CHECK(value(dt::cross_entropy(deep, deep_labels, Reduction::sum)) ==
        doctest::Approx(6 * std::log(4.0)));
}

TEST_CASE("a label out of range is refused at run time with its value and place") {
  for (const std::int64_t bad : {10, -1}) {
    dt::Graph graph;
    const dt::Var logits = graph.constant(dt::zeros({3, 10}));
    const dt::Var labels = graph.constant(dt::Tensor::of({0, bad, 9}));
    const dt::Var loss = dt::cross_entropy(logits, labels);
    const int line = __LINE__ - 1;
    const std::string text = error_of<dt::ValueError>([&] { dt::eval(loss); });
    CHECK(has(text, "label " + std::to_string(bad) + " of sample 1 is outside 0 .. 9"));
    CHECK(has(text, "cross_entropy"));
    CHECK(has(text, "losses_test.cpp:" + std::to_string(line)));
  }
}

TEST_CASE("a label out of range is the loss's, whatever operator finds it") {
  for (const std::int64_t bad : {4, -1}) {
    dt::Graph graph;
    const dt::Var logits = graph.constant(dt::zeros({3, 4}));
    const dt::Var labels = graph.constant(dt::Tensor::of({0, bad, 2}));
    const auto check = [&](const char* name, const dt::Var& loss) {
      CAPTURE(name);
      // The loss itself, its gradient alone, and its tangent.
      const dt::Var gradient = dt::reverse(loss, {logits})[logits];
      const dt::Var tangent = dt::forward(loss, {logits}, {graph.constant(dt::ones({3, 4}))});
      for (const dt::Var& asked : {loss, gradient, tangent}) {
        const std::string text = error_of<dt::ValueError>([&] { dt::eval(asked); });
        CAPTURE(text);
        CHECK(has(text, name));
        CHECK(has(text, "label " + std::to_string(bad)));
        CHECK(has(text, "losses_test.cpp"));
      }
    };
    check("cross_entropy", dt::cross_entropy(logits, labels));
    check("clamped_cross_entropy", dt::clamped_cross_entropy(logits, labels));
    check("nll", dt::nll(dt::log_softmax(logits), labels));
  }
}

TEST_CASE("operands that do not fit are refused") {
  dt::Graph graph;
  const dt::Var logits = graph.constant(dt::zeros({3, 10}));
  const auto labels = [&](const dt::Shape& shape, dt::DType dtype) {
    return graph.constant(dt::zeros(shape, dtype));
  };
  const std::string rows =
      error_of<dt::ShapeError>([&] { dt::cross_entropy(logits, labels({4}, dt::int64)); });
  CHECK(has(rows, "logits (3, 10), labels (4,)"));
  // Of class numbers in a wrong type, argmax would make one wrong number.
  const std::string floating =
      error_of<dt::TypeError>([&] { dt::cross_entropy(logits, labels({3}, dt::float32)); });
  CHECK(has(floating, "class numbers"));
  CHECK(has(floating, "g.input(\"labels\", shape, dt::int64)"));
  CHECK(has(floating, ".to(dt::int64)"));
  CHECK(!dt::testing::contains(floating, "argmax"));
  // Floating targets of the shape of the logits are probabilities.
  CHECK(dt::cross_entropy(logits, labels({3, 10}, dt::float32)).shape() == dt::Shape{});
  CHECK(has(error_of<dt::ShapeError>([&] {
              dt::cross_entropy(logits, labels({3, 10}, dt::int64));
            }),
            "one-hot"));
  CHECK_THROWS_AS(dt::cross_entropy(labels({3, 10}, dt::int64), labels({3}, dt::int64)),
                  dt::TypeError);
  CHECK_THROWS_AS(dt::cross_entropy(labels({}, dt::float32), labels({}, dt::int64)),
                  dt::ShapeError);
  const dt::Var column = graph.constant(dt::zeros({3, 1}));
  const dt::Var vector = graph.constant(dt::zeros({3}));
  const std::string text = error_of<dt::ShapeError>([&] { dt::mse(column, vector); });
  CHECK(has(text, "[mse] both operands must have one shape: (3, 1) and (3,)"));
  CHECK(has(text, "losses_test.cpp:" + std::to_string(__LINE__ - 2)));
  CHECK_THROWS_AS(dt::half_sum_of_squares(column, vector), dt::ShapeError);
  CHECK_THROWS_AS(dt::binary_cross_entropy(column, vector), dt::ShapeError);
  CHECK_THROWS_AS(dt::binary_cross_entropy_with_logits(column, vector), dt::ShapeError);
}

TEST_CASE("binary cross-entropy on probabilities") {
  dt::Graph graph;
  const Numbers p{0.25, 0.5, 0.875};
  const Numbers y{1, 0, 0.5};
  Numbers losses;
  Numbers slope;
  for (std::size_t i = 0; i < 3; ++i) {
    losses.push_back(-(y[i] * std::log(p[i]) + (1 - y[i]) * std::log(1 - p[i])));
    slope.push_back((p[i] - y[i]) / (p[i] * (1 - p[i])));
  }
  const dt::Var pv = graph.constant(tensor(p));
  const dt::Var yv = graph.constant(tensor(y));
  const dt::Var each = dt::binary_cross_entropy(pv, yv, Reduction::none);
  check_close(numbers(dt::eval(each)), losses, 1e-14);
  check_close(gradient(each, pv), slope, 1e-14);
  CHECK(value(dt::binary_cross_entropy(pv, yv)) ==
        doctest::Approx((losses[0] + losses[1] + losses[2]) / 3).epsilon(1e-14));
  CHECK(value(dt::binary_cross_entropy(pv, yv, Reduction::sum)) ==
        doctest::Approx(losses[0] + losses[1] + losses[2]).epsilon(1e-14));
}

TEST_CASE("certain probabilities have finite losses and derivatives that point the right way") {
  for (const dt::DType dtype : {dt::float32, dt::float64}) {
    dt::Graph graph;
    const dt::Var p = graph.constant(tensor({0, 1, 0, 1}, dtype));
    const dt::Var y = graph.constant(tensor({0, 1, 1, 0}, dtype));
    const dt::Var each = dt::binary_cross_entropy(p, y, Reduction::none);
    CHECK(numbers(dt::eval(each)) == Numbers{0, 0, 100, 100});
    check_close(gradient(each, p), {1, -1, -1e12, 1e12}, 1e-6);
    const dt::Var outside = graph.constant(tensor({-0.5, 1.5}, dtype));
    const dt::Var half = graph.constant(tensor({0.5, 0.5}, dtype));
    for (const double loss :
         numbers(dt::eval(dt::binary_cross_entropy(outside, half, Reduction::none))))
      CHECK(std::isnan(loss));
  }
}

TEST_CASE("binary cross-entropy on logits agrees with it on probabilities and stays stable") {
  dt::Graph graph;
  const Numbers x{-3, -0.5, 0, 2};
  const Numbers y{0, 1, 0.25, 1};
  Numbers probabilities;
  Numbers slope;
  for (std::size_t i = 0; i < x.size(); ++i) {
    probabilities.push_back(1 / (1 + std::exp(-x[i])));
    slope.push_back(probabilities[i] - y[i]);
  }
  const dt::Var xv = graph.constant(tensor(x));
  const dt::Var yv = graph.constant(tensor(y));
  const dt::Var loss = dt::binary_cross_entropy_with_logits(xv, yv, Reduction::none);
  const dt::Var other =
      dt::binary_cross_entropy(graph.constant(tensor(probabilities)), yv, Reduction::none);
  check_close(numbers(dt::eval(loss)), numbers(dt::eval(other)), 1e-14);
  check_close(gradient(loss, xv), slope, 1e-14);
  const dt::Var large = graph.constant(tensor({500, -500, 500, -500}, dt::float32));
  const dt::Var targets = graph.constant(tensor({1, 0, 0, 1}, dt::float32));
  CHECK(numbers(dt::eval(dt::binary_cross_entropy_with_logits(large, targets, Reduction::none))) ==
        Numbers{0, 0, 500, 500});
}

TEST_CASE("clamped cross-entropy costs at most 15.94 and is finite whatever the logits") {
  for (const dt::DType dtype : {dt::float32, dt::float64}) {
    dt::Graph graph;
    const dt::Var labels = graph.constant(dt::Tensor::of({0, 3, 9}));
    const dt::Var uniform = graph.constant(dt::zeros({3, 10}, dtype));
    CHECK(std::abs(value(dt::clamped_cross_entropy(uniform, labels)) - 2.302585) < 1e-6);

    // The first row is right beyond doubt, the second wrong beyond doubt: -log of 1 - 2^-23 and of
    // 2^-23.
    const dt::Var sure =
        graph.constant(tensor({1e4, -1e4, -1e4, 1e4, 1e4, -1e4}, dtype).reshape({2, 3}));
    const dt::Var of_sure = graph.constant(dt::Tensor::of({0, 2}));
    const dt::Var each = dt::clamped_cross_entropy(sure, of_sure, Reduction::none);
    check_close(numbers(dt::eval(each)), {-std::log1p(-0x1p-23), 23 * std::log(2.0)}, 1e-6);
    CHECK(std::abs(numbers(dt::eval(each))[1] - 15.9424) < 5e-5);
    const dt::Var loss = dt::clamped_cross_entropy(sure, of_sure);
    CHECK(numbers(dt::eval(dt::reverse(loss, {sure})[sure])) == Numbers(6, 0));
  }
}

TEST_CASE("clamped cross-entropy is cross-entropy where nothing is cut off") {
  dt::Graph graph;
  const dt::Var logits =
      graph.constant(tensor({0.5, -1, 2, 0, 3, -2, 1, 1, 1, 0, 0, 5}).reshape({4, 3}));
  const dt::Var labels = graph.constant(dt::Tensor::of({2, 0, 1, 1}));
  for (const Reduction reduction : {Reduction::mean, Reduction::sum}) {
    const dt::Var clamped = dt::clamped_cross_entropy(logits, labels, reduction);
    const dt::Var plain = dt::cross_entropy(logits, labels, reduction);
    CHECK(value(clamped) == doctest::Approx(value(plain)).epsilon(1e-13));
    check_close(numbers(dt::eval(dt::reverse(clamped, {logits})[logits])),
                numbers(dt::eval(dt::reverse(plain, {logits})[logits])), 1e-13);
  }
}

TEST_CASE("clamped cross-entropy refuses labels that do not fit") {
  dt::Graph graph;
  const dt::Var logits = graph.constant(dt::zeros({2, 3}));
  const std::string text = error_of<dt::ShapeError>([&] {
    dt::clamped_cross_entropy(logits, graph.constant(dt::Tensor::of({0, 1, 2})));
  });
  CHECK(has(text, "clamped_cross_entropy"));
  CHECK(has(text, "losses_test.cpp"));
  CHECK_THROWS_AS(
      dt::eval(dt::clamped_cross_entropy(logits, graph.constant(dt::Tensor::of({0, 3})))),
      dt::ValueError);
  CHECK_THROWS_AS(dt::clamped_cross_entropy(logits, graph.constant(dt::Tensor{0, 1})),
                  dt::TypeError);
}

TEST_CASE("squared errors") {
  dt::Graph graph;
  const dt::Var a = graph.constant(tensor({1, 2, 5}));
  const dt::Var b = graph.constant(tensor({3, 2, 1}));
  CHECK(numbers(dt::eval(dt::mse(a, b, Reduction::none))) == Numbers{4, 0, 16});
  CHECK(value(dt::mse(a, b, Reduction::sum)) == 20);
  CHECK(value(dt::mse(a, b)) == doctest::Approx(20.0 / 3).epsilon(1e-15));
  CHECK(value(dt::half_sum_of_squares(a, b)) == 10);
  CHECK(value(dt::mse(a, 0.0, Reduction::sum)) == 30);
  CHECK(gradient(dt::half_sum_of_squares(a, b), a) == Numbers{-2, 0, 4});
  CHECK(gradient(dt::half_sum_of_squares(a, b), b) == Numbers{2, 0, -4});
  check_close(gradient(dt::mse(a, b), a), {-4.0 / 3, 0, 8.0 / 3}, 1e-15);
  CHECK(std::isnan(value(dt::mse(graph.constant(dt::zeros({0})), graph.constant(dt::zeros({0}))))));
}

TEST_CASE("absolute, Huber's and smooth errors") {
  dt::Graph graph;
  const dt::Var a = graph.constant(tensor({1, 2, 5, -0.5}));
  const dt::Var b = graph.constant(tensor({3, 2, 1, 0}));
  CHECK(numbers(dt::eval(dt::mae(a, b, Reduction::none))) == Numbers{2, 0, 4, 0.5});
  CHECK(gradient(dt::mae(a, b, Reduction::sum), a) == Numbers{-1, 0, 1, -1});
  CHECK(numbers(dt::eval(dt::huber(a, b, 2, Reduction::none))) == Numbers{2, 0, 6, 0.125});
  CHECK(gradient(dt::huber(a, b, 2, Reduction::sum), a) == Numbers{-2, 0, 2, -0.5});
  CHECK(gradient(dt::huber(a, b, 2, Reduction::sum), b) == Numbers{2, 0, -2, 0.5});
  CHECK(numbers(dt::eval(dt::smooth_l1(a, b, 2, Reduction::none))) == Numbers{1, 0, 3, 0.0625});
  CHECK(value(dt::smooth_l1(a, b, 0)) == value(dt::mae(a, b)));
  CHECK(value(dt::smooth_l1(a, b)) == value(dt::huber(a, b)));
  CHECK(has(error_of<dt::ValueError>([&] { dt::huber(a, b, 0); }), "delta"));
  CHECK(has(error_of<dt::ValueError>([&] { dt::smooth_l1(a, b, -1); }), "beta"));
  CHECK(has(error_of<dt::ShapeError>([&] {
              dt::mae(a, graph.constant(dt::Tensor{1, 2}));
            }),
            "mae"));
}

TEST_CASE("hinge counts margins below 1") {
  dt::Graph graph;
  const dt::Var s = graph.constant(tensor({0.25, -0.25, 3, -3}));
  const dt::Var y = graph.constant(tensor({1, 1, 1, 1}));
  CHECK(numbers(dt::eval(dt::hinge(s, y, Reduction::none))) == Numbers{0.75, 1.25, 0, 4});
  CHECK(numbers(dt::eval(dt::hinge(s, -y, Reduction::none))) == Numbers{1.25, 0.75, 4, 0});
  CHECK(gradient(dt::hinge(s, y), s) == Numbers{-0.25, -0.25, 0, -0.25});
}

TEST_CASE("nll of log_softmax is cross-entropy") {
  dt::Graph graph;
  const dt::Var logits = graph.constant(tensor({0.5, -1, 2, 0, 3, -2}).reshape({2, 3}));
  const dt::Var labels = graph.constant(dt::Tensor::of({2, 0}));
  for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none}) {
    const dt::Var composed = dt::nll(dt::log_softmax(logits), labels, reduction);
    const dt::Var fused = dt::cross_entropy(logits, labels, reduction);
    CHECK(composed.shape() == fused.shape());
    check_close(numbers(dt::eval(composed)), numbers(dt::eval(fused)), 1e-14);
    check_close(gradient(composed, logits), gradient(fused, logits), 1e-14);
  }
  CHECK_THROWS_AS(dt::eval(dt::nll(logits, graph.constant(dt::Tensor::of({0, 3})))),
                  dt::ValueError);
  CHECK(has(error_of<dt::ShapeError>([&] {
              dt::nll(logits, graph.constant(dt::Tensor::of({0, 1, 2})));
            }),
            "nll"));
}

TEST_CASE("the divergence of distributions is not below 0, and 0 of a distribution from itself") {
  dt::Graph graph;
  const dt::Var p = graph.constant(tensor({0.5, 0.25, 0.25, 1, 0, 0}).reshape({2, 3}));
  const dt::Var q = graph.constant(tensor({0.25, 0.5, 0.25, 0.5, 0.25, 0.25}).reshape({2, 3}));
  const dt::Var each = dt::kl_divergence(dt::log(q), p, Reduction::none);
  // (ln 2) / 2 - (ln 2) / 4, and ln 2.
  check_close(numbers(dt::eval(each)), {std::log(2.0) / 4, std::log(2.0)}, 1e-15);
  CHECK(value(dt::kl_divergence(dt::log(q), p)) ==
        doctest::Approx(std::log(2.0) * 5 / 8).epsilon(1e-15));
  CHECK(numbers(dt::eval(dt::kl_divergence(dt::log(q), q, Reduction::none))) == Numbers{0, 0});
  check_close(gradient(dt::kl_divergence(dt::log(q), p, Reduction::sum), q),
              {-2, -0.5, -1, -2, 0, 0}, 1e-15);
}

TEST_CASE("cosines of right, equal and opposite directions") {
  dt::Graph graph;
  const dt::Var a = graph.constant(tensor({1, 0, 3, 4, 1, 2, 0, 0}).reshape({4, 2}));
  const dt::Var b = graph.constant(tensor({0, 2, 6, 8, -2, -4, 1, 1}).reshape({4, 2}));
  check_close(numbers(dt::eval(dt::cosine_similarity(a, b))), {0, 1, -1, 0}, 1e-15);
  const dt::Var columns = dt::cosine_similarity(dt::transpose(a), dt::transpose(b), 0);
  check_close(numbers(dt::eval(columns)), {0, 1, -1, 0}, 1e-15);
  CHECK(has(error_of<dt::ShapeError>([&] { dt::cosine_similarity(a, b, 2); }), "cosine"));
}

TEST_CASE("a class that cannot be adds nothing to a divergence, nor to its derivatives") {
  for (const dt::DType dtype : {dt::float32, dt::float64}) {
    dt::Graph graph;
    const dt::Var p = graph.constant(tensor({1, 0}, dtype));
    const dt::Var log_q = graph.constant(tensor({0, -dt::infinity}, dtype));
    const dt::Var y = dt::kl_divergence(log_q, p, Reduction::sum);
    CHECK(value(y) == 0);
    CHECK(gradient(y, log_q) == Numbers{-1, 0});
    CHECK(gradient(y, p) == Numbers{1, 0});
    const dt::Var v = graph.constant(tensor({1, 1}, dtype));
    const dt::Var of_p = dt::reverse(y, {p})[p];
    CHECK(numbers(dt::eval(dt::forward(of_p, {p}, {v}))) == Numbers{1, 0});
    CHECK(numbers(dt::eval(dt::reverse(dt::sum(of_p), {p})[p])) == Numbers{1, 0});
    CHECK(value(dt::kl_divergence(log_q, graph.constant(tensor({0.5, 0.5}, dtype)))) ==
          dt::infinity);
    const dt::Var unknown = graph.constant(tensor({0, dt::not_a_number}, dtype));
    CHECK(std::isnan(value(dt::kl_divergence(unknown, p))));
  }
}

TEST_CASE("logits far out lose no digit of the loss nor of its slope") {
  for (const dt::DType dtype : {dt::float32, dt::float64}) {
    dt::Graph graph;
    const dt::Var x =
        graph.constant(tensor({20, -20, 20, -20, dt::infinity, -dt::infinity}, dtype));
    const dt::Var y = graph.constant(tensor({1, 0, 0, 1, 1, 0}, dtype));
    const dt::Var each = dt::binary_cross_entropy_with_logits(x, y, Reduction::none);
    const double loss = 2.0611536203143808e-9;   // log(1 + e^-20)
    const double slope = 2.0611536181902037e-9;  // 1 / (1 + e^20)
    const Numbers losses{loss, loss, 20 + loss, 20 + loss, 0, 0};
    const Numbers slopes{-slope, slope, 1 - slope, slope - 1, 0, 0};
    const Numbers got = numbers(dt::eval(each));
    const Numbers got_slopes = gradient(each, x);
    for (std::size_t i = 0; i < 6; ++i) {
      const double tolerance = dtype == dt::float32 ? 1e-6 : 1e-14;
      CHECK(std::abs(got[i] - losses[i]) <= tolerance * losses[i]);
      CHECK(std::abs(got_slopes[i] - slopes[i]) <= tolerance * std::abs(slopes[i]));
    }
  }
}

TEST_CASE("cosines of vectors of any size") {
  const auto cosine = [](const Numbers& a, const Numbers& b, dt::DType dtype) {
    dt::Graph graph;
    const dt::Var x = graph.constant(tensor(a, dtype));
    const dt::Var y = graph.constant(tensor(b, dtype));
    return value(dt::cosine_similarity(x, y));
  };
  CHECK(cosine({2.0775e38, 3.0262e38}, {1, 1}, dt::float32) ==
        doctest::Approx(0.98315).epsilon(1e-5));
  CHECK(cosine({1e-5, 0}, {1e-5, 0}, dt::float32) == 1);
  CHECK(cosine({3e-6, 4e-6}, {3e-6, 4e-6}, dt::float64) == doctest::Approx(1).epsilon(1e-15));
  CHECK(cosine({3e-30, 4e-30}, {3e30, 4e30}, dt::float32) < 1e-20);  // below eps
  CHECK(cosine({3e200, 4e200}, {-3e-6, -4e-6}, dt::float64) == doctest::Approx(-1).epsilon(1e-15));
  CHECK(cosine({0, 0}, {1, 2}, dt::float64) == 0);
  dt::Graph graph;
  const dt::Var a = graph.constant(tensor({3e20, 4e20}, dt::float32));
  const dt::Var b = graph.constant(tensor({1, 0}, dt::float32));
  // (v - y u) / |a| with u = (0.6, 0.8), v = (1, 0), y = 0.6
  for (const auto& [slope, wanted] :
       {std::pair{gradient(dt::cosine_similarity(a, b), a)[0], 0.64 / 5e20},
        {gradient(dt::cosine_similarity(a, b), a)[1], -0.48 / 5e20}})
    CHECK(slope == doctest::Approx(wanted).epsilon(1e-6).scale(0));
  const dt::Var none = graph.constant(tensor({0, 0}, dt::float32));
  CHECK(gradient(dt::cosine_similarity(none, b), b) == Numbers{0, 0});
}

TEST_CASE(
    "one operand of a divergence or a cosine may be a tensor, or the probability of each class") {
  dt::Graph graph;
  const dt::Tensor q = tensor({0.5, 0.25, 0.25});
  const dt::Var log_q = dt::log(graph.constant(q));
  CHECK(value(dt::kl_divergence(log_q, q)) == 0);
  CHECK(value(dt::kl_divergence(log_q, 0.25)) ==
        doctest::Approx(-std::log(2.0) / 4).epsilon(1e-15));
  CHECK(value(dt::cosine_similarity(graph.constant(q), q)) == doctest::Approx(1).epsilon(1e-15));
  CHECK(value(dt::cosine_similarity(q, graph.constant(q))) == doctest::Approx(1).epsilon(1e-15));
}

TEST_CASE("losses that turn linear at widths of any size") {
  for (const dt::DType dtype : {dt::float32, dt::float64}) {
    dt::Graph graph;
    const dt::Var a = graph.constant(tensor({3, 1e30, 0}, dtype));
    const dt::Var zero = graph.constant(tensor({0, 0, 0}, dtype));
    const dt::Var each = dt::smooth_l1(a, zero, 1e-35, Reduction::none);
    CHECK(numbers(dt::eval(each)) == numbers(dt::eval(a)));
    CHECK(gradient(each, a) == Numbers{1, 1, 0});
    CHECK(numbers(dt::eval(dt::huber(a, zero, 0.5, Reduction::none)))[0] == 1.375);
  }
}

TEST_CASE("the second slope of a divergence is 1 / p, however small p is") {
  for (const dt::DType dtype : {dt::float32, dt::float64}) {
    dt::Graph graph;
    const dt::Var p = graph.constant(tensor({1, 0x1p-70, 0x1p-120}, dtype));
    const dt::Var log_q = graph.constant(tensor({-1, -2, -80}, dtype));
    const dt::Var v = graph.constant(tensor({1, 1, 1}, dtype));
    const dt::Var y = dt::kl_divergence(log_q, p, Reduction::sum);
    const dt::Var of_p = dt::reverse(y, {p})[p];
    const Numbers wanted{1, 0x1p70, 0x1p120};
    CHECK(numbers(dt::eval(dt::forward(of_p, {p}, {v}))) == wanted);
    CHECK(numbers(dt::eval(dt::reverse(dt::sum(of_p), {p})[p])) == wanted);
    CHECK(numbers(dt::eval(dt::reverse(dt::forward(y, {p}, {v}), {p})[p])) == wanted);
  }
}

}  // namespace
