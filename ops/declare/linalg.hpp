// What operators of linear algebra share: checks of shapes, batches, errors, vectors as right
// sides, samples. Private. Plain functions; any thread.
#pragma once

#include <algorithm>
#include <climits>
#include <string>
#include <string_view>
#include <vector>

#include <dualtape/core/composite.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/batching.hpp>
#include <dualtape/ops/declare/matrix.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/kernels/products/blas.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape::detail {

inline void require_square(const Inference& inference) {
  inference.require_floating(0);
  const Shape& shape = inference.shape(0);
  if (shape.rank() < 2 || rows_of(shape) != columns_of(shape))
    inference.shape_error("takes square matrices, got " + to_string(inference.in[0]),
                          "the last two sizes must be equal; leading axes are batches");
  // LAPACK counts the elements of some workspaces in an int.
  if (rows_of(shape) > INT_MAX / 64)
    inference.shape_error("LAPACK takes up to " + std::to_string(INT_MAX / 64) + " rows, got " +
                          to_string(shape));
}

// The type of X in A X = B. `library` is whose ints count the columns.
inline void infer_solution(Inference& inference, std::string_view library) {
  inference.require_count(2);
  require_square(inference);
  const Shape& a = inference.shape(0);
  const Shape& b = inference.shape(1);
  if (b.rank() < 2 || rows_of(b) != rows_of(a))
    inference.shape_error(
        "the right side " + to_string(b) + " does not fit the matrix " + to_string(a),
        b.rank() >= 2 && columns_of(b) == rows_of(a)
            ? "transpose the right side: its columns are what is solved for"
            : "it must have as many rows as the matrix; a vector must have rank 1");
  if (columns_of(b) > INT_MAX)
    inference.shape_error(std::string(library) + " takes up to " + std::to_string(INT_MAX) +
                          " columns, got " + to_string(b));
  inference.out.push_back(
      {with_matrix(require_batches(inference), rows_of(a), columns_of(b)), inference.dtype(0)});
}

// Batches of right sides: with one matrix for all members their columns stand side by side, so that
// it is factored once.
inline std::vector<Var> batch_solution(const BatchView& view) {
  const std::size_t rank = view.node.out[0].rank();
  if (view.in[0] || view.node.in[0].rank() != 2 || view.node.in[1].rank() != 2)
    return apply_batched(view, {aligned_operand(view, 0, rank), aligned_operand(view, 1, rank)});
  const Shape& s = view.in[1]->shape();  // (batch, n, columns)
  const Var beside = reshape(permute(*view.in[1], {1, 0, 2}), {s[1], s[0] * s[2]});
  const Var out = apply_batched(view, {view.node.in[0], beside})[0];
  return {permute(reshape(out, {s[1], s[0], s[2]}), {1, 0, 2})};
}

// How many matrices, and their size.
struct Batch {
  std::size_t count;
  int n;
  std::size_t elements() const { return static_cast<std::size_t>(n) * static_cast<std::size_t>(n); }
};
inline Batch batch_sizes(const Type& type) {
  return {static_cast<std::size_t>(batch_of(type.shape).count()),
          static_cast<int>(rows_of(type.shape))};
}

inline std::string matrix_in(const Batch& batch, std::size_t number) {
  return batch.count == 1 ? "the matrix"
                          : "matrix " + std::to_string(number) + " of the batch of " +
                                std::to_string(batch.count);
}
[[noreturn]] inline void refuse_singular(const Batch& batch, std::size_t number, int pivot) {
  throw ValueError(matrix_in(batch, number) + " is singular: pivot " + std::to_string(pivot) +
                   " of its LU factorisation, counted from 0, is zero");
}

template <class F>
Kernel floating_kernel(DType dtype, F make) {
  prepare_blas();
  return dtype == float32 ? make(float{}) : make(double{});
}

// Random matrices with n added to the diagonal: condition numbers of a few units. `definite` makes
// M M^T / n + I of M.
inline Arg matrices(const Shape& shape, bool definite = false) {
  Arg arg{shape};
  arg.make = [shape, definite](Key key) {
    Tensor drawn = uniform(key, shape, -1.0, 1.0, float64);
    const std::int64_t n = rows_of(shape);
    const auto values = drawn.data<double>();
    for (std::int64_t first = 0; first < drawn.count(); first += n * n) {
      double* const a = values.data() + first;
      if (definite) {
        const std::vector<double> m(a, a + n * n);
        std::fill_n(a, n * n, 0.0);
        for (std::int64_t i = 0; i < n; ++i)
          for (std::int64_t j = 0; j < n; ++j)
            for (std::int64_t k = 0; k < n; ++k)
              a[i * n + j] += m[static_cast<std::size_t>(i * n + k)] *
                              m[static_cast<std::size_t>(j * n + k)] / static_cast<double>(n);
      }
      for (std::int64_t i = 0; i < n; ++i) a[i * n + i] += definite ? 1.0 : static_cast<double>(n);
    }
    return drawn;
  };
  return arg;
}

template <Var (*Function)(In)>
std::vector<Case> square_cases(bool definite) {
  const auto call = [](std::span<const Var> in) { return std::vector<Var>{Function(in[0])}; };
  std::vector<Case> cases;
  for (const Shape& shape : {Shape{3, 3}, Shape{1, 1}, Shape{2, 2, 2}, Shape{2, 1, 3, 3},
                             Shape{0, 0}, Shape{0, 2, 2}, Shape{2, 0, 0}})
    cases.push_back({to_string(shape), {matrices(shape, definite)}, call});
  return cases;
}

// f(a, b) on matrices, for right sides that may be a vector, which comes and goes as a column.
// Misfits are left to infer(), which sees the vector as the user wrote it.
template <class F>
Var with_columns(std::string_view function, const In& a, const In& b, F f) {
  const Shape right = shape_of(b);
  const Shape left = shape_of(a);
  if (right.rank() != 1 || left.rank() < 2 || rows_of(left) != right[0]) return f(a, b);
  const Composite c(function, {a, b});
  const Var x = f(c[0], reshape(c[1], {right[0], 1}));
  return reshape(x, Shape(x.shape().sizes().first(x.rank() - 1)));
}

}  // namespace dualtape::detail
