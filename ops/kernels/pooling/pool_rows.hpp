// Pooling of images with contiguous rows by small windows of one size, whole rows at a time.
// Private: includes xsimd; for one instruction set at a time (core/machine/isa.hpp). Plain
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

#include <dualtape/ops/kernels/pooling/pool.hpp>
#include <dualtape/ops/kernels/pooling/pool_numbers.hpp>

namespace dualtape::detail {
inline namespace DUALTAPE_ISA {

constexpr std::size_t row_pixels = 4096;  // of a block of rows, whose buffers stay in cache
constexpr std::size_t row_slack = 48;     // what registers reach over an end

template <class T>
using RowBuffer = T[row_pixels + row_slack];
static_assert(3 * Lane<float>::width <= row_slack);

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
void over_window_rows(const PoolPlan& plan, const RowBlock& block, Inside inside, Edge edge) {
  const PoolAxis& columns = plan.columns;
  const std::size_t rows = block.in_count;
  const std::size_t more = columns.window - 1;  // entries that the last one has after it
  const std::size_t room = (plan.outer - block.image) * plan.in_size() - block.in * columns.in;
  if (rows * columns.in > more)
    over_row<T>(rows * columns.in - more, room - more,
                [&]<class N>(std::type_identity<N> number, std::size_t from) {
                  inside(number, from, from + columns.before);
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

// Where the windows of one output row lie.
struct RowResult {
  std::size_t row;    // of the output
  std::size_t top;    // pixel of the block in the first of the window's rows
  std::size_t rows;   // of the window
  std::size_t pixel;  // of a row
};
// f(numbers' type, RowResult) for every pixel at which a window may begin.
template <class T, class F>
void over_row_results(const PoolPlan& plan, const RowBlock& block, std::size_t r, std::size_t room,
                      F f) {
  const std::size_t top = (plan.rows.first[r] - block.in) * plan.columns.in;
  const std::size_t rows = plan.rows.last[r] - plan.rows.first[r];
  over_row<T>((plan.columns.out - 1) * plan.columns.stride + 1, room,
              [&]<class N>(std::type_identity<N> number, std::size_t pixel) {
                f(number, RowResult{r, top + pixel, rows, pixel});
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

// The results of a block: fold(numbers' type, RowResult) at every place where a window may begin.
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
    over_row_results<T>(plan, block, block.out + i, room, [&](auto number, const RowResult& at) {
      fold(number, at).store(to + at.pixel);
    });
  }
  if (columns.stride == 1) return;
  if (columns.stride * columns.out == columns.in)
    return pick(wide, columns.stride, block.out_count * columns.out, y + begin);
  for (std::size_t i = 0; i < block.out_count; ++i)
    pick(wide + i * columns.in, columns.stride, columns.out, y + begin + i * columns.out);
}

template <class T>
[[gnu::noinline]] void max_rows(const PoolPlan& plan, const T* x, T* y, std::size_t first,
                                std::size_t last) {
  alignas(64) RowBuffer<T> best = {};
  alignas(64) RowBuffer<T> wide = {};
  const std::size_t in = plan.columns.in;
  over_row_blocks(plan, first, last, [&](const RowBlock& block) {
    const T* const xs = x + block.image * plan.in_size() + block.in * in;
    with_width(plan.columns.window, [&](auto window) {
      over_window_rows<T>(
          plan, block,
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
                  [&]<class N>(std::type_identity<N>, const RowResult& at) {
                    N found = N::load(best + at.top);
                    for (std::size_t i = 1; i < at.rows; ++i)
                      found = maximum(N::load(best + at.top + i * in), found);
                    return found;
                  });
  });
}

template <class T>
[[gnu::noinline]] void select_rows(const PoolPlan& plan, const T* x, const T* t, T* y,
                                   std::size_t first, std::size_t last) {
  alignas(64) RowBuffer<T> best = {};
  alignas(64) RowBuffer<T> chosen = {};
  alignas(64) RowBuffer<T> wide = {};
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
          plan, block,
          [&](auto number, std::size_t from, std::size_t pixel) {
            fold_columns(number, from, window, pixel);
          },
          [&](std::size_t from, std::size_t count, std::size_t, std::size_t pixel) {
            fold_columns(std::type_identity<Single<T>>{}, from, count, pixel);
          });
    });
    store_results(plan, block, last, y, wide,
                  [&]<class N>(std::type_identity<N> number, const RowResult& at) {
                    N value(T(0));
                    fold(number, best + at.top, chosen + at.top, at.rows, in, value);
                    return value;
                  });
  });
}

// What sums of windows are divided by, at the pixel each window belongs to, for one row of windows.
template <class T>
void dense_divisors(const PoolAxis& columns, T* to) {
  for (std::size_t i = 0; i < row_pixels + row_slack; ++i) to[i] = T(1);
  for (std::size_t c = 0; c < columns.out; ++c)
    to[c * columns.stride] = static_cast<T>(columns.divisor[c]);
}

template <class T>
[[gnu::noinline]] void average_rows(const PoolPlan& plan, const T* x, T* y, std::size_t first,
                                    std::size_t last) {
  alignas(64) RowBuffer<T> sums = {};
  alignas(64) RowBuffer<T> wide = {};
  alignas(64) RowBuffer<T> divisors;
  const PoolAxis& columns = plan.columns;
  dense_divisors(columns, divisors);
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
          plan, block,
          [&](auto number, std::size_t from, std::size_t pixel) {
            add(number, xs + from, window, 1).store(sums + pixel);
          },
          [&](std::size_t from, std::size_t count, std::size_t, std::size_t pixel) {
            add(std::type_identity<Single<T>>{}, xs + from, count, 1).store(sums + pixel);
          });
    });
    store_results(
        plan, block, last, y, wide,
        [&]<class N>(std::type_identity<N> number, const RowResult& at) {
          // Whole numbers whose product is exact.
          return add(number, sums + at.top, at.rows, columns.in) /
                 (N(static_cast<T>(plan.rows.divisor[at.row])) * N::load(divisors + at.pixel));
        });
  });
}

