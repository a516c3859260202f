#include <dualtape/ops/linalg_factor.hpp>

#include <dualtape/ops/batching.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/partly_linear.hpp>
#include <dualtape/ops/diagonals.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/kernels/linalg/factor.hpp>
#include <dualtape/ops/linalg.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/slice.hpp>

namespace dualtape {
namespace {

using detail::Batch;
using detail::batch_of;
using detail::batch_sizes;
using detail::columns_of;
using detail::floating_kernel;
using detail::matrices;
using detail::matrix_in;
using detail::Rectangles;
using detail::require_square;
using detail::rows_of;
using detail::with_matrix;

// ---- triangular solve ---------------------------------------------------------------------------

detail::Triangular kind_of(const Attributes& attributes) {
  return {attributes.get<bool>("lower"), attributes.get<bool>("transpose"),
          attributes.get<bool>("unit_diagonal")};
}
Var solve_triangles(In a, In b, const detail::Triangular& kind);

struct TriangularSolve {
  static constexpr auto name = "triangular_solve";
  static constexpr auto doc = "X with T X = B for a triangular matrix T";
  static constexpr auto math =
      "X = op(T)^-1 B, T the triangle of A; dX = op(T)^-1 (dB - op(dT) X). Backward: B' = op(T)^-T "
      "X', T' = the triangle of -B' X^T (transposed if op does).";
  static constexpr Example example{
      "triangular_solve(g.constant(Tensor{{2, 9}, {1, 4}}), g.constant(Tensor{2, 9}))", "[1. 2.]"};
  static Attributes defaults() { return {{"lower", true}}; }
  static constexpr Promotion promotion = Promotion::common_floating;

  static void infer(Inference& inference) { detail::infer_solution(inference, "BLAS"); }
  template <class T>
  static void check_diagonal(const Batch& batch, std::size_t number, const T* a) {
    const auto n = static_cast<std::size_t>(batch.n);
    for (std::size_t i = 0; i < n; ++i)
      if (a[i * (n + 1)] == 0)
        throw ValueError(matrix_in(batch, number) + " is singular: element " + std::to_string(i) +
                         " of its diagonal, counted from 0, is zero");
  }
  static std::vector<Var> batch(const BatchView& view) { return detail::batch_solution(view); }
  static Kernel kernel(const KernelRequest& request) {
    if (request.out[0].shape.count() == 0) return {[](const KernelArgs&) {}};
    const Batch batch = batch_sizes(request.in[0]);
    const auto kind = kind_of(request.attributes);
    const auto k = static_cast<int>(columns_of(request.out[0].shape));
    const Shape out = batch_of(request.out[0].shape);
    const auto a = detail::matrix_numbers(batch_of(request.in[0].shape), out);
    const auto b = detail::matrix_numbers(batch_of(request.in[1].shape), out);
    return floating_kernel(request.out[0].dtype, [&]<class T>(T) -> Kernel {
      return {[=](const KernelArgs& args) {
        const std::size_t size = static_cast<std::size_t>(batch.n) * static_cast<std::size_t>(k);
        T* x = args.output<T>();
        for (std::size_t i = 0; i < a.size(); ++i, x += size) {
          const auto which = static_cast<std::size_t>(a[i]);
          const T* const matrix = args.input<T>(0) + which * batch.elements();
          if (!kind.unit) check_diagonal(batch, which, matrix);
          std::copy_n(args.input<T>(1) + static_cast<std::size_t>(b[i]) * size, size, x);
          detail::triangular_solve(kind, batch.n, k, matrix, x);
        }
      }};
    });
  }

