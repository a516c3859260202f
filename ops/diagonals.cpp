#include <dualtape/ops/diagonals.hpp>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <numeric>

#include <dualtape/core/composite.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/lists.hpp>
#include <dualtape/ops/declare/matrix.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/declare/samples.hpp>
#include <dualtape/ops/kernels/rows/strided.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

using detail::columns_of;
using detail::rows_of;
using detail::unary_case;

std::int64_t diagonal_of(const Attributes& attributes) { return attributes.get<std::int64_t>("k"); }

// How many elements diagonal k has.
std::int64_t length_of(std::int64_t rows, std::int64_t columns, std::int64_t k) {
  return std::max<std::int64_t>(0,
                                k >= 0 ? std::min(rows, columns - k) : std::min(rows + k, columns));
}
// Where diagonal k begins in a row-major matrix.
std::int64_t start_of(std::int64_t columns, std::int64_t k) { return k >= 0 ? k : -k * columns; }

void require_matrix(const Inference& inference) {
  inference.require_count(1);
  if (inference.shape(0).rank() < 2)
    inference.shape_error("takes matrices, got " + to_string(inference.in[0]),
                          "leading axes are batches; unsqueeze(x, 0) makes a row");
}

// ---- triangles ----------------------------------------------------------------------------------

template <bool lower>
struct Triangle {
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    require_matrix(inference);
    inference.out = {inference.in[0]};
  }
  static Kernel kernel(const KernelRequest& request) {
    const Shape& shape = request.in[0].shape;
    const std::int64_t rows = rows_of(shape);
    const std::int64_t columns = columns_of(shape);
    // Beyond the corners all are alike; so no sum of k and a place overflows.
    const std::int64_t k =
        std::clamp<std::int64_t>(diagonal_of(request.attributes), -rows - 1, columns + 1);
    const std::size_t element = size_of(request.in[0].dtype);
    const std::int64_t lines = shape.count() == 0 ? 0 : shape.count() / columns;
    return {[=](const KernelArgs& args) {
      const auto* in = args.input<std::byte>(0);
      auto* out = args.output<std::byte>();
      const std::size_t line = static_cast<std::size_t>(columns) * element;
      for (std::int64_t i = 0; i < lines; ++i, in += line, out += line) {
        // The diagonal belongs to both triangles.
        const std::int64_t cut =
            std::clamp<std::int64_t>(i % rows + k + (lower ? 1 : 0), 0, columns);
        const std::size_t left = static_cast<std::size_t>(cut) * element;
        std::memcpy(lower ? out : out + left, lower ? in : in + left, lower ? left : line - left);
        std::memset(lower ? out + left : out, 0, lower ? line - left : left);
      }
    }};
  }
  static Var call(In x, std::int64_t k) { return lower ? tril(x, k) : triu(x, k); }
  static Var transpose(const NodeView& node, std::size_t, Var cotangent) {
    return call(cotangent, diagonal_of(node.attributes));
  }
  static std::vector<Case> cases() {
    const auto at = [](std::int64_t k) { return [k](Var x) { return call(x, k); }; };
    return {unary_case("a square", {3, 3}, at(0)),     unary_case("wide, above", {2, 4}, at(1)),
            unary_case("tall, below", {4, 2}, at(-2)), unary_case("a batch", {2, 3, 2}, at(0)),
            unary_case("beyond", {2, 2}, at(7)),       unary_case("nothing", {0, 3}, at(0))};
  }
};
struct Tril : Triangle<true> {
  static constexpr auto name = "tril";
  static constexpr Shift shift{};
  static constexpr auto doc = "the lower triangle of matrices, zeros elsewhere";
  static constexpr auto math =
      "y_ij = x_ij where j - i <= k, else 0; linear: the vjp takes the same triangle.";
  static constexpr Example example{"tril(g.constant(Tensor{{1, 2}, {3, 4}}))",
                                   "[[1. 0.]\n [3. 4.]]"};
  static std::vector<Edge> edges() { return detail::move_edges(name); }
};
struct Triu : Triangle<false> {
  static constexpr auto name = "triu";
  static constexpr Shift shift{};
  static constexpr auto doc = "the upper triangle of matrices, zeros elsewhere";
  static constexpr auto math =
      "y_ij = x_ij where j - i >= k, else 0; linear: the vjp takes the same triangle.";
  static constexpr Example example{"triu(g.constant(Tensor{{1, 2}, {3, 4}}))",
                                   "[[1. 2.]\n [0. 4.]]"};
  static std::vector<Edge> edges() { return detail::move_edges(name); }
};
constexpr Linear<Tril> tril_op;
constexpr Linear<Triu> triu_op;