// ---- transposes of windows that overlap ---------------------------------------------------------

// Pixels of a row of windows' values: each stands at the pixel its window belongs to, with zeros
// between and before them, as many as a window reaches over.
inline std::size_t values_stride(const PoolAxis& columns) {
  return columns.in + columns.window - 1;
}
inline std::size_t values_begin(const PoolAxis& columns) {
  return columns.window - 1 - columns.before;
}

// 1 up to the end of a row and 0 after it.
template <class T>
struct RowEnd {
  T numbers[2 * row_slack] = {};
  constexpr RowEnd() {
    for (std::size_t i = 0; i < row_slack; ++i) numbers[i] = T(1);
  }
};
template <class T>
constexpr RowEnd<T> row_end;

// Output row r of t, each value at the pixel its window belongs to. What was between them, 0, stays
// so; less than row_slack pixels after the row become 0.
template <class T>
void expand(const PoolPlan& plan, std::size_t image, std::size_t r, const T* t, T* to) {
  const std::size_t count = plan.columns.out;
  const std::size_t stride = plan.columns.stride;
  const std::size_t begin = image * plan.out_size() + r * count;
  const T* const from = t + begin;
  if (stride > 2) {
    for (std::size_t i = 0; i < count; ++i) to[i * stride] = from[i];
    return;
  }
  over_row<T>(count, plan.outer * plan.out_size() - begin,
              [&]<class N>(std::type_identity<N>, std::size_t i) {
                N next = N::load(from + i);
                if (const std::size_t rest = count - i; rest < N::width)
                  next = choose(N::load(row_end<T>.numbers + row_slack - rest) == N(T(1)), next,
                                N(T(0)));
                if (stride == 1) return next.store(to + i);
                T values[N::width];
                next.store(values);
                for (std::size_t k = 0; k < N::width; ++k) {
                  to[2 * (i + k)] = values[k];
                  to[2 * (i + k) + 1] = T(0);
                }
              });
}

// Where buffers have room for all windows over a row of the input.
inline bool has_rows_back(const PoolPlan& plan) {
  return has_rows(plan) && (2 * plan.rows.window - 1) * plan.columns.in <= row_pixels &&
         plan.rows.window * values_stride(plan.columns) <= row_pixels;
}

// f(block, first row, last row) for rows of the input and the block of all windows over them, none
// in gaps between windows.
template <class F>
void over_rows_back(const PoolPlan& plan, std::size_t first, std::size_t last, F f) {
  const PoolAxis& rows = plan.rows;
  const auto fits = [&](std::size_t low, std::size_t high) {
    return low == high ||
           ((rows.last[high - 1] - rows.first[low]) * plan.columns.in <= row_pixels &&
            (high - low) * values_stride(plan.columns) <= row_pixels);
  };
  for (std::size_t image = first; image < last; ++image)
    for (std::size_t row = 0, low = 0; row < rows.in;) {
      while (low < rows.out && rows.last[low] <= row) ++low;
      std::size_t high = low;
      std::size_t end = row;
      while (end < rows.in) {
        std::size_t next = high;
        while (next < rows.out && rows.first[next] <= end) ++next;
        if (end > row && !fits(low, next)) break;
        high = next;
        ++end;
      }
      const bool gap = low == high;
      f(RowBlock{image, gap ? 0 : rows.first[low], gap ? 0 : rows.last[high - 1] - rows.first[low],
                 low, high - low},
        row, end);
      row = end;
    }
}

