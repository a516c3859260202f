// Cross-entropy with options and of probabilities, against its definition in double.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <optional>

#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

#include "gradient.hpp"

using namespace known;
using dt::CrossEntropyOptions;
using dt::Reduction;

namespace {

constexpr std::size_t classes = 3;
const Numbers logits{0.5, -1, 2, 0, 0.25, -3, 4, 1, 1, -0.5, 0.75, 2.5};
const std::vector<std::int64_t> labels{2, 1, 0, 2};
const Numbers weights{0.5, 2, 3};

double value(dt::Var x) { return dt::eval(x).item(); }

// log softmax(x)_c of a row.
double log_p(std::size_t row, std::size_t c) {
  double total = 0;
  for (std::size_t k = 0; k < classes; ++k) total += std::exp(logits[row * classes + k]);
  return logits[row * classes + c] - std::log(total);
}

// The loss sum_c g_c -log p_c of each row, with what its class c counts for, and the slopes of
// their sum with each row times `factor`.
struct Wanted {
  Numbers each;
  Numbers slopes;
  double divisor = 0;
};
Wanted wanted(const CrossEntropyOptions& options, bool weighted) {
  Wanted result;
  for (std::size_t row = 0; row < labels.size(); ++row) {
    const auto label = static_cast<std::size_t>(labels[row]);
    const bool kept = options.ignore_index != labels[row];
    Numbers shares(classes);
    for (std::size_t c = 0; c < classes; ++c) {
      const double w = weighted ? weights[c] : 1;
      shares[c] = w * options.label_smoothing / static_cast<double>(classes);
      if (c == label) shares[c] += w * (1 - options.label_smoothing);
      if (!kept) shares[c] = 0;
    }
    double loss = 0;
    double total = 0;
    for (std::size_t c = 0; c < classes; ++c) {
      loss -= shares[c] * log_p(row, c);
      total += shares[c];
    }
    result.each.push_back(loss);
    for (std::size_t c = 0; c < classes; ++c)
      result.slopes.push_back(std::exp(log_p(row, c)) * total - shares[c]);
    if (kept) result.divisor += weighted ? weights[label] : 1;
  }
  return result;
}

TEST_CASE("options give what the definition gives, value and slopes") {
  for (const bool weighted : {false, true})
    for (const double smoothing : {0.0, 0.1, 1.0})
      for (const std::optional<std::int64_t>& ignored :
           {std::optional<std::int64_t>{}, std::optional<std::int64_t>{2}}) {
        CrossEntropyOptions options{.ignore_index = ignored, .label_smoothing = smoothing};
        const Wanted right = wanted(options, weighted);
        dt::Graph graph;
        const dt::Var x = graph.constant(tensor(logits).reshape({4, 3}));
        const dt::Var y = graph.constant(dt::Tensor::from(labels, dt::Shape{4}));
        if (weighted) options.weights = graph.constant(tensor(weights));
        CAPTURE(weighted);
        CAPTURE(smoothing);
        double sum = 0;
        for (const double loss : right.each) sum += loss;
        options.reduction = Reduction::none;
        const dt::Var each = dt::cross_entropy(x, y, options);
        check_close(numbers(dt::eval(each)), right.each, 1e-14);
        check_close(gradient(each, x), right.slopes, 1e-14);
        options.reduction = Reduction::sum;
        CHECK(value(dt::cross_entropy(x, y, options)) == doctest::Approx(sum).epsilon(1e-14));
        options.reduction = Reduction::mean;
        const dt::Var mean = dt::cross_entropy(x, y, options);
        CHECK(value(mean) == doctest::Approx(sum / right.divisor).epsilon(1e-14));
        Numbers slopes = right.slopes;
        for (double& slope : slopes) slope /= right.divisor;
        check_close(gradient(mean, x), slopes, 1e-14);
      }
}

TEST_CASE("probabilities of one class are labels; the mean is over samples whatever the weights") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor(logits).reshape({4, 3}));
  const dt::Var y = graph.constant(dt::Tensor::from(labels, dt::Shape{4}));
  Numbers one_hot(12, 0);
  for (std::size_t row = 0; row < 4; ++row)
    one_hot[row * classes + static_cast<std::size_t>(labels[row])] = 1;
  const dt::Var q = graph.constant(tensor(one_hot).reshape({4, 3}));
  const dt::Var w = graph.constant(tensor(weights));
  for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none})
    for (const double smoothing : {0.0, 0.3}) {
      const CrossEntropyOptions options{.reduction = reduction, .label_smoothing = smoothing};
      const dt::Var of_labels = dt::cross_entropy(x, y, options);
      const dt::Var of_probabilities = dt::cross_entropy(x, q, options);
      check_close(numbers(dt::eval(of_probabilities)), numbers(dt::eval(of_labels)), 1e-14);
      check_close(gradient(of_probabilities, x), gradient(of_labels, x), 1e-14);
    }
  const CrossEntropyOptions weighted{.weights = w};
  const CrossEntropyOptions summed{.reduction = Reduction::sum, .weights = w};
  CHECK(value(dt::cross_entropy(x, q, weighted)) ==
        doctest::Approx(value(dt::cross_entropy(x, y, summed)) / 4).epsilon(1e-14));
  // Any probabilities: minus the sum of q log p, and softmax less q.
  const Numbers shares{0.2, 0.3, 0.5, 0, 1, 0, 0.25, 0.25, 0.5, 0.6, 0.4, 0};
  double loss = 0;
  Numbers slopes;
  for (std::size_t i = 0; i < 12; ++i) {
    loss -= shares[i] * log_p(i / classes, i % classes) / 4;
    slopes.push_back((std::exp(log_p(i / classes, i % classes)) - shares[i]) / 4);
  }
  const dt::Var soft = dt::cross_entropy(x, graph.constant(tensor(shares).reshape({4, 3})));
  CHECK(value(soft) == doctest::Approx(loss).epsilon(1e-14));
  check_close(gradient(soft, x), slopes, 1e-14);
}

