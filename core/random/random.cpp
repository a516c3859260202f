#include <dualtape/core/random.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <string>
#include <type_traits>
#include <utility>

#include <dualtape/core/random/draws.hpp>
#include <dualtape/core/random/philox.hpp>
#include <dualtape/core/tensor/new_tensor.hpp>

namespace dualtape {
namespace {

using detail::DrawStream;
using detail::lanes;

std::uint32_t low_word(std::uint64_t x) { return static_cast<std::uint32_t>(x); }
std::uint32_t high_word(std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); }

detail::PhiloxBlock block_of(Key key, DrawStream stream, std::uint64_t counter) {
  return detail::philox10(
      {low_word(counter), high_word(counter), static_cast<std::uint32_t>(stream), 0},
      low_word(key.value()), high_word(key.value()));
}

template <class Real>
const detail::DrawsOf<Real>& draws() {
  return detail::draw_kernels().of<Real>();
}

// Calls f with the elements of a new tensor, as floats or as doubles.
template <class F>
Tensor make_floating(std::string_view function, Shape shape, DType dtype, Location where, F&& f) {
  detail::check_dtype(function, dtype, where);
  if (!is_floating(dtype)) {
    fail<TypeError>({.op = function,
                     .what = "random numbers of dtype " + std::string(name_of(dtype)) +
                             " were asked for, but only float32 and float64 exist",
                     .where = where,
                     .help = "draw float32 and convert with .to(dtype)"});
  }
  Tensor result = detail::new_tensor(function, {std::move(shape), dtype}, where);
  if (dtype == float32) {
    f(result.data<float>());
  } else {
    f(result.data<double>());
  }
  return result;
}

template <class Real>
void fill_uniform_in(std::span<Real> out, Key key, double lo, double hi, std::uint64_t first) {
  if (lo == 0.0 && hi == 1.0)
    return draws<Real>().uniform(out.data(), out.size(), key.value(), first);
  const auto low = static_cast<Real>(lo);
  const auto width = static_cast<Real>(hi - lo);
  // Rounding may carry lo + width * u up to hi, which [lo, hi) leaves out.
  const Real last = std::max(low, std::nextafter(static_cast<Real>(hi), low));
  draws<Real>().uniform_in(out.data(), out.size(), key.value(), first, low, width, last);
}

template <class Real>
void fill_normal_of(std::span<Real> out, Key key, double mean, double stddev, std::uint64_t first) {
  if (mean == 0.0 && stddev == 1.0)
    return draws<Real>().normal(out.data(), out.size(), key.value(), first);
  draws<Real>().normal_of(out.data(), out.size(), key.value(), first, static_cast<Real>(mean),
                          static_cast<Real>(stddev));
}

bool finite_in(DType dtype, double x) {
  const double largest = dtype == float32 ? double{std::numeric_limits<float>::max()}
                                          : std::numeric_limits<double>::max();
  return std::abs(x) <= largest;  // false for NaN
}

// 64 bits at a time from a key's permutation stream.
class WordSource {
 public:
  explicit WordSource(Key key) : keys_(detail::philox_keys(key.value())) {}

  // Uniform on 0 ... range - 1, range >= 1. Draws above the largest multiple of `range` are thrown
  // away, so no remainder is favoured.
  std::uint64_t below(std::uint64_t range) {
    const std::uint64_t excess = (0 - range) % range;  // 2^64 mod range
    for (;;) {
      const std::uint64_t x = next();
      if (x <= std::numeric_limits<std::uint64_t>::max() - excess) return x % range;
    }
  }

 private:
  std::uint64_t next() {
    if (left_ == 0) {
      detail::for_each_lane(keys_, DrawStream::permutation_words, group_++,
                            [&](std::size_t i, detail::PhiloxBlock b) {
                              words_[i] = std::uint64_t{b.w1} << 32 | b.w0;
                              words_[i + lanes] = std::uint64_t{b.w3} << 32 | b.w2;
                            });
      left_ = words_.size();
    }
    return words_[words_.size() - left_--];
  }

  detail::PhiloxKeys keys_;
  std::uint64_t group_ = 0;
  std::size_t left_ = 0;
  std::array<std::uint64_t, 2 * lanes> words_{};
};

}  // namespace

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key) {
  const auto b = detail::philox10({counter[0], counter[1], counter[2], counter[3]}, key[0], key[1]);
  return {b.w0, b.w1, b.w2, b.w3};
}

Key Key::fold(std::uint64_t n) const {
  const auto b = block_of(*this, DrawStream::fold_number, n);
  return Key(std::uint64_t{b.w1} << 32 | b.w0);
}

// A chain of blocks: first the length, then the characters, eight to a block, lowest byte first.
Key Key::fold(std::string_view name) const {
  const auto absorb = [](Key key, std::uint64_t n) {
    const auto b = block_of(key, DrawStream::fold_name, n);
    return Key(std::uint64_t{b.w1} << 32 | b.w0);
  };
  Key key = absorb(*this, name.size());
  for (std::size_t begin = 0; begin < name.size(); begin += 8) {
    std::uint64_t chunk = 0;
    for (std::size_t i = std::min(begin + 8, name.size()); i-- > begin;) {
      chunk = chunk << 8 | static_cast<unsigned char>(name[i]);
    }
    key = absorb(key, chunk);
  }
  return key;
}

