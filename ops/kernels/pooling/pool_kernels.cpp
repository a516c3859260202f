// The loops of pooling over floats, for one instruction set.
#include <cstddef>
#include <type_traits>

#include <dualtape/ops/kernels/pooling/pool.hpp>
#include <dualtape/ops/kernels/pooling/pool_numbers.hpp>
#include <dualtape/ops/kernels/pooling/pool_rows.hpp>

namespace dualtape::detail {
namespace {

// One window: where its first entry stands in an image, and how far it goes.
struct Window {
  std::size_t begin;
  std::size_t rows;
  std::size_t columns;
  std::size_t row_stride;
  std::size_t inner;
  double divisor;

  // f(place) for every entry in order.
  template <class F>
  void each(F f) const {
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < columns; ++c) f(begin + r * row_stride + c * inner);
  }
};

// f(window, image, place of the window's result in the image's) for images first ... last - 1.
template <class F>
void over_windows(const PoolPlan& plan, std::size_t first, std::size_t last, F f) {
  const PoolAxis& rows = plan.rows;
  const PoolAxis& columns = plan.columns;
  Window window{};
  window.inner = plan.inner;
  window.row_stride = columns.in * plan.inner;
  for (std::size_t image = first; image < last; ++image) {
    std::size_t result = 0;
    for (std::size_t r = 0; r < rows.out; ++r) {
      window.rows = rows.last[r] - rows.first[r];
      for (std::size_t c = 0; c < columns.out; ++c, result += plan.inner) {
        window.columns = columns.last[c] - columns.first[c];
        window.begin = rows.first[r] * window.row_stride + columns.first[c] * plan.inner;
        window.divisor = rows.divisor[r] * columns.divisor[c];
        f(window, image, result);
      }
    }
  }
}

// Without a branch on each element. A NaN is no reason to stop, so it is looked for afterwards.
template <class T>
T largest(const Window& window, const T* from) {
  T best = from[window.begin];
  int nans = 0;
  window.each([&](std::size_t at) {
    const T next = from[at];
    best = next > best ? next : best;
    nans |= static_cast<int>(next != next);
  });
  if (nans != 0)
    window.each([&](std::size_t at) { best = from[at] != from[at] ? from[at] : best; });
  return best;
}

template <class T>
void max_windows(const PoolPlan& plan, const T* x, T* y, std::size_t first, std::size_t last) {
  over_windows(plan, first, last, [&](const Window& window, std::size_t image, std::size_t result) {
    const T* const from = x + image * plan.in_size();
    T* const to = y + image * plan.out_size() + result;
    over_places<T>(0, plan.inner, [&]<class N>(std::type_identity<N>, std::size_t c) {
      if constexpr (N::width == 1) {
        to[c] = largest(window, from + c);
      } else {
        N best = N::load(from + window.begin + c);
        window.each([&](std::size_t at) { best = maximum(N::load(from + at + c), best); });
        best.store(to + c);
      }
    });
  });
}

template <class T>
void select_windows(const PoolPlan& plan, const T* x, const T* t, T* y, std::size_t first,
                    std::size_t last) {
  over_windows(plan, first, last, [&](const Window& window, std::size_t image, std::size_t result) {
    const T* const from = x + image * plan.in_size();
    const T* const values = t + image * plan.in_size();
    T* const to = y + image * plan.out_size() + result;
    over_places<T>(0, plan.inner, [&]<class N>(std::type_identity<N>, std::size_t c) {
      N best = N::load(from + window.begin + c);
      N chosen = N::load(values + window.begin + c);
      window.each([&](std::size_t at) {
        const N next = N::load(from + at + c);
        const auto better = wins(next, best);
        best = choose(better, next, best);
        chosen = choose(better, N::load(values + at + c), chosen);
      });
      chosen.store(to + c);
    });
  });
}

// Clears what windows add to, where they do not write every element exactly once.
template <class T>
bool prepare_sums(const PoolPlan& plan, T* y, std::size_t first, std::size_t last) {
  const bool disjoint = plan.rows.disjoint && plan.columns.disjoint;
  if (!disjoint || !plan.rows.covering || !plan.columns.covering)
    for (std::size_t i = first * plan.in_size(); i < last * plan.in_size(); ++i) y[i] = T(0);
  return disjoint;
}

template <class T>
void scatter_windows(const PoolPlan& plan, const T* x, const T* t, T* y, std::size_t first,
                     std::size_t last) {
  const bool disjoint = prepare_sums(plan, y, first, last);
  over_windows(plan, first, last, [&](const Window& window, std::size_t image, std::size_t result) {
    const T* const from = x + image * plan.in_size();
    const T* const values = t + image * plan.out_size() + result;
    T* const to = y + image * plan.in_size();
    over_places<T>(0, plan.inner, [&]<class N>(std::type_identity<N>, std::size_t c) {
      N best = N::load(from + window.begin + c);
      N place(T(0));
      T count = 0;  // exact: windows have fewer than 2^24 entries
      window.each([&](std::size_t at) {
        const N next = N::load(from + at + c);
        const auto better = wins(next, best);
        best = choose(better, next, best);
        place = choose(better, N(count), place);
        count += 1;
      });
      const N value = N::load(values + c);
      count = 0;
      window.each([&](std::size_t at) {
        const N part = choose(place == N(count), value, N(T(0)));
        (disjoint ? part : N::load(to + at + c) + part).store(to + at + c);
        count += 1;
      });
    });
  });
}

template <class T>
void average_windows(const PoolPlan& plan, const T* x, T* y, std::size_t first, std::size_t last) {
  over_windows(plan, first, last, [&](const Window& window, std::size_t image, std::size_t result) {
    const T* const from = x + image * plan.in_size() + window.begin;
    T* const to = y + image * plan.out_size() + result;
    over_places<T>(0, plan.inner, [&]<class N>(std::type_identity<N>, std::size_t c) {
      const N total = sum_in_halves<N, T>(0, window.rows, [&](std::size_t r) {
        return sum_in_halves<N, T>(0, window.columns, [&](std::size_t k) {
          return N::load(from + r * window.row_stride + k * plan.inner + c);
        });
      });
      (total / N(static_cast<T>(window.divisor))).store(to + c);
    });
  });
}

template <class T>
void spread_windows(const PoolPlan& plan, const T* t, T* y, std::size_t first, std::size_t last) {
  const bool disjoint = prepare_sums(plan, y, first, last);
  over_windows(plan, first, last, [&](const Window& window, std::size_t image, std::size_t result) {
    const T* const values = t + image * plan.out_size() + result;
    T* const to = y + image * plan.in_size();
    over_places<T>(0, plan.inner, [&]<class N>(std::type_identity<N>, std::size_t c) {
      const N share = N::load(values + c) / N(static_cast<T>(window.divisor));
      window.each([&](std::size_t at) {
        (disjoint ? share : N::load(to + at + c) + share).store(to + at + c);
      });
    });
  });
}

// ---- windows of two by two that lie side by side, rows contiguous ----------------------------
//
// Two steps, each over long spans: neighbours in a row are joined into a buffer, for many rows at
// once; then rows of the buffer are joined two by two. Of four elements in order the winner is the
// same as one after the other.

constexpr std::size_t most_pairs = 1024;  // in a buffer, which stays in the first-level cache
constexpr std::size_t slack = 16;         // registers may reach past it

bool has_pairs(const PoolPlan& plan) {
  return plan.inner == 1 && plan.rows.halves() && plan.columns.halves() &&
         2 * plan.columns.out <= most_pairs;
}

// f(first input element, first output element, rows of output) for blocks of whole row pairs.
template <class F>
void over_blocks(const PoolPlan& plan, std::size_t first, std::size_t last, F f) {
  const std::size_t most = most_pairs / (2 * plan.columns.out);
  for (std::size_t image = first; image < last; ++image)
    for (std::size_t r = 0; r < plan.rows.out; r += most)
      f(image * plan.in_size() + 2 * r * plan.columns.in,
        image * plan.out_size() + r * plan.columns.out,
        most < plan.rows.out - r ? most : plan.rows.out - r);
}
// f(first input element, first pair, pairs): all of a block at once, or by rows where one element
// at the end of each belongs to no pair. `rows` counts those of the input.
template <class F>
void over_pairs(const PoolPlan& plan, std::size_t rows, F f) {
  const std::size_t pairs = plan.columns.out;
  if (2 * pairs == plan.columns.in) return f(std::size_t{0}, std::size_t{0}, rows * pairs);
  for (std::size_t r = 0; r < rows; ++r) f(r * plan.columns.in, r * pairs, pairs);
}
// f(numbers' type, upper pair, lower pair, result) for the results of a block; where `room` after
// the first allows, registers go over the ends of rows and the next row puts that right.
template <class T, class F>
void over_results(std::size_t rows, std::size_t width, std::size_t room, F f) {
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t upper = 2 * r * width;
    static_assert(Lane<T>::width <= slack);
    std::size_t i = 0;
    for (; i < width && r * width + i + Lane<T>::width <= room; i += Lane<T>::width)
      f(std::type_identity<Lane<T>>{}, upper + i, upper + width + i, r * width + i);
    for (; i < width; ++i)
      f(std::type_identity<Single<T>>{}, upper + i, upper + width + i, r * width + i);
  }
}