  // Linear in the right side.
  static bool linear_in(std::span<const bool> active) { return !active[0]; }
  static Var transpose(const NodeView& node, Var cotangent) {
    detail::Triangular kind = kind_of(node.attributes);
    kind.transpose = !kind.transpose;
    return solve_triangles(node.in[0], cotangent, kind);
  }
  static MaybeVar jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    const detail::Triangular kind = kind_of(node.attributes);
    MaybeVar right = tangents[1];
    if (tangents[0]) {
      const std::int64_t inwards = kind.unit ? 1 : 0;
      const Var triangle = kind.lower ? tril(*tangents[0], -inwards) : triu(*tangents[0], inwards);
      const Var change = matmul(triangle, node.out[0], {kind.transpose, false});
      right = right ? sub(*right, change) : neg(change);
    }
    return solve_triangles(node.in[0], *right, kind);
  }
  static std::vector<Edge> edges() { return detail::matrix_edges(name); }
  static std::vector<Case> cases() {
    const auto call = [](TriangularOptions options) {
      return [options](std::span<const Var> in) {
        return std::vector<Var>{triangular_solve(in[0], in[1], options)};
      };
    };
    return {
        {"vector", {matrices({3, 3}), Arg{{3}}}, call({})},
        {"upper", {matrices({3, 3}), Arg{{3, 2}}}, call({.lower = false})},
        {"transposed", {matrices({3, 3}), Arg{{3, 2}}}, call({.transpose = true})},
        {"upper transposed, ones on the diagonal",
         {matrices({3, 3}), Arg{{3, 2}}},
         call({.lower = false, .transpose = true, .unit_diagonal = true})},
        {"ones on the diagonal", {matrices({2, 2}), Arg{{2, 2}}}, call({.unit_diagonal = true})},
        {"batches that broadcast", {matrices({2, 1, 2, 2}), Arg{{3, 2, 2}}}, call({})},
        {"one by one", {matrices({1, 1}), Arg{{1}}}, call({})},
        {"no columns", {matrices({2, 2}), Arg{{2, 0}}}, call({})}};
  }
};
constexpr detail::PartlyLinear<TriangularSolve> triangular_solve_op;

Var solve_triangles(In a, In b, const detail::Triangular& kind) {
  return triangular_solve_op(
      a, b,
      Attributes{
          {"lower", kind.lower}, {"transpose", kind.transpose}, {"unit_diagonal", kind.unit}});
}

// ---- sign and logarithm of the determinant ------------------------------------------------------

struct Slogdet {
  static constexpr auto name = "slogdet";
  static constexpr Shift shift{};
  static constexpr auto doc = "the sign of the determinant and the logarithm of its size";
  static constexpr auto math =
      "y = log |det A|; dy = tr(A^-1 dA), d sign = 0. Backward: A' = y' A^-T.";
  static constexpr Example example{"slogdet(g.constant(Tensor{{1, 0}, {0, -1}})).sign", "-1.0"};
  static constexpr Promotion promotion = Promotion::common_floating;

  static void infer(Inference& inference) {
    inference.require_count(1);
    require_square(inference);
    const Type one{batch_of(inference.shape(0)), inference.dtype(0)};
    inference.out = {one, one};
  }
  template <class T>
  static void of_factors(int n, const T* lu, const int* pivots, T& sign, T& logarithm) {
    double sum = 0;
    double product = 1;
    detail::each_factor(n, lu, pivots, [&](double factor) {
      product *= std::isnan(factor) || factor == 0 ? factor : std::copysign(1.0, factor);
      sum += std::log(std::abs(factor));
    });
    sign = static_cast<T>(product + 0.0);  // never -0
    logarithm = static_cast<T>(sum);
  }
  static Kernel kernel(const KernelRequest& request) {
    const Batch batch = batch_sizes(request.in[0]);
    return floating_kernel(request.out[0].dtype, [batch]<class T>(T) -> Kernel {
      const std::size_t elements = batch.elements();
      return detail::with_workspace<T>(
          elements, static_cast<std::size_t>(batch.n), [batch, elements](const KernelArgs& args) {
            T* const lu = static_cast<T*>(args.workspace);
            int* const pivots = detail::ints_behind<T>(args.workspace, elements);
            for (std::size_t i = 0; i < batch.count; ++i) {
              std::copy_n(args.input<T>(0) + i * elements, elements, lu);
              if (batch.n > 0) detail::lu_factor(batch.n, lu, pivots);
              of_factors(batch.n, lu, pivots, args.output<T>(0)[i], args.output<T>(1)[i]);
            }
          });
    });
  }
  static std::vector<MaybeVar> jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    const Var weights = transpose(inverse(node.in[0]));
    return {std::nullopt, sum(mul(weights, *tangents[0]), {-2, -1})};
  }
  static Var logarithm(In a) { return slogdet(a).log_abs_det; }
  static std::vector<Edge> edges() { return detail::matrix_edges(name); }
  static std::vector<Case> cases() { return detail::square_cases<logarithm>(false); }
};
constexpr General<Slogdet> slogdet_op;

// ---- QR -----------------------------------------------------------------------------------------

std::vector<Case> rectangle_cases(std::vector<Var> (*call)(Var)) {
  std::vector<Case> cases;
  for (const Shape& shape :
       {Shape{3, 3}, Shape{4, 2}, Shape{2, 3}, Shape{1, 1}, Shape{2, 3, 2}, Shape{2, 1, 2, 2},
        Shape{3, 1}, Shape{1, 3}, Shape{0, 2}, Shape{0, 2, 2}})
    cases.push_back(
        {to_string(shape), {Arg{shape}}, [call](std::span<const Var> in) { return call(in[0]); }});
  return cases;
}

