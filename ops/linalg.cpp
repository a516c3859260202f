#include <dualtape/ops/linalg.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/batching.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/linalg.hpp>
#include <dualtape/ops/declare/matrix.hpp>
#include <dualtape/ops/declare/partly_linear.hpp>
#include <dualtape/ops/kernels/linalg/lapack.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

using detail::Batch;
using detail::batch_of;
using detail::batch_sizes;
using detail::columns_of;
using detail::floating_kernel;
using detail::matrices;
using detail::matrix_in;
using detail::refuse_singular;
using detail::require_square;
using detail::rows_of;
using detail::square_cases;

// ---- solve --------------------------------------------------------------------------------------

// One plan of solve: the matrices that meet, and where scratch memory begins.
class SolvePlan {
 public:
  explicit SolvePlan(const KernelRequest& request)
      : batch_(batch_sizes(request.in[0])),
        columns_(static_cast<int>(columns_of(request.out[0].shape))),
        transposed_(request.attributes.get<bool>("transpose")),
        a_(detail::matrix_numbers(batch_of(request.in[0].shape), batch_of(request.out[0].shape))),
        b_(detail::matrix_numbers(batch_of(request.in[1].shape), batch_of(request.out[0].shape))) {}

  std::size_t right_elements() const {
    return static_cast<std::size_t>(batch_.n) * static_cast<std::size_t>(columns_);
  }
  template <class T>
  std::size_t workspace_bytes() const {
    return (batch_.elements() + right_elements()) * sizeof(T) +
           static_cast<std::size_t>(batch_.n) * sizeof(int);
  }
  template <class T>
  void run(const KernelArgs& args) const {
    T* const lu = static_cast<T*>(args.workspace);
    T* const columns = lu + batch_.elements();
    int* const pivots = reinterpret_cast<int*>(columns + right_elements());
    std::int64_t factored = -1;
    T* out = args.output<T>();
    for (std::size_t i = 0; i < a_.size(); ++i, out += right_elements()) {
      if (a_[i] != factored) factor(args.input<T>(0), a_[i], lu, pivots);
      factored = a_[i];
      solve_one(args.input<T>(1) + static_cast<std::size_t>(b_[i]) * right_elements(), lu, pivots,
                columns, out);
    }
  }

 private:
  template <class T>
  void factor(const T* a, std::int64_t number, T* lu, int* pivots) const {
    const auto which = static_cast<std::size_t>(number);
    std::copy_n(a + which * batch_.elements(), batch_.elements(), lu);
    const int zero = detail::lu_factor(batch_.n, lu, pivots);
    if (zero >= 0) refuse_singular(batch_, which, zero);
  }
  // The factors are those of A^T, row-major being column-major transposed.
  template <class T>
  void solve_one(const T* b, const T* lu, const int* pivots, T* columns, T* out) const {
    const auto n = static_cast<std::size_t>(batch_.n);
    const auto k = static_cast<std::size_t>(columns_);
    if (k == 1) {
      std::copy_n(b, n, out);
      detail::lu_solve(!transposed_, batch_.n, 1, lu, pivots, out);
      return;
    }
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < k; ++j) columns[j * n + i] = b[i * k + j];
    detail::lu_solve(!transposed_, batch_.n, columns_, lu, pivots, columns);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < k; ++j) out[i * k + j] = columns[j * n + i];
  }

  Batch batch_;
  int columns_;
  bool transposed_;
  std::vector<std::int64_t> a_;
  std::vector<std::int64_t> b_;
};

Var solve_matrices(In a, In b, bool transpose);

struct Solve {
  static constexpr auto name = "solve";
  static constexpr auto doc = "X with A X = B";
  static constexpr auto math =
      "X = A^-1 B; dX = A^-1 (dB - dA X). Backward: B' = A^-T X', A' = -B' X^T.";
  static constexpr Example example{
      "solve(g.constant(Tensor{{2, 0}, {1, 4}}), g.constant(Tensor{2, 9}))", "[1. 2.]"};
  static constexpr Promotion promotion = Promotion::common_floating;

