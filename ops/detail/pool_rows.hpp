// Pooling of images with contiguous rows by small windows of one size, whole rows at a time.
// Private: includes xsimd; for one instruction set at a time (core/detail/isa.hpp). Plain
// functions; any thread.
//
// A window is folded by rows: first the columns of each row, then the rows, which is the order of a
// loop over it, so that ties, NaN and rounding come out the same. Columns are folded at every pixel
// of a block of rows, as if windows began everywhere; where one really sticks out on the left or
// right it is folded once more by itself. Registers so go over the ends of rows, and no window
// needs an index or an edge of padding. Windows further apart are picked out of these results.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <dualtape/ops/detail/pool.hpp>
#include <dualtape/ops/detail/pool_numbers.hpp>

namespace dualtape::detail {
inline namespace DUALTAPE_ISA {

constexpr std::size_t row_pixels = 2048;  // of a block of rows, whose buffers stay in cache
constexpr std::size_t row_slack = 16;     // that registers reach over an end; the widest window

template <class T>
using RowBuffer = T[row_pixels + row_slack];
static_assert(Lane<float>::width <= row_slack);

// Windows so narrow and near to each other that folding everywhere costs less than one by one.
inline bool has_rows(const PoolPlan& plan) {
  const auto fits = [](const PoolAxis& axis) {
    return axis.window >= 1 && axis.window <= 8 && 2 * axis.before < axis.window;
  };
  return plan.inner == 1 && fits(plan.rows) && fits(plan.columns) && plan.columns.stride <= 4 &&
         plan.columns.out >= 4 && plan.rows.window * plan.columns.in <= row_pixels;
}

// Rows of the input, and the rows of the output whose windows they hold.
struct RowBlock {
  std::size_t image;
  std::size_t in;
  std::size_t in_count;
  std::size_t out;
  std::size_t out_count;
};
template <class F>
void over_row_blocks(const PoolPlan& plan, std::size_t first, std::size_t last, F f) {
  const PoolAxis& rows = plan.rows;
  const std::size_t most = row_pixels / plan.columns.in;
  for (std::size_t image = first; image < last; ++image)
    for (std::size_t r = 0; r < rows.out;) {
      std::size_t end = r + 1;
      while (end < rows.out && rows.last[end] - rows.first[r] <= most) ++end;
      f(RowBlock{image, rows.first[r], rows.last[end - 1] - rows.first[r], r, end - r});
      r = end;
    }
}

// f(n) with n a constant for the usual widths of windows.
template <class F>
void with_width(std::size_t width, F f) {
  if (width == 2) return f(std::integral_constant<std::size_t, 2>{});
  if (width == 3) return f(std::integral_constant<std::size_t, 3>{});
  f(width);
}

// inside(numbers' type, first entry, pixel) for windows' rows that lie in a row of the block, among
// others; then edge(first entry, entries, their place in the window's row, pixel) for the rows of
// windows that stick out. Window c of a row belongs to its pixel c * stride.
template <class T, class Inside, class Edge>
void over_window_rows(const PoolAxis& columns, std::size_t rows, Inside inside, Edge edge) {
  const std::size_t behind = columns.window - 1 - columns.before;
  over_places<T>(columns.before, rows * columns.in - behind,
                 [&]<class N>(std::type_identity<N> number, std::size_t pixel) {
                   inside(number, pixel - columns.before, pixel);
                 });
  if (columns.before == 0) return;
  const auto stick_out = [&](std::size_t c) {
    const std::size_t place = columns.first[c] + columns.before - c * columns.stride;
    for (std::size_t r = 0; r < rows; ++r)
      edge(r * columns.in + columns.first[c], columns.last[c] - columns.first[c], place,
           r * columns.in + c * columns.stride);
  };
  const auto is_whole = [&](std::size_t c) {
    return columns.last[c] - columns.first[c] == columns.window;
  };
  std::size_t left = 0;
  for (; left < columns.out && !is_whole(left); ++left) stick_out(left);
  for (std::size_t c = columns.out; c-- > left && !is_whole(c);) stick_out(c);
}

// f(numbers' type, pixel in the first of the window's rows, rows, pixel in a row, output row) for
// every pixel at which a window may begin; of the block the rows are counted.
template <class T, class F>
void over_row_results(const PoolPlan& plan, const RowBlock& block, std::size_t r, std::size_t room,
                      F f) {
  const std::size_t top = (plan.rows.first[r] - block.in) * plan.columns.in;
  const std::size_t rows = plan.rows.last[r] - plan.rows.first[r];
  over_row<T>((plan.columns.out - 1) * plan.columns.stride + 1, room,
              [&]<class N>(std::type_identity<N> number, std::size_t pixel) {
                f(number, top + pixel, rows, pixel);
              });
}

// to[i] = from[i * stride]
template <class T>
void pick(const T* from, std::size_t stride, std::size_t count, T* to) {
  if (stride == 2)
    for (std::size_t i = 0; i < count; ++i) to[i] = from[2 * i];
  else
    for (std::size_t i = 0; i < count; ++i) to[i] = from[i * stride];
}

// The results of a block: fold(numbers' type, pixel, rows) at every place where a window begins.
// They go straight into y where windows begin everywhere, else by `wide`.
template <class T, class Fold>
void store_results(const PoolPlan& plan, const RowBlock& block, std::size_t last, T* y, T* wide,
                   Fold fold) {
  const PoolAxis& columns = plan.columns;
  const std::size_t begin = block.image * plan.out_size() + block.out * columns.out;
  for (std::size_t i = 0; i < block.out_count; ++i) {
    const bool direct = columns.stride == 1;
    T* const to = direct ? y + begin + i * columns.out : wide + i * columns.in;
    const std::size_t room = direct ? last * plan.out_size() - begin - i * columns.out
                                    : row_pixels + row_slack - i * columns.in;
    over_row_results<T>(
        plan, block, block.out + i, room,
        [&]<class N>(std::type_identity<N> number, std::size_t top, std::size_t rows,
                     std::size_t pixel) { fold(number, top, rows).store(to + pixel); });
  }
  if (columns.stride == 1) return;
  if (columns.stride * columns.out == columns.in)
    return pick(wide, columns.stride, block.out_count * columns.out, y + begin);
  for (std::size_t i = 0; i < block.out_count; ++i)
    pick(wide + i * columns.in, columns.stride, columns.out, y + begin + i * columns.out);
}

template <class T>
void max_rows(const PoolPlan& plan, const T* x, T* y, std::size_t first, std::size_t last) {
  RowBuffer<T> best = {};
  RowBuffer<T> wide = {};
  const std::size_t in = plan.columns.in;
  over_row_blocks(plan, first, last, [&](const RowBlock& block) {
    const T* const xs = x + block.image * plan.in_size() + block.in * in;
    with_width(plan.columns.window, [&](auto window) {
      over_window_rows<T>(
          plan.columns, block.in_count,
          [&]<class N>(std::type_identity<N>, std::size_t from, std::size_t pixel) {
            N found = N::load(xs + from);
            for (std::size_t j = 1; j < window; ++j) found = maximum(N::load(xs + from + j), found);
            found.store(best + pixel);
          },
          [&](std::size_t from, std::size_t count, std::size_t, std::size_t pixel) {
            Single<T> found = xs[from];
            for (std::size_t j = 1; j < count; ++j) found = maximum<T>(xs[from + j], found);
            found.store(best + pixel);
          });
    });
    store_results(plan, block, last, y, wide,
                  [&]<class N>(std::type_identity<N>, std::size_t top, std::size_t rows) {
                    N found = N::load(best + top);
                    for (std::size_t i = 1; i < rows; ++i)
                      found = maximum(N::load(best + top + i * in), found);
                    return found;
                  });
  });
}

template <class T>
void select_rows(const PoolPlan& plan, const T* x, const T* t, T* y, std::size_t first,
                 std::size_t last) {
  RowBuffer<T> best = {};
  RowBuffer<T> chosen = {};
  RowBuffer<T> wide = {};
  const std::size_t in = plan.columns.in;
  over_row_blocks(plan, first, last, [&](const RowBlock& block) {
    const std::size_t begin = block.image * plan.in_size() + block.in * in;
    const auto fold = [&]<class N>(std::type_identity<N>, const T* xs, const T* ts,
                                   std::size_t count, std::size_t step, N& value) {
      N found = N::load(xs);
      value = N::load(ts);
      for (std::size_t k = 1; k < count; ++k) {
        const N next = N::load(xs + k * step);
        const auto better = wins(next, found);
        found = choose(better, next, found);
        value = choose(better, N::load(ts + k * step), value);
      }
      return found;
    };
    const auto fold_columns = [&]<class N>(std::type_identity<N> number, std::size_t from,
                                           auto count, std::size_t pixel) {
      N value(T(0));
      fold(number, x + begin + from, t + begin + from, count, 1, value).store(best + pixel);
      value.store(chosen + pixel);
    };
    with_width(plan.columns.window, [&](auto window) {
      over_window_rows<T>(
          plan.columns, block.in_count,
          [&](auto number, std::size_t from, std::size_t pixel) {
            fold_columns(number, from, window, pixel);
          },
          [&](std::size_t from, std::size_t count, std::size_t, std::size_t pixel) {
            fold_columns(std::type_identity<Single<T>>{}, from, count, pixel);
          });
    });
    store_results(plan, block, last, y, wide,
                  [&]<class N>(std::type_identity<N> number, std::size_t top, std::size_t rows) {
                    N value(T(0));
                    fold(number, best + top, chosen + top, rows, in, value);
                    return value;
                  });
  });
}

template <class T>
void average_rows(const PoolPlan& plan, const T* x, T* y, std::size_t first, std::size_t last) {
  RowBuffer<T> sums = {};
  RowBuffer<T> wide = {};
  const PoolAxis& columns = plan.columns;
  over_row_blocks(plan, first, last, [&](const RowBlock& block) {
    const T* const xs = x + block.image * plan.in_size() + block.in * columns.in;
    const auto add = []<class N>(std::type_identity<N>, const T* from, std::size_t count,
                                 std::size_t step) {
      N total(T(0));
      for (std::size_t k = 0; k < count; ++k) total = total + N::load(from + k * step);
      return total;
    };
    with_width(columns.window, [&](auto window) {
      over_window_rows<T>(
          columns, block.in_count,
          [&](auto number, std::size_t from, std::size_t pixel) {
            add(number, xs + from, window, 1).store(sums + pixel);
          },
          [&](std::size_t from, std::size_t count, std::size_t, std::size_t pixel) {
            add(std::type_identity<Single<T>>{}, xs + from, count, 1).store(sums + pixel);
          });
    });
    store_results(plan, block, last, y, wide, [&](auto number, std::size_t top, std::size_t rows) {
      return add(number, sums + top, rows, columns.in);
    });
    for (std::size_t r = block.out; r < block.out + block.out_count; ++r) {
      T* const to = y + block.image * plan.out_size() + r * columns.out;
      for (std::size_t c = 0; c < columns.out; ++c)
        to[c] /= static_cast<T>(plan.rows.divisor[r] * columns.divisor[c]);
    }
  });
}

// ---- transposes of windows that overlap ---------------------------------------------------------

// A row of windows' values, each at the pixel its window belongs to and zero elsewhere, with zeros
// on both sides.
template <class T>
struct ValueRow {
  T numbers[row_pixels + 3 * row_slack] = {};
  T* values() { return numbers + row_slack; }
};

// 1 up to the end of a row and 0 behind it.
template <class T>
struct RowEnd {
  T numbers[2 * row_slack] = {};
  constexpr RowEnd() {
    for (std::size_t i = 0; i < row_slack; ++i) numbers[i] = T(1);
  }
};
template <class T>
constexpr RowEnd<T> row_end;

// Adds part(numbers' type, rows from the top, column in the window, pixel of the window) to the
// pixels under the windows of output row r. Every pixel gets its windows' parts from left to right.
template <class T, class Part>
void add_parts(const PoolPlan& plan, std::size_t image, std::size_t r, std::size_t last, T* y,
               Part part) {
  const PoolAxis& columns = plan.columns;
  with_width(columns.window, [&](auto window) {
    for (std::size_t i = plan.rows.first[r]; i < plan.rows.last[r]; ++i) {
      const std::size_t begin = image * plan.in_size() + i * columns.in;
      T* const to = y + begin;
      over_row<T>(columns.in, last * plan.in_size() - begin,
                  [&]<class N>(std::type_identity<N> number, std::size_t pixel) {
                    N sum = N::load(to + pixel);
                    for (std::size_t j = window; j-- > 0;)
                      sum = sum + part(number, i - plan.rows.first[r], j,
                                       static_cast<std::ptrdiff_t>(pixel + columns.before) -
                                           static_cast<std::ptrdiff_t>(j));
                    // Windows that stick out on the right have parts behind the row.
                    if (const std::size_t rest = columns.in - pixel; rest < N::width)
                      sum = choose(N::load(row_end<T>.numbers + row_slack - rest) == N(T(1)), sum,
                                   N::load(to + pixel));
                    sum.store(to + pixel);
                  });
    }
  });
}

template <class T>
void clear_images(const PoolPlan& plan, T* y, std::size_t first, std::size_t last) {
  for (std::size_t i = first * plan.in_size(); i < last * plan.in_size(); ++i) y[i] = T(0);
}

template <class T>
void scatter_rows(const PoolPlan& plan, const T* x, const T* t, T* y, std::size_t first,
                  std::size_t last) {
  RowBuffer<T> best = {};
  RowBuffer<T> columns_of_best = {};  // in the windows
  ValueRow<T> row, places;
  const PoolAxis& columns = plan.columns;
  clear_images(plan, y, first, last);
  over_row_blocks(plan, first, last, [&](const RowBlock& block) {
    const T* const xs = x + block.image * plan.in_size() + block.in * columns.in;
    const auto fold_columns = [&]<class N>(std::type_identity<N>, std::size_t from, auto count,
                                           std::size_t place, std::size_t pixel) {
      N found = N::load(xs + from);
      N column(static_cast<T>(place));
      for (std::size_t j = 1; j < count; ++j) {
        const N next = N::load(xs + from + j);
        const auto better = wins(next, found);
        found = choose(better, next, found);
        column = choose(better, N(static_cast<T>(place + j)), column);
      }
      found.store(best + pixel);
      column.store(columns_of_best + pixel);
    };
    with_width(columns.window, [&](auto window) {
      over_window_rows<T>(
          columns, block.in_count,
          [&](auto number, std::size_t from, std::size_t pixel) {
            fold_columns(number, from, window, 0, pixel);
          },
          [&](std::size_t from, std::size_t count, std::size_t place, std::size_t pixel) {
            fold_columns(std::type_identity<Single<T>>{}, from, count, place, pixel);
          });
    });
    for (std::size_t r = block.out; r < block.out + block.out_count; ++r) {
      over_row_results<T>(plan, block, r, row_pixels,
                          [&]<class N>(std::type_identity<N>, std::size_t top, std::size_t rows,
                                       std::size_t pixel) {
                            N found = N::load(best + top);
                            N place = N::load(columns_of_best + top);
                            for (std::size_t i = 1; i < rows; ++i) {
                              const N next = N::load(best + top + i * columns.in);
                              const auto better = wins(next, found);
                              found = choose(better, next, found);
                              place = choose(better,
                                             N::load(columns_of_best + top + i * columns.in) +
                                                 N(static_cast<T>(i * columns.window)),
                                             place);
                            }
                            place.store(places.values() + pixel);
                          });
      const T* const values = t + block.image * plan.out_size() + r * columns.out;
      for (std::size_t c = 0; c < columns.out; ++c) row.values()[c * columns.stride] = values[c];
      add_parts(
          plan, block.image, r, last, y,
          [&]<class N>(std::type_identity<N>, std::size_t i, std::size_t j, std::ptrdiff_t pixel) {
            const N here(static_cast<T>(i * columns.window + j));
            return choose(N::load(places.values() + pixel) == here, N::load(row.values() + pixel),
                          N(T(0)));
          });
    }
  });
}

template <class T>
void spread_rows(const PoolPlan& plan, const T* t, T* y, std::size_t first, std::size_t last) {
  ValueRow<T> row;
  const PoolAxis& columns = plan.columns;
  clear_images(plan, y, first, last);
  for (std::size_t image = first; image < last; ++image)
    for (std::size_t r = 0; r < plan.rows.out; ++r) {
      const T* const values = t + image * plan.out_size() + r * columns.out;
      for (std::size_t c = 0; c < columns.out; ++c)
        row.values()[c * columns.stride] =
            values[c] / static_cast<T>(plan.rows.divisor[r] * columns.divisor[c]);
      add_parts(plan, image, r, last, y,
                [&]<class N>(std::type_identity<N>, std::size_t, std::size_t,
                             std::ptrdiff_t pixel) { return N::load(row.values() + pixel); });
    }
}

}  // namespace DUALTAPE_ISA
}  // namespace dualtape::detail
