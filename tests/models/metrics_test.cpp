#include <dualtape/models/metrics.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <sstream>
#include <string>

#include <dualtape/core/program.hpp>
#include <tests/errors.hpp>

using namespace dualtape;

TEST_CASE("accuracy counts rows whose largest logit stands at the label") {
  const Tensor logits{{0, 2, 1}, {5, 4, 3}, {1, 1, 0}, {-3, -2, -1}};
  const Tensor labels = Tensor::of({1, 1, 0, 2});  // right, wrong, right (first of two), right
  CHECK(accuracy(logits, labels) == 0.75);
  CHECK(accuracy(logits.to(float64), labels.to(int32)) == 0.75);

  Graph g;
  const Var x = g.input("x", {4, 3});
  const Var y = g.input("y", {4}, int64);
  CHECK(eval(accuracy(x, y), {{x, logits}, {y, labels}}).item() == 0.75);
}

TEST_CASE("what is misclassified is listed with its row, its label and the prediction") {
  const Tensor logits{{0, 2, 1}, {5, 4, 3}, {1, 1, 0}, {-3, -2, -1}};
  const Tensor labels = Tensor::of({1, 1, 0, 0});
  CHECK(misclassified(logits, labels) == std::vector<Misclassified>{{1, 1, 0}, {3, 0, 2}});
  CHECK(misclassified(logits, Tensor::of({1, 0, 0, 2})).empty());
  CHECK_THROWS_AS(misclassified(logits, Tensor::of({1})), ShapeError);
  CHECK_THROWS_AS(misclassified(logits, Tensor{1, 0, 0, 2}), TypeError);
}

TEST_CASE("a NaN counts as the largest logit, on tensors as in graphs") {
  const Tensor logits{{9, NAN, 1}, {NAN, 9, NAN}};
  CHECK(accuracy(logits, Tensor::of({1, 0})) == 1);
  CHECK(accuracy(logits, Tensor::of({0, 1})) == 0);
  Graph g;
  CHECK(eval(accuracy(g.constant(logits), Tensor::of({1, 0}))).item() == 1);
}

TEST_CASE("accuracy refuses what does not fit") {
  const Tensor logits{{0, 2, 1}, {5, 4, 3}};
  CHECK_THROWS_AS(accuracy(logits, Tensor::of({1})), ShapeError);
  CHECK_THROWS_AS(accuracy(logits, Tensor{1, 0}), TypeError);
  Graph g;
  const Var x = g.input("x", {2, 3});
  const Var column = g.input("y", {2, 1}, int64);
  CHECK_THROWS_AS(accuracy(x, column), ShapeError);
  CHECK(std::isnan(accuracy(Tensor(Shape{0, 3}), Tensor({0}, int64))));
}

TEST_CASE("a confusion matrix counts pairs of true and predicted classes") {
  ConfusionMatrix matrix(3, {"ant", "bee", "cat"});
  CHECK(std::isnan(matrix.accuracy()));
  // true:      0 0 0 1 1 2
  // predicted: 0 0 1 1 2 2
  matrix.add(Tensor::of({0, 0, 1, 1}), Tensor::of({0, 0, 0, 1}));
  matrix.add(Tensor{{0, 0, 7}, {-2, -3, -1}}, Tensor::of({1, 2}));
  CHECK(matrix.count(0, 0) == 2);
  CHECK(matrix.count(0, 1) == 1);
  CHECK(matrix.count(1, 0) == 0);
  CHECK(matrix.count(1, 1) == 1);
  CHECK(matrix.count(1, 2) == 1);
  CHECK(matrix.count(2, 2) == 1);
  CHECK(matrix.total() == 6);
  CHECK(matrix.accuracy() == doctest::Approx(4.0 / 6));
  CHECK(matrix.recall(0) == doctest::Approx(2.0 / 3));
  CHECK(matrix.precision(1) == doctest::Approx(0.5));

  std::ostringstream out;
  out << matrix;
  CHECK(out.str() ==
        "true\\predicted  ant  bee  cat\n"
        "ant               2    1    0\n"
        "bee               0    1    1\n"
        "cat               0    0    1\n");
}

TEST_CASE("a class out of range adds nothing") {
  ConfusionMatrix matrix(2);
  CHECK_THROWS_AS(matrix.add(Tensor::of({0, 1}), Tensor::of({0, 2})), ValueError);
  CHECK_THROWS_AS(matrix.add(Tensor::of({0, -1}), Tensor::of({0, 1})), ValueError);
  CHECK_THROWS_AS(matrix.add(Tensor::of({0, 1, 1}), Tensor::of({0, 1})), ShapeError);
  CHECK(matrix.total() == 0);
  CHECK_THROWS_AS(matrix.count(0, 2), ValueError);
  CHECK_THROWS_AS(ConfusionMatrix(0), ValueError);
  CHECK_THROWS_AS(ConfusionMatrix(2, {"only one"}), ValueError);
}

