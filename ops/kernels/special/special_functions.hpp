// Special functions of one double, to some 1e-15 relative but near zeros they have below 0. What
// has no closed form in the formulas' primitives is computed here, float32 too, and rounded once.
// Private. Plain functions; any thread.
#pragma once

#include <cstdint>

namespace dualtape::detail {

// log |Gamma(x)|; +inf at 0, -1, -2 ...
double log_gamma(double x);

// The digamma function Gamma'(x) / Gamma(x): recurrence and asymptotic series (Abramowitz and
// Stegun 6.3.5, 6.3.18), reflected below 0 (6.3.7), Taylor's series about the positive root.
// Infinite at 0, NaN at -1, -2 ...
double digamma(double x);

// Its derivative of order n >= 0, by Euler and Maclaurin's formula for n! zeta(n + 1, x) and
// derivatives of the cotangent below 0. At 0, -1, ... it is +inf for odd n and NaN for even ones.
inline constexpr std::int64_t highest_polygamma = 100;
double polygamma(std::int64_t n, double x);

// x with erf(x) = y: the polynomial of Giles, "Approximating the erfinv function" (GPU Computing
// Gems, 2011), good to 1e-7, and Halley's steps from there. NaN outside -1 .. 1.
double erfinv(double y);

// The modified Bessel function of the first kind of order n >= 0: power series (9.6.10) up to 20 or
// n^2, asymptotic series (9.7.1) beyond.
inline constexpr std::int64_t highest_bessel = 1000;
double bessel_i(std::int64_t n, double x);

}  // namespace dualtape::detail