// Every pixel of the rows is the sum of part(numbers' type, row in the window, column in the
// window, where in the rows of values its window stands) over its windows from first to last.
template <class T, class Part>
void sum_parts(const PoolPlan& plan, const RowBlock& block, std::size_t row, std::size_t end,
               std::size_t last, T* y, Part part) {
  const PoolAxis& columns = plan.columns;
  std::size_t low = block.out;
  with_width(columns.window, [&](auto window) {
    for (std::size_t i = row; i < end; ++i) {
      while (low < block.out + block.out_count && plan.rows.last[low] <= i) ++low;
      std::size_t high = low;
      while (high < block.out + block.out_count && plan.rows.first[high] <= i) ++high;
      const std::size_t begin = block.image * plan.in_size() + i * columns.in;
      over_row<T>(columns.in, last * plan.in_size() - begin,
                  [&]<class N>(std::type_identity<N> number, std::size_t pixel) {
                    N sum(T(0));
                    for (std::size_t r = low; r < high; ++r) {
                      const std::size_t at = (r - block.out) * values_stride(columns) + pixel;
                      for (std::size_t j = window; j-- > 0;)
                        sum = sum + part(number, i - plan.rows.first[r], j, at + (window - 1 - j));
                    }
                    sum.store(y + begin + pixel);
                  });
    }
  });
}

template <class T>
[[gnu::noinline]] void scatter_rows(const PoolPlan& plan, const T* x, const T* t, T* y,
                                    std::size_t first, std::size_t last) {
  alignas(64) RowBuffer<T> best = {};
  alignas(64) RowBuffer<T> columns_of_best = {};  // in the windows
  alignas(64) RowBuffer<T> values = {};
  alignas(64) RowBuffer<T> places = {};
  const PoolAxis& columns = plan.columns;
  over_rows_back(plan, first, last, [&](const RowBlock& block, std::size_t row, std::size_t end) {
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
          plan, block,
          [&](auto number, std::size_t from, std::size_t pixel) {
            fold_columns(number, from, window, 0, pixel);
          },
          [&](std::size_t from, std::size_t count, std::size_t place, std::size_t pixel) {
            fold_columns(std::type_identity<Single<T>>{}, from, count, place, pixel);
          });
    });
    for (std::size_t i = 0; i < block.out_count; ++i) {
      const std::size_t at = i * values_stride(columns) + values_begin(columns);
      over_row_results<T>(plan, block, block.out + i, row_pixels + row_slack - at,
                          [&]<class N>(std::type_identity<N>, const RowResult& from) {
                            N found = N::load(best + from.top);
                            N place = N::load(columns_of_best + from.top);
                            for (std::size_t k = 1; k < from.rows; ++k) {
                              const std::size_t pixel = from.top + k * columns.in;
                              const N next = N::load(best + pixel);
                              const auto better = wins(next, found);
                              found = choose(better, next, found);
                              place = choose(better,
                                             N::load(columns_of_best + pixel) +
                                                 N(static_cast<T>(k * columns.window)),
                                             place);
                            }
                            place.store(places + at + from.pixel);
                          });
      expand(plan, block.image, block.out + i, t, values + at);
    }
    sum_parts(plan, block, row, end, last, y,
              [&]<class N>(std::type_identity<N>, std::size_t i, std::size_t j, std::size_t at) {
                const N here(static_cast<T>(i * columns.window + j));
                return choose(N::load(places + at) == here, N::load(values + at), N(T(0)));
              });
  });
}

template <class T>
[[gnu::noinline]] void spread_rows(const PoolPlan& plan, const T* t, T* y, std::size_t first,
                                   std::size_t last) {
  alignas(64) RowBuffer<T> values = {};
  alignas(64) RowBuffer<T> divisors;
  const PoolAxis& columns = plan.columns;
  dense_divisors(columns, divisors);
  over_rows_back(plan, first, last, [&](const RowBlock& block, std::size_t row, std::size_t end) {
    for (std::size_t i = 0; i < block.out_count; ++i) {
      T* const to = values + i * values_stride(columns) + values_begin(columns);
      expand(plan, block.image, block.out + i, t, to);
      const auto row_divisor = static_cast<T>(plan.rows.divisor[block.out + i]);
      over_row<T>(
          columns.in, columns.in + row_slack,
          [&]<class N>(std::type_identity<N>, std::size_t pixel) {
            (N::load(to + pixel) / (N(row_divisor) * N::load(divisors + pixel))).store(to + pixel);
          });
    }
    sum_parts(plan, block, row, end, last, y,
              [&]<class N>(std::type_identity<N>, std::size_t, std::size_t, std::size_t at) {
                return N::load(values + at);
              });
  });
}

}  // namespace DUALTAPE_ISA
}  // namespace dualtape::detail
