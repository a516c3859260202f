#include "wild_numbers.hpp"

#include <cmath>
#include <limits>

namespace dualtape::testing {
namespace {

using Random = std::mt19937_64;

int pick(Random& random, int n) {
  return static_cast<int>(random() % static_cast<std::uint64_t>(n));
}

template <class T>
T special(Random& random) {
  using Limits = std::numeric_limits<T>;
  const T sign = pick(random, 2) == 0 ? T{1} : T{-1};
  switch (pick(random, 6)) {
    case 0:
    case 1: return sign * T{0};
    case 2: return sign * Limits::denorm_min() * static_cast<T>(1 + pick(random, 1000));
    case 3: return sign * Limits::max();
    case 4: return sign * Limits::infinity();
    default: return Limits::quiet_NaN();
  }
}

template <class T>
void fill_reals(Random& random, std::span<T> out) {
  using Limits = std::numeric_limits<T>;
  const auto any_exponent = [&] {
    return Limits::min_exponent + pick(random, Limits::max_exponent - Limits::min_exponent);
  };
  const int middle = pick(random, 3) == 0 ? 0 : any_exponent();
  const bool spread = pick(random, 6) == 0;
  const bool specials = pick(random, 6) == 0;
  for (T& x : out) {
    const int exponent = spread ? any_exponent() : middle - 2 + pick(random, 4);
    const T mantissa = T{1} + static_cast<T>(random() >> 41U) * static_cast<T>(0x1p-23);
    x = std::ldexp(pick(random, 2) == 0 ? mantissa : -mantissa, exponent - 1);
    if (specials && pick(random, 4) == 0) x = special<T>(random);
  }
}

template <class T>
void fill_integers(Random& random, std::span<T> out) {
  const bool small = pick(random, 2) == 0;
  for (T& x : out) x = small ? static_cast<T>(pick(random, 9) - 4) : static_cast<T>(random());
}

template <class T>
bool same(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
    const auto flushed = [](T x) {
      return std::abs(x) < std::numeric_limits<T>::min() ? std::copysign(T{0}, x) : x;
    };
    a = flushed(a);
    b = flushed(b);
    return a == b && std::signbit(a) == std::signbit(b);
  } else {
    return a == b;
  }
}

}  // namespace

Tensor wild_numbers(Random& random, const Shape& shape, DType dtype) {
  Tensor made(shape, dtype);
  dispatch(dtype, [&]<class T>() {
    if constexpr (std::is_floating_point_v<T>)
      fill_reals(random, made.data<T>());
    else
      fill_integers(random, made.data<T>());
  });
  return made;
}

bool same_elements(const Tensor& a, const Tensor& b) {
  if (a.type() != b.type()) return false;
  return dispatch(a.dtype(), [&]<class T>() {
    const auto x = a.data<T>();
    const auto y = b.data<T>();
    for (std::size_t i = 0; i < x.size(); ++i)
      if (!same(x[i], y[i])) return false;
    return true;
  });
}

}  // namespace dualtape::testing
