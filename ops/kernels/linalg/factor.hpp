// What the factorisations share: shapes, signs, refusals.
// Private. Plain functions; any thread.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include <dualtape/core/machine/kernel.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/creation.hpp>
#include <dualtape/ops/declare/linalg.hpp>
#include <dualtape/ops/kernels/linalg/lapack.hpp>

namespace dualtape::detail {

// A batch of m x n matrices; k is the smaller size.
struct Rectangles {
  std::size_t count;
  int m, n, k;

  explicit Rectangles(const Shape& shape)
      : count(static_cast<std::size_t>(batch_of(shape).count())),
        m(static_cast<int>(rows_of(shape))),
        n(static_cast<int>(columns_of(shape))),
        k(std::min(m, n)) {}
  bool empty() const { return count == 0 || k == 0; }
  std::size_t rows() const { return static_cast<std::size_t>(m); }
  std::size_t columns() const { return static_cast<std::size_t>(n); }
  std::size_t least() const { return static_cast<std::size_t>(k); }
  std::size_t elements() const { return rows() * columns(); }
};

inline void require_matrices(const Inference& inference) {
  inference.require_count(1);
  inference.require_floating(0);
  const Shape& shape = inference.shape(0);
  if (shape.rank() < 2)
    inference.shape_error("takes matrices, got " + to_string(inference.in[0]),
                          "leading axes are batches; unsqueeze(x, 1) makes a column");
  if (std::max(rows_of(shape), columns_of(shape)) > largest_factored)
    inference.shape_error("LAPACK takes up to " + std::to_string(largest_factored) +
                          " rows or columns, got " + to_string(shape));
}

inline Shape with_vector(const Shape& batch, std::int64_t size) {
  std::vector<std::int64_t> sizes = batch.vector();
  sizes.push_back(size);
  return Shape(sizes);
}

template <class T>
bool all_finite(const T* x, std::size_t count) {
  return std::all_of(x, x + count, [](T value) { return std::isfinite(value); });
}
template <class T>
void fill_nan(T* x, std::size_t count) {
  std::fill_n(x, count, std::numeric_limits<T>::quiet_NaN());
}

// Whether the largest of `count` elements `stride` apart, the first of several, is negative.
template <class T>
bool points_down(const T* x, std::size_t count, std::size_t stride) {
  T largest = 0;
  for (std::size_t i = 0; i < count; ++i)
    if (std::abs(x[i * stride]) > std::abs(largest)) largest = x[i * stride];
  return largest < 0;
}
template <class T>
void turn_round(T* x, std::size_t count, std::size_t stride) {
  for (std::size_t i = 0; i < count; ++i) x[i * stride] = -x[i * stride];
}

// The workspace: reals first, then ints.
template <class T>
Kernel with_workspace(std::size_t reals, std::size_t ints, KernelFunction run) {
  return {std::move(run), aligned(reals * sizeof(T)) + ints * sizeof(int)};
}
template <class T>
int* ints_behind(void* workspace, std::size_t reals) {
  return reinterpret_cast<int*>(static_cast<std::byte*>(workspace) + aligned(reals * sizeof(T)));
}

// 1 / gap_ij, and 0 on the diagonal. Infinite where two values are equal.
inline Var inverse_gaps(Var gaps) {
  const Tensor own = eye(rows_of(gaps.shape()), rows_of(gaps.shape()), 0, boolean);
  return where(own, 0, 1 / where(own, 1, gaps));
}

}  // namespace dualtape::detail
