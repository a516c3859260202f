#include <tests/bench/loops.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#include <xsimd/xsimd.hpp>

namespace dualtape::bench::loops {
namespace {

using Batch = xsimd::batch<float>;
constexpr std::size_t width = Batch::size;

// The last, partial register of a row, filled up with `rest`.
Batch load_part(const float* x, std::size_t count, float rest) {
  alignas(64) float lanes[width];
  std::fill_n(lanes, width, rest);
  std::copy_n(x, count, lanes);
  return Batch::load_aligned(lanes);
}

void store_part(Batch value, float* y, std::size_t count) {
  alignas(64) float lanes[width];
  value.store_aligned(lanes);
  std::copy_n(lanes, count, y);
}

float largest_of(Batch value) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_ps(value);
#else
  alignas(64) float lanes[width];
  value.store_aligned(lanes);
  return *std::max_element(lanes, lanes + width);
#endif
}

constexpr float lowest = -std::numeric_limits<float>::infinity();

float row_max(const float* x, std::size_t n) {
  Batch a(lowest), b(lowest), c(lowest), d(lowest);
  std::size_t i = 0;
  for (; i + 4 * width <= n; i += 4 * width) {
    a = xsimd::max(a, Batch::load_unaligned(x + i));
    b = xsimd::max(b, Batch::load_unaligned(x + i + width));
    c = xsimd::max(c, Batch::load_unaligned(x + i + 2 * width));
    d = xsimd::max(d, Batch::load_unaligned(x + i + 3 * width));
  }
  for (; i + width <= n; i += width) a = xsimd::max(a, Batch::load_unaligned(x + i));
  if (i < n) b = xsimd::max(b, load_part(x + i, n - i, lowest));
  return largest_of(xsimd::max(xsimd::max(a, b), xsimd::max(c, d)));
}

// e^(x - top), kept in y where that is wanted; returns the sum.
template <bool keep>
float row_exp(const float* x, float* y, std::size_t n, float top) {
  const Batch shift(top);
  Batch a(0.0F), b(0.0F);
  std::size_t i = 0;
  for (; i + 2 * width <= n; i += 2 * width) {
    const Batch e0 = xsimd::exp(Batch::load_unaligned(x + i) - shift);
    const Batch e1 = xsimd::exp(Batch::load_unaligned(x + i + width) - shift);
    if constexpr (keep) {
      e0.store_unaligned(y + i);
      e1.store_unaligned(y + i + width);
    }
    a += e0;
    b += e1;
  }
  for (; i < n; i += width) {
    const std::size_t here = std::min(width, n - i);
    const Batch e = xsimd::exp(load_part(x + i, here, lowest) - shift);
    if constexpr (keep) store_part(e, y + i, here);
    a += e;
  }
  return xsimd::hadd(a + b);
}

void row_scale(float* y, std::size_t n, float factor) {
  const Batch f(factor);
  std::size_t i = 0;
  for (; i + width <= n; i += width) (Batch::load_unaligned(y + i) * f).store_unaligned(y + i);
  for (; i < n; ++i) y[i] *= factor;
}

Batch sigmoid_of(Batch x) { return 1.0F / (1.0F + xsimd::exp(-x)); }

}  // namespace

void softmax(const float* x, float* y, std::size_t rows, std::size_t columns) {
  for (std::size_t r = 0; r < rows; ++r, x += columns, y += columns) {
    const float total = row_exp<true>(x, y, columns, row_max(x, columns));
    row_scale(y, columns, 1.0F / total);
  }
}

float cross_entropy(const float* x, const std::int64_t* labels, std::size_t rows,
                    std::size_t columns) {
  float loss = 0;
  for (std::size_t r = 0; r < rows; ++r, x += columns) {
    const float top = row_max(x, columns);
    loss += std::log(row_exp<false>(x, nullptr, columns, top)) + top - x[labels[r]];
  }
  return loss / static_cast<float>(rows);
}

float cross_entropy_gradient(const float* x, const std::int64_t* labels, float* dx,
                             std::size_t rows, std::size_t columns) {
  float loss = 0;
  const float share = 1.0F / static_cast<float>(rows);
  for (std::size_t r = 0; r < rows; ++r, x += columns, dx += columns) {
    const float top = row_max(x, columns);
    const float right = x[labels[r]];
    const float total = row_exp<true>(x, dx, columns, top);
    loss += std::log(total) + top - right;
    row_scale(dx, columns, share / total);
    dx[labels[r]] -= share;
  }
  return loss * share;
}

