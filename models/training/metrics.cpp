#include <dualtape/models/metrics.hpp>

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <limits>
#include <numeric>
#include <type_traits>
#include <utility>

#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/extremes.hpp>
#include <dualtape/ops/moments.hpp>

namespace dualtape {
namespace {

double share(std::int64_t part, std::int64_t whole) {
  if (whole == 0) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(part) / static_cast<double>(whole);
}

void check_labels(std::string_view op, const Tensor& labels, Location where) {
  if (is_integer(labels.dtype())) return;
  fail<TypeError>({.op = op,
                   .what = "labels must be int32 or int64, got " + to_string(labels.type()),
                   .where = where,
                   .help = "class numbers, as of labels.to(dt::int64)"});
}

void check_logits(std::string_view op, const Type& logits, const Type& labels, Location where) {
  const Shape& shape = logits.shape;
  const bool fits = shape.rank() == labels.shape.rank() + 1 && shape.back() > 0 &&
                    std::equal(labels.shape.begin(), labels.shape.end(), shape.begin());
  if (fits) return;
  fail<ShapeError>(
      {.op = op,
       .what = "logits " + to_string(shape) + " do not fit labels " + to_string(labels.shape),
       .where = where,
       .help = "logits are (..., classes) and labels (...)"});
}

// std::isnan takes no integers.
template <class T>
bool is_nan(T value) {
  if constexpr (std::is_floating_point_v<T>) return std::isnan(value);
  return false;
}

// Whether the first comes before the second, from the largest on.
template <class T>
bool larger(T value, T than) {
  return value > than || (is_nan(value) && !is_nan(than));
}

template <class T>
std::vector<std::int64_t> largest_of_rows(const Tensor& logits) {
  const auto values = logits.data<T>();
  const auto classes = static_cast<std::size_t>(logits.shape().back());
  std::vector<std::int64_t> classes_of;
  for (std::size_t row = 0; row < values.size(); row += classes) {
    std::size_t best = 0;
    for (std::size_t c = 1; c < classes; ++c) {
      if (larger(values[row + c], values[row + best])) best = c;
    }
    classes_of.push_back(static_cast<std::int64_t>(best));
  }
  return classes_of;
}

std::vector<std::int64_t> as_classes(const Tensor& numbers) {
  const Tensor wide = numbers.to(int64);
  const auto values = std::as_const(wide).data<std::int64_t>();
  return {values.begin(), values.end()};
}

std::vector<std::int64_t> predicted_classes(std::string_view op, const Tensor& logits,
                                            const Tensor& labels, Location where) {
  check_labels(op, labels, where);
  check_logits(op, logits.type(), labels.type(), where);
  return dispatch(logits.dtype(), [&]<class T>() { return largest_of_rows<T>(logits); });
}

std::string name_of_class(const std::vector<std::string>& names, std::int64_t number) {
  return names.empty() ? std::to_string(number) : names[static_cast<std::size_t>(number)];
}

}  // namespace

double accuracy(const Tensor& logits, const Tensor& labels, Location where) {
  const std::vector<std::int64_t> found = predicted_classes("accuracy", logits, labels, where);
  const std::vector<std::int64_t> wanted = as_classes(labels);
  std::int64_t right = 0;
  for (std::size_t i = 0; i < found.size(); ++i) right += found[i] == wanted[i] ? 1 : 0;
  return share(right, labels.count());
}

double top_k_accuracy(const Tensor& logits, const Tensor& labels, std::int64_t k, Location where) {
  check_labels("top_k_accuracy", labels, where);
  check_logits("top_k_accuracy", logits.type(), labels.type(), where);
  const std::int64_t classes = logits.shape().back();
  if (k < 1 || k > classes)
    fail<ValueError>(
        {.op = "top_k_accuracy",
         .what = "k is " + std::to_string(k) + ", but must be within 1.." + std::to_string(classes),
         .where = where});
  const std::vector<std::int64_t> wanted = as_classes(labels);
  const std::int64_t right = dispatch(logits.dtype(), [&]<class T>() {
    const auto values = logits.data<T>();
    std::int64_t found = 0;
    for (std::size_t row = 0; row < wanted.size(); ++row) {
      if (wanted[row] < 0 || wanted[row] >= classes) continue;
      const auto logit = values.subspan(row * static_cast<std::size_t>(classes),
                                        static_cast<std::size_t>(classes));
      const auto own = static_cast<std::size_t>(wanted[row]);
      std::int64_t before = 0;
      for (std::size_t c = 0; c < logit.size(); ++c)
        if (larger(logit[c], logit[own]) || (c < own && !larger(logit[own], logit[c]))) ++before;
      found += before < k ? 1 : 0;
    }
    return found;
  });
  return share(right, labels.count());
}

namespace {

// Both as float64.
struct Pair {
  Pair(std::string_view op, const Tensor& predictions, const Tensor& labels, Location where) {
    for (const Tensor* one : {&predictions, &labels})
      if (one->dtype() == boolean)
        fail<TypeError>({.op = op,
                         .what = "these are no numbers: " + to_string(one->type()),
                         .where = where,
                         .help = "cast them, as in labels.to(dt::float32)"});
    if (predictions.shape() != labels.shape())
      fail<ShapeError>({.op = op,
                        .what = "predictions " + to_string(predictions.shape()) + " and labels " +
                                to_string(labels.shape()) + " differ",
                        .where = where,
                        .help = "give both one shape; reshape (n,) to (n, 1) or the other way"});
    p = predictions.to(float64);
    y = labels.to(float64);
  }
  template <class Of>
  double mean(const Of& of) const {
    RunningMean all;
    const auto ps = std::as_const(p).data<double>();
    const auto ys = std::as_const(y).data<double>();
    for (std::size_t i = 0; i < ps.size(); ++i) all.add(of(ps[i] - ys[i]));
    return all.mean();
  }
  Tensor p;
  Tensor y;
};

// r2 of column `column` of `width`.
double r2_of_column(const Pair& pair, std::size_t column, std::size_t width) {
  const auto p = std::as_const(pair.p).data<double>();
  const auto y = std::as_const(pair.y).data<double>();
  RunningMean mean;
  for (std::size_t i = column; i < y.size(); i += width) mean.add(y[i]);
  double rest = 0;
  double spread = 0;
  bool constant = true;  // which the rounding of the mean must not hide
  for (std::size_t i = column; i < y.size(); i += width) {
    rest += (p[i] - y[i]) * (p[i] - y[i]);
    spread += (y[i] - mean.mean()) * (y[i] - mean.mean());
    constant = constant && y[i] == y[column];
  }
  if (!constant) return 1 - rest / spread;
  return rest == 0 ? 1 : std::isnan(rest) ? rest : 0;
}

}  // namespace

double mae(const Tensor& predictions, const Tensor& labels, Location where) {
  return Pair("mae", predictions, labels, where).mean([](double d) { return std::abs(d); });
}

double mse(const Tensor& predictions, const Tensor& labels, Location where) {
  return Pair("mse", predictions, labels, where).mean([](double d) { return d * d; });
}

double r2(const Tensor& predictions, const Tensor& labels, Location where) {
  const Pair pair("r2", predictions, labels, where);
  const bool rows = pair.y.rank() > 0 && pair.y.size(0) > 1 && pair.y.count() > 0;
  if (!rows) return std::numeric_limits<double>::quiet_NaN();
  const auto width = static_cast<std::size_t>(pair.y.count() / pair.y.size(0));
  RunningMean all;
  for (std::size_t column = 0; column < width; ++column) all.add(r2_of_column(pair, column, width));
  return all.mean();
}

double perplexity(double mean_cross_entropy) { return std::exp(mean_cross_entropy); }

FadingMean::FadingMean(double decay, Location where) : decay_(decay) {
  if (!(decay >= 0 && decay < 1))
    fail<ValueError>({.op = "FadingMean",
                      .what = "decay is " + std::to_string(decay) + ", but must be in [0, 1)",
                      .where = where});
}

std::vector<Misclassified> misclassified(const Tensor& logits, const Tensor& labels,
                                         Location where) {
  const std::vector<std::int64_t> found = predicted_classes("misclassified", logits, labels, where);
  const std::vector<std::int64_t> wanted = as_classes(labels);
  std::vector<Misclassified> wrong;
  for (std::size_t i = 0; i < found.size(); ++i)
    if (found[i] != wanted[i]) wrong.push_back({static_cast<std::int64_t>(i), wanted[i], found[i]});
  return wrong;
}

Var accuracy(In logits, In labels) {
  const Var found = argmax(logits, -1);
  // Without this (N,) against (N, 1) would broadcast to a number that means nothing.
  if (labels.form() == In::Form::var && labels.var().shape() != found.shape())
    fail<ShapeError>({.op = "accuracy",
                      .label = labels.var().label(),
                      .what = "labels " + to_string(labels.var().shape()) +
                              " do not fit predictions " + to_string(found.shape()),
                      .where = logits.where(),
                      .help = "logits are (..., classes) and labels (...)"});
  return mean(cast(equal(found, labels), float32));
}

ConfusionMatrix::ConfusionMatrix(std::int64_t classes, std::vector<std::string> names,
                                 Location where)
    : classes_(classes), names_(std::move(names)) {
  constexpr std::int64_t most = std::int64_t{1} << 15U;
  if (classes < 1 || classes > most)
    fail<ValueError>(
        {.op = "ConfusionMatrix",
         .what = "needs 1 to " + std::to_string(most) + " classes, got " + std::to_string(classes),
         .where = where,
         .help = "it counts each class against each; gather rare classes in one"});
  if (!names_.empty() && static_cast<std::int64_t>(names_.size()) != classes)
    fail<ValueError>({.op = "ConfusionMatrix",
                      .what = std::to_string(names_.size()) + " names for " +
                              std::to_string(classes) + " classes",
                      .where = where,
                      .help = "name each class, or none"});
  counts_.resize(static_cast<std::size_t>(classes * classes));
}

ConfusionMatrix::ConfusionMatrix(ConfusionMatrix&& other) noexcept
    : classes_(std::exchange(other.classes_, 0)),
      names_(std::exchange(other.names_, {})),
      counts_(std::exchange(other.counts_, {})) {}
ConfusionMatrix& ConfusionMatrix::operator=(ConfusionMatrix&& other) noexcept {
  classes_ = std::exchange(other.classes_, 0);
  names_ = std::exchange(other.names_, {});
  counts_ = std::exchange(other.counts_, {});
  return *this;
}

std::size_t ConfusionMatrix::cell(std::int64_t actual, std::int64_t predicted,
                                  Location where) const {
  for (const std::int64_t number : {actual, predicted})
    if (number < 0 || number >= classes_)
      fail<ValueError>({.op = "ConfusionMatrix",
                        .what = "class " + std::to_string(number) + " is not within 0.." +
                                std::to_string(classes_ - 1),
                        .where = where,
                        .help = "classes count from 0; make the matrix of more of them"});
  return static_cast<std::size_t>(actual * classes_ + predicted);
}

void ConfusionMatrix::add(const Tensor& predictions, const Tensor& labels, Location where) {
  check_labels("ConfusionMatrix", labels, where);
  const bool numbers = is_integer(predictions.dtype()) && predictions.shape() == labels.shape();
  const std::vector<std::int64_t> found =
      numbers ? as_classes(predictions)
              : predicted_classes("ConfusionMatrix", predictions, labels, where);
  const std::vector<std::int64_t> wanted = as_classes(labels);
  std::vector<std::size_t> cells;
  for (std::size_t i = 0; i < found.size(); ++i) cells.push_back(cell(wanted[i], found[i], where));
  for (const std::size_t place : cells) ++counts_[place];
}

std::int64_t ConfusionMatrix::count(std::int64_t actual, std::int64_t predicted,
                                    Location where) const {
  return counts_[cell(actual, predicted, where)];
}

std::int64_t ConfusionMatrix::total() const {
  return std::accumulate(counts_.begin(), counts_.end(), std::int64_t{0});
}

double ConfusionMatrix::accuracy() const {
  std::int64_t right = 0;
  for (std::int64_t c = 0; c < classes_; ++c) right += count(c, c);
  return share(right, total());
}

std::int64_t ConfusionMatrix::actual_count(std::int64_t of) const {
  std::int64_t all = 0;
  for (std::int64_t c = 0; c < classes_; ++c) all += count(of, c);
  return all;
}

std::int64_t ConfusionMatrix::predicted_count(std::int64_t of) const {
  std::int64_t all = 0;
  for (std::int64_t c = 0; c < classes_; ++c) all += count(c, of);
  return all;
}

double ConfusionMatrix::recall(std::int64_t actual, Location where) const {
  const std::int64_t found = count(actual, actual, where);
  return share(found, actual_count(actual));
}

double ConfusionMatrix::precision(std::int64_t predicted, Location where) const {
  const std::int64_t right = count(predicted, predicted, where);
  return share(right, predicted_count(predicted));
}

double ConfusionMatrix::f1(std::int64_t of, Location where) const {
  const std::int64_t right = count(of, of, where);
  return share(2 * right, actual_count(of) + predicted_count(of));
}

double ConfusionMatrix::macro(double (ConfusionMatrix::*measure)(std::int64_t, Location)
                                  const) const {
  double sum = 0;
  std::int64_t there = 0;
  for (std::int64_t c = 0; c < classes_; ++c) {
    if (actual_count(c) + predicted_count(c) == 0) continue;
    ++there;
    const double value = (this->*measure)(c, {});
    if (!std::isnan(value)) sum += value;
  }
  return sum / static_cast<double>(there);
}

double ConfusionMatrix::macro_precision() const { return macro(&ConfusionMatrix::precision); }
double ConfusionMatrix::macro_recall() const { return macro(&ConfusionMatrix::recall); }
double ConfusionMatrix::macro_f1() const { return macro(&ConfusionMatrix::f1); }

void ConfusionMatrix::reset() { std::ranges::fill(counts_, 0); }

std::ostream& operator<<(std::ostream& out, const ConfusionMatrix& matrix) {
  const std::string corner = "true\\predicted";
  std::size_t first = corner.size();
  std::size_t width = 1;
  for (std::int64_t c = 0; c < matrix.classes_; ++c) {
    first = std::max(first, name_of_class(matrix.names_, c).size());
    width = std::max(width, name_of_class(matrix.names_, c).size());
  }
  for (const std::int64_t count : matrix.counts_)
    width = std::max(width, std::to_string(count).size());
  const auto wide = static_cast<int>(width) + 2;
  out << std::left << std::setw(static_cast<int>(first)) << corner << std::right;
  for (std::int64_t c = 0; c < matrix.classes_; ++c)
    out << std::setw(wide) << name_of_class(matrix.names_, c);
  out << '\n';
  for (std::int64_t row = 0; row < matrix.classes_; ++row) {
    out << std::left << std::setw(static_cast<int>(first)) << name_of_class(matrix.names_, row)
        << std::right;
    for (std::int64_t c = 0; c < matrix.classes_; ++c)
      out << std::setw(wide) << matrix.count(row, c);
    out << '\n';
  }
  return out;
}

}  // namespace dualtape
