// Numbers with the digits of float64 and an exponent that has no end in practice: sums and products
// that leave the range of floats on their way and come back.
// Private. Plain values; any thread.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace dualtape::detail {

// m 2^(512 e) with 2^-256 <= |m| < 2^256, or 0, infinite or NaN with e = 0. So float64 holds every
// product of two m, and sums and products are rounded as those of float64 are.
class Scaled {
 public:
  Scaled() = default;
  explicit Scaled(double x) : Scaled(x, 0) {}

  // Rounded once; 0 or infinity where no float64 is near.
  double value() const {
    double x = mantissa_;
    const std::int64_t steps = std::clamp<std::int64_t>(exponent_, -3, 3);  // more change nothing
    for (std::int64_t i = 0; i < steps; ++i) x *= up;
    for (std::int64_t i = 0; i > steps; --i) x *= down;
    return x;
  }

  friend Scaled operator*(const Scaled& a, const Scaled& b) {
    return {a.mantissa_ * b.mantissa_, a.exponent_ + b.exponent_};
  }
  friend Scaled operator+(const Scaled& a, const Scaled& b) {
    if (a.exponent_ == b.exponent_) return {a.mantissa_ + b.mantissa_, a.exponent_};
    if (b.is_plain() || a.is_plain()) return a.plus_plain(b);
    const Scaled& large = a.exponent_ < b.exponent_ ? b : a;
    const Scaled& small = a.exponent_ < b.exponent_ ? a : b;
    if (large.exponent_ - small.exponent_ > 1) return large;
    return {large.mantissa_ + small.mantissa_ * down, large.exponent_};
  }
  Scaled& operator*=(const Scaled& other) { return *this = *this * other; }
  Scaled& operator+=(const Scaled& other) { return *this = *this + other; }

 private:
  static constexpr double up = 0x1p512;
  static constexpr double down = 0x1p-512;
  static constexpr double most = 0x1p256;
  static constexpr double least = 0x1p-256;

  Scaled(double mantissa, std::int64_t exponent) : mantissa_(mantissa), exponent_(exponent) {
    if (is_plain()) {
      exponent_ = 0;
      return;
    }
    for (; std::abs(mantissa_) >= most; ++exponent_) mantissa_ *= down;
    for (; std::abs(mantissa_) < least; --exponent_) mantissa_ *= up;
  }
  // Whether it is 0, infinite or NaN. A denormal number counts as 0, as in every program.
  bool is_plain() const {
    return !(std::abs(mantissa_) >= std::numeric_limits<double>::min() &&
             std::abs(mantissa_) <= std::numeric_limits<double>::max());
  }
  // A sum of which one is: a 0 adds nothing, and of the rest no exponent counts.
  Scaled plus_plain(const Scaled& b) const {
    if (mantissa_ == 0) return b;
    return b.mantissa_ == 0 ? *this : Scaled(mantissa_ + b.mantissa_);
  }

  double mantissa_ = 0;
  std::int64_t exponent_ = 0;
};

// Whether a product of floats may have gone out of their range on its way: it does not come back
// from 0, infinity or NaN.
template <class T>
bool may_have_left(T product) {
  return product == 0 || !std::isfinite(product);
}

}  // namespace dualtape::detail
