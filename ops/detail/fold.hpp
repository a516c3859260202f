// Folds an array over any of its axes: the loops behind sum, max, any and their like.
// Private: includes xsimd. A plan is immutable; fold() may be called from any thread.
//
// Everything is combined in a balanced tree over fixed blocks: the rounding error of a float32 sum
// grows with the logarithm of the count, and the same input gives the same bits.
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
#include <vector>

#include <dualtape/core/detail/lane.hpp>
#include <dualtape/core/dtype.hpp>
#include <dualtape/core/shape.hpp>

namespace dualtape::detail {

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

// How an array of some shape is walked when some of its axes are folded. Neighbouring axes that are
// both kept or both folded count as one.
class FoldPlan {
 public:
  // `axes` are distinct numbers 0 .. rank-1.
  FoldPlan(const Shape& shape, const std::vector<std::int64_t>& axes);

  // out[k] = finish(the fold of the elements that meet in output k).
  template <class F, class Out, class Finish>
  void run(const typename F::Element* in, Out* out, Finish finish) const;

 private:
  struct Axis {
    std::size_t size;
    std::size_t stride;
  };
  using Axes = std::vector<Axis>;  // outermost first
  static std::size_t count(const Axes& axes);
  static std::size_t offset(const Axes& axes, std::size_t index);

  template <class F>
  typename F::Result fold_lines(const typename F::Element* in, std::size_t first,
                                std::size_t lines) const;
  template <class F, std::size_t N>
  std::array<typename F::Numbers, N> fold_columns(const typename F::Element* in, std::size_t first,
                                                  std::size_t lines) const;
  template <class F>
  typename F::Result fold_column(const typename F::Element* in, std::size_t first,
                                 std::size_t lines) const;
  template <class F, class Out, class Finish>
  void run_columns(const typename F::Element* in, Out* out, Finish finish) const;

