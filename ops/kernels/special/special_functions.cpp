#include <dualtape/ops/kernels/special/special_functions.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <span>

// NOLINTNEXTLINE: C's, which leaves no sign in a global variable as lgamma does.
#include <math.h>

namespace dualtape::detail {
namespace {

constexpr double pi = std::numbers::pi;
constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double epsilon = std::numeric_limits<double>::epsilon();

// Bernoulli's numbers B_2, B_4, ...
constexpr std::array<double, 10> bernoulli{1.0 / 6,       -1.0 / 30,      1.0 / 42, -1.0 / 30,
                                           5.0 / 66,      -691.0 / 2730,  7.0 / 6,  -3617.0 / 510,
                                           43867.0 / 798, -174611.0 / 330};

bool is_pole(double x) { return x <= 0 && x == std::floor(x); }

// cot(pi x) for x that is not whole; whole parts and halves come off without rounding.
double cotangent(double x) {
  const double rest = x - std::nearbyint(x);
  if (std::abs(rest) <= 0.25) return 1 / std::tan(pi * rest);
  return std::copysign(std::tan(pi * (0.5 - std::abs(rest))), rest);
}

// n! / y^(n + 1) without a power that could leave the range on the way.
double falling(std::int64_t n, double y) {
  double product = 1 / y;
  for (std::int64_t i = 1; i <= n; ++i) product *= static_cast<double>(i) / y;
  return product;
}

// n! zeta(n + 1, x) for n >= 1 and finite x > 0.
double scaled_zeta(std::int64_t n, double x) {
  const auto s = static_cast<double>(n + 1);
  double sum = 0;
  // NOLINTNEXTLINE(clang-analyzer-security.FloatLoopCounter): at most some dozens of steps of 1
  for (; x < 10 + s; ++x) sum += falling(n, x);
  double coefficient = s / (2 * x);
  double series = x / static_cast<double>(n) + 0.5;
  for (std::size_t k = 1; k <= bernoulli.size(); ++k) {
    const auto twice = static_cast<double>(2 * k);
    series += bernoulli[k - 1] * coefficient;
    coefficient *= (s + twice - 1) * (s + twice) / ((twice + 1) * (twice + 2) * x * x);
  }
  return sum + falling(n, x) * series;
}

// The derivative of order n of cot at an angle whose cotangent is c: a polynomial in c with
// P_0 = c and P_(n+1) = -(1 + c^2) P_n', whose terms are of one sign.
double cotangent_derivative(std::int64_t n, double c) {
  std::array<double, highest_polygamma + 2> p{};
  p[1] = 1;
  const auto degree = static_cast<std::size_t>(n);
  for (std::size_t order = 0; order < degree; ++order) {
    std::array<double, highest_polygamma + 2> next{};
    for (std::size_t i = 1; i <= order + 1; ++i) {
      next[i - 1] -= static_cast<double>(i) * p[i];
      next[i + 1] -= static_cast<double>(i) * p[i];
    }
    p = next;
  }
  double value = 0;
  for (std::size_t i = degree + 2; i-- > 0;) value = value * c + p[i];
  return value;
}

// The root of digamma as the sum of two doubles.
constexpr double root = 1.4616321449683622;
constexpr double rest_of_root = 9.549995429965697e-17;

double digamma_near_root(double x) {
  // psi^(k)(root) / k! for k = 1 ... 64; the pole at 0 is twice as far as this is used.
  static const auto coefficients = [] {
    std::array<double, 64> values{};
    double factorial = 1;
    for (std::size_t k = 1; k <= values.size(); ++k) {
      factorial *= static_cast<double>(k);
      values[k - 1] = polygamma(static_cast<std::int64_t>(k), root) / factorial;
    }
    return values;
  }();
  const double distance = (x - root) - rest_of_root;
  double value = 0;
  for (std::size_t k = coefficients.size(); k-- > 0;) value = (value + coefficients[k]) * distance;
  return value;
}

// One of Giles's two polynomials, highest power first.
double horner(std::span<const double> coefficients, double x) {
  double value = 0;
  for (const double c : coefficients) value = value * x + c;
  return value;
}
constexpr std::array<double, 9> erfinv_middle{2.81022636e-08,  3.43273939e-07, -3.5233877e-06,
                                              -4.39150654e-06, 0.00021858087,  -0.00125372503,
                                              -0.00417768164,  0.246640727,    1.50140941};
constexpr std::array<double, 9> erfinv_tail{-0.000200214257, 0.000100950558, 0.00134934322,
                                            -0.00367342844,  0.00573950773,  -0.0076224613,
                                            0.00943887047,   1.00167406,     2.83297682};

// Beyond float32's range of y, e^(-x^2) / (x sqrt(pi)) = 1 - y solved by one substitution.
double erfinv_guess(double y) {
  const double w = -std::log1p(-y * y);
  if (w < 5) return y * horner(erfinv_middle, w - 2.5);
  if (w < 16) return y * horner(erfinv_tail, std::sqrt(w) - 3);
  const double first = std::sqrt(-std::log(1 - y));
  return std::sqrt(-std::log((1 - y) * first / std::numbers::inv_sqrtpi));
}

// (x/2)^n / n! times the power series, whose terms are of one sign, for x >= 0.
double bessel_series(double n, double x) {
  double first = 1;
  // NOLINTNEXTLINE(clang-analyzer-security.FloatLoopCounter): whole numbers
  for (double k = 1; k <= n && first > 0; ++k) first *= x / (2 * k);
  double term = first;
  double sum = first;
  // NOLINTNEXTLINE(clang-analyzer-security.FloatLoopCounter): whole numbers
  for (double k = 1; term > epsilon / 4 * sum && sum < inf; ++k) {
    term *= x / (2 * k) * (x / (2 * (k + n)));
    sum += term;
  }
  return sum;
}
double bessel_far(double n, double x) {
  const double four_squares = 4 * n * n;
  double term = 1;
  double sum = 1;
  for (int k = 1; std::abs(term) > epsilon / 4; ++k) {
    const double odd = 2 * k - 1;
    term *= (odd * odd - four_squares) / (8 * x * k);
    sum += term;
  }
  const double half = std::exp(x / 2);  // e^x may overflow where the quotient does not
  return half * (half * (sum / (std::sqrt(2 * pi) * std::sqrt(x))));
}

}  // namespace

double log_gamma(double x) {
  int sign = 0;
  return ::lgamma_r(x, &sign);
}

double digamma(double x) {
  if (x == 0) return std::copysign(inf, -x);
  if (std::isnan(x) || x == -inf || is_pole(x)) return nan;
  if (x < 0) return digamma(1 - x) - pi * cotangent(x);
  if (std::abs(x - root) < 0.75) return digamma_near_root(x);
  double sum = 0;
  // NOLINTNEXTLINE(clang-analyzer-security.FloatLoopCounter): at most ten steps of 1
  for (; x < 10; ++x) sum += 1 / x;
  double series = 0;
  const double z = 1 / (x * x);
  for (std::size_t k = bernoulli.size(); k-- > 0;)
    series = (series + bernoulli[k] / static_cast<double>(2 * (k + 1))) * z;
  return std::log(x) - 0.5 / x - series - sum;
}

double polygamma(std::int64_t n, double x) {
  if (n == 0) return digamma(x);
  const bool odd = n % 2 != 0;
  if (std::isnan(x) || x == -inf) return nan;
  // NOLINTNEXTLINE(bugprone-narrowing-conversions): of nothing
  if (x == inf) return odd ? 0.0 : -0.0;
  if (is_pole(x)) return odd ? inf : nan;
  if (x > 0) return odd ? scaled_zeta(n, x) : -scaled_zeta(n, x);
  // psi_n(1 - x) times (-1)^n is -scaled_zeta.
  const double turned = std::pow(pi, static_cast<double>(n + 1));
  return -scaled_zeta(n, 1 - x) - turned * cotangent_derivative(n, cotangent(x));
}

double erfinv(double y) {
  const double size = std::abs(y);
  if (!(size <= 1)) return nan;
  if (size == 1) return y * inf;
  double x = erfinv_guess(size);
  for (int step = 0; step < 8; ++step) {
    const double miss = size < 0.5 ? std::erf(x) - size : (1 - size) - std::erfc(x);
    const double newton = miss / (2 * std::numbers::inv_sqrtpi * std::exp(-x * x));
    x -= newton / (1 + x * newton);
    if (std::abs(newton) <= 1e-6 * x) break;  // the next would be below the rounding
  }
  return std::copysign(x, y);
}

double bessel_i(std::int64_t n, double x) {
  if (std::isnan(x)) return x;
  const double size = std::abs(x);
  const auto order = static_cast<double>(n);
  double value = inf;
  // Beyond 1000 (and for order 1000 at 1400, where it is 1e394) all have overflowed.
  if (size <= std::max(20.0, std::min(order * order, 2000.0)))
    value = bessel_series(order, size);
  else if (size < inf)
    value = bessel_far(order, size);
  return n % 2 != 0 ? std::copysign(value, x) : value;
}

}  // namespace dualtape::detail