struct QrFactors {
  static constexpr auto name = "qr";
  static constexpr Shift shift{};
  static constexpr auto doc = "A = Q R, orthonormal columns times an upper triangle";
  static constexpr auto math =
      "With C = Q^T dA R^-1 and W = L - L^T, L the strictly lower triangle of C: dQ = dA R^-1 + Q "
      "(W "
      "- C), dR = (C - W) R. For more columns than rows this is so of the first ones, X, and for "
      "the others, Y: dV = Q^T dY - W V, R = [U | V].";
  static constexpr Example example{"qr(g.constant(Tensor{{0, 2}, {-3, 1}})).r",
                                   "[[ 3. -1.]\n [ 0.  2.]]"};
  static constexpr Promotion promotion = Promotion::common_floating;
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    detail::require_matrices(inference);
    const Shape& shape = inference.shape(0);
    const std::int64_t k = std::min(rows_of(shape), columns_of(shape));
    const Shape batch = batch_of(shape);
    inference.out = {{with_matrix(batch, rows_of(shape), k), inference.dtype(0)},
                     {with_matrix(batch, k, columns_of(shape)), inference.dtype(0)}};
  }
  static Kernel kernel(const KernelRequest& request) {
    const Rectangles all(request.in[0].shape);
    if (all.empty()) return {[](const KernelArgs&) {}};
    return floating_kernel(request.out[0].dtype, [all]<class T>(T) -> Kernel {
      const std::size_t reals = all.elements() + detail::qr_work(all.m, all.n).reals;
      return detail::with_workspace<T>(reals, 0, [all](const KernelArgs& args) {
        T* const columns = static_cast<T*>(args.workspace);
        for (std::size_t i = 0; i < all.count; ++i) {
          const T* const a = args.input<T>(0) + i * all.elements();
          T* const q = args.output<T>(0) + i * all.rows() * all.least();
          T* const r = args.output<T>(1) + i * all.least() * all.columns();
          if (!detail::all_finite(a, all.elements())) {
            detail::fill_nan(q, all.rows() * all.least());
            detail::fill_nan(r, all.least() * all.columns());
            continue;
          }
          for (std::size_t row = 0; row < all.rows(); ++row)
            for (std::size_t c = 0; c < all.columns(); ++c)
              columns[c * all.rows() + row] = a[row * all.columns() + c];
          detail::qr_factor(all.m, all.n, columns, r, columns + all.elements());
          for (std::size_t row = 0; row < all.rows(); ++row)
            for (std::size_t c = 0; c < all.least(); ++c)
              q[row * all.least() + c] = columns[c * all.rows() + row];
        }
      });
    });
  }
  static std::vector<MaybeVar> jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    if (node.in[0].shape().count() == 0) return {std::nullopt, std::nullopt};
    const Var q = node.out[0];
    const std::int64_t k = columns_of(q.shape());
    const std::int64_t n = columns_of(node.in[0].shape());
    const bool wide = n > k;
    const auto first = [=](Var x) { return wide ? slice(x, -1, 0, k) : x; };
    const Var r = first(node.out[1]);
    // dA R^-1 by R^T (dA R^-1)^T = dA^T.
    const Var scaled =
        transpose(solve_triangles(r, transpose(first(*tangents[0])), {false, true, false}));
    const Var c = matmul(q, scaled, {true, false});
    const Var lower = tril(c, -1);
    const Var turn = sub(lower, transpose(lower));
    const Var dq = add(scaled, matmul(q, sub(turn, c)));
    Var dr = matmul(sub(c, turn), r);
    if (wide) {
      const Var rest = matmul(q, slice(*tangents[0], -1, k, n), {true, false});
      dr = concat({dr, sub(rest, matmul(turn, slice(node.out[1], -1, k, n)))}, -1);
    }
    return {dq, dr};
  }
  static std::vector<Edge> edges() { return detail::matrix_edges(name); }
  static std::vector<Case> cases() {
    return rectangle_cases([](Var a) {
      const QR factors = qr(a);
      return std::vector<Var>{factors.q, factors.r};
    });
  }
};
constexpr General<QrFactors> qr_op;

}  // namespace

Var triangular_solve(In a, In b, TriangularOptions options) {
  return detail::with_columns("triangular_solve", a, b, [&](In matrix, In right) {
    return solve_triangles(matrix, right,
                           {options.lower, options.transpose, options.unit_diagonal});
  });
}
SignLogDet slogdet(In a) {
  const auto both = apply_all(slogdet_op.op(), std::span<const In>(&a, 1));
  return {both[0], both[1]};
}
QR qr(In a) {
  const auto both = apply_all(qr_op.op(), std::span<const In>(&a, 1));
  return {both[0], both[1]};
}

void detail::register_factorisations() { register_all(triangular_solve_op, slogdet_op, qr_op); }

}  // namespace dualtape