  Axes kept_;    // without the innermost group
  Axes folded_;  // without the innermost group
  std::size_t kept_count_ = 1;
  std::size_t lines_ = 1;  // how many innermost groups one output folds
  std::size_t inner_ = 1;  // size of the innermost group
  bool inner_folded_ = true;
};

inline FoldPlan::FoldPlan(const Shape& shape, const std::vector<std::int64_t>& axes) {
  struct Group {
    Axis axis;
    bool folded;
  };
  std::vector<Group> groups;  // innermost first
  std::size_t stride = 1;
  for (std::size_t i = shape.rank(); i-- > 0;) {
    const auto size = static_cast<std::size_t>(shape[i]);
    const bool folded = std::ranges::find(axes, static_cast<std::int64_t>(i)) != axes.end();
    if (size != 1) {
      if (!groups.empty() && groups.back().folded == folded)
        groups.back().axis.size *= size;
      else
        groups.push_back({{size, stride}, folded});
    }
    stride *= size;
  }
  if (groups.empty()) return;
  inner_ = groups.front().axis.size;
  inner_folded_ = groups.front().folded;
  for (std::size_t i = groups.size(); i-- > 1;)
    (groups[i].folded ? folded_ : kept_).push_back(groups[i].axis);
  kept_count_ = count(kept_);
  lines_ = count(folded_);
}

inline std::size_t FoldPlan::count(const Axes& axes) {
  std::size_t product = 1;
  for (const Axis& axis : axes) product *= axis.size;
  return product;
}

inline std::size_t FoldPlan::offset(const Axes& axes, std::size_t index) {
  if (axes.size() == 1) return index * axes[0].stride;
  std::size_t sum = 0;
  for (std::size_t i = axes.size(); i-- > 0;) {
    sum += index % axes[i].size * axes[i].stride;
    index /= axes[i].size;
  }
  return sum;
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

// The fold of n contiguous elements.
template <class F>
typename F::Result fold_run(const typename F::Element* in, std::size_t n) {
  constexpr std::size_t width = F::Numbers::width;
  constexpr std::size_t block = 64 * width;
  if (n > block) {
    const std::size_t half = (n / 2 + block - 1) / block * block;
    return F::combine(fold_run<F>(in, half), fold_run<F>(in + half, n - half));
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

template <class F>
typename F::Result FoldPlan::fold_lines(const typename F::Element* in, std::size_t first,
                                        std::size_t lines) const {
  if (lines == 1) return fold_run<F>(in + offset(folded_, first), inner_);
  const std::size_t half = lines / 2;
  return F::combine(fold_lines<F>(in, first, half), fold_lines<F>(in, first + half, lines - half));
}

inline constexpr std::size_t fold_leaf = 16;  // rows combined one after the other

template <class F, std::size_t N>
std::array<typename F::Numbers, N> FoldPlan::fold_columns(const typename F::Element* in,
                                                          std::size_t first,
                                                          std::size_t lines) const {
  constexpr std::size_t width = F::Numbers::width;
  if (lines > fold_leaf) {
    const std::size_t half = lines / 2;
    auto a = fold_columns<F, N>(in, first, half);
    const auto b = fold_columns<F, N>(in, first + half, lines - half);
    for (std::size_t k = 0; k < N; ++k) a[k] = F::combine(a[k], b[k]);
    return a;
  }
  const auto row_at = [&](std::size_t line) { return in + offset(folded_, first + line); };
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
typename F::Result FoldPlan::fold_column(const typename F::Element* in, std::size_t first,
                                         std::size_t lines) const {
  if (lines > fold_leaf) {
    const std::size_t half = lines / 2;
    return F::combine(fold_column<F>(in, first, half),
                      fold_column<F>(in, first + half, lines - half));
  }
  auto sum = F::lift(in[offset(folded_, first)]);
  for (std::size_t line = 1; line < lines; ++line)
    sum = F::combine(sum, F::lift(in[offset(folded_, first + line)]));
  return sum;
}

// Every column is folded in the same order whichever way it is read, so the last registers of a
// row may overlap the ones before.
template <class F, class Out, class Finish>
void FoldPlan::run_columns(const typename F::Element* in, Out* out, Finish finish) const {
  constexpr std::size_t width = F::Numbers::width;
  alignas(64) std::array<typename F::Result, width> parts;
  const auto put = [&](const typename F::Numbers& numbers, std::size_t column) {
    numbers.store(parts.data());
    for (std::size_t i = 0; i < width; ++i) out[column + i] = finish(parts[i]);
  };
  std::size_t column = 0;
  // Several registers at once, since each addition waits for the one before in its column.
  const auto run_wide = [&]<std::size_t N>(std::integral_constant<std::size_t, N>) {
    for (; column + N * width <= inner_; column += N * width) {
      const auto sums = fold_columns<F, N>(in + column, 0, lines_);
      for (std::size_t k = 0; k < N; ++k) put(sums[k], column + k * width);
    }
  };
  run_wide(std::integral_constant<std::size_t, 8>{});
  run_wide(std::integral_constant<std::size_t, 4>{});
  for (; column + width <= inner_; column += width)
    put(fold_columns<F, 1>(in + column, 0, lines_)[0], column);
  if (column < inner_ && inner_ >= width) {
    put(fold_columns<F, 1>(in + inner_ - width, 0, lines_)[0], inner_ - width);
    return;
  }
  for (; column < inner_; ++column) out[column] = finish(fold_column<F>(in + column, 0, lines_));
}

template <class F, class Out, class Finish>
void FoldPlan::run(const typename F::Element* in, Out* out, Finish finish) const {
  if (lines_ == 0 || (inner_folded_ && inner_ == 0)) {
    const std::size_t outputs = kept_count_ * (inner_folded_ ? 1 : inner_);
    std::fill(out, out + outputs, finish(F::identity()));
    return;
  }
  for (std::size_t k = 0; k < kept_count_; ++k) {
    const auto* from = in + offset(kept_, k);
    if (inner_folded_)
      out[k] = finish(fold_lines<F>(from, 0, lines_));
    else
      run_columns<F>(from, out + k * inner_, finish);
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

}  // namespace dualtape::detail