Tensor Key::to_tensor() const {
  return Tensor::scalar<std::int64_t>(std::bit_cast<std::int64_t>(value_));
}

Key Key::from_tensor(const Tensor& tensor, Location where) {
  const Complaint complaint{
      .op = "Key::from_tensor",
      .what = "a key is int64 (), but the tensor is " + to_string(tensor.type()),
      .where = where,
      .help = "make the tensor with Key(seed).to_tensor()"};
  if (tensor.dtype() != int64) fail<TypeError>(complaint);
  if (tensor.rank() != 0) fail<ShapeError>(complaint);
  return Key(std::bit_cast<std::uint64_t>(tensor.data<std::int64_t>()[0]));
}

void fill_uniform(std::span<float> out, Key key, std::uint64_t first) {
  draws<float>().uniform(out.data(), out.size(), key.value(), first);
}
void fill_uniform(std::span<double> out, Key key, std::uint64_t first) {
  draws<double>().uniform(out.data(), out.size(), key.value(), first);
}
void fill_normal(std::span<float> out, Key key, std::uint64_t first) {
  draws<float>().normal(out.data(), out.size(), key.value(), first);
}
void fill_normal(std::span<double> out, Key key, std::uint64_t first) {
  draws<double>().normal(out.data(), out.size(), key.value(), first);
}
void fill_rademacher(std::span<float> out, Key key, std::uint64_t first) {
  draws<float>().rademacher(out.data(), out.size(), key.value(), first);
}
void fill_rademacher(std::span<double> out, Key key, std::uint64_t first) {
  draws<double>().rademacher(out.data(), out.size(), key.value(), first);
}

void fill_uniform(std::span<float> out, Key key, double lo, double hi, std::uint64_t first) {
  fill_uniform_in(out, key, lo, hi, first);
}
void fill_uniform(std::span<double> out, Key key, double lo, double hi, std::uint64_t first) {
  fill_uniform_in(out, key, lo, hi, first);
}
void fill_normal(std::span<float> out, Key key, double mean, double stddev, std::uint64_t first) {
  fill_normal_of(out, key, mean, stddev, first);
}
void fill_normal(std::span<double> out, Key key, double mean, double stddev, std::uint64_t first) {
  fill_normal_of(out, key, mean, stddev, first);
}

Tensor uniform(Key key, Shape shape, double lo, double hi, DType dtype, Location where) {
  if (!(lo <= hi) || !finite_in(dtype, lo) || !finite_in(dtype, hi) || !finite_in(dtype, hi - lo)) {
    fail<ValueError>({.op = "uniform",
                      .what = "the interval [" + std::to_string(lo) + ", " + std::to_string(hi) +
                              ") is empty or not finite in " + std::string(name_of(dtype)),
                      .where = where,
                      .help = "give lo <= hi, both finite"});
  }
  return make_floating("uniform", std::move(shape), dtype, where,
                       [&]<class Real>(std::span<Real> out) { fill_uniform(out, key, lo, hi); });
}

Tensor normal(Key key, Shape shape, double mean, double stddev, DType dtype, Location where) {
  if (!finite_in(dtype, mean) || !finite_in(dtype, stddev) || stddev < 0.0) {
    fail<ValueError>({.op = "normal",
                      .what = "mean " + std::to_string(mean) + " and stddev " +
                              std::to_string(stddev) + " describe no normal distribution in " +
                              std::string(name_of(dtype)),
                      .where = where,
                      .help = "give a finite mean and a finite stddev >= 0"});
  }
  return make_floating(
      "normal", std::move(shape), dtype, where,
      [&]<class Real>(std::span<Real> out) { fill_normal(out, key, mean, stddev); });
}

Tensor rademacher(Key key, Shape shape, DType dtype, Location where) {
  return make_floating("rademacher", std::move(shape), dtype, where,
                       [&](auto out) { fill_rademacher(out, key); });
}

std::vector<std::int64_t> permutation(Key key, std::int64_t n, Location where) {
  if (n < 0) {
    fail<ValueError>({.op = "permutation",
                      .what = "cannot order " + std::to_string(n) + " elements",
                      .where = where,
                      .help = "give n >= 0"});
  }
  std::vector<std::int64_t> order;
  try {
    order.resize(static_cast<std::size_t>(n));
  } catch (const std::exception&) {  // std::bad_alloc, or std::length_error
    fail<MemoryError>(
        {.op = "permutation",
         .what = "there is no memory for " + std::to_string(n) + " numbers of 8 bytes each",
         .where = where});
  }
  std::iota(order.begin(), order.end(), std::int64_t{0});
  WordSource source(key);
  for (std::size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[static_cast<std::size_t>(source.below(i))]);
  }
  return order;
}

}  // namespace dualtape
