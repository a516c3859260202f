// The loops of reductions, of the softmax family, of normalisation and of outer products over
// floats, for one instruction set.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <dualtape/ops/kernels/rows/channels.hpp>
#include <dualtape/ops/kernels/rows/exponentials.hpp>
#include <dualtape/ops/kernels/rows/fold.hpp>
#include <dualtape/ops/kernels/rows/fold_plan.hpp>
#include <dualtape/ops/kernels/rows/spread.hpp>

namespace dualtape::detail {
namespace {

template <class F>
void run_fold(const FoldPlan& plan, const typename F::Element* in, typename F::Result* out) {
  fold<F>(plan, in, out, [](auto result) { return result; });
}

constexpr double power_of_two(int exponent) {
  double result = 1;
  for (int i = 0; i < exponent; ++i) result *= 2;
  for (int i = 0; i > exponent; --i) result /= 2;
  return result;
}

// Sums of numbers times 2^exponent, or of their squares, in double, where no square of a float
// overflows or underflows.
template <class T, bool squared, int exponent = 0>
struct WideFold {
  using Element = T;
  using Result = double;
  using Numbers = Pack<double>;
  static Result identity() { return 0; }
  static Numbers lift(const T* from) {
    return Numbers::load(from, [](T value) { return lift(value); });
  }
  static Result lift(T value) {
    constexpr double power = power_of_two(exponent);
    const double number = power * static_cast<double>(value);
    return squared ? number * number : number;
  }
  static Numbers combine(const Numbers& a, const Numbers& b) {
    return Numbers::map(a, b, [](double x, double y) { return x + y; });
  }
  static Result combine(Result a, Result b) { return a + b; }
};

// The fold to output k alone.
template <class F>
double fold_of_output(const FoldPlan& plan, const typename F::Element* in, std::size_t k) {
  if (plan.inner_folded) return fold_lines<F>(plan, in + offset(plan.kept, k), 0, plan.lines);
  const auto* const from = in + offset(plan.kept, k / plan.inner) + k % plan.inner;
  return fold_column<F>(plan, from, 0, plan.lines);
}

template <class T>
T mean_of_output(const FoldPlan& plan, const T* in, std::size_t k) {
  constexpr int exponent = sizeof(T) == sizeof(float) ? 0 : -64;
  const double sum = fold_of_output<WideFold<T, false, exponent>>(plan, in, k);
  const auto count = static_cast<double>(plan.lines * (plan.inner_folded ? plan.inner : 1));
  constexpr double power = power_of_two(exponent);
  return static_cast<T>(sum / count / power);
}

// The Euclidean norm as `scale` times a number that neither over- nor underflows.
struct ScaledNorm {
  double number;
  double scale = 1;

