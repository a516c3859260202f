// Measures of how well a classifier or a regression does: accuracy, confusion matrix, mean errors,
// means over a stream.
// The functions on Tensors may be called from any thread; an object is for one thread at a time.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include <dualtape/core/graph.hpp>

namespace dualtape {

// The share of rows whose largest logit stands at the label (the first of several largest; a NaN
// counts as largest): logits (..., C), labels (...) of int32 or int64. NaN of no rows. Throws
// ShapeError or TypeError where they do not fit.
double accuracy(const Tensor& logits, const Tensor& labels, Location where = Location::current());
// The same in a graph, a float32 scalar; derivative zero.
Var accuracy(In logits, In labels);

// The share of rows whose label is among the k largest logits (the first of equal ones; NaN above
// all). Throws what accuracy does, and ValueError unless k is in 1 .. C.
double top_k_accuracy(const Tensor& logits, const Tensor& labels, std::int64_t k,
                      Location where = Location::current());

// e to a mean cross-entropy in nats: how many equally likely choices would be as hard.
double perplexity(double mean_cross_entropy);

// Of predictions and what they should be, numbers of one shape: the mean of |p - y| and of
// (p - y)^2, summed in float64; NaN of none. Throw ShapeError where the shapes differ, which
// broadcasting would hide, and TypeError for booleans.
double mae(const Tensor& predictions, const Tensor& labels, Location where = Location::current());
double mse(const Tensor& predictions, const Tensor& labels, Location where = Location::current());
// The coefficient of determination, 1 - sum (p - y)^2 / sum (y - mean y)^2: 1 for perfect
// predictions, 0 for those no better than the mean. Of several columns (positions of the axes after
// the first) the mean. A column of equal labels counts 1 if it is predicted without an error, else
// 0, as in scikit-learn; NaN of fewer than two rows. Throws what mae does.
double r2(const Tensor& predictions, const Tensor& labels, Location where = Location::current());

// The rows that are wrong by the same rule, in order: those to look at. `row` counts the labels in
// row-major order. Throws what accuracy does.
struct Misclassified {
  std::int64_t row = 0;
  std::int64_t label = 0;
  std::int64_t predicted = 0;
  friend bool operator==(const Misclassified&, const Misclassified&) = default;
};
std::vector<Misclassified> misclassified(const Tensor& logits, const Tensor& labels,
                                         Location where = Location::current());

// Counts of classes: rows are what is true, columns what was predicted.
class ConfusionMatrix {
 public:
  // ValueError for fewer than one class or more than 32768, whose counts would take 8 GiB and more,
  // or if there are names but not one for each class.
  explicit ConfusionMatrix(std::int64_t classes, std::vector<std::string> names = {},
                           Location where = Location::current());
  ConfusionMatrix(const ConfusionMatrix&) = default;
  ConfusionMatrix& operator=(const ConfusionMatrix&) = default;
  ConfusionMatrix(ConfusionMatrix&& other) noexcept;  // leaves `other` without classes
  ConfusionMatrix& operator=(ConfusionMatrix&& other) noexcept;
  ~ConfusionMatrix() = default;

  // `predictions` are logits (..., classes) or int32/int64 class numbers of the labels' shape.
  // Throws ShapeError, TypeError, and ValueError for a class out of range; then nothing was added.
  void add(const Tensor& predictions, const Tensor& labels, Location where = Location::current());

  std::int64_t classes() const { return classes_; }
  // ValueError for a class out of range, as are those of recall, precision and f1.
  std::int64_t count(std::int64_t actual, std::int64_t predicted,
                     Location where = Location::current()) const;
  std::int64_t total() const;
  double accuracy() const;  // NaN while empty, as are the next two
  // Of the class's rows, the share found.
  double recall(std::int64_t actual, Location where = Location::current()) const;
  // Of its predictions, the share right.
  double precision(std::int64_t predicted, Location where = Location::current()) const;
  // 2 TP / (2 TP + FP + FN), the harmonic mean of the two; NaN for a class that is neither there
  // nor predicted.
  double f1(std::int64_t of, Location where = Location::current()) const;
  // Means over the classes that are there or predicted, all alike; where one of these has no
  // precision or no recall, it counts as 0, as scikit-learn does. NaN while empty.
  double macro_precision() const;
  double macro_recall() const;
  double macro_f1() const;
  void reset();

 private:
  friend std::ostream& operator<<(std::ostream& out, const ConfusionMatrix& matrix);
  std::size_t cell(std::int64_t actual, std::int64_t predicted, Location where) const;
  std::int64_t actual_count(std::int64_t of) const;
  std::int64_t predicted_count(std::int64_t of) const;
  double macro(double (ConfusionMatrix::*measure)(std::int64_t, Location) const) const;

  std::int64_t classes_;
  std::vector<std::string> names_;
  std::vector<std::int64_t> counts_;  // row-major
};
// A table with the classes' names or numbers, rows for the true classes.
std::ostream& operator<<(std::ostream& out, const ConfusionMatrix& matrix);

// The mean of what was added, each value with its weight; summed in float64.
class RunningMean {
 public:
  RunningMean() = default;
  RunningMean(double sum, double weight) : sum_(sum), weight_(weight) {}  // going on from there
  void add(double value, double weight = 1) {
    sum_ += value * weight;
    weight_ += weight;
  }
  double mean() const { return sum_ / weight_; }  // NaN while empty
  double weight() const { return weight_; }
  double sum() const { return sum_; }  // of values times weights
  void reset() { *this = {}; }

 private:
  double sum_ = 0;
  double weight_ = 0;
};

// The mean that forgets: each value counts (1 - decay) and all before it decay as much, with the
// start's bias taken out as Adam does (Kingma and Ba, ICLR 2015, section 3).
class FadingMean {
 public:
  // ValueError unless decay is in [0, 1).
  explicit FadingMean(double decay = 0.99, Location where = Location::current());
  void add(double value) {
    sum_ = decay_ * sum_ + (1 - decay_) * value;
    weight_ = decay_ * weight_ + (1 - decay_);
  }
  double mean() const { return sum_ / weight_; }  // NaN while empty
  void reset() { sum_ = weight_ = 0; }

 private:
  double decay_;
  double sum_ = 0;
  double weight_ = 0;
};

}  // namespace dualtape