TEST_CASE("a running mean weighs its values") {
  RunningMean mean;
  CHECK(std::isnan(mean.mean()));
  mean.add(1, 3);
  mean.add(5);
  CHECK(mean.mean() == 2);
  CHECK(mean.weight() == 4);
  mean.reset();
  CHECK(mean.weight() == 0);
}

TEST_CASE("a label among the k largest logits counts") {
  const Tensor logits{{0.1, 0.4, 0.3, 0.2}, {4, 3, 2, 1}, {1, 1, 1, 1}, {NAN, 5, NAN, 9}};
  const Tensor labels = Tensor::of({3, 3, 1, 1});
  // Ranks of the labels, from 1: 3, 4, 2 (the first of equal ones comes first), 4 (NaN above all).
  CHECK(top_k_accuracy(logits, labels, 1) == 0);
  CHECK(top_k_accuracy(logits, labels, 2) == 0.25);
  CHECK(top_k_accuracy(logits, labels, 3) == 0.5);
  CHECK(top_k_accuracy(logits.to(float64), labels.to(int32), 4) == 1);
  const Tensor plain{{0, 2, 1}, {5, 4, 3}, {1, 1, 0}, {-3, -2, -1}};
  const Tensor right = Tensor::of({1, 1, 0, 2});
  CHECK(top_k_accuracy(plain, right, 1) == accuracy(plain, right));
  CHECK_THROWS_AS(top_k_accuracy(plain, right, 0), ValueError);
  CHECK_THROWS_AS(top_k_accuracy(plain, right, 4), ValueError);
  CHECK_THROWS_AS(top_k_accuracy(plain, Tensor::of({1}), 1), ShapeError);
}

TEST_CASE("precision, recall and F1, of each class and all alike") {
  // true:      0 0 0 0 1 1 2 2 2 3
  // predicted: 0 0 1 2 1 0 2 2 1 2
  ConfusionMatrix matrix(5);
  CHECK(std::isnan(matrix.f1(0)));
  CHECK(std::isnan(matrix.macro_f1()));
  matrix.add(Tensor::of({0, 0, 1, 2, 1, 0, 2, 2, 1, 2}),
             Tensor::of({0, 0, 0, 0, 1, 1, 2, 2, 2, 3}));
  const double precisions[] = {2.0 / 3, 1.0 / 3, 0.5, 0};
  const double recalls[] = {0.5, 0.5, 2.0 / 3, 0};
  double f1 = 0;
  for (std::int64_t c = 0; c < 3; ++c) {
    const double p = precisions[c];
    const double r = recalls[c];
    CHECK(matrix.precision(c) == doctest::Approx(p));
    CHECK(matrix.recall(c) == doctest::Approx(r));
    CHECK(matrix.f1(c) == doctest::Approx(2 * p * r / (p + r)));
    f1 += 2 * p * r / (p + r);
  }
  CHECK(std::isnan(matrix.precision(3)));  // never predicted
  CHECK(matrix.recall(3) == 0);
  CHECK(matrix.f1(3) == 0);
  CHECK(std::isnan(matrix.f1(4)));  // not there at all, and left out of the means
  CHECK(matrix.macro_precision() == doctest::Approx((2.0 / 3 + 1.0 / 3 + 0.5) / 4));
  CHECK(matrix.macro_recall() == doctest::Approx((0.5 + 0.5 + 2.0 / 3) / 4));
  CHECK(matrix.macro_f1() == doctest::Approx(f1 / 4));
  matrix.reset();
  CHECK(matrix.total() == 0);
}

TEST_CASE("perplexity counts equally likely choices") {
  CHECK(perplexity(std::log(50.0)) == doctest::Approx(50));
  CHECK(perplexity(0) == 1);
}

TEST_CASE("a fading mean forgets at its rate and starts without bias") {
  FadingMean mean(0.75);
  CHECK(std::isnan(mean.mean()));
  mean.add(8);
  CHECK(mean.mean() == 8);
  mean.add(1);
  // Weights 0.75 and 1.
  CHECK(mean.mean() == doctest::Approx((0.75 * 8 + 1) / 1.75));
  for (int i = 0; i < 200; ++i) mean.add(3);
  CHECK(mean.mean() == doctest::Approx(3));
  mean.reset();
  CHECK(std::isnan(mean.mean()));
  CHECK_THROWS_AS(FadingMean(1), ValueError);

  RunningMean first;
  first.add(0.1, 3);
  RunningMean second(first.sum(), first.weight());
  first.add(0.7);
  second.add(0.7);
  CHECK(first.mean() == second.mean());
}

