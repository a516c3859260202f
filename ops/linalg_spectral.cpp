// Eigenvalues, singular values and the norms made of them; declared in ops/linalg_factor.hpp.
#include <dualtape/core/base/enumeration.hpp>
#include <dualtape/core/composite.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/diagonals.hpp>
#include <dualtape/ops/kernels/linalg/factor.hpp>
#include <dualtape/ops/linalg_factor.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/slice.hpp>

namespace dualtape {
namespace {

using detail::Batch;
using detail::batch_of;
using detail::batch_sizes;
using detail::columns_of;
using detail::floating_kernel;
using detail::matrix_in;
using detail::Rectangles;
using detail::rows_of;
using detail::with_matrix;
using detail::with_vector;

[[noreturn]] void refuse_iteration(const std::string& matrix) {
  throw ValueError("LAPACK's iteration for " + matrix + " did not converge");
}

// ---- symmetric matrices -------------------------------------------------------------------------

struct EighFactors {
  static constexpr auto name = "eigh";
  static constexpr Shift shift{};
  static constexpr auto doc = "eigenvalues and eigenvectors of symmetric matrices";
  static constexpr auto math =
      "A = V diag(w) V^T; with P = V^T dA V: dw = diag(P), dV = V (F * P), F_ij = 1 / (w_j - w_i), "
      "0 on the diagonal.";
  static constexpr Example example{"eigh(g.constant(Tensor{{2, 1}, {1, 2}})).values", "[1. 3.]"};
  static constexpr Promotion promotion = Promotion::common_floating;

  static void infer(Inference& inference) {
    detail::require_matrices(inference);
    detail::require_square(inference);
    const Shape& shape = inference.shape(0);
    inference.out = {{with_vector(batch_of(shape), rows_of(shape)), inference.dtype(0)},
                     inference.in[0]};
  }
  template <class T>
  static void check_symmetric(const Batch& batch, std::size_t number, const T* a) {
    const auto n = static_cast<std::size_t>(batch.n);
    T largest = 0;
    for (std::size_t i = 0; i < batch.elements(); ++i) largest = std::max(largest, std::abs(a[i]));
    const T slack = std::sqrt(std::numeric_limits<T>::epsilon()) * largest;
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < i; ++j)
        if (std::abs(a[i * n + j] - a[j * n + i]) > slack)
          throw ValueError(matrix_in(batch, number) + " is not symmetric: element (" +
                           std::to_string(i) + ", " + std::to_string(j) + ") is " +
                           std::to_string(a[i * n + j]) + " and element (" + std::to_string(j) +
                           ", " + std::to_string(i) + ") is " + std::to_string(a[j * n + i]));
  }
  // `rows` holds the matrix and then its eigenvectors as rows.
  template <class T>
  static void factor_one(const Batch& batch, std::size_t number, const T* a, T* values, T* vectors,
                         T* rows, T* work, int* ints) {
    const auto n = static_cast<std::size_t>(batch.n);
    if (!detail::all_finite(a, batch.elements())) {
      detail::fill_nan(values, n);
      detail::fill_nan(vectors, batch.elements());
      return;
    }
    check_symmetric(batch, number, a);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) rows[i * n + j] = (a[i * n + j] + a[j * n + i]) / 2;
    if (!detail::eigh_factor(batch.n, rows, values, work, ints))
      refuse_iteration(matrix_in(batch, number));
    for (std::size_t j = 0; j < n; ++j) {
      T* const row = rows + j * n;
      if (detail::points_down(row, n, 1)) detail::turn_round(row, n, 1);
      for (std::size_t i = 0; i < n; ++i) vectors[i * n + j] = row[i];
    }
  }
  static Kernel kernel(const KernelRequest& request) {
    const Batch batch = batch_sizes(request.in[0]);
    if (request.out[1].shape.count() == 0) return {[](const KernelArgs&) {}};
    return floating_kernel(request.out[0].dtype, [batch]<class T>(T) -> Kernel {
      const detail::FactorWork sizes = detail::eigh_work(batch.n);
      const std::size_t reals = batch.elements() + sizes.reals;
      return detail::with_workspace<T>(reals, sizes.ints, [batch, reals](const KernelArgs& args) {
        T* const rows = static_cast<T*>(args.workspace);
        for (std::size_t i = 0; i < batch.count; ++i)
          factor_one(batch, i, args.input<T>(0) + i * batch.elements(),
                     args.output<T>(0) + i * static_cast<std::size_t>(batch.n),
                     args.output<T>(1) + i * batch.elements(), rows, rows + batch.elements(),
                     detail::ints_behind<T>(args.workspace, reals));
      });
    });
  }
  static std::vector<MaybeVar> jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    if (node.in[0].shape().count() == 0) return {std::nullopt, std::nullopt};
    const Var w = node.out[0];
    const Var v = node.out[1];
    const Var ds = mul(0.5, add(*tangents[0], transpose(*tangents[0])));
    const Var p = matmul(v, matmul(ds, v), {true, false});
    const Var gaps = sub(unsqueeze(w, -2), unsqueeze(w, -1));
    return {diagonal(p), matmul(v, mul(detail::inverse_gaps(gaps), p))};
  }
  static std::vector<Edge> edges() { return detail::matrix_edges(name); }
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    for (const Shape& shape : {Shape{3, 3}, Shape{1, 1}, Shape{2, 2, 2}, Shape{0, 2, 2}})
      cases.push_back({to_string(shape), {Arg{shape}}, [](std::span<const Var> in) {
                         const Eigh factors = eigh(in[0] + transpose(in[0]));
                         return std::vector<Var>{factors.values, factors.vectors};
                       }});
    return cases;
  }
};
constexpr General<EighFactors> eigh_op;