  template <class T>
  ScaledNorm(const FoldPlan& plan, const T* in, std::size_t k, bool huge) {
    // Squares of floats are doubles.
    constexpr int exponent = sizeof(T) == sizeof(float) ? 0 : 600;
    scale = huge ? power_of_two(exponent) : power_of_two(-exponent);
    number = std::sqrt(huge ? fold_of_output<WideFold<T, true, -exponent>>(plan, in, k)
                            : fold_of_output<WideFold<T, true, exponent>>(plan, in, k));
  }
};

template <class T>
void run_norm(const FoldPlan& plan, const T* in, T* out, T* scaled) {
  fold<WideFold<T, true>>(plan, in, out,
                          [](double squares) { return static_cast<T>(std::sqrt(squares)); });
  const bool nothing = plan.lines == 0 || plan.inner == 0;
  constexpr bool wide = sizeof(T) == sizeof(double);
  constexpr double least = wide ? 1e-140 : 0;
  constexpr double most = wide ? 1e150 : FarNorm<T>::largest;
  for (std::size_t k = 0; k < plan.outputs(); ++k) {
    scaled[k] = out[k];
    if (nothing || !(out[k] < least || out[k] > most)) continue;
    const ScaledNorm norm(plan, in, k, out[k] > most);
    out[k] = static_cast<T>(norm.number * norm.scale);
    scaled[k] = static_cast<T>(norm.number * (norm.scale * FarNorm<T>::part(out[k])));
  }
}

// The first i with matches(row[i]); there must be one. Whole blocks are looked through at once,
// which the compiler turns into SIMD code.
template <class T, class Matches>
std::int64_t first_match(const T* row, std::size_t n, Matches matches) {
  constexpr std::size_t block = 64;
  std::size_t i = 0;
  for (; i + block <= n; i += block) {
    unsigned found = 0;
    for (std::size_t k = 0; k < block; ++k) found |= matches(row[i + k]) ? 1U : 0U;
    if (found != 0) break;
  }
  while (!matches(row[i])) ++i;
  return static_cast<std::int64_t>(i);
}

// The place of the extreme: found by value in registers, then looked up.
template <class T, bool larger>
std::int64_t place_in_row(const T* row, std::size_t n) {
  const Extreme<T> found = extreme_of_run<T, larger, true>(row, n);
  if (found.nan) return first_match(row, n, [](T value) { return value != value; });
  return first_match(row, n, [value = found.value](T x) { return x == value; });
}

// From e^(x - largest) in `out`, turned into the result in place: divided by the total, or (log)
// written anew from x, since log of a quotient would lose digits.
template <class T>
void scale(T* out, std::size_t n, T total) {
  const T inverse = 1 / total;  // the total is at least 1
  for (std::size_t i = 0; i < n; ++i) out[i] *= inverse;
}
template <class T>
void subtract(const T* x, T* out, std::size_t n, T largest, T log_total) {
  for (std::size_t i = 0; i < n; ++i) out[i] = (x[i] - largest) - log_total;
}

// Calls each(row, totals, index in totals) after find(first row, count, totals).
template <class T, class Find, class Each>
void over_rows(std::size_t rows, std::size_t size, Find find, Each each) {
  RowTotals<T> totals;
  const std::size_t step = rows_in_call(size);
  for (std::size_t first = 0; first < rows; first += step) {
    const std::size_t count = step < rows - first ? step : rows - first;
    find(first, count, totals);
    for (std::size_t i = 0; i < count; ++i) each(first + i, totals, i);
  }
}

template <class T>
void softmax_rows(const T* x, T* out, std::size_t rows, std::size_t size) {
  over_rows<T>(
      rows, size,
      [=](std::size_t first, std::size_t count, RowTotals<T>& totals) {
        exponentials_of_rows(x + first * size, count, size, out + first * size, totals);
      },
      [=](std::size_t row, const RowTotals<T>& totals, std::size_t i) {
        scale(out + row * size, size, totals.total[i]);
      });
}

template <class T>
void log_softmax_rows(const T* x, T* out, std::size_t rows, std::size_t size) {
  over_rows<T>(
      rows, size,
      [=](std::size_t first, std::size_t count, RowTotals<T>& totals) {
        totals_of_rows(x + first * size, count, size, totals);
      },
      [=](std::size_t row, const RowTotals<T>& totals, std::size_t i) {
        subtract(x + row * size, out + row * size, size, totals.largest[i], totals.log[i]);
      });
}

template <class T>
T of_totals(T largest, T log_total) {
  return std::isfinite(largest) ? largest + log_total : largest;
}

template <class T>
void logsumexp_rows(const T* x, T* out, std::size_t rows, std::size_t size) {
  over_rows<T>(
      rows, size,
      [=](std::size_t first, std::size_t count, RowTotals<T>& totals) {
        totals_of_rows(x + first * size, count, size, totals);
      },
      [=](std::size_t row, const RowTotals<T>& totals, std::size_t i) {
        T largest = totals.largest[i];
        // Infinities leave NaN as the total, and so does a NaN: told apart by the row itself.
        if (!std::isfinite(largest)) largest = fold_run<MaxFold<T>>(x + row * size, size);
        out[row] = of_totals(largest, totals.log[i]);
      });
}

template <class T, bool log>
void softmax_of_columns(const T* x, T* out, std::size_t size, std::size_t inner) {
  ColumnTotals<T> totals;
  for (std::size_t begin = 0; begin < inner; begin += columns_at_once) {
    const std::size_t count = columns_at_once < inner - begin ? columns_at_once : inner - begin;
    totals.find(x + begin, size, inner, count, [&](std::size_t row, const T* terms) {
      T* const to = out + row * inner + begin;
      for (std::size_t i = 0; i < count; ++i) to[i] = terms[i];
    });
    if constexpr (log)
      for (std::size_t i = 0; i < count; ++i) totals.total[i] = totals.log(i);
    for (std::size_t row = 0; row < size; ++row) {
      const std::size_t first = row * inner + begin;
      for (std::size_t i = 0; i < count; ++i) {
        T& value = out[first + i];
        value =
            log ? (x[first + i] - totals.largest[i]) - totals.total[i] : value / totals.total[i];
      }
    }
  }
}

template <class T>
void logsumexp_of_columns(const T* x, T* out, std::size_t size, std::size_t inner) {
  ColumnTotals<T> totals;
  for (std::size_t begin = 0; begin < inner; begin += columns_at_once) {
    const std::size_t count = columns_at_once < inner - begin ? columns_at_once : inner - begin;
    totals.find(x + begin, size, inner, count, [](std::size_t, const T*) {});
    for (std::size_t i = 0; i < count; ++i)
      out[begin + i] = of_totals(totals.largest[i], totals.log(i));
  }
}

// The sum of 16 parts in a tree.
template <class T>
T sum_of_parts(T (&parts)[16]) {
  for (std::size_t half = 8; half > 0; half /= 2)
    for (std::size_t k = 0; k < half; ++k) parts[k] += parts[k + half];
  return parts[0];
}

// The sums of both that term(i) gives for i below `size`: short chains in T, added up in float64,
// so that long rows keep their digits.
template <class T, class Term>
std::pair<T, T> two_sums(std::size_t size, Term term) {
  constexpr std::size_t lanes = 16;
  constexpr std::size_t block = 16 * lanes;
  double first = 0;
  double second = 0;
  for (std::size_t begin = 0; begin < size; begin += block) {
    T firsts[lanes] = {};
    T seconds[lanes] = {};
    const auto take = [&](std::size_t i, std::size_t k) {
      const auto [a, b] = term(i);
      firsts[k] += a;
      seconds[k] += b;
    };
    const std::size_t end = std::min(begin + block, size);
    std::size_t i = begin;
    for (; i + lanes <= end; i += lanes)
      for (std::size_t k = 0; k < lanes; ++k) take(i + k, k);
    for (std::size_t k = 0; i < end; ++i, ++k) take(i, k);
    first += static_cast<double>(sum_of_parts(firsts));
    second += static_cast<double>(sum_of_parts(seconds));
  }
  return {static_cast<T>(first), static_cast<T>(second)};
}

// y_i sum_j y_j (t_i - t_j), or (log) without the first factor, where t_i sum y - sum y t would
// cancel at a y near 1: every t is taken less the one at the largest y.
template <class T, bool log>
void softmax_slope_of_rows(const T* y, const T* t, T* out, std::size_t rows, std::size_t size) {
  for (std::size_t row = 0; row < rows; ++row, y += size, t += size, out += size) {
    const T origin = t[place_in_row<T, true>(y, size)];
    const auto [total, along] = two_sums<T>(
        size, [&](std::size_t i) { return std::pair<T, T>(y[i], y[i] * (t[i] - origin)); });
    for (std::size_t i = 0; i < size; ++i) {
      const T apart = (t[i] - origin) * total - along;
      out[i] = log ? apart : y[i] * apart;
    }
  }
}
// The transpose of the logarithm's, t_i sum y - y_i sum t. At the largest y the two terms of its
// own place are left out, since they would cancel.
template <class T>
void log_softmax_pullback_of_rows(const T* y, const T* t, T* out, std::size_t rows,
                                  std::size_t size) {
  for (std::size_t row = 0; row < rows; ++row, y += size, t += size, out += size) {
    const auto place = static_cast<std::size_t>(place_in_row<T, true>(y, size));
    const auto [others, rest] = two_sums<T>(size, [&](std::size_t i) {
      return i == place ? std::pair<T, T>(0, 0) : std::pair<T, T>(y[i], t[i]);
    });
    const T at_place = t[place] * others - y[place] * rest;
    const T total = others + y[place];
    const T sum = rest + t[place];
    for (std::size_t i = 0; i < size; ++i) out[i] = t[i] * total - y[i] * sum;
    out[place] = at_place;
  }
}

// The largest y of each of up to columns_at_once columns, and the row it stands in.
template <class T>
struct LargestOfColumns {
  alignas(64) T value[columns_at_once];
  alignas(64) std::size_t row[columns_at_once];

