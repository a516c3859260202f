// The loops of pooling over floats, for one instruction set.
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <dualtape/core/detail/lane.hpp>
#include <dualtape/ops/detail/pool.hpp>

namespace dualtape::detail {
namespace {

// One number with the functions of a Lane, for what is left over of a register.
template <class T>
struct Single {
  static constexpr std::size_t width = 1;
  T value;

  Single(T number) : value(number) {}
  static Single load(const T* from) { return {*from}; }
  void store(T* to) const { *to = value; }
  friend Single operator+(Single a, Single b) { return {a.value + b.value}; }
  friend Single operator/(Single a, Single b) { return {a.value / b.value}; }
  friend bool operator==(Single a, Single b) { return a.value == b.value; }
};
template <class T>
bool wins(Single<T> x, Single<T> best) {
  return x.value > best.value || x.value != x.value;
}
template <class T, unsigned arch>
auto wins(Lane<T, arch> x, Lane<T, arch> best) {
  return (x > best) | isnan(x);
}
template <class T>
Single<T> choose(bool mask, Single<T> a, Single<T> b) {
  return mask ? a : b;
}
template <class T, unsigned arch>
Lane<T, arch> choose(LaneMask<T, arch> mask, Lane<T, arch> a, Lane<T, arch> b) {
  return select(mask, a, b);
}
template <class T>
Single<T> larger(Single<T> x, Single<T> best) {
  return wins(x, best) ? x : best;
}
template <class T, unsigned arch>
Lane<T, arch> larger(Lane<T, arch> x, Lane<T, arch> best) {
  return maximum(x, best);
}

// f(numbers' type, place) over the `inner` elements of a pixel, registers first.
template <class T, class F>
void over_channels(std::size_t inner, F f) {
  std::size_t c = 0;
  for (; c + Lane<T>::width <= inner; c += Lane<T>::width) f(std::type_identity<Lane<T>>{}, c);
  for (; c < inner; ++c) f(std::type_identity<Single<T>>{}, c);
}

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

template <class T>
void max_windows(const PoolPlan& plan, const T* x, T* y, std::size_t first, std::size_t last) {
  over_windows(plan, first, last, [&](const Window& window, std::size_t image, std::size_t result) {
    const T* const from = x + image * plan.in_size();
    T* const to = y + image * plan.out_size() + result;
    over_channels<T>(plan.inner, [&]<class N>(std::type_identity<N>, std::size_t c) {
      N best = N::load(from + window.begin + c);
      window.each([&](std::size_t at) { best = larger(N::load(from + at + c), best); });
      best.store(to + c);
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
    over_channels<T>(plan.inner, [&]<class N>(std::type_identity<N>, std::size_t c) {
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
    over_channels<T>(plan.inner, [&]<class N>(std::type_identity<N>, std::size_t c) {
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
    over_channels<T>(plan.inner, [&]<class N>(std::type_identity<N>, std::size_t c) {
      N total(T(0));
      for (std::size_t r = 0; r < window.rows; ++r) {  // by rows, which loses fewer digits
        N row(T(0));
        for (std::size_t k = 0; k < window.columns; ++k)
          row = row + N::load(from + r * window.row_stride + k * plan.inner + c);
        total = total + row;
      }
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
    over_channels<T>(plan.inner, [&]<class N>(std::type_identity<N>, std::size_t c) {
      const N share = N::load(values + c) / N(static_cast<T>(window.divisor));
      window.each([&](std::size_t at) {
        (disjoint ? share : N::load(to + at + c) + share).store(to + at + c);
      });
    });
  });
}

// ---- windows of two by two that lie side by side, rows contiguous ----------------------------

bool has_pairs(const PoolPlan& plan) {
  return plan.inner == 1 && plan.rows.halves && plan.columns.halves;
}

// f(input row of the pair's first, output row) for every two rows; an odd row is left over.
template <class F>
void over_row_pairs(const PoolPlan& plan, std::size_t first, std::size_t last, F f) {
  const std::size_t width = plan.columns.in;
  for (std::size_t image = first; image < last; ++image)
    for (std::size_t r = 0; r < plan.rows.out; ++r)
      f(image * plan.in_size() + 2 * r * width, image * plan.out_size() + r * plan.columns.out);
}

template <class T>
using BitsOf = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
// All ones where x takes the place of best. Compilers turn masks, but not conditions, into SIMD.
template <class T>
BitsOf<T> mask_of(T x, T best) {
  return BitsOf<T>(0) -
         static_cast<BitsOf<T>>(static_cast<int>(x > best) | static_cast<int>(x != x));
}
template <class T>
T blend(BitsOf<T> mask, T a, T b) {
  return std::bit_cast<T>((std::bit_cast<BitsOf<T>>(a) & mask) |
                          (std::bit_cast<BitsOf<T>>(b) & ~mask));
}
template <class T>
T kept(BitsOf<T> mask, T a) {
  return std::bit_cast<T>(std::bit_cast<BitsOf<T>>(a) & mask);
}

template <class T>
void max_pairs(const PoolPlan& plan, const T* x, T* y, std::size_t first, std::size_t last) {
  if (!has_pairs(plan)) return max_windows(plan, x, y, first, last);
  const std::size_t count = plan.columns.out;
  over_row_pairs(plan, first, last, [&](std::size_t in, std::size_t out) {
    const T* const upper = x + in;
    const T* const lower = upper + plan.columns.in;
    T* const to = y + out;
    for (std::size_t i = 0; i < count; ++i) {
      T best = upper[2 * i];
      for (const T next : {upper[2 * i + 1], lower[2 * i], lower[2 * i + 1]})
        best = blend(mask_of(next, best), next, best);
      to[i] = best;
    }
  });
}

template <class T>
void select_pairs(const PoolPlan& plan, const T* x, const T* t, T* y, std::size_t first,
                  std::size_t last) {
  if (!has_pairs(plan)) return select_windows(plan, x, t, y, first, last);
  const std::size_t count = plan.columns.out;
  const std::size_t width = plan.columns.in;
  over_row_pairs(plan, first, last, [&](std::size_t in, std::size_t out) {
    const T* const xs = x + in;
    const T* const ts = t + in;
    T* const to = y + out;
    for (std::size_t i = 0; i < count; ++i) {
      T best = xs[2 * i];
      T chosen = ts[2 * i];
      for (const std::size_t at : {2 * i + 1, width + 2 * i, width + 2 * i + 1}) {
        const BitsOf<T> mask = mask_of(xs[at], best);
        best = blend(mask, xs[at], best);
        chosen = blend(mask, ts[at], chosen);
      }
      to[i] = chosen;
    }
  });
}

template <class T>
void scatter_pairs(const PoolPlan& plan, const T* x, const T* t, T* y, std::size_t first,
                   std::size_t last) {
  if (!has_pairs(plan)) return scatter_windows(plan, x, t, y, first, last);
  prepare_sums(plan, y, first, last);
  const std::size_t count = plan.columns.out;
  const std::size_t width = plan.columns.in;
  over_row_pairs(plan, first, last, [&](std::size_t in, std::size_t out) {
    const T* const xs = x + in;
    const T* const lower = xs + width;
    const T* const from = t + out;
    T* const to = y + in;
    T* const to_lower = to + width;
    for (std::size_t i = 0; i < count; ++i) {
      const T a = xs[2 * i], b = xs[2 * i + 1], c = lower[2 * i], d = lower[2 * i + 1];
      const BitsOf<T> second = mask_of(b, a);
      const T upper_best = blend(second, b, a);
      const BitsOf<T> third = mask_of(c, upper_best);
      const BitsOf<T> fourth = mask_of(d, blend(third, c, upper_best));
      const T value = from[i];
      to[2 * i] = kept(~(second | third | fourth), value);
      to[2 * i + 1] = kept(second & ~(third | fourth), value);
      to_lower[2 * i] = kept(third & ~fourth, value);
      to_lower[2 * i + 1] = kept(fourth, value);
    }
  });
}

template <class T>
void average_pairs(const PoolPlan& plan, const T* x, T* y, std::size_t first, std::size_t last) {
  if (!has_pairs(plan)) return average_windows(plan, x, y, first, last);
  const std::size_t count = plan.columns.out;
  over_row_pairs(plan, first, last, [&](std::size_t in, std::size_t out) {
    const T* const upper = x + in;
    const T* const lower = upper + plan.columns.in;
    T* const to = y + out;
    for (std::size_t i = 0; i < count; ++i)
      to[i] = ((upper[2 * i] + upper[2 * i + 1]) + (lower[2 * i] + lower[2 * i + 1])) * T(0.25);
  });
}

template <class T>
void spread_pairs(const PoolPlan& plan, const T* t, T* y, std::size_t first, std::size_t last) {
  if (!has_pairs(plan)) return spread_windows(plan, t, y, first, last);
  prepare_sums(plan, y, first, last);
  const std::size_t count = plan.columns.out;
  const std::size_t width = plan.columns.in;
  over_row_pairs(plan, first, last, [&](std::size_t in, std::size_t out) {
    const T* const from = t + out;
    T* const to = y + in;
    for (std::size_t i = 0; i < count; ++i) {
      const T share = from[i] * T(0.25);
      to[2 * i] = share;
      to[2 * i + 1] = share;
      to[width + 2 * i] = share;
      to[width + 2 * i + 1] = share;
    }
  });
}

template <class T>
constexpr PoolKernelsOf<T> kernels_of() {
  return {&max_pairs<T>, &select_pairs<T>, &scatter_pairs<T>, &average_pairs<T>, &spread_pairs<T>};
}

constexpr PoolKernels table{kernels_of<float>(), kernels_of<double>()};

}  // namespace

const PoolKernels& pool_kernels(ThisIsa) { return table; }

}  // namespace dualtape::detail