float cross_entropy_slope(const float* x, const float* dx, const std::int64_t* labels,
                          std::size_t rows, std::size_t columns, double& slope) {
  float loss = 0;
  slope = 0;
  for (std::size_t r = 0; r < rows; ++r, x += columns, dx += columns) {
    const float top = row_max(x, columns);
    Batch total(0.0F), along(0.0F);
    for (std::size_t i = 0; i < columns; i += width) {
      const std::size_t here = std::min(width, columns - i);
      const bool whole = here == width;
      const Batch v = whole ? Batch::load_unaligned(x + i) : load_part(x + i, here, lowest);
      const Batch t = whole ? Batch::load_unaligned(dx + i) : load_part(dx + i, here, 0.0F);
      const Batch e = xsimd::exp(v - top);
      total += e;
      along = xsimd::fma(e, t, along);
    }
    const float sum = xsimd::hadd(total);
    loss += std::log(sum) + top - x[labels[r]];
    slope += static_cast<double>(xsimd::hadd(along) / sum - dx[labels[r]]);
  }
  slope /= static_cast<double>(rows);
  return loss / static_cast<float>(rows);
}

void layer_norm(const float* x, const float* gain, const float* bias, float* y, std::size_t rows,
                std::size_t columns) {
  const std::size_t whole = columns / width * width;
  const auto n = static_cast<float>(columns);
  for (std::size_t r = 0; r < rows; ++r, x += columns, y += columns) {
    const float mean = sum(x, columns) / n;
    Batch squares(0.0F);
    for (std::size_t i = 0; i < whole; i += width) {
      const Batch d = Batch::load_unaligned(x + i) - mean;
      squares = xsimd::fma(d, d, squares);
    }
    float square_sum = xsimd::hadd(squares);
    for (std::size_t i = whole; i < columns; ++i) square_sum += (x[i] - mean) * (x[i] - mean);
    const float scale = 1.0F / std::sqrt(square_sum / n + 1e-5F);
    for (std::size_t i = 0; i < whole; i += width) {
      const Batch d = (Batch::load_unaligned(x + i) - mean) * scale;
      xsimd::fma(d, Batch::load_unaligned(gain + i), Batch::load_unaligned(bias + i))
          .store_unaligned(y + i);
    }
    for (std::size_t i = whole; i < columns; ++i) y[i] = (x[i] - mean) * scale * gain[i] + bias[i];
  }
}

void chain10(const float* x, float* y, std::size_t count) {
  const auto one = [](Batch v) {
    const Batch a = xsimd::abs((v + 0.25F) * 1.5F) - 0.75F;
    const Batch b = xsimd::min(xsimd::max(a, Batch(-0.5F)), Batch(2.0F));
    return (b * b) * 0.5F + v - 0.125F;
  };
  std::size_t i = 0;
  for (; i + width <= count; i += width) {
    const Batch result = one(Batch::load_unaligned(x + i));
#if defined(__AVX512F__)
    _mm512_stream_ps(y + i, result);
#elif defined(__AVX__)
    _mm256_stream_ps(y + i, result);
#else
    result.store_unaligned(y + i);
#endif
  }
  for (; i < count; i += width)
    store_part(one(load_part(x + i, std::min(width, count - i), 0.0F)), y + i,
               std::min(width, count - i));
}

float sum(const float* x, std::size_t count) {
  Batch a(0.0F), b(0.0F), c(0.0F), d(0.0F);
  std::size_t i = 0;
  for (; i + 4 * width <= count; i += 4 * width) {
    a += Batch::load_unaligned(x + i);
    b += Batch::load_unaligned(x + i + width);
    c += Batch::load_unaligned(x + i + 2 * width);
    d += Batch::load_unaligned(x + i + 3 * width);
  }
  float rest = 0;
  for (; i < count; ++i) rest += x[i];
  return xsimd::hadd((a + b) + (c + d)) + rest;
}

void sigmoid(float* x, std::size_t count) {
  for (std::size_t i = 0; i < count; i += width) {
    const std::size_t here = std::min(width, count - i);
    if (here == width)
      sigmoid_of(Batch::load_unaligned(x + i)).store_unaligned(x + i);
    else
      store_part(sigmoid_of(load_part(x + i, here, 0.0F)), x + i, here);
  }
}

void sigmoid_dual(float* x, float* dx, std::size_t count) {
  for (std::size_t i = 0; i < count; i += width) {
    const std::size_t here = std::min(width, count - i);
    const bool whole = here == width;
    const Batch s = sigmoid_of(whole ? Batch::load_unaligned(x + i) : load_part(x + i, here, 0.0F));
    const Batch dz = whole ? Batch::load_unaligned(dx + i) : load_part(dx + i, here, 0.0F);
    const Batch t = dz * s * (1.0F - s);
    if (whole) {
      s.store_unaligned(x + i);
      t.store_unaligned(dx + i);
    } else {
      store_part(s, x + i, here);
      store_part(t, dx + i, here);
    }
  }
}

}  // namespace dualtape::bench::loops
