// Folds an array over any of its axes: the loops of sum, max, any and their like.
// Private: includes xsimd; for one instruction set at a time (core/machine/isa.hpp). Plain
// functions; any thread.
//
// Everything is combined in a balanced tree over blocks of fixed size: the rounding error of a
// float32 sum grows with the logarithm of the count, and the same input gives the same bits, on
// every instruction set.
//
// A fold F says what is combined:
//   Element, Result    what is read and what comes out
//   Numbers            several Results in SIMD registers: Lane<T> or Pack
//   identity()         the Result of nothing
//   lift(const Element*) -> Numbers, lift(Element) -> Result
//   combine(a, b)      for Numbers and for Results
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <dualtape/core/machine/lane.hpp>
#include <dualtape/core/tile/fold_block.hpp>
#include <dualtape/ops/kernels/rows/fold_plan.hpp>
#include <dualtape/ops/kernels/rows/lines.hpp>

namespace dualtape::detail {
inline namespace DUALTAPE_ISA {

// A stand-in for Lane where there is none, or where results are wider than elements.
template <class T>
struct Pack {
  static constexpr std::size_t width = 8;
  std::array<T, width> values;
  void store(T* to) const { std::copy(values.begin(), values.end(), to); }

  template <class From, class Convert>
  static Pack load(const From* from, Convert convert) {
    Pack pack;
    for (std::size_t i = 0; i < width; ++i) pack.values[i] = convert(from[i]);
    return pack;
  }
  template <class Function>
  static Pack map(const Pack& a, const Pack& b, Function function) {
    Pack pack;
    for (std::size_t i = 0; i < width; ++i) pack.values[i] = function(a.values[i], b.values[i]);
    return pack;
  }
};

inline std::size_t offset(const FoldPlan::Axes& axes, std::size_t index) {
  if (axes.size() == 1) return index * axes[0].stride;
  std::size_t sum = 0;
  for (std::size_t i = axes.size(); i-- > 0;) {
    sum += index % axes[i].size * axes[i].stride;
    index /= axes[i].size;
  }
  return sum;
}

// Calls each(x) for the elements that output k folds, one after the other.
template <class T, class Each>
void each_folded(const FoldPlan& plan, const T* in, std::size_t k, const Each& each) {
  const std::size_t run = plan.inner_folded ? plan.inner : 1;
  const T* const first = plan.inner_folded
                             ? in + offset(plan.kept, k)
                             : in + offset(plan.kept, k / plan.inner) + k % plan.inner;
  for (std::size_t line = 0; line < plan.lines; ++line) {
    const T* const from = first + offset(plan.folded, line);
    for (std::size_t i = 0; i < run; ++i) each(static_cast<double>(from[i]));
  }
}

template <class F>
typename F::Result fold_pack(const typename F::Numbers& numbers) {
  constexpr std::size_t width = F::Numbers::width;
  alignas(64) std::array<typename F::Result, width> parts;
  numbers.store(parts.data());
  for (std::size_t half = width / 2; half > 0; half /= 2)
    for (std::size_t i = 0; i < half; ++i) parts[i] = F::combine(parts[i], parts[i + half]);
  return parts[0];
}

// The fold of n contiguous elements, in Packs.
template <class F>
typename F::Result fold_packs(const typename F::Element* in, std::size_t n) {
  constexpr std::size_t width = F::Numbers::width;
  constexpr std::size_t block = 64 * width;
  if (n > block) {
    const std::size_t half = (n / 2 + block - 1) / block * block;
    return F::combine(fold_packs<F>(in, half), fold_packs<F>(in + half, n - half));
  }
  std::size_t i = 0;
  typename F::Result result = F::identity();
  if (n >= 4 * width) {
    std::array<typename F::Numbers, 4> sums{F::lift(in), F::lift(in + width),
                                            F::lift(in + 2 * width), F::lift(in + 3 * width)};
    for (i = 4 * width; i + 4 * width <= n; i += 4 * width)
      for (std::size_t k = 0; k < 4; ++k)
        sums[k] = F::combine(sums[k], F::lift(in + i + k * width));
    for (; i + width <= n; i += width) sums[0] = F::combine(sums[0], F::lift(in + i));
    result = fold_pack<F>(F::combine(F::combine(sums[0], sums[1]), F::combine(sums[2], sums[3])));
  } else if (n >= width) {
    auto sum = F::lift(in);
    for (i = width; i + width <= n; i += width) sum = F::combine(sum, F::lift(in + i));
    result = fold_pack<F>(sum);
  }
  for (; i < n; ++i) result = F::combine(result, F::lift(in[i]));
  return result;
}

// Sums of four lines at once, since each addition waits for the one before.
template <class T>
struct FourLines {
  Line<T> line[4];
};

template <class T>
inline FourLines<T> added(FourLines<T> a, const FourLines<T>& b) {
  for (std::size_t k = 0; k < 4; ++k)
    a.line[k] = each_part(a.line[k], b.line[k], [](auto x, auto y) { return x + y; });
  return a;
}

// The sum of `count` > 0 times four lines.
template <class T>
FourLines<T> sum_of_fours(const T* in, std::size_t count) {
  constexpr std::size_t width = Line<T>::width;
  constexpr std::size_t block = 16;
  if (count > block) {
    const std::size_t half = (count / 2 + block - 1) / block * block;
    return added(sum_of_fours(in, half), sum_of_fours(in + half * 4 * width, count - half));
  }
  const auto load = [](const T* from) {
    return FourLines<T>{{Line<T>::load(from), Line<T>::load(from + width),
                         Line<T>::load(from + 2 * width), Line<T>::load(from + 3 * width)}};
  };
  FourLines<T> sums = load(in);
  for (std::size_t i = 1; i < count; ++i) sums = added(sums, load(in + i * 4 * width));
  return sums;
}

template <class T>
T sum_of_lines(const FourLines<T>& sums) {
  const auto add = [](auto x, auto y) { return x + y; };
  return fold_line(each_part(each_part(sums.line[0], sums.line[1], add),
                             each_part(sums.line[2], sums.line[3], add), add),
                   add);
}

// The sum of n contiguous numbers.
template <class T>
T sum_of_run(const T* in, std::size_t n) {
  constexpr std::size_t width = Line<T>::width;
  const auto add = [](auto x, auto y) { return x + y; };
  if (n < width) {
    T sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += in[i];
    return sum;
  }
  const std::size_t fours = n / (4 * width);
  const auto none = Line<T>::of(0);
  FourLines<T> sums{{none, none, none, none}};
  if (fours > 0) sums = sum_of_fours(in, fours);
  std::size_t i = fours * 4 * width;
  for (std::size_t k = 0; i + width <= n; i += width, ++k)
    sums.line[k] = each_part(sums.line[k], Line<T>::load(in + i), add);
  if (i < n)
    sums.line[3] =
        each_part(sums.line[3], last_of(Line<T>::load(in + n - width), n - i, T(0)), add);
  return sum_of_lines(sums);
}

template <class F>
typename F::Result fold_run(const typename F::Element* in, std::size_t n);

// The fold of the folds of blocks of n contiguous elements.
template <class F>
typename F::Result fold_blocks(const typename F::Element* in, std::size_t n, std::size_t block) {
  typename F::Result folds[most_fold_blocks];
  std::size_t count = 0;
  for (std::size_t i = 0; i < n; i += block)
    folds[count++] = fold_run<F>(in + i, std::min(block, n - i));
  return F::of_run(folds, count);
}

// The fold of n contiguous elements.
template <class F>
typename F::Result fold_run(const typename F::Element* in, std::size_t n) {
  if constexpr (requires { F::of_run(in, n); }) {
    const std::size_t block = fold_block(n);
    return n <= block ? F::of_run(in, n) : fold_blocks<F>(in, n, block);
  } else {
    return fold_packs<F>(in, n);
  }
}

template <class F>
typename F::Result fold_lines(const FoldPlan& plan, const typename F::Element* in,
                              std::size_t first, std::size_t lines) {
  if (lines == 1) return fold_run<F>(in + offset(plan.folded, first), plan.inner);
  const std::size_t half = lines / 2;
  return F::combine(fold_lines<F>(plan, in, first, half),
                    fold_lines<F>(plan, in, first + half, lines - half));
}

inline constexpr std::size_t fold_leaf = 16;  // rows combined one after the other

template <class F, std::size_t N>
std::array<typename F::Numbers, N> fold_columns(const FoldPlan& plan, const typename F::Element* in,
                                                std::size_t first, std::size_t lines) {
  constexpr std::size_t width = F::Numbers::width;
  if (lines > fold_leaf) {
    const std::size_t half = lines / 2;
    auto a = fold_columns<F, N>(plan, in, first, half);
    const auto b = fold_columns<F, N>(plan, in, first + half, lines - half);
    for (std::size_t k = 0; k < N; ++k) a[k] = F::combine(a[k], b[k]);
    return a;
  }
  const auto row_at = [&](std::size_t line) { return in + offset(plan.folded, first + line); };
  const auto* row = row_at(0);
  auto sums = [&]<std::size_t... K>(std::index_sequence<K...>) {
    return std::array<typename F::Numbers, N>{F::lift(row + K * width)...};
  }
  (std::make_index_sequence<N>{});
  for (std::size_t line = 1; line < lines; ++line) {
    row = row_at(line);
    for (std::size_t k = 0; k < N; ++k) sums[k] = F::combine(sums[k], F::lift(row + k * width));
  }
  return sums;
}

template <class F>
typename F::Result fold_column(const FoldPlan& plan, const typename F::Element* in,
                               std::size_t first, std::size_t lines) {
  if (lines > fold_leaf) {
    const std::size_t half = lines / 2;
    return F::combine(fold_column<F>(plan, in, first, half),
                      fold_column<F>(plan, in, first + half, lines - half));
  }
  auto sum = F::lift(in[offset(plan.folded, first)]);
  for (std::size_t line = 1; line < lines; ++line)
    sum = F::combine(sum, F::lift(in[offset(plan.folded, first + line)]));
  return sum;
}

// Every column is folded in the same order whichever way it is read, so the last registers of a
// row may overlap the ones before.
template <class F, class Out, class Finish>
void run_columns(const FoldPlan& plan, const typename F::Element* in, Out* out, Finish finish) {
  constexpr std::size_t width = F::Numbers::width;
  alignas(64) std::array<typename F::Result, width> parts;
  const auto put = [&](const typename F::Numbers& numbers, std::size_t column) {
    numbers.store(parts.data());
    for (std::size_t i = 0; i < width; ++i) out[column + i] = finish(parts[i]);
  };
  std::size_t column = 0;
  // Several registers at once, since each addition waits for the one before in its column.
  const auto run_wide = [&]<std::size_t N>(std::integral_constant<std::size_t, N>) {
    for (; column + N * width <= plan.inner; column += N * width) {
      const auto sums = fold_columns<F, N>(plan, in + column, 0, plan.lines);
      for (std::size_t k = 0; k < N; ++k) put(sums[k], column + k * width);
    }
  };
  run_wide(std::integral_constant<std::size_t, 8>{});
  run_wide(std::integral_constant<std::size_t, 4>{});
  for (; column + width <= plan.inner; column += width)
    put(fold_columns<F, 1>(plan, in + column, 0, plan.lines)[0], column);
  if (column < plan.inner && plan.inner >= width) {
    put(fold_columns<F, 1>(plan, in + plan.inner - width, 0, plan.lines)[0], plan.inner - width);
    return;
  }
  for (; column < plan.inner; ++column)
    out[column] = finish(fold_column<F>(plan, in + column, 0, plan.lines));
}

// out[k] = finish(the fold of the elements that meet in output k).
template <class F, class Out, class Finish>
void fold(const FoldPlan& plan, const typename F::Element* in, Out* out, Finish finish) {
  if (plan.lines == 0 || (plan.inner_folded && plan.inner == 0)) {
    const Out nothing = finish(F::identity());
    for (std::size_t k = 0; k < plan.outputs(); ++k) out[k] = nothing;
    return;
  }
  for (std::size_t k = 0; k < plan.kept_count; ++k) {
    const auto* from = in + offset(plan.kept, k);
    if (plan.inner_folded)
      out[k] = finish(fold_lines<F>(plan, from, 0, plan.lines));
    else
      run_columns<F>(plan, from, out + k * plan.inner, finish);
  }
}

// a + b; integers and bools in int64, which wraps around.
template <class T>
struct SumFold {
  using Element = T;
  using Result = T;
  using Numbers = Lane<T>;
  static Result identity() { return 0; }
  static Numbers lift(const T* from) { return Numbers::load(from); }
  static Result lift(T value) { return value; }
  static Numbers combine(const Numbers& a, const Numbers& b) { return a + b; }
  static Result combine(Result a, Result b) { return a + b; }
  static Result of_run(const T* in, std::size_t n) { return sum_of_run(in, n); }
};
template <class T>
requires std::integral<T>
struct SumFold<T> {
  using Element = T;
  using Result = std::int64_t;
  using Numbers = Pack<Result>;
  static Result identity() { return 0; }
  static Numbers lift(const T* from) {
    return Numbers::load(from, [](T value) { return lift(value); });
  }
  static Result lift(T value) { return static_cast<Result>(value); }
  static Numbers combine(const Numbers& a, const Numbers& b) {
    return Numbers::map(a, b, [](Result x, Result y) { return combine(x, y); });
  }
  static Result combine(Result a, Result b) {
    return static_cast<Result>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
  }
};

// The larger one, or the smaller one; NaN if either is.
template <class T, bool larger>
struct ExtremeFold {
  using Element = T;
  using Result = T;
  using Numbers = std::conditional_t<std::floating_point<T>, Lane<T>, Pack<T>>;
  static Result identity() {
    using Limits = std::numeric_limits<T>;
    if constexpr (std::floating_point<T>)
      return larger ? -Limits::infinity() : Limits::infinity();
    else
      return larger ? Limits::lowest() : Limits::max();
  }
  static Numbers lift(const T* from) {
    if constexpr (std::floating_point<T>)
      return Numbers::load(from);
    else
      return Numbers::load(from, [](T value) { return value; });
  }
  static Result lift(T value) { return value; }
  static Numbers combine(const Numbers& a, const Numbers& b) {
    if constexpr (!std::floating_point<T>)
      return Numbers::map(a, b, [](T x, T y) { return combine(x, y); });
    else if constexpr (larger)
      return maximum(a, b);
    else
      return minimum(a, b);
  }
  static Result combine(Result a, Result b) {
    const bool first = larger ? a > b : a < b;
    return first || a != a ? a : b;
  }
  static Result of_run(const T* in, std::size_t n) requires std::floating_point<T> {
    if (n == 0) return identity();
    const Extreme<T> found = extreme_of_run<T, larger, true>(in, n);
    return found.nan ? std::numeric_limits<T>::quiet_NaN() : found.value;
  }
};
template <class T>
using MaxFold = ExtremeFold<T, true>;
template <class T>
using MinFold = ExtremeFold<T, false>;

// Elements are taken as truth values: whether all, or any, are true.
template <bool every>
struct TruthFold {
  using Element = bool;
  using Result = bool;
  using Numbers = Pack<bool>;
  static Result identity() { return every; }
  static Numbers lift(const bool* from) {
    return Numbers::load(from, [](bool value) { return value; });
  }
  static Result lift(bool value) { return value; }
  static Numbers combine(const Numbers& a, const Numbers& b) {
    return Numbers::map(a, b, [](bool x, bool y) { return combine(x, y); });
  }
  static Result combine(Result a, Result b) { return every ? a && b : a || b; }
};

}  // namespace DUALTAPE_ISA
}  // namespace dualtape::detail