// The winners of n pairs. Not inlined, since the loop then keeps all it needs in registers.
template <class T>
[[gnu::noinline]] void join_pairs(const T* x, std::size_t n, T* best) {
  for (std::size_t k = 0; k < n; ++k)
    best[k] = blend(mask_of(x[2 * k + 1], x[2 * k]), x[2 * k + 1], x[2 * k]);
}
// And what t has at their places.
template <class T>
[[gnu::noinline]] void join_pairs(const T* x, const T* t, std::size_t n, T* best, T* chosen) {
  for (std::size_t k = 0; k < n; ++k) {
    const BitsOf<T> mask = mask_of(x[2 * k + 1], x[2 * k]);
    best[k] = blend(mask, x[2 * k + 1], x[2 * k]);
    chosen[k] = blend(mask, t[2 * k + 1], t[2 * k]);
  }
}

template <class T>
void max_pairs(const PoolPlan& plan, const T* x, T* y, std::size_t first, std::size_t last) {
  alignas(64) T best[most_pairs + slack] = {};
  over_blocks(plan, first, last, [&](std::size_t in, std::size_t out, std::size_t rows) {
    over_pairs(plan, 2 * rows, [&](std::size_t from, std::size_t to, std::size_t n) {
      join_pairs(x + in + from, n, best + to);
    });
    over_results<T>(
        rows, plan.columns.out, last * plan.out_size() - out,
        [&]<class N>(std::type_identity<N>, std::size_t a, std::size_t b, std::size_t result) {
          const N upper = N::load(best + a), lower = N::load(best + b);
          choose(wins(lower, upper), lower, upper).store(y + out + result);
        });
  });
}