TEST_CASE("samples that are passed over count for nothing, whatever their logits and labels") {
  for (const dt::DType dtype : {dt::int32, dt::int64}) {
    dt::Graph graph;
    const double nan = dt::not_a_number;
    const dt::Var x = graph.constant(tensor({1, 2, nan, nan, 3, 0}, dt::float32).reshape({3, 2}));
    const dt::Var y = graph.constant(tensor({1, -100, 0}, dtype));
    const dt::Var kept = graph.constant(tensor({1, 2, 3, 0}, dt::float32).reshape({2, 2}));
    const dt::Var kept_labels = graph.constant(tensor({1, 0}, dtype));
    for (const double smoothing : {0.0, 0.2}) {
      const CrossEntropyOptions options{.ignore_index = -100, .label_smoothing = smoothing};
      const CrossEntropyOptions rest{.label_smoothing = smoothing};
      const dt::Var loss = dt::cross_entropy(x, y, options);
      CHECK(value(loss) ==
            doctest::Approx(value(dt::cross_entropy(kept, kept_labels, rest))).epsilon(1e-6));
      const Numbers slope = gradient(loss, x);
      CHECK(slope[2] == 0);
      CHECK(slope[3] == 0);
      const dt::Var nothing = graph.constant(tensor({-100, -100, -100}, dtype));
      CHECK(std::isnan(value(dt::cross_entropy(x, nothing, options))));
      CrossEntropyOptions summed = options;
      summed.reduction = Reduction::sum;
      CHECK(value(dt::cross_entropy(x, nothing, summed)) == 0);
    }
    const dt::Var outside = graph.constant(tensor({1, -1, 0}, dtype));
    CHECK(has(error_of<dt::ValueError>([&] {
                dt::eval(dt::cross_entropy(x, outside, CrossEntropyOptions{.ignore_index = -100}));
              }),
              "label -1 of sample 1"));
  }
}

TEST_CASE("a class that cannot be has no part in the loss where its probability is 0") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({2, 2, -dt::infinity}).reshape({1, 3}));
  const dt::Var q = graph.constant(tensor({0.5, 0.5, 0}).reshape({1, 3}));
  const dt::Var loss = dt::cross_entropy(x, q);
  CHECK(value(loss) == doctest::Approx(std::log(2.0)).epsilon(1e-15));
  check_close(gradient(loss, x), {0, 0, 0}, 1e-15);
  const dt::Var impossible = graph.constant(tensor({0.5, 0.25, 0.25}).reshape({1, 3}));
  CHECK(value(dt::cross_entropy(x, impossible)) == dt::infinity);
}