// ---- singular values ----------------------------------------------------------------------------

struct SvdFactors {
  static constexpr auto name = "svd";
  static constexpr Shift shift{};
  static constexpr auto doc = "A = U diag(s) V^T, the reduced singular value decomposition";
  static constexpr auto math =
      "With P = U^T dA V, S = diag(s), H_ij = (P_ij + P_ji) / 2 (s_j - s_i) and K_ij = (P_ij - "
      "P_ji) / 2 (s_j + s_i), 0 on the diagonal: ds = diag(P), dU = U (H + K) + (I - U U^T) dA V "
      "S^-1, dV = V (H - K) + (I - V V^T) dA^T U S^-1.";
  static constexpr Example example{"svd(g.constant(Tensor{{3, 0}, {0, -4}})).s", "[4. 3.]"};
  static constexpr Promotion promotion = Promotion::common_floating;

  static void infer(Inference& inference) {
    detail::require_matrices(inference);
    const Shape& shape = inference.shape(0);
    const Shape batch = batch_of(shape);
    const std::int64_t k = std::min(rows_of(shape), columns_of(shape));
    const DType dtype = inference.dtype(0);
    inference.out = {{with_matrix(batch, rows_of(shape), k), dtype},
                     {with_vector(batch, k), dtype},
                     {with_matrix(batch, k, columns_of(shape)), dtype}};
  }
  template <class T>
  static void factor_one(const Rectangles& all, std::size_t number, const T* a, T* u, T* s, T* vt,
                         T* copy, T* work, int* ints) {
    if (!detail::all_finite(a, all.elements())) {
      detail::fill_nan(u, all.rows() * all.least());
      detail::fill_nan(s, all.least());
      detail::fill_nan(vt, all.least() * all.columns());
      return;
    }
    std::copy_n(a, all.elements(), copy);
    if (!detail::svd_factor(all.m, all.n, copy, u, s, vt, work, ints))
      refuse_iteration("matrix " + std::to_string(number));
    for (std::size_t j = 0; j < all.least(); ++j) {
      if (!detail::points_down(u + j, all.rows(), all.least())) continue;
      detail::turn_round(u + j, all.rows(), all.least());
      detail::turn_round(vt + j * all.columns(), all.columns(), 1);
    }
  }
  static Kernel kernel(const KernelRequest& request) {
    const Rectangles all(request.in[0].shape);
    if (all.empty()) return {[](const KernelArgs&) {}};
    return floating_kernel(request.out[0].dtype, [all]<class T>(T) -> Kernel {
      const detail::FactorWork sizes = detail::svd_work(all.m, all.n);
      const std::size_t reals = all.elements() + sizes.reals;
      return detail::with_workspace<T>(reals, sizes.ints, [all, reals](const KernelArgs& args) {
        T* const copy = static_cast<T*>(args.workspace);
        for (std::size_t i = 0; i < all.count; ++i)
          factor_one(all, i, args.input<T>(0) + i * all.elements(),
                     args.output<T>(0) + i * all.rows() * all.least(),
                     args.output<T>(1) + i * all.least(),
                     args.output<T>(2) + i * all.least() * all.columns(), copy,
                     copy + all.elements(), detail::ints_behind<T>(args.workspace, reals));
      });
    });
  }
  // (I - Q Q^T) X for orthonormal columns Q.
  static Var outside(Var q, Var x) { return sub(x, matmul(q, matmul(q, x, {true, false}))); }
  static std::vector<MaybeVar> jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    if (node.in[0].shape().count() == 0) return {std::nullopt, std::nullopt, std::nullopt};
    const Var u = node.out[0];
    const Var v = transpose(node.out[2]);
    const Var da = *tangents[0];
    const Var row = unsqueeze(node.out[1], -2);
    const Var column = unsqueeze(node.out[1], -1);
    const Var dav = matmul(da, v);
    const Var p = matmul(u, dav, {true, false});
    // Differences and sums apart: their product, s_j^2 - s_i^2, is 0 or infinite too early.
    const Var along = mul(detail::inverse_gaps(sub(row, column)), mul(0.5, add(p, transpose(p))));
    const Var across = mul(detail::inverse_gaps(add(row, column)), mul(0.5, sub(p, transpose(p))));
    Var du = matmul(u, add(along, across));
    Var dv = matmul(v, sub(along, across));
    const Shape& shape = da.shape();
    if (rows_of(shape) > columns_of(shape)) du = add(du, outside(u, div(dav, row)));
    if (columns_of(shape) > rows_of(shape))
      dv = add(dv, outside(v, div(matmul(da, u, {true, false}), row)));
    return {du, diagonal(p), transpose(dv)};
  }
  static std::vector<Edge> edges() { return detail::matrix_edges(name); }
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    for (const Shape& shape : {Shape{3, 3}, Shape{4, 2}, Shape{2, 3}, Shape{1, 1}, Shape{2, 3, 2},
                               Shape{3, 1}, Shape{1, 3}, Shape{0, 2}})
      cases.push_back({to_string(shape), {Arg{shape}}, [](std::span<const Var> in) {
                         const SVD factors = svd(in[0]);
                         return std::vector<Var>{factors.u, factors.s, factors.vt};
                       }});
    return cases;
  }
};
constexpr General<SvdFactors> svd_op;