  LargestOfColumns(const T* y, std::size_t size, std::size_t inner, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      value[i] = y[i];
      row[i] = 0;
    }
    for (std::size_t r = 1; r < size; ++r)
      for (std::size_t i = 0; i < count; ++i) {
        const bool larger = y[r * inner + i] > value[i];
        value[i] = larger ? y[r * inner + i] : value[i];
        row[i] = larger ? r : row[i];
      }
  }
};
// Of columns, those of `mode`: 0 softmax, 1 its logarithm, 2 the transpose of that.
template <class T, int mode>
void softmax_slope_of_columns(const T* y, const T* t, T* out, std::size_t size, std::size_t inner) {
  alignas(64) double totals[columns_at_once];
  alignas(64) double parts[columns_at_once];
  for (std::size_t begin = 0; begin < inner; begin += columns_at_once) {
    const std::size_t count = columns_at_once < inner - begin ? columns_at_once : inner - begin;
    const LargestOfColumns<T> largest(y + begin, size, inner, count);
    for (std::size_t i = 0; i < count; ++i) totals[i] = parts[i] = 0;
    const auto origin = [&](std::size_t i) { return t[largest.row[i] * inner + begin + i]; };
    for (std::size_t row = 0; row < size; ++row)
      for (std::size_t i = 0; i < count; ++i) {
        if (mode == 2 && row == largest.row[i]) continue;
        const std::size_t at = row * inner + begin + i;
        totals[i] += static_cast<double>(y[at]);
        parts[i] += static_cast<double>(mode == 2 ? t[at] : y[at] * (t[at] - origin(i)));
      }
    for (std::size_t row = 0; row < size; ++row)
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t at = row * inner + begin + i;
        const auto total = static_cast<T>(totals[i]);
        const auto part = static_cast<T>(parts[i]);
        if constexpr (mode == 2) {
          const bool here = row == largest.row[i];
          out[at] = here ? t[at] * total - y[at] * part
                         : t[at] * (total + largest.value[i]) - y[at] * (part + origin(i));
        } else {
          const T apart = (t[at] - origin(i)) * total - part;
          out[at] = mode == 1 ? apart : y[at] * apart;
        }
      }
  }
}