TEST_CASE("the slope at a sample that is all but certain keeps its digits") {
  for (const dt::DType dtype : {dt::float32, dt::float64})
    for (const std::int64_t size : {2, 70}) {
      dt::Graph graph;
      Numbers row(static_cast<std::size_t>(size), -1000);
      row[0] = 20;
      row[1] = 0;
      const dt::Var x = graph.constant(tensor(row, dtype).reshape({1, size}));
      const dt::Var y = graph.constant(dt::Tensor::of({0}));
      const double tolerance = dtype == dt::float32 ? 1e-6 : 1e-14;
      const double loss = 2.0611536203143808e-9;   // log(1 + e^-20)
      const double slope = 2.0611536181902037e-9;  // 1 / (1 + e^20)
      CHECK(std::abs(value(dt::cross_entropy(x, y)) - loss) <= tolerance * loss);
      const Numbers slopes = gradient(dt::cross_entropy(x, y), x);
      CHECK(std::abs(slopes[0] + slope) <= tolerance * slope);
      CHECK(std::abs(slopes[1] - slope) <= tolerance * slope);
    }
}

TEST_CASE("a loss has the dtype of its logits, whatever that of weights and probabilities") {
  for (const dt::DType dtype : {dt::float32, dt::float64}) {
    dt::Graph graph;
    const dt::DType other = dtype == dt::float32 ? dt::float64 : dt::float32;
    const dt::Var x = graph.constant(dt::zeros({2, 3}, dtype));
    const dt::Var w = graph.constant(dt::ones({3}, other));
    const dt::Var y = graph.constant(dt::zeros({2}, dt::int32));
    const dt::Var q = graph.constant(dt::ones({2, 3}, other));
    for (const dt::Var& targets : {y, q})
      CHECK(dt::cross_entropy(x, targets, CrossEntropyOptions{.weights = w}).dtype() == dtype);
  }
}

TEST_CASE("options that do not fit are refused with what was given") {
  dt::Graph graph;
  const dt::Var x = graph.constant(dt::zeros({4, 3}));
  const dt::Var y = graph.constant(dt::zeros({4}, dt::int64));
  const dt::Var q = graph.constant(dt::zeros({4, 3}));
  const dt::Var two = graph.constant(dt::zeros({2}));
  const std::string smoothing = error_of<dt::ValueError>(
      [&] { dt::cross_entropy(x, y, CrossEntropyOptions{.label_smoothing = 1.5}); });
  CHECK(has(smoothing, "[cross_entropy] label_smoothing is 1.5"));
  CHECK(has(smoothing, "cross_entropy_test.cpp:" + std::to_string(__LINE__ - 2)));
  CHECK(has(error_of<dt::ShapeError>(
                [&] { dt::cross_entropy(x, y, CrossEntropyOptions{.weights = two}); }),
            "the weights have shape (2,)"));
  CHECK(has(error_of<dt::ValueError>(
                [&] { dt::cross_entropy(x, q, CrossEntropyOptions{.ignore_index = 0}); }),
            "ignore_index is of labels"));
  CHECK(has(error_of<dt::ShapeError>([&] {
              dt::cross_entropy(x, graph.constant(dt::zeros({3}, dt::int64)),
                                CrossEntropyOptions{.ignore_index = 0});
            }),
            "labels (3,)"));
}

TEST_CASE("full smoothing leaves a label that cannot be out of it") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({0, 0, -dt::infinity}).reshape({1, 3}));
  const dt::Var y = graph.constant(dt::Tensor::of({2}));
  const dt::Var loss = dt::cross_entropy(x, y, CrossEntropyOptions{.label_smoothing = 1});
  CHECK(value(loss) == dt::infinity);
  const double third = 1.0 / 3;
  check_close(gradient(loss, x), {0.5 - third, 0.5 - third, -third}, 1e-15);
}

