#include <dualtape/data/scale.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

namespace dualtape {
namespace {

struct Columns {
  std::size_t rows = 0;
  std::size_t width = 0;  // columns a row
};

Columns check(const char* op, const Tensor& inputs, std::size_t least_rank, Location where) {
  if (inputs.rank() < least_rank) {
    fail<ShapeError>({.op = op,
                      .what = "inputs must have rank " + std::to_string(least_rank) +
                              " or more, but are " + to_string(inputs.type()),
                      .where = where,
                      .help = "rows come first: give a shape (n, ...), for one row (1, ...)"});
  }
  if (!is_floating(inputs.dtype())) {
    fail<TypeError>(
        {.op = op,
         .what = "inputs must be float32 or float64, but are " + to_string(inputs.type()),
         .where = where,
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

void check_finite(const char* op, double value, std::size_t row, std::size_t column,
                  Location where) {
  if (std::isfinite(value)) return;
  fail<ValueError>({.op = op,
                    .what = "row " + std::to_string(row) + ", column " + std::to_string(column) +
                            " (from 0) is " + std::to_string(value),
                    .where = where,
                    .help = "drop or fill missing values before scaling"});
}

// Numbers of a column whose differences no double holds cannot be scaled.
void check_apart(const char* op, double width, std::size_t column, const Statistics& found,
                 Location where) {
  if (std::isfinite(width)) return;
  std::ostringstream what;
  what << "column " << column << " (from 0) goes from " << found.low[column] << " to "
       << found.high[column] << ", too far apart for float64";
  fail<ValueError>({.op = op,
                    .what = what.str(),
                    .where = where,
                    .help = "divide the column by a large number first"});
}

// Two passes: the mean first, then the squares of what is left of it.
template <class T>
Statistics statistics(const char* op, std::span<const T> values, Columns size, Location where) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  Statistics result{std::vector<double>(size.width, infinity),
                    std::vector<double>(size.width, -infinity), std::vector<double>(size.width),
                    std::vector<double>(size.width)};
  const auto count = static_cast<double>(size.rows);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto value = static_cast<double>(values[i]);
    const std::size_t column = i % size.width;
    check_finite(op, value, i / size.width, column, where);
    result.low[column] = std::min(result.low[column], value);
    result.high[column] = std::max(result.high[column], value);
    result.mean[column] += value / count;
  }
  // Squares of what is left are taken of numbers near 1, so that they neither overflow nor vanish;
  // by powers of two, which round nothing.
  std::vector<int> exponent(size.width);
  for (std::size_t column = 0; column < size.width; ++column) {
    const double most = std::max(result.high[column] - result.mean[column],
                                 result.mean[column] - result.low[column]);
    check_apart(op, most, column, result, where);
    exponent[column] = most > 0 ? std::ilogb(most) : 0;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t column = i % size.width;
    const double rest =
        std::scalbn(static_cast<double>(values[i]) - result.mean[column], -exponent[column]);
    result.deviation[column] += rest * rest / count;
  }
  for (std::size_t column = 0; column < size.width; ++column) {
    // Rounding of the mean must not make a constant column look as if it varied.
    const bool constant = result.low[column] == result.high[column];
    result.deviation[column] =
        constant ? 0.0 : std::scalbn(std::sqrt(result.deviation[column]), exponent[column]);
  }
  return result;
}

Statistics statistics_of(const char* op, const Tensor& train, Location where) {
  const Columns size = check(op, train, 1, where);
  if (size.rows == 0) {
    fail<ValueError>({.op = op,
                      .what = "there is nothing to fit: the data has no rows",
                      .where = where,
                      .help = "give at least one row"});
  }
  Statistics result;
  with_floating(train.dtype(),
                [&]<class T>(T) { result = statistics<T>(op, train.data<T>(), size, where); });
  return result;
}

}  // namespace

Tensor normalise_rows(const Tensor& inputs, Location where) {
  const Columns size = check("normalise_rows", inputs, 2, where);
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

namespace {

// of(x, shift, width) of each element, in float64.
template <class Of>
Tensor each(const char* op, const Scaling& scaling, const Tensor& inputs, Location where,
            const Of& of) {
  const Columns size = check(op, inputs, 1, where);
  if (scaling.shift.dtype() != float64 || scaling.width.dtype() != float64)
    fail<ValueError>(
        {.op = op,
         .what = "this Scaling was not fitted: its shift and width are no float64 numbers",
         .where = where,
         .help = "use what Standardise::fit(train), MinMax::fit(train) or "
                 "Scaling::from_state() returns"});
  if (!(column_shape(inputs) == scaling.shift.shape()) ||
      !(scaling.width.shape() == scaling.shift.shape())) {
    fail<ShapeError>({.op = op,
                      .what = "inputs are " + to_string(inputs.type()) +
                              ", but a row must have the shape " +
                              to_string(scaling.shift.shape()) + " that fit() saw",
                      .where = where,
                      .help = "give rows with the columns of the data it was fitted to"});
  }
  const std::span<const double> shifts = scaling.shift.data<double>();
  const std::span<const double> widths = scaling.width.data<double>();
  Tensor result = Tensor::uninitialised(inputs.type());
  with_floating(inputs.dtype(), [&]<class T>(T) {
    const std::span<const T> in = inputs.data<T>();
    const std::span<T> out = result.data<T>();
    for (std::size_t i = 0; i < in.size(); ++i) {
      const std::size_t column = i % size.width;
      out[i] = static_cast<T>(of(static_cast<double>(in[i]), shifts[column], widths[column]));
    }
  });
  return result;
}

}  // namespace

Tensor Scaling::apply(const Tensor& inputs, Location where) const {
  return each("Scaling::apply", *this, inputs, where, [](double x, double from, double size) {
    return size > 0.0 ? (x - from) / size : 0.0;
  });
}

Tensor Scaling::invert(const Tensor& scaled, Location where) const {
  return each("Scaling::invert", *this, scaled, where, [](double x, double from, double size) {
    return size > 0.0 ? x * size + from : from;
  });
}

std::vector<NamedTensor> Scaling::state(const std::string& name) const {
  return {{name + ".shift", shift}, {name + ".width", width}};
}

namespace {

std::string names_of(const std::vector<NamedTensor>& state) {
  constexpr std::size_t most = 200;
  std::string names;
  for (const NamedTensor& named : state) {
    if (names.size() > most) return names + ", ...";
    names.append(names.empty() ? "'" : ", '").append(named.name).append("'");
  }
  return names.empty() ? "nothing" : names;
}

}  // namespace

Scaling Scaling::from_state(const std::vector<NamedTensor>& state, const std::string& name,
                            Location where) {
  const auto find = [&](const std::string& full) {
    const auto found = std::ranges::find(state, full, &NamedTensor::name);
    if (std::ranges::count(state, full, &NamedTensor::name) > 1)
      fail<ValueError>({.op = "Scaling::from_state",
                        .label = full,
                        .what = "the state has '" + full + "' more than once",
                        .where = where,
                        .help = "give one scaling's state, or each a name of its own"});
    if (found != state.end() && found->tensor.dtype() == float64) return found->tensor.copy();
    fail<ValueError>(
        {.op = "Scaling::from_state",
         .label = full,
         .what = "the state has " +
                 (found == state.end() ? "no '" + full + "' (it has " + names_of(state) + ")"
                                       : "'" + full + "' as " + to_string(found->tensor.type())) +
                 ", but float64 numbers are needed",
         .where = where,
         .help = "give what state() of that name returned"});
  };
  const auto check = [&](const std::string& full, const Tensor& tensor, double least) {
    const auto values = tensor.data<double>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (std::isfinite(values[i]) && values[i] >= least) continue;
      fail<ValueError>({.op = "Scaling::from_state",
                        .label = full,
                        .what = "element " + std::to_string(i) + " of '" + full + "' is " +
                                std::to_string(values[i]) + ", which no fit() gives",
                        .where = where,
                        .help = "restore from a file that is whole"});
    }
  };
  const Scaling found{find(name + ".shift"), find(name + ".width")};
  check(name + ".shift", found.shift, std::numeric_limits<double>::lowest());
  check(name + ".width", found.width, 0);
  if (found.shift.shape() == found.width.shape()) return found;
  fail<ValueError>({.op = "Scaling::from_state",
                    .label = name,
                    .what = "shift " + to_string(found.shift.shape()) + " and width " +
                            to_string(found.width.shape()) + " differ",
                    .where = where,
                    .help = "give what state() of that name returned"});
}

MinMax MinMax::fit(const Tensor& train, Location where) {
  Statistics found = statistics_of("MinMax::fit", train, where);
  std::vector<double> width(found.low.size());
  for (std::size_t i = 0; i < width.size(); ++i) {
    width[i] = found.high[i] - found.low[i];
    check_apart("MinMax::fit", width[i], i, found, where);
  }
  const Shape shape = column_shape(train);
  return {{Tensor::from(found.low, shape), Tensor::from(width, shape)}};
}

Standardise Standardise::fit(const Tensor& train, Location where) {
  const Statistics found = statistics_of("Standardise::fit", train, where);
  const Shape shape = column_shape(train);
  return {{Tensor::from(found.mean, shape), Tensor::from(found.deviation, shape)}};
}

Tensor min_max(const Tensor& inputs, Location where) {
  return MinMax::fit(inputs, where).apply(inputs, where);
}
Tensor standardise(const Tensor& inputs, Location where) {
  return Standardise::fit(inputs, where).apply(inputs, where);
}

}  // namespace dualtape