template <class T>
void put_mean(const Spread<T>& spread, const RowStatistics<T>& to, std::size_t row) {
  to.mean[row] = spread.mean + spread.rest;
  to.rest[row] = (spread.mean - to.mean[row]) + spread.rest;
  to.part[row] = spread.part;
}

template <class T>
void variance_of_rows(const T* x, std::size_t rows, std::size_t size, double divisor, bool root,
                      T* out, const RowStatistics<T>& to) {
  for (std::size_t row = 0; row < rows; ++row) {
    const Spread<T> spread = spread_of_row(x + row * size, size, least_squares<T>);
    const double deviation = spread.deviation(divisor);
    out[row] = static_cast<T>(root ? deviation / spread.part : spread.variance(divisor));
    if (root) to.length[row] = static_cast<T>(deviation);
    put_mean(spread, to, row);
  }
}

template <class T>
void layer_norm_of_rows(const T* x, const T* scale, const T* shift, std::size_t rows,
                        std::size_t size, double epsilon, T* out, const RowStatistics<T>& to) {
  const double least = epsilon > 1e-20 ? 0 : least_squares<T>;
  const auto count = static_cast<double>(size);
  for (std::size_t row = 0; row < rows; ++row, x += size, out += size) {
    const Spread<T> spread = spread_of_row(x, size, least);
    const T inverse = static_cast<T>(1 / spread.length(count, epsilon));
    if (spread.part != 1)
      standardise_scaled(x, size, spread, inverse, scale, shift, out);
    else if (scale == nullptr)
      standardise_row<T, false>(x, size, spread, inverse, scale, shift, out);
    else
      standardise_row<T, true>(x, size, spread, inverse, scale, shift, out);
    to.length[row] = inverse;
    put_mean(spread, to, row);
  }
}