// ---- diagonals ----------------------------------------------------------------------------------

// Copies between diagonal k of matrices and a dense last axis.
detail::StridedCopy diagonal_copy(DType dtype, const Shape& matrices, const Shape& lines,
                                  std::int64_t k, bool from_matrices) {
  Ints strides = detail::dense_strides(matrices);
  strides.pop_back();
  strides.back() = columns_of(matrices) + 1;
  const Ints dense = detail::dense_strides(lines);
  const std::int64_t start = lines.count() == 0 ? 0 : start_of(columns_of(matrices), k);
  if (from_matrices) return {dtype, lines.sizes(), strides, dense, start, 0};
  return {dtype, lines.sizes(), dense, strides, 0, start};
}

struct Diagonal {
  static constexpr auto name = "diagonal";
  static constexpr Shift shift{};
  static constexpr auto doc = "a diagonal of two axes";
  static constexpr auto math =
      "y_i = x_(i, i + k), or x_(i - k, i) for k < 0; linear: the vjp puts the cotangent on the "
      "diagonal of zeros.";
  static constexpr Example example{"diagonal(g.constant(Tensor{{1, 2}, {3, 4}}))", "[1. 4.]"};
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    require_matrix(inference);
    const Shape& shape = inference.shape(0);
    Ints sizes = detail::batch_of(shape).vector();
    sizes.push_back(
        length_of(rows_of(shape), columns_of(shape), diagonal_of(inference.attributes)));
    inference.out = {{Shape(sizes), inference.dtype(0)}};
  }
  static Kernel kernel(const KernelRequest& request) {
    const auto copy = diagonal_copy(request.in[0].dtype, request.in[0].shape, request.out[0].shape,
                                    diagonal_of(request.attributes), true);
    return {[copy](const KernelArgs& args) { copy.run(args.in[0], args.out[0]); }};
  }
  static Var transpose(const NodeView& node, std::size_t, Var cotangent);
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    const auto at = [](std::int64_t k) { return [k](Var x) { return diagonal(x, k); }; };
    return {unary_case("a square", {3, 3}, at(0)),
            unary_case("wide, above", {2, 4}, at(1)),
            unary_case("tall, below", {4, 2}, at(-1)),
            unary_case("a batch", {2, 3, 2}, at(0)),
            unary_case("other axes", {3, 2, 3}, [](Var x) { return diagonal(x, 0, 0, 2); }),
            unary_case("axes turned round", {3, 4}, [](Var x) { return diagonal(x, 1, 1, 0); }),
            unary_case("one element", {1, 1}, at(0)),
            unary_case("beyond", {2, 2}, at(5))};
  }
};
constexpr Linear<Diagonal> diagonal_op;

struct DiagEmbed {
  static constexpr auto name = "diag_embed";
  static constexpr Shift shift{};
  static constexpr auto doc = "matrices of zeros with a diagonal given";
  static constexpr auto math =
      "y_(i, i + k) = x_i, or y_(i - k, i) for k < 0, else 0; linear: the vjp takes the diagonal.";
  static constexpr Example example{"diag_embed(g.constant(Tensor{1, 2}))", "[[1. 0.]\n [0. 2.]]"};
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    inference.require_count(1);
    const Shape& lines = inference.shape(0);
    if (lines.empty_rank())
      inference.shape_error("a scalar is no diagonal", "unsqueeze(x, 0) makes a vector of it");
    const Ints& matrix = detail::list_of(inference, "matrix", 2);
    inference.out = {
        {detail::with_matrix(Shape(lines.sizes().first(lines.rank() - 1)), matrix[0], matrix[1]),
         inference.dtype(0)}};
    if (length_of(matrix[0], matrix[1], diagonal_of(inference.attributes)) != lines.back())
      inference.shape_error("the attribute matrix is " + to_string(Attribute(matrix)) +
                                ", whose diagonal is not as long as the lines of " +
                                to_string(lines),
                            "call diag_embed(), which finds the matrix's size");
  }
  static Kernel kernel(const KernelRequest& request) {
    const auto copy = diagonal_copy(request.in[0].dtype, request.out[0].shape, request.in[0].shape,
                                    diagonal_of(request.attributes), false);
    return {[copy, bytes = bytes_of(request.out[0])](const KernelArgs& args) {
      if (bytes == 0) return;
      std::memset(args.out[0], 0, bytes);  // false, 0 and 0.0 are zero bytes
      copy.run(args.in[0], args.out[0]);
    }};
  }
  static Var transpose(const NodeView& node, std::size_t, Var cotangent) {
    return diagonal_op(cotangent, Attributes{{"k", diagonal_of(node.attributes)}});
  }
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    return {unary_case("a vector", {3}, [](Var x) { return diag_embed(x); }),
            unary_case("above", {2}, [](Var x) { return diag_embed(x, 2); }),
            unary_case("a batch, below", {2, 3}, [](Var x) { return diag_embed(x, -1); }),
            unary_case("nothing", {0}, [](Var x) { return diag_embed(x); })};
  }
};
constexpr Linear<DiagEmbed> diag_embed_op;