TEST_CASE("errors of regressions and the coefficient of determination") {
  const auto numbers = [](const std::vector<double>& values, Shape shape) {
    return Tensor::from(values, std::move(shape));
  };
  const Tensor y = numbers({3, -0.5, 2, 7}, Shape{4});
  const Tensor p = numbers({2.5, 0, 2, 8}, Shape{4});
  CHECK(mae(p, y) == 0.5);
  CHECK(mse(p, y) == 0.375);
  // The mean is 2.875; the squares around it sum to 29.1875, the errors' to 1.5.
  CHECK(r2(p, y) == doctest::Approx(1 - 1.5 / 29.1875).epsilon(1e-15));
  CHECK(r2(y, y) == 1);
  CHECK(r2(full(Shape{4}, 2.875, float64), y) == 0);
  CHECK(r2(full(Shape{4}, 10.0, float64), y) < 0);
  // Columns count alike: 1 and 0.
  const Tensor two = numbers({1, 5, 2, 7}, Shape{2, 2});
  CHECK(r2(numbers({1, 6, 2, 6}, Shape{2, 2}), two) == 0.5);
  // Equal labels, as scikit-learn.
  const Tensor equal = full(Shape{3}, 0.1, float64);
  CHECK(r2(equal, equal) == 1);
  CHECK(r2(full(Shape{3}, 0.2, float64), equal) == 0);
  CHECK(std::isnan(r2(numbers({NAN, 0.1, 0.1}, Shape{3}), equal)));
  CHECK(std::isnan(r2(numbers({1}, Shape{1}), numbers({1}, Shape{1}))));
  CHECK(std::isnan(mae(numbers({}, Shape{0}), numbers({}, Shape{0}))));
  CHECK(mae(Tensor::of({1, 5}), Tensor::of({2, 3})) == 1.5);
  CHECK_THROWS_AS(mse(p, y.reshape({4, 1})), ShapeError);  // (4, 4) differences
  CHECK_THROWS_AS(mae(zeros({2}, boolean), zeros({2}, boolean)), TypeError);
}

TEST_CASE("a confusion matrix that no memory holds is refused before memory is asked for") {
  for (const std::int64_t classes :
       {std::int64_t{0}, std::int64_t{-1}, std::int64_t{32769}, std::int64_t{1} << 31U,
        std::int64_t{1} << 32U, (std::int64_t{1} << 32U) + 1, std::int64_t{1} << 62U,
        std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min()}) {
    CAPTURE(classes);
    const std::string text =
        testing::error_of<ValueError>([&] { ConfusionMatrix matrix(classes); });
    CHECK(testing::has(text, std::to_string(classes)));
    CHECK(testing::has(text, "metrics_test.cpp:"));
  }
  CHECK(ConfusionMatrix(300).total() == 0);
}

TEST_CASE("a ConfusionMatrix that was moved from has no classes") {
  ConfusionMatrix matrix(2);
  matrix.add(Tensor::of({0, 1}), Tensor::of({0, 1}));
  const ConfusionMatrix kept = std::move(matrix);
  CHECK(kept.accuracy() == 1);
  CHECK(matrix.classes() == 0);  // NOLINT(bugprone-use-after-move)
  CHECK(matrix.total() == 0);
  CHECK(std::isnan(matrix.accuracy()));
  CHECK(std::isnan(matrix.macro_f1()));
  CHECK_THROWS_AS(matrix.count(1, 1), ValueError);
  CHECK_THROWS_AS(matrix.recall(1), ValueError);
  CHECK_THROWS_AS(matrix.add(Tensor::of({0}), Tensor::of({0})), ValueError);
  matrix.reset();
  matrix = kept;
  CHECK(matrix.accuracy() == 1);
}

TEST_CASE("errors of metrics name the user's line") {
  const Tensor logits{{0, 2, 1}, {5, 4, 3}};
  const Tensor few = Tensor::of({1});
  const Tensor labels = Tensor::of({1, 3});
  ConfusionMatrix matrix(2);
  const auto told = [](const auto& act) {
    const std::string text = testing::error_of<Error>(act);
    CHECK(testing::has(text, "metrics_test.cpp:"));
    CHECK(testing::has(text, "\n  try: "));
  };
  told([&] { accuracy(logits, few); });
  told([&] { misclassified(logits, few); });
  told([&] { mae(logits, few); });
  told([&] { mse(logits, few); });
  told([&] { r2(logits, few); });
  told([&] { r2(ones({2}, boolean), ones({2})); });
  told([&] { matrix.add(logits, labels); });
  told([&] { matrix.add(logits, few); });
  told([&] { matrix.count(0, 2); });
  told([&] { matrix.recall(-1); });
  told([&] { matrix.precision(2); });
  told([&] { matrix.f1(2); });
}
