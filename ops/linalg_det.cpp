// The determinant, its gradient and that one's derivative; declared in ops/linalg.hpp.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/linalg.hpp>
#include <dualtape/ops/declare/partly_linear.hpp>
#include <dualtape/ops/kernels/linalg/lapack.hpp>
#include <dualtape/ops/kernels/linalg/minors.hpp>
#include <dualtape/ops/linalg.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

using detail::Batch;
using detail::batch_of;
using detail::batch_sizes;
using detail::floating_kernel;
using detail::matrices;
using detail::require_square;
using detail::rows_of;
using detail::square_cases;

// Each matrix on its own, in float64: f(minors, matrix) for every number in the batch.
template <class T, class F>
Kernel minors_kernel(const Batch& batch, F f) {
  return {[batch, f](const KernelArgs& args) {
            detail::Minors minors(batch.n, static_cast<double*>(args.workspace));
            for (std::size_t i = 0; i < batch.count; ++i) f(minors, args, i * batch.elements());
          },
          detail::Minors::workspace_bytes(batch.n)};
}

struct Det {
  static constexpr auto name = "det";
  static constexpr Shift shift{};
  static constexpr auto doc = "the determinant of square matrices";
  static constexpr auto math =
      "y = det A; dy = sum_ij C_ij dA_ij with C the cofactors, which exist at singular matrices, "
      "too. Backward: A' = y' C.";
  static constexpr Example example{"det(g.constant(Tensor{{1, 2}, {3, 4}}))", "-2.0"};
  static constexpr Promotion promotion = Promotion::common_floating;
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    inference.require_count(1);
    require_square(inference);
    inference.out.push_back({batch_of(inference.shape(0)), inference.dtype(0)});
  }
  template <class T>
  static T determinant(int n, const T* lu, const int* pivots) {
    detail::ScaledProduct product;
    detail::each_factor(n, lu, pivots, [&](double factor) { product.times(factor); });
    return static_cast<T>(product.value() + 0.0);  // never -0
  }
  static Kernel kernel(const KernelRequest& request) {
    const Batch batch = batch_sizes(request.in[0]);
    return floating_kernel(request.out[0].dtype, [batch]<class T>(T) -> Kernel {
      if (batch.n == 0)
        return {
            [batch](const KernelArgs& args) { std::fill_n(args.output<T>(), batch.count, T{1}); }};
      return {[batch](const KernelArgs& args) {
                T* const lu = static_cast<T*>(args.workspace);
                int* const pivots = reinterpret_cast<int*>(lu + batch.elements());
                for (std::size_t i = 0; i < batch.count; ++i) {
                  std::copy_n(args.input<T>(0) + i * batch.elements(), batch.elements(), lu);
                  detail::lu_factor(batch.n, lu, pivots);
                  args.output<T>()[i] = determinant(batch.n, lu, pivots);
                }
              },
              batch.elements() * sizeof(T) + static_cast<std::size_t>(batch.n) * sizeof(int)};
    });
  }
  static MaybeVar jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    return sum(mul(cofactors(node.in[0]), *tangents[0]), {-2, -1});
  }
  static std::vector<Edge> edges() { return detail::matrix_edges(name); }
  static std::vector<Case> cases() {
    std::vector<Case> cases = square_cases<det>(false);
    const auto add = [&](const char* name, const Tensor& a) {
      Arg arg{a.shape()};
      arg.make = [a](Key) { return a; };
      cases.push_back({name, {arg}, [](auto in) { return std::vector<Var>{det(in[0])}; }});
    };
    add("rank 1 of 2", Tensor{{1, 2}, {2, 4}}.to(float64));
    add("rank 2 of 3", Tensor{{1, 2, 3}, {4, 5, 6}, {7, 8, 9}}.to(float64));
    add("rank 3 of 4", Tensor{{1, 2, 3, 4}, {2, 1, 0, 1}, {0, 1, 5, 2}, {3, 4, 8, 7}}.to(float64));
    add("rank 2 of 4",
        Tensor{{1, 2, 3, 4}, {2, 1, 0, 1}, {3, 3, 3, 5}, {1, -1, -3, -3}}.to(float64));
    return cases;
  }
};
constexpr General<Det> det_op;

struct Cofactors {
  static constexpr auto name = "cofactors";
  static constexpr Shift shift{};
  static constexpr auto doc = "the cofactors of square matrices: the gradient of the determinant";
  static constexpr auto math =
      "C_ij = (-1)^(i+j) det(A without row i and column j); where A is regular, C = det A A^-T. dC "
      "= cofactor_change(A, dA).";
  static constexpr Example example{"cofactors(g.constant(Tensor{{1, 2}, {2, 4}}))",
                                   "[[ 4. -2.]\n [-2.  1.]]"};
  static constexpr Promotion promotion = Promotion::common_floating;

