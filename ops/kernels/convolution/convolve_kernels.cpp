// The loops of convolution over floats, for one instruction set.
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <dualtape/core/machine/lane.hpp>
#include <dualtape/ops/kernels/convolution/convolve.hpp>

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

// ---- few channels in ---------------------------------------------------------------------------
//
// Columns of so few rows cost as much as the product with them. Here registers hold neighbours in a
// row of results, and what they have gathered stays in registers. The last register of a row ends
// where the row ends, and so overlaps the one before.

template <class T>
using Batch = xsimd::batch<T>;
template <class T>
constexpr std::int64_t width_of = static_cast<std::int64_t>(Batch<T>::size);
constexpr std::int64_t tile = 8;  // output channels at a time

template <class T>
void pad(const ConvShape& s, const T* x, T* padded) {
  const std::int64_t columns = s.padded_columns();
  for (std::int64_t c = 0; c < s.in_channels; ++c) {
    fill(padded, s.rows.before * columns);
    padded += s.rows.before * columns;
    for (std::int64_t i = 0; i < s.rows.in; ++i, x += s.columns.in, padded += columns) {
      fill(padded, s.columns.before);
      for (std::int64_t j = 0; j < s.columns.in; ++j) padded[s.columns.before + j] = x[j];
      fill(padded + s.columns.before + s.columns.in, s.columns.after);
    }
    fill(padded, s.rows.after * columns);
    padded += s.rows.after * columns;
  }
}

// Tiles of output channels, in them (weight of one channel, channel of the tile).
template <class T>
void pack_weights(const ConvShape& s, const T* w, T* packed) {
  const std::int64_t taps = s.column_rows();
  for (std::int64_t m = 0; m < s.out_channels; m += tile) {
    const std::int64_t count = s.out_channels - m < tile ? s.out_channels - m : tile;
    for (std::int64_t k = 0; k < taps; ++k)
      for (std::int64_t l = 0; l < count; ++l) *packed++ = w[(m + l) * taps + k];
  }
}

// `count` output channels of `registers` places along row i, the last of which begins at `last`.
template <class T, std::int64_t count, int registers>
void forward_tile(const ConvShape& s, const T* x, const T* w, T* y, std::int64_t i, std::int64_t j,
                  std::int64_t last) {
  const std::int64_t columns = s.padded_columns();
  const std::int64_t start[2] = {registers == 1 ? last : j, last};
  Batch<T> sums[count][registers];
  for (auto& row : sums)
    for (auto& sum : row) sum = Batch<T>(T(0));
  for (std::int64_t c = 0; c < s.in_channels; ++c)
    for (std::int64_t p = 0; p < s.rows.kernel; ++p) {
      const T* const row = x + (c * s.padded_rows() + i + p) * columns;
      for (std::int64_t q = 0; q < s.columns.kernel; ++q, w += count) {
        Batch<T> from[registers];
        for (int r = 0; r < registers; ++r) from[r] = Batch<T>::load_unaligned(row + start[r] + q);
        for (std::int64_t l = 0; l < count; ++l) {
          const Batch<T> weight(w[l]);
          for (int r = 0; r < registers; ++r) sums[l][r] = xsimd::fma(weight, from[r], sums[l][r]);
        }
      }
    }
  for (std::int64_t l = 0; l < count; ++l)
    for (int r = 0; r < registers; ++r)
      sums[l][r].store_unaligned(y + l * s.out_plane() + i * s.columns.out + start[r]);
}

template <class T, std::int64_t count>
void forward_channels(const ConvShape& s, const T* x, const T* w, T* y) {
  const std::int64_t end = s.columns.out - width_of<T>;
  for (std::int64_t i = 0; i < s.rows.out; ++i)
    for (std::int64_t j = 0; j < s.columns.out; j += 2 * width_of<T>) {
      const std::int64_t next = j + width_of<T>;
      if (next >= s.columns.out)
        forward_tile<T, count, 1>(s, x, w, y, i, j, end);
      else
        forward_tile<T, count, 2>(s, x, w, y, i, j, next < end ? next : end);
    }
}

template <class T>
void direct_forward(const ConvShape& s, const T* x, const T* w, T* y) {
  std::int64_t m = 0;
  for (; m + tile <= s.out_channels; m += tile)
    forward_channels<T, tile>(s, x, w + m * s.column_rows(), y + m * s.out_plane());
  w += m * s.column_rows();
  y += m * s.out_plane();
  switch (s.out_channels - m) {
    case 1: return forward_channels<T, 1>(s, x, w, y);
    case 2: return forward_channels<T, 2>(s, x, w, y);
    case 3: return forward_channels<T, 3>(s, x, w, y);
    case 4: return forward_channels<T, 4>(s, x, w, y);
    case 5: return forward_channels<T, 5>(s, x, w, y);
    case 6: return forward_channels<T, 6>(s, x, w, y);
    case 7: return forward_channels<T, 7>(s, x, w, y);
    default: return;
  }
}

