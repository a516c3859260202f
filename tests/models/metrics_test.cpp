#include <dualtape/models/metrics.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <sstream>

#include <dualtape/core/program.hpp>

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