  static void infer(Inference& inference) { detail::infer_solution(inference, "LAPACK"); }
  static std::vector<Var> batch(const BatchView& view) { return detail::batch_solution(view); }
  static Kernel kernel(const KernelRequest& request) {
    if (request.out[0].shape.count() == 0) return {[](const KernelArgs&) {}};
    return floating_kernel(request.out[0].dtype, [&]<class T>(T) -> Kernel {
      SolvePlan plan(request);
      const std::size_t bytes = plan.workspace_bytes<T>();
      return {[plan = std::move(plan)](const KernelArgs& args) { plan.run<T>(args); }, bytes};
    });
  }

  // Linear in the right side, so that the rules below can be written with solve itself.
  static bool linear_in(std::span<const bool> active) { return !active[0]; }
  static Var transpose(const NodeView& node, Var cotangent) {
    return solve_matrices(node.in[0], cotangent, !node.attributes.get<bool>("transpose"));
  }
  static MaybeVar jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    const bool transposed = node.attributes.get<bool>("transpose");
    MaybeVar right = tangents[1];
    if (tangents[0]) {
      const Var change = matmul(*tangents[0], node.out[0], {transposed, false});
      right = right ? sub(*right, change) : neg(change);
    }
    return solve_matrices(node.in[0], *right, transposed);
  }
  static std::vector<Edge> edges() { return detail::matrix_edges(name); }
  static std::vector<Case> cases() {
    const auto call = [](auto in) { return std::vector<Var>{solve(in[0], in[1])}; };
    return {{"vector", {matrices({3, 3}), Arg{{3}}}, call},
            {"matrix", {matrices({3, 3}), Arg{{3, 2}}}, call},
            {"transposed",
             {matrices({3, 3}), Arg{{3, 2}}},
             [](auto in) { return std::vector<Var>{solve_matrices(in[0], in[1], true)}; }},
            {"batches", {matrices({2, 2, 2}), Arg{{2, 2, 3}}}, call},
            {"one matrix, many right sides", {matrices({2, 2}), Arg{{3, 2, 1}}}, call},
            {"many matrices, one right side", {matrices({3, 2, 2}), Arg{{2, 2}}}, call},
            {"batches that broadcast", {matrices({2, 1, 2, 2}), Arg{{3, 2, 2}}}, call},
            {"one by one", {matrices({1, 1}), Arg{{1}}}, call},
            {"no columns", {matrices({2, 2}), Arg{{2, 0}}}, call},
            {"no rows", {matrices({0, 0}), Arg{{0, 2}}}, call}};
  }
};
constexpr detail::PartlyLinear<Solve> solve_op;

Var solve_matrices(In a, In b, bool transpose) {
  return solve_op(a, b, Attributes{{"transpose", transpose}});
}

// ---- inverse
// ---------------------------------------------------------------------------------------

struct Inverse {
  static constexpr auto name = "inverse";
  static constexpr Shift shift{};
  static constexpr auto doc = "the inverse of square matrices";
  static constexpr auto math = "Y = A^-1; dY = -Y dA Y. Backward: A' = -Y^T Y' Y^T.";
  static constexpr Example example{"inverse(g.constant(Tensor{{2, 1}, {1, 1}}))",
                                   "[[ 1. -1.]\n [-1.  2.]]"};
  static constexpr Promotion promotion = Promotion::common_floating;

  static void infer(Inference& inference) {
    inference.require_count(1);
    require_square(inference);
    inference.out.push_back(inference.in[0]);
  }
  static Kernel kernel(const KernelRequest& request) {
    const Batch batch = batch_sizes(request.in[0]);
    if (request.out[0].shape.count() == 0) return {[](const KernelArgs&) {}};
    return floating_kernel(request.out[0].dtype, [batch]<class T>(T) -> Kernel {
      const std::size_t work = detail::lu_inverse_work(batch.n);
      return {[batch, work](const KernelArgs& args) {
                T* const scratch = static_cast<T*>(args.workspace);
                int* const pivots = reinterpret_cast<int*>(scratch + work);
                // The inverse of the transpose is the transpose of the inverse.
                std::copy_n(args.input<T>(0), batch.count * batch.elements(), args.output<T>());
                for (std::size_t i = 0; i < batch.count; ++i) {
                  T* const a = args.output<T>() + i * batch.elements();
                  const int zero = detail::lu_factor(batch.n, a, pivots);
                  if (zero >= 0) refuse_singular(batch, i, zero);
                  detail::lu_inverse(batch.n, a, pivots, scratch);
                }
              },
              work * sizeof(T) + static_cast<std::size_t>(batch.n) * sizeof(int)};
    });
  }
  static MaybeVar jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    const Var y = node.out[0];
    return neg(matmul(y, matmul(*tangents[0], y)));
  }
  static std::vector<Edge> edges() { return detail::matrix_edges(name); }
  static std::vector<Case> cases() { return square_cases<inverse>(false); }
};
constexpr General<Inverse> inverse_op;

