// Products and factors of matrices: scales at the ends of the range, ranks that fall, what is not
// read. Scales are powers of two, at which every step is exact.
#include <cmath>

#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/creation.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/einsum.hpp>
#include <dualtape/ops/linalg.hpp>
#include <dualtape/ops/linalg_factor.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/reduce.hpp>

namespace dualtape::detail {
namespace {

// Their squares, which second derivatives contain, are in the range of float32.
constexpr double huge = 0x1p40;
constexpr double tiny = 0x1p-40;

Tensor square(const std::vector<double>& values) {
  const auto n = static_cast<std::int64_t>(std::lround(std::sqrt(values.size())));
  return wide(Shape{n, n}, values);
}
Tensor none(const Shape& shape) { return zeros(shape, float64); }
Edge first_order_only(Edge edge) {
  edge.second_order = false;
  return edge;
}

// Of products of two: sums of products whatever the call.
std::vector<Edge> of_products(Var (*f)(Var, Var)) {
  const auto of = [&](std::string name, std::vector<double> a, std::vector<double> b, double y) {
    const Shape row{1, static_cast<std::int64_t>(a.size())};
    const Shape column{row[1], 1};
    return edge_of(std::move(name), {wide(row, a), wide(column, b)}, wide({1, 1}, {y}),
                   {wide(row, b), wide(column, a)}, f);
  };
  return {of("huge and tiny", {huge, 1}, {tiny, 1}, 2),
          of("huge ones that cancel", {0x1p127, 0x1p127}, {1, -1}, 0),
          of("too large", {0x1p100}, {0x1p100}, 0x1p200),
          of("too small", {0x1p-600}, {0x1p-600}, 0),
          of("one", {-3}, {-0.0}, 0),
          of("an inner size of nothing", {}, {}, 0)};
}
std::vector<Edge> of_matmul() {
  std::vector<Edge> edges = of_products([](Var a, Var b) { return matmul(a, b); });
  const auto by_one = [](Var a) { return matmul(a, eye(2)); };
  edges.push_back(value_of("a NaN stays in its row", square({not_a_number, 1, 2, 3}),
                           square({not_a_number, not_a_number, 2, 3}), by_one));
  edges.push_back(value_of("an infinity times 0", square({infinity, 1, 2, 3}),
                           square({infinity, not_a_number, 2, 3}), by_one));
  edges.push_back(edge_of("no rows", {none({0, 2}), square({1, 2, 3, 4})}, none({0, 2}),
                          {none({0, 2}), none({2, 2})}, [](Var a, Var b) { return matmul(a, b); }));
  return edges;
}
std::vector<Edge> of_einsum() {
  std::vector<Edge> edges = of_products([](Var a, Var b) { return einsum("ij,jk->ik", {a, b}); });
  edges.push_back(edge_of("a diagonal, the rest not read", square({1, not_a_number, infinity, 2}),
                          wide({1, 2}), square({1, 0, 0, 1}),
                          [](Var a) { return einsum("ii->i", {a}); }));
  edges.push_back(edge_of("a sum of nothing", none({2, 0}), wide({0, 0}), none({2, 0}),
                          [](Var a) { return einsum("ij->i", {a}); }));
  return edges;
}
std::vector<Edge> of_outer() {
  const auto f = [](Var a, Var b) { return outer(a, b); };
  return {
      edge_of("huge and tiny", {wide({huge, 1}), wide({tiny})}, wide({2, 1}, {1, tiny}),
              {wide({tiny, tiny}), wide({huge + 1})}, f),
      edge_of("nothing", {none({0}), wide({1, 2})}, none({0, 2}), {none({0}), wide({0, 0})}, f)};
}
std::vector<Edge> of_dot() {
  const auto f = [](Var a, Var b) { return dot(a, b); };
  return {edge_of("huge and tiny", {wide({huge, 1}), wide({tiny, 1})}, number(2.0),
                  {wide({tiny, 1}), wide({huge, 1})}, f),
          edge_of("huge ones that cancel", {wide({0x1p127, 0x1p127}), wide({1, -1})}, number(0.0),
                  {wide({1, -1}), wide({0x1p127, 0x1p127})}, f),
          value_of("infinities that cancel", wide({infinity, infinity}), number(not_a_number),
                   [](Var a) {
                     return dot(a, Tensor{1, -1});
                   }),
          edge_of("nothing", {none({0}), none({0})}, number(0.0), {none({0}), none({0})}, f)};
}

std::vector<Edge> of_solve() {
  const auto f = [](Var a, Var b) { return solve(a, b); };
  return {edge_of("rows in the wrong order", {square({0, 1, 1, 0}), wide({3, 5})}, wide({5, 3}),
                  {square({-5, -3, -5, -3}), wide({1, 1})}, f),
          edge_of("far from each other in scale", {square({tiny, 0, 0, 0x1p20}), wide({tiny, 1})},
                  wide({1, 0x1p-20}),
                  {square({-huge, -huge * 0x1p-20, -0x1p-20, -0x1p-40}), wide({huge, 0x1p-20})}, f),
          edge_of("one by one", {square({-0.5}), wide({3})}, wide({-6}),
                  {square({-12}), wide({-2})}, f),
          edge_of("nothing", {none({0, 0}), none({0})}, none({0}), {none({0, 0}), none({0})}, f)};
}
std::vector<Edge> of_inverse() {
  const auto f = [](Var a) { return inverse(a); };
  return {edge_of("large and small", square({0x1p30, 0, 0, 0x1p-30}),
                  square({0x1p-30, 0, 0, 0x1p30}), square({-0x1p-60, -1, -1, -0x1p60}), f),
          edge_of("rows in the wrong order", square({0, 2, 1, 0}), square({0, 1, 0.5, 0}),
                  square({-0.5, -0.25, -1, -0.5}), f),
          edge_of("one by one", square({-4}), square({-0.25}), square({-0.0625}), f),
          edge_of("nothing", none({0, 0}), none({0, 0}), none({0, 0}), f)};
}
std::vector<Edge> of_cholesky() {
  const auto f = [](Var a) { return cholesky(a); };
  return {edge_of("huge and tiny", square({tiny, 0, 0, huge}), square({0x1p-20, 0, 0, 0x1p20}),
                  square({0x1p19, 0x1p19, 0x1p19, 0x1p-21}), f),
          edge_of("one by one", square({0x1p-60}), square({0x1p-30}), square({0x1p29}), f),
          edge_of("only the symmetric part counts", square({4, 3, 1, 5}), square({2, 0, 1, 2}),
                  square({0.1875, 0.125, 0.125, 0.25}), f),
          edge_of("nothing", none({0, 0}), none({0, 0}), none({0, 0}), f)};
}

std::vector<Edge> of_det() {
  const auto f = [](Var a) { return det(a); };
  const auto of = [&](std::string name, Tensor a, double y, Tensor slopes) {
    return edge_of(std::move(name), std::move(a), number(y), std::move(slopes), f);
  };
  return {
      of("one number", square({-3}), -3, square({1})), of("zero", square({0}), 0, square({1})),
      of("rank 1 of 2", square({1, 2, 2, 4}), 0, square({4, -2, -2, 1})),
      of("rank 0 of 2", square({0, 0, 0, 0}), 0, square({0, 0, 0, 0})),
      // Elimination divides by powers of two alone, so that it is exact in every order.
      of("rank 2 of 3", square({8, 4, 4, 4, 6, 4, 4, 4, 3}), 0,
         square({2, 4, -8, 4, 8, -16, -8, -16, 32})),
      of("rank 1 of 3", square({1, 2, 4, 2, 4, 8, 4, 8, 16}), 0, none({3, 3})),
      of("rank 2 of 4", square({1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), 0, none({4, 4})),
      of("rank 3 of 4", square({2, 0, 0, 0, 0, 3, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0}), 0,
         square({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 30})),
      of("huge and tiny in turn", square({huge, 0, 0, 0, tiny, 0, 0, 0, 2}), 2,
         square({2 * tiny, 0, 0, 0, 2 * huge, 0, 0, 0, 1})),
      of("nothing", none({0, 0}), 1, none({0, 0}))};
}
std::vector<Edge> of_cofactors() {
  const auto f = [](Var a) { return cofactors(a); };
  return {edge_of("one number", square({0}), square({1}), square({0}), f),
          edge_of("rank 1 of 2", square({1, 2, 2, 4}), square({4, -2, -2, 1}),
                  square({1, -1, -1, 1}), f),
          // The derivative of this slope, the third of det, takes an inverse.
          first_order_only(
              edge_of("rank 3 of 4", square({2, 0, 0, 0, 0, 3, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0}),
                      square({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 30}),
                      square({15, 0, 0, -15, 0, 10, 0, -10, 0, 0, 6, -6, -15, -10, -6, 31}), f)),
          edge_of("nothing", none({0, 0}), none({0, 0}), none({0, 0}), f)};
}
std::vector<Edge> of_cofactor_change() {
  const auto f = [](Var a, Var x) { return cofactor_change(a, x); };
  return {
      edge_of("one number", {square({3}), square({5})}, square({0}), {square({0}), square({0})}, f),
      edge_of("two rows do not ask where", {square({1, 2, 2, 4}), square({1, 0, 3, 0})},
              square({0, -3, 0, 1}), {none({2, 2}), square({1, -1, -1, 1})}, f),
      edge_of("nothing", {none({0, 0}), none({0, 0})}, none({0, 0}), {none({0, 0}), none({0, 0})},
              f)};
}

std::vector<Edge> of_triangular_solve() {
  const auto lower = [](Var a, Var b) { return triangular_solve(a, b); };
  return {
      edge_of("the other triangle is not read", {square({2, not_a_number, 1, 4}), wide({2, 9})},
              wide({1, 2}), {square({-0.375, 0, -0.25, -0.5}), wide({0.375, 0.25})}, lower),
      edge_of("nor is a diagonal of ones", {square({not_a_number, infinity, 3, 0}), wide({2, 9})},
              wide({2, 3}), {square({0, 0, -2, 0}), wide({-2, 1})},
              [](Var a, Var b) { return triangular_solve(a, b, {.unit_diagonal = true}); }),
      edge_of("huge and tiny", {square({tiny, 0, 0, huge}), wide({tiny, huge})}, wide({1, 1}),
              {square({-huge, 0, -tiny, -tiny}), wide({huge, tiny})}, lower),
      edge_of("nothing", {none({0, 0}), none({0})}, none({0}), {none({0, 0}), none({0})}, lower)};
}
std::vector<Edge> of_slogdet() {
  const auto f = [](Var a) { return slogdet(a).log_abs_det; };
  const auto sign = [](Var a) { return slogdet(a).sign; };
  const double ln2 = std::log(2.0);
  return {edge_of("too large for a determinant", square({0x1p800, 0, 0, 0x1p800}),
                  number(1600 * ln2), square({0x1p-800, 0, 0, 0x1p-800}), f),
          edge_of("too small for one", square({tiny, 0, 0, 0x1p-30}), number(-70 * ln2),
                  square({huge, 0, 0, 0x1p30}), f),
          edge_of("negative", square({0, 2, 3, 0}), number(std::log(6.0)),
                  square({0, 0.5, 1.0 / 3, 0}), f),
          value_of("singular", square({1, 2, 2, 4}), number(-infinity), f),
          value_of("the sign of a singular one", square({1, 2, 2, 4}), number(0.0), sign),
          value_of("a negative sign", square({0, 2, 3, 0}), number(-1.0), sign),
          edge_of("nothing", none({0, 0}), number(0.0), none({0, 0}), f)};
}
std::vector<Edge> of_qr() {
  const auto both = [](Var a) {
    const QR factors = qr(a);
    return sum(factors.q) + sum(factors.r);
  };
  const auto r = [](Var a) { return qr(a).r; };
  return {
      edge_of("a column", wide({2, 1}, {3, 4}), number(6.4), wide({2, 1}, {0.632, 0.776}), both),
      edge_of("a huge column", wide({2, 1}, {3 * huge, 4 * huge}), wide({1, 1}, {5 * huge}),
              wide({2, 1}, {0.6, 0.8}), r),
      edge_of("a tiny column", wide({2, 1}, {3 * tiny, 4 * tiny}), wide({1, 1}, {5 * tiny}),
              wide({2, 1}, {0.6, 0.8}), r),
      value_of("not a number", square({1, not_a_number, 0, 1}),
               square({not_a_number, not_a_number, not_a_number, not_a_number}), r),
      edge_of("nothing", none({0, 2}), none({0, 2}), none({0, 2}), r)};
}

// Where values are equal, vectors have no derivative, and so values no second one.
std::vector<Edge> of_eigh() {
  const auto values = [](Var a) { return eigh(a).values; };
  return {first_order_only(edge_of("equal values", square({2, 0, 0, 2}), wide({2, 2}),
                                   square({1, 0, 0, 1}), values)),
          edge_of("negative and zero", square({0, 0, 0, -3}), wide({-3, 0}), square({1, 0, 0, 1}),
                  values),
          edge_of("huge", square({huge, 0, 0, 2 * huge}), wide({huge, 2 * huge}),
                  square({1, 0, 0, 1}), values),
          edge_of("tiny", square({tiny, 0, 0, 2 * tiny}), wide({tiny, 2 * tiny}),
                  square({1, 0, 0, 1}), values),
          value_of("not a number", square({not_a_number, 0, 0, 1}),
                   wide({not_a_number, not_a_number}), values),
          edge_of("one by one", square({-3}), wide({-3}), square({1}), values),
          edge_of("nothing", none({0, 0}), none({0}), none({0, 0}), values)};
}
std::vector<Edge> of_svd() {
  const auto values = [](Var a) { return svd(a).s; };
  return {edge_of("signs", square({3, 0, 0, -4}), wide({4, 3}), square({1, 0, 0, -1}), values),
          edge_of("huge", square({3 * huge, 0, 0, -4 * huge}), wide({4 * huge, 3 * huge}),
                  square({1, 0, 0, -1}), values),
          edge_of("tiny", square({3 * tiny, 0, 0, -4 * tiny}), wide({4 * tiny, 3 * tiny}),
                  square({1, 0, 0, -1}), values),
          first_order_only(edge_of("equal values", square({2, 0, 0, -2}), wide({2, 2}),
                                   square({1, 0, 0, -1}), values)),
          value_of("rank 1", square({3, 4, 0, 0}), wide({5, 0}), values),
          value_of("not a number", square({not_a_number, 0, 0, 1}),
                   wide({not_a_number, not_a_number}), values),
          edge_of("nothing", none({0, 2}), none({0}), none({0, 2}), values)};
}
std::vector<Edge> of_matrix_norm() {
  const auto norm_of = [](MatrixNorm kind) {
    return [kind](Var a) { return matrix_norm(a, kind); };
  };
  const Tensor a = square({3, 0, 0, -4});
  return {edge_of("frobenius", a, number(5.0), square({0.6, 0, 0, -0.8}),
                  norm_of(MatrixNorm::frobenius)),
          edge_of("nuclear", a, number(7.0), square({1, 0, 0, -1}), norm_of(MatrixNorm::nuclear)),
          edge_of("spectral", a, number(4.0), square({0, 0, 0, -1}), norm_of(MatrixNorm::spectral)),
          first_order_only(edge_of("nuclear, of equal values", square({2, 0, 0, -2}), number(4.0),
                                   square({1, 0, 0, -1}), norm_of(MatrixNorm::nuclear))),
          edge_of("spectral, huge", square({0x1p120, 0, 0, 1}), number(0x1p120),
                  square({1, 0, 0, 0}), norm_of(MatrixNorm::spectral)),
          edge_of("nuclear, of nothing", none({0, 2}), number(0.0), none({0, 2}),
                  norm_of(MatrixNorm::nuclear))};
}

constexpr NamedEdges table[] = {{"matmul", of_matmul},
                                {"einsum", of_einsum},
                                {"outer", of_outer},
                                {"dot", of_dot},
                                {"solve", of_solve},
                                {"inverse", of_inverse},
                                {"cholesky", of_cholesky},
                                {"det", of_det},
                                {"cofactors", of_cofactors},
                                {"cofactor_change", of_cofactor_change},
                                {"triangular_solve", of_triangular_solve},
                                {"slogdet", of_slogdet},
                                {"qr", of_qr},
                                {"eigh", of_eigh},
                                {"svd", of_svd},
                                {"matrix_norm", of_matrix_norm}};

}  // namespace

std::vector<Edge> matrix_edges(std::string_view name) { return find_edges(table, name); }

}  // namespace dualtape::detail
