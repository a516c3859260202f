// Batch normalisation: the loops over channels of blocks (N, C, inner).
// Private: includes xsimd; for one instruction set at a time (core/machine/isa.hpp). Plain
// functions; any thread.
#pragma once

#include <cmath>
#include <cstddef>

#include <dualtape/ops/kernels/rows/fold_plan.hpp>
#include <dualtape/ops/kernels/rows/spread.hpp>

namespace dualtape::detail {
inline namespace DUALTAPE_ISA {

inline constexpr std::size_t channels_at_once = 64;

// Spreads of up to channels_at_once neighbouring columns of `rows` rows, `stride` apart; in double
// from the start, since its sums are added one by one.
template <class T>
void spread_of_columns(const T* x, std::size_t rows, std::size_t stride, std::size_t columns,
                       double least, Spread<T>* to) {
  alignas(64) double mean[channels_at_once] = {};
  alignas(64) double rest[channels_at_once] = {};
  alignas(64) double squares[channels_at_once] = {};
  const auto count = static_cast<double>(rows);
  for (std::size_t row = 0; row < rows; ++row)
    for (std::size_t i = 0; i < columns; ++i) mean[i] += static_cast<double>(x[row * stride + i]);
  for (std::size_t i = 0; i < columns; ++i) mean[i] /= count;
  for (std::size_t row = 0; row < rows; ++row)
    for (std::size_t i = 0; i < columns; ++i) {
      const double d = static_cast<double>(x[row * stride + i]) - mean[i];
      rest[i] += d;
      squares[i] += d * d;
    }
  for (std::size_t i = 0; i < columns; ++i) {
    const Runs<T> column{x + i, rows, stride, 1};
    if (!in_range<T>(squares[i], least) || may_vanish(column, mean[i], squares[i])) {
      to[i] = spread_anew(column);
      continue;
    }
    const double missed = rest[i] / count;
    const double spread = squares[i] - rest[i] * missed;
    const T rounded = static_cast<T>(mean[i] + missed);
    const double left = (mean[i] - static_cast<double>(rounded)) + missed;
    to[i] = {rounded, static_cast<T>(left), spread < 0 ? 0 : spread};
  }
}

// One channel of `runs` runs of `size` numbers, or several columns of them.
template <class T>
struct ChannelNorm {
  const ChannelBlocks& blocks;
  const BatchNormArgs<T>& args;

  T put(std::size_t channel, const Spread<T>& spread) const {  // gives 1 / length
    const double count = static_cast<double>(blocks.outer) * static_cast<double>(blocks.inner);
    const T inverse = static_cast<T>(1 / spread.length(count, args.epsilon));
    args.mean[channel] = spread.mean / spread.part;
    args.variance[channel] = static_cast<T>(spread.variance(count));
    args.of_channels.mean[channel] = spread.mean;
    args.of_channels.rest[channel] = spread.rest;
    args.of_channels.length[channel] = inverse;
    args.of_channels.part[channel] = spread.part;
    return inverse;
  }
  void one(std::size_t channel, double least) const {
    const std::size_t stride = blocks.channels * blocks.inner;
    const std::size_t first = channel * blocks.inner;
    const Runs<T> row{args.x + first, blocks.outer, stride, blocks.inner};
    const Spread<T> spread = spread_of(row, least);
    const T inverse = put(channel, spread);
    const T scale = args.scale[channel];
    const T shift = args.shift[channel];
    for (std::size_t run = 0; run < blocks.outer; ++run) {
      const T* const from = args.x + first + run * stride;
      T* const to = args.out + first + run * stride;
      for (std::size_t i = 0; i < blocks.inner; ++i)
        to[i] = ((from[i] * spread.part - spread.mean) - spread.rest) * inverse * scale + shift;
    }
  }
  void columns(std::size_t first, std::size_t count, double least) const {
    Spread<T> spreads[channels_at_once];
    const std::size_t stride = blocks.channels;
    spread_of_columns(args.x + first, blocks.outer, stride, count, least, spreads);
    alignas(64) T part[channels_at_once];
    alignas(64) T mean[channels_at_once];
    alignas(64) T rest[channels_at_once];
    alignas(64) T factor[channels_at_once];
    for (std::size_t i = 0; i < count; ++i) {
      factor[i] = put(first + i, spreads[i]);
      part[i] = spreads[i].part;
      mean[i] = spreads[i].mean;
      rest[i] = spreads[i].rest;
    }
    for (std::size_t row = 0; row < blocks.outer; ++row) {
      const T* const from = args.x + first + row * stride;
      T* const to = args.out + first + row * stride;
      for (std::size_t i = 0; i < count; ++i)
        to[i] = ((from[i] * part[i] - mean[i]) - rest[i]) * factor[i] * args.scale[first + i] +
                args.shift[first + i];
    }
  }
};

template <class T>
void batch_norm_of_channels(const ChannelBlocks& blocks, const BatchNormArgs<T>& args,
                            std::size_t first, std::size_t last) {
  const double least = args.epsilon > 1e-20 ? 0 : least_squares<T>;
  const ChannelNorm<T> norm{blocks, args};
  if (blocks.inner > 1) {
    for (; first < last; ++first) norm.one(first, least);
    return;
  }
  for (; first < last; first += channels_at_once)
    norm.columns(first, channels_at_once < last - first ? channels_at_once : last - first, least);
}

}  // namespace DUALTAPE_ISA
}  // namespace dualtape::detail
