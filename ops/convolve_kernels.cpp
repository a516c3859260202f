// The loops of convolution over floats, for one instruction set.
#include <cstddef>
#include <cstdint>

#include <dualtape/ops/detail/convolve.hpp>

namespace dualtape::detail {
namespace {

// The outputs first ... last - 1 along an axis that see entry `first_in` and on, `stride` apart,
// with the weight at `offset`; the others see padding.
struct Seen {
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::int64_t first_in = 0;
};
Seen seen(const ConvAxis& axis, std::int64_t offset) {
  const std::int64_t shift = offset * axis.dilation - axis.before;
  Seen result;
  result.first = shift >= 0 ? 0 : (-shift + axis.stride - 1) / axis.stride;
  const std::int64_t room = axis.in - shift;  // outputs i with i stride < room
  result.last = room <= 0 ? 0 : (room + axis.stride - 1) / axis.stride;
  if (result.last > axis.out) result.last = axis.out;
  if (result.first > result.last) result.first = result.last;
  result.first_in = result.first * axis.stride + shift;
  return result;
}

// f(row of x, row of y, weight number, columns seen, number of weight in window) for all rows that
// meet.
template <class F>
void over_rows(const ConvShape& s, F f) {
  for (std::int64_t p = 0, k = 0; p < s.rows.kernel; ++p) {
    const Seen rows = seen(s.rows, p);
    for (std::int64_t q = 0; q < s.columns.kernel; ++q, ++k) {
      const Seen columns = seen(s.columns, q);
      for (std::int64_t i = rows.first; i < rows.last; ++i)
        f(rows.first_in + (i - rows.first) * s.rows.stride, i, k, columns);
    }
  }
}

template <class T>
void fill(T* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = T{0};
}

template <class T>
void to_columns(const ConvShape& s, const T* x, T* to) {
  for (std::int64_t c = 0; c < s.in_group(); ++c, x += s.in_plane())
    for (std::int64_t p = 0; p < s.rows.kernel; ++p) {
      const Seen rows = seen(s.rows, p);
      for (std::int64_t q = 0; q < s.columns.kernel; ++q) {
        const Seen columns = seen(s.columns, q);
        fill(to, rows.first * s.columns.out);
        to += rows.first * s.columns.out;
        for (std::int64_t i = rows.first; i < rows.last; ++i, to += s.columns.out) {
          const T* from = x + (rows.first_in + (i - rows.first) * s.rows.stride) * s.columns.in +
                          columns.first_in;
          fill(to, columns.first);
          if (s.columns.stride == 1)
            for (std::int64_t j = columns.first; j < columns.last; ++j)
              to[j] = from[j - columns.first];
          else
            for (std::int64_t j = columns.first; j < columns.last; ++j, from += s.columns.stride)
              to[j] = *from;
          fill(to + columns.last, s.columns.out - columns.last);
        }
        fill(to, (s.rows.out - rows.last) * s.columns.out);
        to += (s.rows.out - rows.last) * s.columns.out;
      }
    }
}

template <class T>
void add_columns(const ConvShape& s, const T* columns, T* x) {
  for (std::int64_t c = 0; c < s.in_group();
       ++c, x += s.in_plane(), columns += s.window() * s.out_plane())
    over_rows(s, [&](std::int64_t in, std::int64_t out, std::int64_t k, const Seen& seen_columns) {
      T* to = x + in * s.columns.in + seen_columns.first_in;
      const T* from = columns + (k * s.rows.out + out) * s.columns.out + seen_columns.first;
      const std::int64_t count = seen_columns.last - seen_columns.first;
      if (s.columns.stride == 1)
        for (std::int64_t j = 0; j < count; ++j) to[j] += from[j];
      else
        for (std::int64_t j = 0; j < count; ++j) to[j * s.columns.stride] += from[j];
    });
}

template <class T>
void plane_forward(const ConvShape& s, const T* x, const T* w, T* y) {
  over_rows(s, [&](std::int64_t in, std::int64_t out, std::int64_t k, const Seen& columns) {
    const T* from = x + in * s.columns.in + columns.first_in;
    T* to = y + out * s.columns.out + columns.first;
    const std::int64_t count = columns.last - columns.first;
    const T weight = w[k];
    if (s.columns.stride == 1)
      for (std::int64_t j = 0; j < count; ++j) to[j] += weight * from[j];
    else
      for (std::int64_t j = 0; j < count; ++j) to[j] += weight * from[j * s.columns.stride];
  });
}

template <class T>
void plane_by_input(const ConvShape& s, const T* y, const T* w, T* x) {
  over_rows(s, [&](std::int64_t in, std::int64_t out, std::int64_t k, const Seen& columns) {
    const T* from = y + out * s.columns.out + columns.first;
    T* to = x + in * s.columns.in + columns.first_in;
    const std::int64_t count = columns.last - columns.first;
    const T weight = w[k];
    if (s.columns.stride == 1)
      for (std::int64_t j = 0; j < count; ++j) to[j] += weight * from[j];
    else
      for (std::int64_t j = 0; j < count; ++j) to[j * s.columns.stride] += weight * from[j];
  });
}

// A sum in many parts: one after the other would wait for each addition.
template <class T>
T dot(const T* x, std::int64_t stride, const T* y, std::int64_t count) {
  constexpr std::int64_t parts = 16;
  T sums[parts] = {};
  std::int64_t j = 0;
  if (stride == 1)
    for (; j + parts <= count; j += parts)
      for (std::int64_t l = 0; l < parts; ++l) sums[l] += x[j + l] * y[j + l];
  T total = 0;
  for (; j < count; ++j) total += x[j * stride] * y[j];
  for (const T sum : sums) total += sum;
  return total;
}

template <class T>
void plane_by_weights(const ConvShape& s, const T* x, const T* y, T* w) {
  over_rows(s, [&](std::int64_t in, std::int64_t out, std::int64_t k, const Seen& columns) {
    w[k] += dot(x + in * s.columns.in + columns.first_in, s.columns.stride,
                y + out * s.columns.out + columns.first, columns.last - columns.first);
  });
}

template <class T>
constexpr ConvolveKernelsOf<T> kernels_of{to_columns<T>, add_columns<T>, plane_forward<T>,
                                          plane_by_input<T>, plane_by_weights<T>};
constexpr ConvolveKernels table{kernels_of<float>, kernels_of<double>};

}  // namespace

const ConvolveKernels& convolve_kernels(ThisIsa) { return table; }

}  // namespace dualtape::detail
