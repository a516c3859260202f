// Counter-based random numbers: every draw is a pure function of a key and an element index.
//
// There is no hidden state: the same key gives the same bits, whatever the length or alignment of
// the destination, the thread that asks and the instruction set the library was built for. Keys are
// split by fold(), never advanced. All functions may be called from any thread.
//
// Generator: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011); normals by Box and Muller (1958);
// fold() follows the idea of JAX's fold_in: the key is hashed through the generator itself.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <dualtape/core/tensor.hpp>

namespace dualtape {

// 64 bits that name a family of streams. Different distributions and dtypes drawn from one key are
// independent; draws of the same distribution and dtype from one key are the same numbers.
class Key {
 public:
  constexpr explicit Key(std::uint64_t seed) : value_(seed) {}

  // A key for sub-stream n, independent of this one and of the other sub-streams (a 64-bit hash:
  // among k keys made, two coincide with probability about k^2 / 2^65).
  Key fold(std::uint64_t n) const;
  // The same for a name, such as that of a parameter; distinct from every fold by number.
  Key fold(std::string_view name) const;

  constexpr std::uint64_t value() const { return value_; }
  // The 64 bits as an int64 tensor of shape (): the form in which keys travel through graphs.
  Tensor to_tensor() const;
  // Throws TypeError unless int64, ShapeError unless the shape is ().
  static Key from_tensor(const Tensor& tensor, Location where = Location::current());

  friend constexpr bool operator==(Key, Key) = default;

 private:
  std::uint64_t value_;
};

// The generator itself: one block of 128 bits from a 128-bit counter and a 64-bit key, lowest word
// first.
std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key);

// Each of these writes elements first, first + 1, ... of the key's stream to `out`, so a stream may
// be drawn in slices. Slices that start at a multiple of 64 (2048 for the signs) waste no work.

// Uniform on [0, 1): multiples of 2^-24 (float) or 2^-53 (double).
void fill_uniform(std::span<float> out, Key key, std::uint64_t first = 0);
void fill_uniform(std::span<double> out, Key key, std::uint64_t first = 0);
// Standard normal. |x| <= 6.67 (float) or 8.66 (double); beyond lies less than 1e-10 of the mass.
void fill_normal(std::span<float> out, Key key, std::uint64_t first = 0);
void fill_normal(std::span<double> out, Key key, std::uint64_t first = 0);
// -1 or +1, with probability 1/2 each.
void fill_rademacher(std::span<float> out, Key key, std::uint64_t first = 0);
void fill_rademacher(std::span<double> out, Key key, std::uint64_t first = 0);

// The same stretched to [lo, hi) and to mean and stddev, as uniform() and normal() below do, which
// check them; these trust them.
void fill_uniform(std::span<float> out, Key key, double lo, double hi, std::uint64_t first = 0);
void fill_uniform(std::span<double> out, Key key, double lo, double hi, std::uint64_t first = 0);
void fill_normal(std::span<float> out, Key key, double mean, double stddev,
                 std::uint64_t first = 0);
void fill_normal(std::span<double> out, Key key, double mean, double stddev,
                 std::uint64_t first = 0);

// New tensors of `shape`; `dtype` must be float32 or float64, else TypeError. MemoryError where
// there is no memory. All of these name the line of the call. Uniform on [lo, hi), or the constant
// lo where lo == hi. ValueError unless lo <= hi, both finite in `dtype`, and hi - lo too.
Tensor uniform(Key key, Shape shape, double lo = 0.0, double hi = 1.0, DType dtype = float32,
               Location where = Location::current());
// Normal. ValueError unless mean is finite and stddev is finite and >= 0.
Tensor normal(Key key, Shape shape, double mean = 0.0, double stddev = 1.0, DType dtype = float32,
              Location where = Location::current());
Tensor rademacher(Key key, Shape shape, DType dtype = float32,
                  Location where = Location::current());

// 0 ... n - 1 in random order, all n! orders equally likely (Fisher-Yates with unbiased bounded
// integers). ValueError if n < 0.
std::vector<std::int64_t> permutation(Key key, std::int64_t n,
                                      Location where = Location::current());

}  // namespace dualtape