  static void infer(Inference& inference) {
    inference.require_count(1);
    require_square(inference);
    inference.out.push_back(inference.in[0]);
  }
  static Kernel kernel(const KernelRequest& request) {
    if (request.out[0].shape.count() == 0) return {[](const KernelArgs&) {}};
    const Batch batch = batch_sizes(request.in[0]);
    return floating_kernel(request.out[0].dtype, [batch]<class T>(T) -> Kernel {
      return minors_kernel<T>(batch,
                              [](detail::Minors& minors, const KernelArgs& args, std::size_t at) {
                                minors.cofactors(args.input<T>(0) + at, args.output<T>() + at);
                              });
    });
  }
  static MaybeVar jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    return cofactor_change(node.in[0], *tangents[0]);
  }
  static std::vector<Edge> edges() { return detail::matrix_edges(name); }
  static std::vector<Case> cases() {
    std::vector<Case> cases = square_cases<cofactors>(false);
    cases.push_back({"four rows", {matrices({4, 4})}, [](auto in) {
                       return std::vector<Var>{cofactors(in[0])};
                     }});
    return cases;
  }
};
constexpr General<Cofactors> cofactors_op;

struct CofactorChange {
  static constexpr auto name = "cofactor_change";
  static constexpr Shift shift{};
  static constexpr auto doc = "the derivative of the cofactors of A along X";
  static constexpr auto math =
      "Y = d/dt cofactors(A + t X) at t = 0; where A is regular, det A (tr(A^-1 X) A^-T - (A^-1 X "
      "A^-1)^T). Linear in X and its own transpose. For more than three rows its derivative by A "
      "takes A^-1.";
  static constexpr Example example{
      "cofactor_change(g.constant(Tensor{{1, 2}, {2, 4}}), g.constant(Tensor{{1, 0}, {3, 0}}))",
      "[[ 0. -3.]\n [ 0.  1.]]"};
  static constexpr Promotion promotion = Promotion::common_floating;

  static void infer(Inference& inference) {
    inference.require_count(2);
    require_square(inference);
    if (inference.shape(0) != inference.shape(1))
      inference.shape_error("matrices " + to_string(inference.shape(0)) + " and their changes " +
                                to_string(inference.shape(1)) + " must have one shape",
                            "broadcast_to() repeats the smaller one");
    inference.out.push_back(inference.in[0]);
  }
  static Kernel kernel(const KernelRequest& request) {
    if (request.out[0].shape.count() == 0) return {[](const KernelArgs&) {}};
    const Batch batch = batch_sizes(request.in[0]);
    return floating_kernel(request.out[0].dtype, [batch]<class T>(T) -> Kernel {
      return minors_kernel<T>(
          batch, [](detail::Minors& minors, const KernelArgs& args, std::size_t at) {
            minors.change(args.input<T>(0) + at, args.input<T>(1) + at, args.output<T>() + at);
          });
    });
  }
  static bool linear_in(std::span<const bool> active) { return !active[0]; }
  static Var transpose(const NodeView& node, Var cotangent) {
    return cofactor_change(node.in[0], cotangent);
  }
  // The third derivative of the determinant along X and D.
  static Var by_matrix(Var a, Var x, Var d) {
    const auto trace_of = [](Var p, Var q) {  // of p q
      return sum(mul(p, dualtape::transpose(q)), {-2, -1}, true);
    };
    const auto turned = [](Var m) { return dualtape::transpose(m); };
    const Var w = inverse(a);
    const Var g = matmul(w, x);
    const Var h = matmul(w, d);
    const Var gw = matmul(g, w);
    const Var by_x = sub(mul(trace_of(w, x), turned(w)), turned(gw));
    const Var by_size = mul(trace_of(w, d), by_x);
    const Var by_traces =
        add(mul(trace_of(h, g), turned(w)), mul(trace_of(w, x), turned(matmul(h, w))));
    const Var by_products = turned(add(matmul(h, gw), matmul(g, matmul(h, w))));
    const Var size = unsqueeze(unsqueeze(det(a), -1), -1);
    return mul(size, add(sub(by_size, by_traces), by_products));
  }
  static MaybeVar jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    MaybeVar change;
    if (tangents[1]) change = cofactor_change(node.in[0], *tangents[1]);
    const std::int64_t n = rows_of(node.in[0].shape());
    if (!tangents[0] || n <= 2) return change;  // of two rows it does not depend on A
    // Of three rows it is bilinear and symmetric.
    const Var more = n == 3 ? cofactor_change(node.in[1], *tangents[0])
                            : by_matrix(node.in[0], node.in[1], *tangents[0]);
    return change ? add(*change, more) : more;
  }
  static std::vector<Edge> edges() { return detail::matrix_edges(name); }
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    for (const Shape& shape : {Shape{1, 1}, Shape{2, 2}, Shape{2, 3, 3}, Shape{4, 4}, Shape{0, 0}})
      cases.push_back({to_string(shape), {matrices(shape), Arg{shape}}, [](auto in) {
                         return std::vector<Var>{cofactor_change(in[0], in[1])};
                       }});
    return cases;
  }
};
constexpr detail::PartlyLinear<CofactorChange> cofactor_change_op;

}  // namespace

Var det(In a) { return det_op(a); }
Var cofactors(In a) { return cofactors_op(a); }
Var cofactor_change(In a, In x) { return cofactor_change_op(a, x); }

void detail::register_determinants() { register_all(det_op, cofactors_op, cofactor_change_op); }

}  // namespace dualtape
