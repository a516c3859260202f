// Cofactors of one matrix and their derivative along another: right at every matrix, the singular
// ones included, in float64.
// Private. A Minors works in memory it is given; one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dualtape::detail {

// A product whose parts never over- or underflow, whatever the order of factors.
class ScaledProduct {
 public:
  void times(double factor);
  void times(const ScaledProduct& other);
  double value() const { return value(1); }
  double value(double factor) const;  // the product times this, rounded once
  std::int64_t exponent() const { return exponent_; }
  // With the exponent less by so much.
  double value_below(std::int64_t exponent) const;

 private:
  double mantissa_ = 1;
  std::int64_t exponent_ = 0;
};

// Matrices are row-major, n x n. Up to three rows the minors are written out. Beyond that they come
// from the inverse, det A A^-T, where A is well conditioned, and else from A = U S V^T, by which
// they are det(U V) U (products of all singular values but one) V^T, without a division.
class Minors {
 public:
  static std::size_t workspace_bytes(int n);
  Minors(int n, double* workspace);

  template <class T>
  void cofactors(const T* a, T* out);
  template <class T>
  void change(const T* a, const T* x, T* out);  // d/dt cofactors(a + t x) at t = 0

 private:
  std::size_t at(std::size_t i, std::size_t j) const { return i * n_ + j; }
  template <class T>
  bool load(const T* a);
  bool invert(double worst_condition);
  void decompose();
  double small_cofactor(std::size_t i, std::size_t j) const;
  double small_change(std::size_t i, std::size_t j) const;
  ScaledProduct without(std::size_t i, std::size_t j) const;
  void multiply(const double* a, bool a_turned, const double* b, bool b_turned, double* out) const;
  template <class T>
  void cofactors_by_values(T* out);
  template <class T>
  void change_by_values(T* out);

  std::size_t n_;
  double* a_;
  double* inverse_;
  double* u_;
  double* vt_;
  double* x_;
  double* product_;
  double* result_;
  double* values_;  // singular values
  double* work_;
  int* ints_;
  ScaledProduct determinant_;
  double sign_ = 1;  // det(U) det(V)
};

extern template void Minors::cofactors(const float*, float*);
extern template void Minors::cofactors(const double*, double*);
extern template void Minors::change(const float*, const float*, float*);
extern template void Minors::change(const double*, const double*, double*);

}  // namespace dualtape::detail
