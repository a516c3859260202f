// Measures of how well a classifier does: accuracy, confusion matrix, means over a stream.
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
double accuracy(const Tensor& logits, const Tensor& labels);
// The same in a graph, a float32 scalar; derivative zero.
Var accuracy(In logits, In labels);

// The rows that are wrong by the same rule, in order: those to look at. `row` counts the labels in
// row-major order. Throws what accuracy does.
struct Misclassified {
  std::int64_t row = 0;
  std::int64_t label = 0;
  std::int64_t predicted = 0;
  friend bool operator==(const Misclassified&, const Misclassified&) = default;
};
std::vector<Misclassified> misclassified(const Tensor& logits, const Tensor& labels);

// Counts of classes: rows are what is true, columns what was predicted.
class ConfusionMatrix {
 public:
  // ValueError for fewer than one class, or if there are names but not one for each class.
  explicit ConfusionMatrix(std::int64_t classes, std::vector<std::string> names = {});

  // `predictions` are logits (..., classes) or int32/int64 class numbers of the labels' shape.
  // Throws ShapeError, TypeError, and ValueError for a class out of range; then nothing was added.
  void add(const Tensor& predictions, const Tensor& labels);

  std::int64_t classes() const { return classes_; }
  std::int64_t count(std::int64_t actual, std::int64_t predicted) const;  // ValueError out of range
  std::int64_t total() const;
  double accuracy() const;                         // NaN while empty, as are the next two
  double recall(std::int64_t actual) const;        // of the class's rows, the share found
  double precision(std::int64_t predicted) const;  // of its predictions, the share right

 private:
  friend std::ostream& operator<<(std::ostream& out, const ConfusionMatrix& matrix);
  std::size_t cell(std::int64_t actual, std::int64_t predicted) const;

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

}  // namespace dualtape