Var Diagonal::transpose(const NodeView& node, std::size_t, Var cotangent) {
  const Shape& shape = node.in[0].shape();
  return diag_embed_op(cotangent, Attributes{{"k", diagonal_of(node.attributes)},
                                             {"matrix", Ints{rows_of(shape), columns_of(shape)}}});
}

struct Diag {
  static constexpr auto name = "diag";
  static constexpr auto doc = "a matrix from its diagonal, or the diagonal of a matrix";
  static constexpr auto math = "diag_embed of a vector, diagonal of a matrix; linear.";
  static constexpr Example example{"diag(g.constant(Tensor{1, 2}))", "[[1. 0.]\n [0. 2.]]"};
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    return {unary_case("a vector", {3}, [](Var x) { return diag(x, 1); }),
            unary_case("a matrix", {3, 2}, [](Var x) { return diag(x, -1); })};
  }
};
struct Trace {
  static constexpr auto name = "trace";
  static constexpr auto doc = "the sum of a diagonal of matrices";
  static constexpr auto math = "y = sum_i x_ii; linear. diagonal and sum.";
  static constexpr Example example{"trace(g.constant(Tensor{{1, 2}, {3, 4}}))", "5.0"};
  static std::vector<Edge> edges() { return detail::move_edges(name); }
  static std::vector<Case> cases() {
    return {unary_case("a square", {3, 3}, [](Var x) { return trace(x); }),
            unary_case("a batch, above", {2, 2, 3}, [](Var x) { return trace(x, 1); }),
            unary_case(
                "integers", {2, 2}, [](Var x) { return trace(x); }, int32)};
  }
};

}  // namespace

Var tril(In x, std::int64_t k) { return tril_op(x, Attributes{{"k", k}}); }
Var triu(In x, std::int64_t k) { return triu_op(x, Attributes{{"k", k}}); }

Var diagonal(In x, std::int64_t k, std::int64_t a, std::int64_t b) {
  const std::size_t rank = detail::shape_of(x).rank();
  const std::size_t first = detail::require_axis("diagonal", x, a, rank);
  const std::size_t second = detail::require_axis("diagonal", x, b, rank);
  if (first == second)
    fail<ShapeError>(
        {.op = "diagonal",
         .what = "axes " + std::to_string(a) + " and " + std::to_string(b) + " are one axis",
         .where = x.where(),
         .help = "name two"});
  Ints order;
  for (std::size_t i = 0; i < rank; ++i)
    if (i != first && i != second) order.push_back(static_cast<std::int64_t>(i));
  order.push_back(static_cast<std::int64_t>(first));
  order.push_back(static_cast<std::int64_t>(second));
  const Attributes attributes{{"k", k}};
  if (std::ranges::is_sorted(order)) return diagonal_op(x, attributes);
  const Composite c("diagonal", {x});
  return diagonal_op(permute(c[0], order), attributes);
}

Var diag_embed(In x, std::int64_t k) {
  const Shape shape = detail::shape_of(x);
  constexpr std::int64_t lowest = std::numeric_limits<std::int64_t>::min();
  const std::int64_t off = k == lowest ? -(lowest + 1) : std::abs(k);
  const std::int64_t n = detail::size_sum(shape.empty_rank() ? 1 : shape.back(), off);
  return diag_embed_op(x, Attributes{{"k", k}, {"matrix", Ints{n, n}}});
}

Var diag(In x, std::int64_t k) {
  const Shape shape = detail::shape_of(x);
  if (shape.rank() == 1) return diag_embed(x, k);
  if (shape.rank() == 2) return diagonal(x, k);
  fail<ShapeError>({.op = "diag",
                    .what = "takes a vector or a matrix, got shape " + to_string(shape),
                    .where = x.where(),
                    .help = "diagonal() and diag_embed() take batches"});
}

Var trace(In x, std::int64_t k) {
  const Composite c("trace", {x});
  return sum(diagonal(c[0], k), {-1});
}

void detail::register_diagonals() {
  register_all(tril_op, triu_op, diagonal_op, diag_embed_op);
  register_composite<Diag>();
  register_composite<Trace>();
}

}  // namespace dualtape