// ---- Cholesky -----------------------------------------------------------------------------------

struct Cholesky {
  static constexpr auto name = "cholesky";
  static constexpr Shift shift{};
  static constexpr auto doc = "the lower triangular L with L L^T = (A + A^T) / 2";
  static constexpr auto math =
      "S = (A + A^T) / 2 = L L^T; dL = L Phi(L^-1 dS L^-T), Phi the lower triangle with its "
      "diagonal halved.";
  static constexpr Example example{"cholesky(g.constant(Tensor{{4, 2}, {2, 5}}))",
                                   "[[2. 0.]\n [1. 2.]]"};
  static constexpr Promotion promotion = Promotion::common_floating;

  static void infer(Inference& inference) {
    inference.require_count(1);
    require_square(inference);
    inference.out.push_back(inference.in[0]);
  }
  // The lower triangle of the symmetric part; to LAPACK it is the upper one.
  template <class T>
  static void symmetric_part(std::size_t n, const T* a, T* s) {
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j <= i; ++j) s[i * n + j] = (a[i * n + j] + a[j * n + i]) / 2;
      std::fill(s + i * n + i + 1, s + (i + 1) * n, T{0});
    }
  }
  static Kernel kernel(const KernelRequest& request) {
    const Batch batch = batch_sizes(request.in[0]);
    if (request.out[0].shape.count() == 0) return {[](const KernelArgs&) {}};
    return floating_kernel(request.out[0].dtype, [batch]<class T>(T) -> Kernel {
      return {[batch](const KernelArgs& args) {
        for (std::size_t i = 0; i < batch.count; ++i) {
          T* const l = args.output<T>() + i * batch.elements();
          symmetric_part(static_cast<std::size_t>(batch.n), args.input<T>(0) + i * batch.elements(),
                         l);
          const int bad = detail::cholesky_factor(batch.n, l);
          if (bad >= 0)
            throw ValueError(matrix_in(batch, i) + " is not positive definite: pivot " +
                             std::to_string(bad) + ", counted from 0, is not positive");
        }
      }};
    });
  }
  static Tensor half_lower_mask(std::int64_t n, DType dtype) {
    Tensor mask(Shape{n, n}, float64);
    const auto values = mask.data<double>();
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j <= i; ++j)
        values[static_cast<std::size_t>(i * n + j)] = i == j ? 0.5 : 1.0;
    return mask.to(dtype);
  }
  static MaybeVar jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    const Var l = node.out[0];
    const Var ds = mul(0.5, add(*tangents[0], transpose(*tangents[0])));
    // L^-1 dS L^-T is symmetric: the second solve may take its transpose.
    const Var inner = solve_matrices(l, transpose(solve_matrices(l, ds, false)), false);
    return matmul(l, mul(half_lower_mask(rows_of(l.shape()), l.dtype()), inner));
  }
  static std::vector<Edge> edges() { return detail::matrix_edges(name); }
  static std::vector<Case> cases() { return square_cases<cholesky>(true); }
};
constexpr General<Cholesky> cholesky_op;

}  // namespace

Var solve(In a, In b) {
  return detail::with_columns(
      "solve", a, b, [](In matrix, In right) { return solve_matrices(matrix, right, false); });
}
Var inverse(In a) { return inverse_op(a); }
Var cholesky(In a) { return cholesky_op(a); }

void detail::register_linalg() { register_all(solve_op, inverse_op, cholesky_op); }

}  // namespace dualtape
