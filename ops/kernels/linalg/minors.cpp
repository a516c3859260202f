#include <dualtape/ops/kernels/linalg/minors.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include <dualtape/core/error.hpp>
#include <dualtape/ops/kernels/linalg/lapack.hpp>

namespace dualtape::detail {
namespace {

int as_exponent(std::int64_t exponent) {
  constexpr std::int64_t most = 8192;  // beyond every double
  return static_cast<int>(std::clamp(exponent, -most, most));
}

// a b - c d to the last bit but one, however much cancels (Kahan).
double difference(double a, double b, double c, double d) {
  const double right = c * d;
  const double lost = std::fma(-c, d, right);
  return std::fma(a, b, -right) + lost;
}

std::size_t work_reals(int n) { return std::max(svd_work(n, n).reals, lu_inverse_work(n)); }

// The sum of the elements of each row, the largest.
double row_norm(const double* a, std::size_t n) {
  double largest = 0;
  for (std::size_t i = 0; i < n; ++i) {
    double sum = 0;
    for (std::size_t j = 0; j < n; ++j) sum += std::abs(a[i * n + j]);
    largest = sum > largest || std::isnan(sum) ? sum : largest;
  }
  return largest;
}

// The determinant from the factors of an LU factorisation.
ScaledProduct of_factors(std::size_t n, const double* lu, const int* pivots) {
  ScaledProduct product;
  for (std::size_t i = 0; i < n; ++i)
    product.times(pivots[i] == static_cast<int>(i) + 1 ? lu[i * (n + 1)] : -lu[i * (n + 1)]);
  return product;
}

}  // namespace

void ScaledProduct::times(double factor) {
  int exponent = 0;
  mantissa_ *= std::frexp(factor, &exponent);
  exponent_ += exponent;
  mantissa_ = std::frexp(mantissa_, &exponent);
  exponent_ += exponent;
}
void ScaledProduct::times(const ScaledProduct& other) {
  times(other.mantissa_);
  exponent_ += other.exponent_;
}
double ScaledProduct::value(double factor) const {
  ScaledProduct product = *this;
  product.times(factor);
  return std::ldexp(product.mantissa_, as_exponent(product.exponent_));
}
double ScaledProduct::value_below(std::int64_t exponent) const {
  return std::ldexp(mantissa_, as_exponent(exponent_ - exponent));
}

std::size_t Minors::workspace_bytes(int n) {
  const auto size = static_cast<std::size_t>(n);
  const std::size_t reals = 7 * size * size + size + work_reals(n);
  return reals * sizeof(double) + std::max(size, svd_work(n, n).ints) * sizeof(int);
}
Minors::Minors(int n, double* workspace) : n_(static_cast<std::size_t>(n)) {
  double* next = workspace;
  for (double** matrix : {&a_, &inverse_, &u_, &vt_, &x_, &product_, &result_}) {
    *matrix = next;
    next += n_ * n_;
  }
  values_ = next;
  work_ = values_ + n_;
  ints_ = reinterpret_cast<int*>(work_ + work_reals(n));
}

template <class T>
bool Minors::load(const T* a) {
  std::copy_n(a, n_ * n_, a_);
  return std::all_of(a_, a_ + n_ * n_, [](double x) { return std::isfinite(x); });
}

// Whether the inverse is there and good to some digits of a result that is rounded to T.
bool Minors::invert(double worst_condition) {
  std::copy_n(a_, n_ * n_, inverse_);
  const int n = static_cast<int>(n_);
  if (lu_factor(n, inverse_, ints_) >= 0) return false;
  determinant_ = of_factors(n_, inverse_, ints_);
  lu_inverse(n, inverse_, ints_, work_);
  return row_norm(a_, n_) * row_norm(inverse_, n_) < worst_condition;
}

void Minors::decompose() {
  const int n = static_cast<int>(n_);
  std::copy_n(a_, n_ * n_, result_);
  if (!svd_factor(n, n, result_, u_, values_, vt_, work_, ints_))
    throw ValueError("LAPACK's iteration for the singular values did not converge");
  sign_ = 1;
  for (const double* orthogonal : {u_, vt_}) {
    std::copy_n(orthogonal, n_ * n_, result_);
    lu_factor(n, result_, ints_);
    if (of_factors(n_, result_, ints_).value() < 0) sign_ = -sign_;
  }
}

double Minors::small_cofactor(std::size_t i, std::size_t j) const {
  if (n_ == 1) return 1;
  if (n_ == 2) return i == j ? a_[at(1 - i, 1 - j)] : 0 - a_[at(1 - i, 1 - j)];
  const std::size_t p = (i + 1) % 3, q = (i + 2) % 3, r = (j + 1) % 3, s = (j + 2) % 3;
  return difference(a_[at(p, r)], a_[at(q, s)], a_[at(p, s)], a_[at(q, r)]);
}
double Minors::small_change(std::size_t i, std::size_t j) const {
  if (n_ == 1) return 0;
  if (n_ == 2) return i == j ? x_[at(1 - i, 1 - j)] : 0 - x_[at(1 - i, 1 - j)];
  const std::size_t p = (i + 1) % 3, q = (i + 2) % 3, r = (j + 1) % 3, s = (j + 2) % 3;
  return difference(x_[at(p, r)], a_[at(q, s)], x_[at(p, s)], a_[at(q, r)]) +
         difference(a_[at(p, r)], x_[at(q, s)], a_[at(p, s)], x_[at(q, r)]);
}

// The product of all singular values but two, or but one for equal numbers.
ScaledProduct Minors::without(std::size_t i, std::size_t j) const {
  ScaledProduct product;
  for (std::size_t k = 0; k < n_; ++k)
    if (k != i && k != j) product.times(values_[k]);
  return product;
}

// out = op(a) op(b)
void Minors::multiply(const double* a, bool a_turned, const double* b, bool b_turned,
                      double* out) const {
  std::fill_n(out, n_ * n_, 0.0);
  for (std::size_t i = 0; i < n_; ++i)
    for (std::size_t k = 0; k < n_; ++k) {
      const double factor = a[a_turned ? at(k, i) : at(i, k)];
      for (std::size_t j = 0; j < n_; ++j)
        out[at(i, j)] += factor * b[b_turned ? at(j, k) : at(k, j)];
    }
}

// Values descend, so that without the last ones is the largest product: all are scaled by it.
template <class T>
void Minors::cofactors_by_values(T* out) {
  const std::int64_t scale = without(n_ - 1, n_ - 1).exponent();
  for (std::size_t i = 0; i < n_; ++i) {
    const double left = sign_ * without(i, i).value_below(scale);
    for (std::size_t j = 0; j < n_; ++j) product_[at(i, j)] = left * vt_[at(i, j)];
  }
  multiply(u_, false, product_, false, result_);
  for (std::size_t k = 0; k < n_ * n_; ++k)
    out[k] = static_cast<T>(std::ldexp(result_[k], as_exponent(scale)));
}
// In the coordinates of U and V, B = U^T X V: what changes is sum_k B_kk P_ik on the diagonal and
// -B_ji P_ij beside it, P_ij the product without i and j.
template <class T>
void Minors::change_by_values(T* out) {
  multiply(u_, true, x_, false, product_);
  multiply(product_, false, vt_, true, inverse_);  // B
  const std::int64_t scale = without(n_ - 2, n_ - 1).exponent();
  std::fill_n(product_, n_ * n_, 0.0);
  for (std::size_t i = 0; i < n_; ++i)
    for (std::size_t j = 0; j < i; ++j) {
      const double left = sign_ * without(i, j).value_below(scale);
      product_[at(i, i)] += inverse_[at(j, j)] * left;
      product_[at(j, j)] += inverse_[at(i, i)] * left;
      product_[at(i, j)] = -inverse_[at(j, i)] * left;
      product_[at(j, i)] = -inverse_[at(i, j)] * left;
    }
  multiply(u_, false, product_, false, result_);
  multiply(result_, false, vt_, false, product_);
  for (std::size_t k = 0; k < n_ * n_; ++k)
    out[k] = static_cast<T>(std::ldexp(product_[k], as_exponent(scale)));
}

// float32 is rounded more than a condition of 1e8 takes from float64.
template <class T>
constexpr double worst_condition = std::is_same_v<T, float> ? 1e8 : 1e4;

template <class T>
void Minors::cofactors(const T* a, T* out) {
  const bool finite = load(a);
  const auto fill = [&](auto value) {
    for (std::size_t i = 0; i < n_; ++i)
      for (std::size_t j = 0; j < n_; ++j) out[at(i, j)] = static_cast<T>(value(i, j));
  };
  if (n_ <= 3) return fill([&](std::size_t i, std::size_t j) { return small_cofactor(i, j); });
  if (!finite)
    return fill([](std::size_t, std::size_t) { return std::numeric_limits<double>::quiet_NaN(); });
  if (invert(worst_condition<T>))
    return fill(
        [&](std::size_t i, std::size_t j) { return determinant_.value(inverse_[at(j, i)]); });
  decompose();
  cofactors_by_values(out);
}

template <class T>
void Minors::change(const T* a, const T* x, T* out) {
  bool finite = load(x);
  std::copy_n(a_, n_ * n_, x_);
  finite = load(a) && finite;
  const auto fill = [&](auto value) {
    for (std::size_t i = 0; i < n_; ++i)
      for (std::size_t j = 0; j < n_; ++j) out[at(i, j)] = static_cast<T>(value(i, j));
  };
  if (n_ <= 3) return fill([&](std::size_t i, std::size_t j) { return small_change(i, j); });
  if (!finite)
    return fill([](std::size_t, std::size_t) { return std::numeric_limits<double>::quiet_NaN(); });
  if (!invert(worst_condition<T>)) {
    decompose();
    return change_by_values(out);
  }
  multiply(inverse_, false, x_, false, product_);
  multiply(product_, false, inverse_, false, result_);
  double trace = 0;
  for (std::size_t i = 0; i < n_; ++i) trace += product_[at(i, i)];
  fill([&](std::size_t i, std::size_t j) {
    return determinant_.value(trace * inverse_[at(j, i)] - result_[at(j, i)]);
  });
}

template void Minors::cofactors(const float*, float*);
template void Minors::cofactors(const double*, double*);
template void Minors::change(const float*, const float*, float*);
template void Minors::change(const double*, const double*, double*);

}  // namespace dualtape::detail