template <class T>
void select_pairs(const PoolPlan& plan, const T* x, const T* t, T* y, std::size_t first,
                  std::size_t last) {
  alignas(64) T best[most_pairs + slack] = {};
  alignas(64) T chosen[most_pairs + slack] = {};
  over_blocks(plan, first, last, [&](std::size_t in, std::size_t out, std::size_t rows) {
    over_pairs(plan, 2 * rows, [&](std::size_t from, std::size_t to, std::size_t n) {
      join_pairs(x + in + from, t + in + from, n, best + to, chosen + to);
    });
    over_results<T>(
        rows, plan.columns.out, last * plan.out_size() - out,
        [&]<class N>(std::type_identity<N>, std::size_t a, std::size_t b, std::size_t result) {
          choose(wins(N::load(best + b), N::load(best + a)), N::load(chosen + b),
                 N::load(chosen + a))
              .store(y + out + result);
        });
  });
}

template <class T>
void scatter_pairs(const PoolPlan& plan, const T* x, const T* t, T* y, std::size_t first,
                   std::size_t last) {
  prepare_sums(plan, y, first, last);
  alignas(64) T best[most_pairs + slack] = {};
  alignas(64) T upper_share[most_pairs + slack] = {};  // of pairs, by the place of the result
  alignas(64) T lower_share[most_pairs + slack] = {};
  const std::size_t count = plan.columns.out;
  over_blocks(plan, first, last, [&](std::size_t in, std::size_t out, std::size_t rows) {
    over_pairs(plan, 2 * rows, [&](std::size_t from, std::size_t to, std::size_t n) {
      join_pairs(x + in + from, n, best + to);
    });
    over_results<T>(
        rows, count, last * plan.out_size() - out,
        [&]<class N>(std::type_identity<N>, std::size_t a, std::size_t b, std::size_t result) {
          const auto mask = wins(N::load(best + b), N::load(best + a));
          const N value = N::load(t + out + result);
          const N none(T(0));
          choose(mask, none, value).store(upper_share + result);
          choose(mask, value, none).store(lower_share + result);
        });
    for (std::size_t r = 0; r < 2 * rows; ++r) {
      const T* const share = (r % 2 == 0 ? upper_share : lower_share) + r / 2 * count;
      const T* const xs = x + in + r * plan.columns.in;
      T* const ys = y + in + r * plan.columns.in;
      for (std::size_t k = 0; k < count; ++k) {
        const BitsOf<T> mask = mask_of(xs[2 * k + 1], xs[2 * k]);
        ys[2 * k] = kept(~mask, share[k]);
        ys[2 * k + 1] = kept(mask, share[k]);
      }
    }
  });
}

template <class T>
void average_pairs(const PoolPlan& plan, const T* x, T* y, std::size_t first, std::size_t last) {
  alignas(64) T sums[most_pairs + slack] = {};
  over_blocks(plan, first, last, [&](std::size_t in, std::size_t out, std::size_t rows) {
    over_pairs(plan, 2 * rows, [&](std::size_t from, std::size_t to, std::size_t n) {
      const T* const xs = x + in + from;
      for (std::size_t k = 0; k < n; ++k) sums[to + k] = xs[2 * k] + xs[2 * k + 1];
    });
    over_results<T>(
        rows, plan.columns.out, last * plan.out_size() - out,
        [&]<class N>(std::type_identity<N>, std::size_t a, std::size_t b, std::size_t result) {
          ((N::load(sums + a) + N::load(sums + b)) / N(T(4))).store(y + out + result);
        });
  });
}