struct NormOfMatrix {
  static constexpr auto name = "matrix_norm";
  static constexpr auto doc = "the Frobenius, nuclear or spectral norm of matrices";
  static constexpr auto math =
      "sqrt(sum a_ij^2), sum s_i or max s_i, s the singular values; derivatives A / y, U V^T and "
      "u_0 v_0^T. norm, or svd and sum or slice.";
  static constexpr Example example{
      "matrix_norm(g.constant(Tensor{{3, 0}, {0, -4}}), MatrixNorm::nuclear)", "7.0"};
  static std::vector<Edge> edges() { return detail::matrix_edges(name); }
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    for (const MatrixNorm kind : {MatrixNorm::frobenius, MatrixNorm::nuclear, MatrixNorm::spectral})
      for (const Shape& shape : {Shape{3, 3}, Shape{2, 2, 3}, Shape{1, 1}})
        cases.push_back({"kind " + std::to_string(static_cast<int>(kind)) + ", " + to_string(shape),
                         {Arg{shape}},
                         [kind](std::span<const Var> in) {
                           return std::vector<Var>{matrix_norm(in[0], kind)};
                         }});
    return cases;
  }
};

}  // namespace

Eigh eigh(In a) {
  const auto both = apply_all(eigh_op.op(), std::span<const In>(&a, 1));
  return {both[0], both[1]};
}
SVD svd(In a) {
  const auto all = apply_all(svd_op.op(), std::span<const In>(&a, 1));
  return {all[0], all[1], all[2]};
}

Var matrix_norm(In a, MatrixNorm kind) {
  const Shape shape = detail::shape_of(a);
  if (shape.rank() < 2)
    fail<ShapeError>({.op = "matrix_norm",
                      .what = "takes matrices, got shape " + to_string(shape),
                      .where = a.where(),
                      .help = "norm() takes vectors"});
  detail::require_listed("matrix_norm", "MatrixNorm", kind, 3,
                         "MatrixNorm::frobenius, MatrixNorm::nuclear or MatrixNorm::spectral",
                         a.where());
  const Composite c("matrix_norm", {a});
  if (kind == MatrixNorm::frobenius) return norm(c[0], {-2, -1});
  const Var values = svd(c[0]).s;
  if (kind == MatrixNorm::nuclear) return sum(values, {-1});
  if (rows_of(shape) == 0 || columns_of(shape) == 0)
    fail<ShapeError>({.op = "matrix_norm",
                      .what = "an empty matrix, " + to_string(shape) +
                              ", has no largest singular "
                              "value",
                      .where = a.where(),
                      .help = "its Frobenius and nuclear norms are 0"});
  return reshape(slice(values, -1, 0, 1), batch_of(shape));
}

void detail::register_spectral() {
  register_all(eigh_op, svd_op);
  register_composite<NormOfMatrix>();
}

}  // namespace dualtape