// sqrt(mean x^2 + epsilon) times `part`, a power of two which is 1 for most rows.
template <class T>
struct RootMeanSquare {
  double length;
  T part;

  RootMeanSquare(const T* x, std::size_t size, double epsilon, double least) : part(1) {
    const auto count = static_cast<double>(size);
    const Runs<T> row{x, 1, size, size};
    Deviations all;
    add_deviations_of_row(x, T(0), size, all);
    length = std::sqrt(all.squares / count + epsilon);
    if (in_range<T>(all.squares, least) && !may_vanish(row, 0, all.squares)) return;
    const double unit = unit_of(row);
    part = part_of<T>(unit);
    double squares = 0;
    row.each([&](double value, std::size_t) { squares += (value / unit) * (value / unit); });
    length = std::hypot(std::sqrt(squares / count) * (unit * part), std::sqrt(epsilon) * part);
  }
};

template <class T>
void rms_norm_of_rows(const T* x, const T* scale, std::size_t rows, std::size_t size,
                      double epsilon, T* out, T* inverse, T* part) {
  const double least = epsilon > 1e-20 ? 0 : least_squares<T>;
  for (std::size_t row = 0; row < rows; ++row, x += size, out += size) {
    const RootMeanSquare<T> root(x, size, epsilon, least);
    const T factor = static_cast<T>(1 / root.length);
    if (scale == nullptr)
      for (std::size_t i = 0; i < size; ++i) out[i] = x[i] * root.part * factor;
    else
      for (std::size_t i = 0; i < size; ++i) out[i] = x[i] * root.part * factor * scale[i];
    inverse[row] = factor;
    part[row] = root.part;
  }
}

template <class T, bool add>
void outer_product(std::size_t m, std::size_t n, T scale, const T* a, const T* b, T* c) {
  for (std::size_t i = 0; i < m; ++i, c += n) {
    const T factor = scale * a[i];
    if constexpr (add)
      for (std::size_t j = 0; j < n; ++j) c[j] += factor * b[j];
    else
      for (std::size_t j = 0; j < n; ++j) c[j] = factor * b[j];
  }
}

template <class T>
constexpr RowKernelsOf<T> kernels_of() {
  return {&run_fold<SumFold<T>>,
          &run_fold<MaxFold<T>>,
          &run_fold<MinFold<T>>,
          &run_norm<T>,
          &mean_of_output<T>,
          &place_in_row<T, true>,
          &place_in_row<T, false>,
          &softmax_rows<T>,
          &log_softmax_rows<T>,
          &logsumexp_rows<T>,
          &softmax_of_columns<T, false>,
          &softmax_of_columns<T, true>,
          &logsumexp_of_columns<T>,
          {&softmax_slope_of_rows<T, false>, &softmax_slope_of_rows<T, true>,
           &log_softmax_pullback_of_rows<T>},
          {&softmax_slope_of_columns<T, 0>, &softmax_slope_of_columns<T, 1>,
           &softmax_slope_of_columns<T, 2>},
          &totals_of_rows<T>,
          &variance_of_rows<T>,
          &layer_norm_of_rows<T>,
          &rms_norm_of_rows<T>,
          &batch_norm_of_channels<T>,
          &outer_product<T, false>,
          &outer_product<T, true>};
}

constexpr RowKernels table{kernels_of<float>(), kernels_of<double>()};

}  // namespace

const RowKernels& row_kernels(ThisIsa) { return table; }

}  // namespace dualtape::detail
