#include <dualtape/data/scale.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace dualtape {
namespace {

struct Columns {
  std::size_t rows = 0;
  std::size_t width = 0;  // columns a row
};

Columns check(const char* op, const Tensor& inputs, std::size_t least_rank) {
  if (inputs.rank() < least_rank) {
    fail<ShapeError>({.op = op,
                      .what = "inputs must have rank " + std::to_string(least_rank) +
                              " or more, but are " + to_string(inputs.type())});
  }
  if (!is_floating(inputs.dtype())) {
    fail<TypeError>(
        {.op = op,
         .what = "inputs must be float32 or float64, but are " + to_string(inputs.type()),
         .help = "convert them with inputs.to(dualtape::float32)"});
  }
  std::size_t width = 1;
  for (std::size_t axis = 1; axis < inputs.rank(); ++axis) {
    width *= static_cast<std::size_t>(inputs.shape()[axis]);
  }
  return {static_cast<std::size_t>(inputs.shape()[0]), width};
}

// Calls f(T{}) with float or double.
template <class F>
void with_floating(DType dtype, F&& f) {
  if (dtype == DType::float32) {
    f(float{});
  } else {
    f(double{});
  }
}

Shape column_shape(const Tensor& inputs) {
  return Shape(std::span<const std::int64_t>(inputs.shape().sizes().subspan(1)));
}

// Dividing by the largest magnitude first keeps the squares from overflowing.
template <class T>
void normalise_row(std::span<const T> in, std::span<T> out) {
  double largest = 0.0;
  for (const T value : in) largest = std::max(largest, std::abs(static_cast<double>(value)));
  if (largest == 0.0) largest = 1.0;
  double sum = 0.0;
  for (const T value : in) sum += std::pow(static_cast<double>(value) / largest, 2);
  const double norm = std::sqrt(sum);
  for (std::size_t i = 0; i < in.size(); ++i) {
    const auto value = static_cast<double>(in[i]);
    out[i] = static_cast<T>(norm == 0.0 ? value : value / largest / norm);
  }
}

struct Statistics {
  std::vector<double> low, high, mean, deviation;
};

void check_finite(const char* op, double value, std::size_t row, std::size_t column) {
  if (std::isfinite(value)) return;
  fail<ValueError>({.op = op,
                    .what = "row " + std::to_string(row) + ", column " + std::to_string(column) +
                            " (from 0) is " + std::to_string(value),
                    .help = "drop or fill missing values before scaling"});
}

// Two passes: the mean first, then the squares of what is left of it.
template <class T>
Statistics statistics(const char* op, std::span<const T> values, Columns size) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  Statistics result{std::vector<double>(size.width, infinity),
                    std::vector<double>(size.width, -infinity), std::vector<double>(size.width),
                    std::vector<double>(size.width)};
  const auto count = static_cast<double>(size.rows);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto value = static_cast<double>(values[i]);
    const std::size_t column = i % size.width;
    check_finite(op, value, i / size.width, column);
    result.low[column] = std::min(result.low[column], value);
    result.high[column] = std::max(result.high[column], value);
    result.mean[column] += value / count;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t column = i % size.width;
    const double rest = static_cast<double>(values[i]) - result.mean[column];
    result.deviation[column] += rest * rest / count;
  }
  for (std::size_t column = 0; column < size.width; ++column) {
    // Rounding of the mean must not make a constant column look as if it varied.
    const bool constant = result.low[column] == result.high[column];
    result.deviation[column] = constant ? 0.0 : std::sqrt(result.deviation[column]);
  }
  return result;
}

Statistics statistics_of(const char* op, const Tensor& train) {
  const Columns size = check(op, train, 1);
  if (size.rows == 0) {
    fail<ValueError>({.op = op, .what = "there is nothing to fit: the data has no rows"});
  }
  Statistics result;
  with_floating(train.dtype(),
                [&]<class T>(T) { result = statistics<T>(op, train.data<T>(), size); });
  return result;
}

}  // namespace

Tensor normalise_rows(const Tensor& inputs) {
  const Columns size = check("normalise_rows", inputs, 2);
  Tensor result = Tensor::uninitialised(inputs.type());
  with_floating(inputs.dtype(), [&]<class T>(T) {
    const std::span<const T> in = inputs.data<T>();
    const std::span<T> out = result.data<T>();
    for (std::size_t row = 0; row < size.rows; ++row) {
      normalise_row<T>(in.subspan(row * size.width, size.width),
                       out.subspan(row * size.width, size.width));
    }
  });
  return result;
}

Tensor Scaling::apply(const Tensor& inputs) const {
  const Columns size = check("Scaling::apply", inputs, 1);
  if (!(column_shape(inputs) == shift.shape()) || !(width.shape() == shift.shape())) {
    fail<ShapeError>({.op = "Scaling::apply",
                      .what = "inputs are " + to_string(inputs.type()) +
                              ", but a row must have the shape " + to_string(shift.shape()) +
                              " that fit() saw"});
  }
  const std::span<const double> shifts = shift.data<double>();
  const std::span<const double> widths = width.data<double>();
  Tensor result = Tensor::uninitialised(inputs.type());
  with_floating(inputs.dtype(), [&]<class T>(T) {
    const std::span<const T> in = inputs.data<T>();
    const std::span<T> out = result.data<T>();
    for (std::size_t i = 0; i < in.size(); ++i) {
      const std::size_t column = i % size.width;
      const double rest = static_cast<double>(in[i]) - shifts[column];
      out[i] = static_cast<T>(widths[column] > 0.0 ? rest / widths[column] : 0.0);
    }
  });
  return result;
}

MinMax MinMax::fit(const Tensor& train) {
  Statistics found = statistics_of("MinMax::fit", train);
  std::vector<double> width(found.low.size());
  for (std::size_t i = 0; i < width.size(); ++i) width[i] = found.high[i] - found.low[i];
  const Shape shape = column_shape(train);
  return {{Tensor::from(found.low, shape), Tensor::from(width, shape)}};
}

Standardise Standardise::fit(const Tensor& train) {
  const Statistics found = statistics_of("Standardise::fit", train);
  const Shape shape = column_shape(train);
  return {{Tensor::from(found.mean, shape), Tensor::from(found.deviation, shape)}};
}

Tensor min_max(const Tensor& inputs) { return MinMax::fit(inputs).apply(inputs); }
Tensor standardise(const Tensor& inputs) { return Standardise::fit(inputs).apply(inputs); }

}  // namespace dualtape