TEST_CASE("labels that name no class are refused at every smoothing, with weights too") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({1, 2, 3, 4, 5, 6}).reshape({2, 3}));
  for (const double smoothing : {0.0, 0.1, 1.0})
    for (const std::int64_t bad : {7, 3, -1})
      for (const bool weighted : {false, true})
        for (const bool ignoring : {false, true})
          for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none}) {
            CrossEntropyOptions options{.reduction = reduction, .label_smoothing = smoothing};
            if (weighted) options.weights = graph.constant(tensor({1, 2, 3}));
            if (ignoring) options.ignore_index = -100;
            const dt::Var y = graph.constant(dt::Tensor::of({1, bad}));
            const dt::Var loss = dt::cross_entropy(x, y, options);
            const std::string text = error_of<dt::ValueError>([&] { dt::eval(loss); });
            CAPTURE(text);
            CHECK(has(text, "cross_entropy"));
            CHECK(has(text, "label " + std::to_string(bad)));
          }
}

TEST_CASE("labels of a wrong type are refused with smoothing, too") {
  dt::Graph graph;
  const dt::Var x = graph.constant(dt::zeros({2, 3}));
  const dt::Var y = graph.constant(dt::zeros({2}));
  CHECK(has(error_of<dt::TypeError>(
                [&] { dt::cross_entropy(x, y, CrossEntropyOptions{.label_smoothing = 0.1}); }),
            "[cross_entropy] labels must be int32 or int64"));
}

TEST_CASE("a mean over weights of 0 is NaN, value and slopes") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({1, 2, 3, 4}).reshape({2, 2}));
  const dt::Var y = graph.constant(dt::Tensor::of({0, 0}));
  const dt::Var v = graph.constant(tensor({1, 0, 0, 0}).reshape({2, 2}));
  for (const double smoothing : {0.0, 0.1}) {
    CrossEntropyOptions options{.label_smoothing = smoothing};
    options.weights = graph.constant(tensor({0, 1}));
    const dt::Var loss = dt::cross_entropy(x, y, options);
    CHECK(std::isnan(value(loss)));
    CHECK(std::isnan(value(dt::forward(loss, {x}, {v}))));
    for (const double slope : numbers(dt::eval(dt::reverse(loss, {x})[x])))
      CHECK(std::isnan(slope));
  }
}

TEST_CASE("the slope by a probability of 0 is the loss of its class") {
  for (const dt::DType dtype : {dt::float32, dt::float64}) {
    dt::Graph graph;
    const dt::Var x = graph.constant(tensor({0, 0, 100, -100}, dtype).reshape({2, 2}));
    const dt::Var q = graph.constant(tensor({1, 0, 1, 0}, dtype).reshape({2, 2}));
    const dt::Var loss = dt::cross_entropy(x, q, Reduction::sum);
    check_close(gradient(loss, q), {std::log(2.0), std::log(2.0), 0, 200}, 1e-6);
    const dt::Var one = graph.constant(tensor({0, 1, 0, 0}, dtype).reshape({2, 2}));
    const dt::Var by_q = dt::forward(loss, {q}, {one});
    check_close(gradient(by_q, x), {0.5, -0.5, 0, 0}, 1e-6);
  }
}

TEST_CASE("a weight of 0 takes away a loss that is infinite") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({0, -dt::infinity}).reshape({1, 2}));
  const dt::Var y = graph.constant(dt::Tensor::of({1}));
  const dt::Var q = graph.constant(tensor({0, 1}).reshape({1, 2}));
  CrossEntropyOptions options{.reduction = Reduction::sum};
  options.weights = graph.constant(tensor({1, 0}));
  CHECK(value(dt::cross_entropy(x, y, options)) == 0);
  CHECK(numbers(dt::eval(dt::reverse(dt::cross_entropy(x, y, options), {x})[x])) == Numbers{0, 0});
  CHECK(value(dt::cross_entropy(x, q, options)) == 0);
  options.label_smoothing = 0.5;
  CHECK(value(dt::cross_entropy(x, y, options)) == 0);
  options.weights = graph.constant(tensor({1, 1}));
  CHECK(value(dt::cross_entropy(x, y, options)) == dt::infinity);
}

}  // namespace