// Adds to the sums of `count` neighbouring weights of one row of the window, for `channels` output
// channels. `x` is where the first of these weights meets the first row.
template <class T, int channels, int count>
void weights_tile(const ConvShape& s, const T* x, const T* y, T* sums) {
  constexpr std::int64_t width = width_of<T>;
  const std::int64_t stride = s.column_rows() * width;  // of sums, from channel to channel
  Batch<T> total[channels][count];
  for (int l = 0; l < channels; ++l)
    for (int q = 0; q < count; ++q)
      total[l][q] = Batch<T>::load_unaligned(sums + l * stride + q * width);
  const auto add = [&](const T* from, const T* at, auto kept) {
    Batch<T> g[channels];
    for (int l = 0; l < channels; ++l)
      g[l] = kept(Batch<T>::load_unaligned(at + l * s.out_plane()));
    for (int q = 0; q < count; ++q) {
      const Batch<T> seen_by = Batch<T>::load_unaligned(from + q);
      for (int l = 0; l < channels; ++l) total[l][q] = xsimd::fma(g[l], seen_by, total[l][q]);
    }
  };
  const std::int64_t whole = s.columns.out / width * width;
  alignas(64) T is_new[width_of<T>];  // what of the last register no other has seen
  for (std::int64_t l = 0; l < width; ++l)
    is_new[l] = l >= width - (s.columns.out - whole) ? T(1) : T(0);
  const auto mask = Batch<T>::load_unaligned(is_new) > Batch<T>(T(0));
  for (std::int64_t i = 0; i < s.rows.out; ++i, x += s.padded_columns(), y += s.columns.out) {
    for (std::int64_t j = 0; j < whole; j += width) add(x + j, y + j, [](Batch<T> g) { return g; });
    if (whole < s.columns.out)
      add(x + s.columns.out - width, y + s.columns.out - width,
          [&](Batch<T> g) { return xsimd::select(mask, g, Batch<T>(T(0))); });
  }
  for (int l = 0; l < channels; ++l)
    for (int q = 0; q < count; ++q) total[l][q].store_unaligned(sums + l * stride + q * width);
}

template <class T, int channels>
void weights_channels(const ConvShape& s, const T* x, const T* y, T* sums) {
  for (std::int64_t c = 0; c < s.in_channels; ++c)
    for (std::int64_t p = 0; p < s.rows.kernel; ++p) {
      const T* row = x + (c * s.padded_rows() + p) * s.padded_columns();
      std::int64_t q = 0;
      const auto step = [&]<int count>(std::integral_constant<int, count>) {
        for (; q + count <= s.columns.kernel; q += count, row += count, sums += count * width_of<T>)
          weights_tile<T, channels, count>(s, row, y, sums);
      };
      step(std::integral_constant<int, 5>{});
      step(std::integral_constant<int, 3>{});
      step(std::integral_constant<int, 2>{});
      step(std::integral_constant<int, 1>{});
    }
}

template <class T>
void direct_by_weights(const ConvShape& s, const T* x, const T* y, T* sums) {
  const std::int64_t stride = s.column_rows() * width_of<T>;
  std::int64_t m = 0;
  for (; m + 4 <= s.out_channels; m += 4)
    weights_channels<T, 4>(s, x, y + m * s.out_plane(), sums + m * stride);
  for (; m < s.out_channels; ++m)
    weights_channels<T, 1>(s, x, y + m * s.out_plane(), sums + m * stride);
}

template <class T>
void add_sums(const ConvShape& s, const T* sums, T* w) {
  for (std::int64_t k = 0; k < s.out_channels * s.column_rows(); ++k, sums += width_of<T>) {
    T total = 0;
    for (std::int64_t l = 0; l < width_of<T>; ++l) total += sums[l];
    w[k] = total;
  }
}

template <class T>
constexpr ConvolveKernelsOf<T> kernels_of{
    width_of<T>,          pack_weights<T>,    direct_forward<T>,
    direct_by_weights<T>, add_sums<T>,        pad<T>,
    to_columns<T>,        add_columns<T>,     plane_forward<T>,
    plane_by_input<T>,    plane_by_weights<T>};
constexpr ConvolveKernels table{kernels_of<float>, kernels_of<double>};

}  // namespace

const ConvolveKernels& convolve_kernels(ThisIsa) { return table; }

}  // namespace dualtape::detail