template <class T>
void spread_pairs(const PoolPlan& plan, const T* t, T* y, std::size_t first, std::size_t last) {
  prepare_sums(plan, y, first, last);
  const std::size_t count = plan.columns.out;
  over_blocks(plan, first, last, [&](std::size_t in, std::size_t out, std::size_t rows) {
    for (std::size_t r = 0; r < 2 * rows; ++r) {
      const T* const from = t + out + r / 2 * count;
      T* const to = y + in + r * plan.columns.in;
      for (std::size_t i = 0; i < count; ++i) {
        const T share = from[i] * T(0.25);
        to[2 * i] = share;
        to[2 * i + 1] = share;
      }
    }
  });
}

// ---- choice ------------------------------------------------------------------------------------

// Where windows do not overlap, what falls on an element is stored and not added.
bool adds_rows(const PoolPlan& plan) {
  return has_rows_back(plan) && !(plan.rows.disjoint && plan.columns.disjoint);
}
// Of narrow images and windows apart, writing rows down is more than half of it.
bool spreads_rows(const PoolPlan& plan) {
  return adds_rows(plan) && (plan.columns.stride == 1 || plan.columns.in >= 16);
}

template <class T>
void max(const PoolPlan& plan, const T* x, T* y, std::size_t first, std::size_t last) {
  const auto run = has_pairs(plan)  ? &max_pairs<T>
                   : has_rows(plan) ? &max_rows<T>
                                    : &max_windows<T>;
  run(plan, x, y, first, last);
}
template <class T>
void select(const PoolPlan& plan, const T* x, const T* t, T* y, std::size_t first,
            std::size_t last) {
  const auto run = has_pairs(plan)  ? &select_pairs<T>
                   : has_rows(plan) ? &select_rows<T>
                                    : &select_windows<T>;
  run(plan, x, t, y, first, last);
}
template <class T>
void scatter(const PoolPlan& plan, const T* x, const T* t, T* y, std::size_t first,
             std::size_t last) {
  const auto run = has_pairs(plan)   ? &scatter_pairs<T>
                   : adds_rows(plan) ? &scatter_rows<T>
                                     : &scatter_windows<T>;
  run(plan, x, t, y, first, last);
}

// A sum may overflow where the average does not: averages that are not finite are taken anew, of
// elements made smaller by a power of two.
template <class T>
void mend_averages(const PoolPlan& plan, const T* x, T* y, std::size_t first, std::size_t last) {
  constexpr double small = 0x1p-32;  // windows have fewer entries than its reciprocal
  over_windows(plan, first, last, [&](const Window& window, std::size_t image, std::size_t result) {
    const T* const from = x + image * plan.in_size();
    T* const to = y + image * plan.out_size() + result;
    for (std::size_t c = 0; c < plan.inner; ++c) {
      if (to[c] - to[c] == 0) continue;
      double total = 0;
      window.each([&](std::size_t at) { total += small * static_cast<double>(from[at + c]); });
      to[c] = static_cast<T>(total / window.divisor / small);
    }
  });
}
template <class T>
void average(const PoolPlan& plan, const T* x, T* y, std::size_t first, std::size_t last) {
  const auto run = has_pairs(plan)  ? &average_pairs<T>
                   : has_rows(plan) ? &average_rows<T>
                                    : &average_windows<T>;
  run(plan, x, y, first, last);
  int lost = 0;
  for (std::size_t i = first * plan.out_size(); i < last * plan.out_size(); ++i)
    lost |= static_cast<int>(!(y[i] - y[i] == 0));
  if (lost != 0) mend_averages(plan, x, y, first, last);
}
template <class T>
void spread(const PoolPlan& plan, const T* t, T* y, std::size_t first, std::size_t last) {
  const auto run = has_pairs(plan)      ? &spread_pairs<T>
                   : spreads_rows(plan) ? &spread_rows<T>
                                        : &spread_windows<T>;
  run(plan, t, y, first, last);
}

template <class T>
constexpr PoolKernelsOf<T> kernels_of() {
  return {&max<T>, &select<T>, &scatter<T>, &average<T>, &spread<T>};
}

constexpr PoolKernels table{kernels_of<float>(), kernels_of<double>()};

}  // namespace

const PoolKernels& pool_kernels(ThisIsa) { return table; }

}  // namespace dualtape::detail
