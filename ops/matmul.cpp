#include <dualtape/ops/matmul.hpp>

#include <algorithm>
#include <climits>
#include <string>
#include <vector>

#include <dualtape/core/composite.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/core/machine/team.hpp>
#include <dualtape/ops/batching.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/matrix.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/kernels/products/blas.hpp>
#include <dualtape/ops/kernels/products/products.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

using detail::batch_of;
using detail::columns_of;
using detail::rows_of;

MatmulOptions options_of(const Attributes& attributes) {
  return {attributes.get<bool>("transpose_a"), attributes.get<bool>("transpose_b")};
}
Attributes attributes_of(MatmulOptions options) {
  return {{"transpose_a", options.transpose_a}, {"transpose_b", options.transpose_b}};
}

// What is wrong with the inner sizes of a x b (vectors too), and a likely mend.
struct Mistake {
  std::string what;
  std::string help;
};
std::optional<Mistake> inner_mistake(const Shape& a, const Shape& b, MatmulOptions options) {
  const auto inner_a = [&](bool transposed) {
    return a.rank() > 1 && transposed ? rows_of(a) : a.back();
  };
  const auto inner_b = [&](bool transposed) {
    return b.rank() > 1 && !transposed ? rows_of(b) : b.back();
  };
  const std::int64_t left = inner_a(options.transpose_a);
  const std::int64_t right = inner_b(options.transpose_b);
  if (left == right) return std::nullopt;
  Mistake mistake;
  mistake.what = "inner sizes differ: " + to_string(a) + (options.transpose_a ? "^T" : "") + " x " +
                 to_string(b) + (options.transpose_b ? "^T" : "") + ", " + std::to_string(left) +
                 " against " + std::to_string(right);
  if (left == inner_b(!options.transpose_b))
    mistake.help = options.transpose_b ? "leave the second operand as it is, without transpose_b"
                                       : "transpose the second operand";
  else if (inner_a(!options.transpose_a) == right)
    mistake.help = options.transpose_a ? "leave the first operand as it is, without transpose_a"
                                       : "transpose the first operand";
  else
    mistake.help = "the columns of the first operand must be as many as the rows of the second";
  return mistake;
}

// ---- batches ------------------------------------------------------------------------------------

Var swapped(Var x) {
  const Shape& s = x.shape();
  if (rows_of(s) == 1 || columns_of(s) == 1)
    return reshape(x, detail::with_matrix(batch_of(s), columns_of(s), rows_of(s)));
  return transpose(x, -1, -2);
}

// One left operand for all members and thin right ones, such as a matrix and many vectors: as many
// small products, each of which would read the left operand. Right ones of low rank are left as
// they are, for the planner to take their factors apart.
bool has_few_columns(const BatchView& view) {
  constexpr std::int64_t few = 16;
  const MatmulOptions options = options_of(view.node.attributes);
  const Shape& right = view.node.in[1].shape();
  return !view.in[0] && view.in[1]->node().op != &view.node.op && !options.transpose_a &&
         right.rank() == 2 && (options.transpose_b ? rows_of(right) : columns_of(right)) < few;
}

// As (B^T A^T)^T they are one product, of the rows of all B^T.
Var turned_round(const BatchView& view) {
  const MatmulOptions options = options_of(view.node.attributes);
  const Var b = options.transpose_b ? *view.in[1] : swapped(*view.in[1]);  // (batch, columns, k)
  const Var a = view.node.in[0];
  const Shape& s = a.shape();
  const std::int64_t rows = batch_of(s).count() * rows_of(s);
  const Var left = a.rank() == 2 ? a : reshape(a, {rows, columns_of(s)});
  const Var out = swapped(matmul(b, left, {.transpose_b = true}));  // (batch, rows, columns)
  return unfold_batch(out, view);
}

struct Matmul {
  static constexpr auto name = "matmul";
  static constexpr auto doc = "the matrix product, batched and broadcasting";
  static constexpr auto math =
      "C = A B; dC = dA B + A dB. Backward: A' = C' B^T and B' = A^T C', summed over broadcast "
      "batches. Transposes are flags of the product: no copy is made.";
  static constexpr Example example{
      "matmul(g.constant(Tensor{{1, 2}, {3, 4}}), g.constant(Tensor{1, 1}))", "[3. 7.]"};
  static constexpr Promotion promotion = Promotion::common_floating;
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    inference.require_count(2);
    for (std::size_t i = 0; i < 2; ++i) {
      inference.require_floating(i);
      if (inference.shape(i).rank() < 2)
        inference.shape_error("operand " + std::to_string(i) + " is " + to_string(inference.in[i]) +
                                  ", not a matrix or vector",
                              "multiply by a scalar with *");
    }
    const Shape& a = inference.shape(0);
    const Shape& b = inference.shape(1);
    const MatmulOptions options = options_of(inference.attributes);
    if (const auto mistake = inner_mistake(a, b, options))
      inference.shape_error(mistake->what, mistake->help);
    for (const Shape* shape : {&a, &b})
      if (std::max(rows_of(*shape), columns_of(*shape)) > INT_MAX)
        inference.shape_error(
            "BLAS takes sizes up to " + std::to_string(INT_MAX) + ", got " + to_string(*shape),
            "split the operand");
    inference.out.push_back({detail::with_matrix(detail::require_batches(inference),
                                                 options.transpose_a ? columns_of(a) : rows_of(a),
                                                 options.transpose_b ? rows_of(b) : columns_of(b)),
                             inference.dtype(0)});
  }

  static std::vector<Var> batch(const BatchView& view) {
    if (has_few_columns(view)) return {turned_round(view)};
    const std::size_t rank = view.node.out[0].rank();
    return apply_batched(view, {aligned_operand(view, 0, rank), aligned_operand(view, 1, rank)});
  }
  static Kernel kernel(const KernelRequest& request) {
    detail::prepare_blas();
    if (request.out[0].dtype == float32) return kernel_for<float>(request);
    return kernel_for<double>(request);
  }
  static Cost cost(const KernelRequest& request) {
    Cost cost = bytes_only(request);
    const Shape& a = request.in[0].shape;
    cost.flops = 2 * static_cast<double>(request.out[0].shape.count()) *
                 static_cast<double>(options_of(request.attributes).transpose_a ? rows_of(a)
                                                                                : columns_of(a));
    return cost;
  }
  template <class T>
  static Kernel kernel_for(const KernelRequest& request) {
    const Shape& a = request.in[0].shape;
    const Shape& b = request.in[1].shape;
    const Shape& c = request.out[0].shape;
    const MatmulOptions options = options_of(request.attributes);
    const std::int64_t k = options.transpose_a ? rows_of(a) : columns_of(a);
    if (c.count() == 0 || k == 0)
      return {[count = c.count()](const KernelArgs& args) {
        std::fill_n(args.output<T>(), count, T{0});
      }};
    detail::GemmShape shape{options.transpose_a, options.transpose_b, static_cast<int>(rows_of(c)),
                            static_cast<int>(columns_of(c)), static_cast<int>(k)};
    // One right operand for every left one: the rows of all of them in one product.
    const std::int64_t rows = c.count() / columns_of(c);
    const bool stacked = !options.transpose_a && batch_of(b).count() == 1 && rows <= INT_MAX;
    if (stacked) shape.m = static_cast<int>(rows);
    const bool alone = stacked || batch_of(c).count() == 1;
    detail::Product product(shape, request.out[0].dtype,
                            alone ? detail::ProductUse::assign : detail::ProductUse::assign_many,
                            request.options);
    if (alone) {
      product.prepare(request.options, request.attributes);
      return {[product](const KernelArgs& args) {
                product.assign(args.input<T>(0), args.input<T>(1), args.output<T>(), args.team,
                               args.workspace);
              },
              product.scratch_bytes(), product.note()};
    }
    struct Pair {
      std::int64_t a;
      std::int64_t b;
    };
    const auto of_a = detail::matrix_numbers(batch_of(a), batch_of(c));
    const auto of_b = detail::matrix_numbers(batch_of(b), batch_of(c));
    std::vector<Pair> pairs(of_a.size());
    for (std::size_t i = 0; i < pairs.size(); ++i)
      pairs[i] = {of_a[i] * rows_of(a) * columns_of(a), of_b[i] * rows_of(b) * columns_of(b)};
    std::string note = product.note(static_cast<std::int64_t>(pairs.size()));
    // Bound by arithmetic: some 32 multiplications take as long as an elementwise step's element.
    const std::size_t cost = static_cast<std::size_t>(c.count() * k) / 32;
    return {[product, cost, pairs = std::move(pairs)](const KernelArgs& args) {
              detail::in_ranges(
                  args, pairs.size(), 1, cost, [&](std::size_t first, std::size_t last, void*) {
                    const auto step = std::int64_t{product.shape().m} * product.shape().n;
                    T* to = args.output<T>() + static_cast<std::int64_t>(first) * step;
                    for (std::size_t i = first; i < last; ++i, to += step)
                      product.assign(args.input<T>(0) + pairs[i].a, args.input<T>(1) + pairs[i].b,
                                     to);
                  });
            },
            0, std::move(note)};
  }

  // A' = C' op(B)^T and B' = op(A)^T C', themselves transposed where the operand enters transposed.
  static Var transpose(const NodeView& node, std::size_t i, Var c) {
    const auto [ta, tb] = options_of(node.attributes);
    if (i == 0) return ta ? matmul(node.in[1], c, {tb, true}) : matmul(c, node.in[1], {false, !tb});
    // A weight shared by a batch: the sum over the batch is part of the product.
    const auto stack = [](Var x) {
      return x.rank() == 2 ? x : reshape(x, {-1, columns_of(x.shape())});
    };
    const bool stacked =
        !ta && node.in[1].rank() == 2 && c.shape().count() > 0 && node.in[0].shape().count() > 0;
    const Var a = stacked ? stack(node.in[0]) : node.in[0];
    if (stacked) c = stack(c);
    return tb ? matmul(c, a, {true, ta}) : matmul(a, c, {!ta, false});
  }
  static std::vector<Edge> edges() { return detail::matrix_edges(name); }
  static std::vector<Case> cases();
};
constexpr Bilinear<Matmul> matmul_op;

Case product_case(std::string name, Shape a, Shape b, MatmulOptions options = {}) {
  return {std::move(name), {Arg{std::move(a)}, Arg{std::move(b)}}, [options](auto in) {
            return std::vector<Var>{matmul(in[0], in[1], options)};
          }};
}

std::vector<Case> Matmul::cases() {
  return {product_case("matrices", {2, 3}, {3, 4}),
          product_case("first transposed", {3, 2}, {3, 4}, {true, false}),
          product_case("second transposed", {2, 3}, {4, 3}, {false, true}),
          product_case("both transposed", {3, 2}, {4, 3}, {true, true}),
          product_case("vector x vector", {3}, {3}),
          product_case("vector x matrix", {3}, {3, 2}),
          product_case("matrix x vector", {2, 3}, {3}),
          product_case("matrices x vector", {2, 2, 3}, {3}),
          product_case("vector x matrices", {3}, {2, 3, 2}),
          product_case("batches", {2, 2, 3}, {2, 3, 2}),
          product_case("batch x shared matrix", {2, 2, 3}, {3, 2}),
          product_case("batch x shared matrix, transposed", {2, 2, 3}, {2, 3}, {false, true}),
          product_case("transposed batch x shared matrix", {2, 3, 2}, {3, 2}, {true, false}),
          product_case("shared matrix x batch", {2, 3}, {2, 3, 2}),
          product_case("batches that broadcast", {2, 1, 2, 3}, {3, 2, 3}, {false, true}),
          product_case("one column", {3, 2}, {2, 1}),
          product_case("one row, transposed", {2, 1}, {3, 2}, {true, true}),
          product_case("inner size 0", {2, 0}, {0, 3}),
          product_case("batch x shared, inner size 0", {2, 2, 0}, {0, 3}),
          product_case("no rows", {0, 2}, {2, 3}),
          product_case("empty batch", {0, 2, 3}, {3, 2}),
          {"integers", {Arg{{2, 3}, domain(-4, 4), int64}, Arg{{3, 2}}}, [](auto in) {
             return std::vector<Var>{matmul(in[0], in[1])};
           }}};
}

void require_vectors(std::string_view function, const In& a, const In& b, std::string help) {
  if (detail::shape_of(a).rank() == 1 && detail::shape_of(b).rank() == 1) return;
  fail<ShapeError>({.op = function,
                    .what = "takes two vectors, got shapes " + to_string(detail::shape_of(a)) +
                            " and " + to_string(detail::shape_of(b)),
                    .where = a.where(),
                    .help = std::move(help)});
}

struct Outer {
  static constexpr auto name = "outer";
  static constexpr auto doc = "the outer product of two vectors";
  static constexpr auto math = "C = a b^T; dC = da b^T + a db^T. Backward: a' = C' b, b' = C'^T a.";
  static constexpr Example example{"outer(g.constant(Tensor{1, 2}), g.constant(Tensor{3, 4}))",
                                   "[[3. 4.]\n [6. 8.]]"};
  static std::vector<Edge> edges() { return detail::matrix_edges(name); }
  static std::vector<Case> cases() {
    const auto call = [](std::span<const Var> in) { return std::vector<Var>{outer(in[0], in[1])}; };
    return {{"vectors", {Arg{{2}}, Arg{{3}}}, call},
            {"one element", {Arg{{1}}, Arg{{3}}}, call},
            {"empty", {Arg{{0}}, Arg{{3}}}, call}};
  }
};

struct Dot {
  static constexpr auto name = "dot";
  static constexpr auto doc = "the inner product of two vectors";
  static constexpr auto math = "c = a . b; dc = da . b + a . db. Backward: a' = c' b, b' = c' a.";
  static constexpr Example example{"dot(g.constant(Tensor{1, 2}), g.constant(Tensor{3, 4}))",
                                   "11.0"};
  static std::vector<Edge> edges() { return detail::matrix_edges(name); }
  static std::vector<Case> cases() {
    const auto call = [](std::span<const Var> in) { return std::vector<Var>{dot(in[0], in[1])}; };
    return {{"vectors", {Arg{{3}}, Arg{{3}}}, call},
            {"one element", {Arg{{1}}, Arg{{1}}}, call},
            {"empty", {Arg{{0}}, Arg{{0}}}, call}};
  }
};

// A product with a vector, as a product of matrices whose extra axis goes again.
Var vector_product(const In& a, const In& b, MatmulOptions options) {
  const Shape shape_a = detail::shape_of(a);
  const Shape shape_b = detail::shape_of(b);
  if (const auto mistake = inner_mistake(shape_a, shape_b, options))
    fail<ShapeError>(
        {.op = "matmul", .what = mistake->what, .where = a.where(), .help = mistake->help});
  const Composite c("matmul", {a, b});
  const bool row = shape_a.rank() == 1;
  const bool column = shape_b.rank() == 1;
  if (row) options.transpose_a = false;
  if (column) options.transpose_b = false;
  const Var product =
      matmul_op(row ? reshape(c[0], {1, shape_a[0]}) : c[0],
                column ? reshape(c[1], {shape_b[0], 1}) : c[1], attributes_of(options));
  Ints sizes = product.shape().vector();
  if (column) sizes.pop_back();
  if (row) sizes.erase(sizes.end() - (column ? 1 : 2));
  return reshape(product, sizes);
}

}  // namespace

Var matmul(In a, In b, MatmulOptions options) {
  const std::size_t rank_a = detail::shape_of(a).rank();
  const std::size_t rank_b = detail::shape_of(b).rank();
  if (rank_a > 0 && rank_b > 0 && std::min(rank_a, rank_b) == 1)
    return vector_product(a, b, options);
  return matmul_op(a, b, attributes_of(options));
}

Var outer(In a, In b) {
  require_vectors("outer", a, b, "flatten() them first, or multiply with broadcasting");
  const Composite c("outer", {a, b});
  return matmul(reshape(c[0], {-1, 1}), reshape(c[1], {1, -1}));
}

Var dot(In a, In b) {
  require_vectors("dot", a, b, "use matmul for matrices, sum(a * b) for other shapes");
  if (detail::shape_of(a) != detail::shape_of(b))
    fail<ShapeError>(
        {.op = "dot",
         .what = "the vectors have different sizes: " + to_string(detail::shape_of(a)) + " and " +
                 to_string(detail::shape_of(b)),
         .where = a.where(),
         .help = "give two vectors of one size"});
  return matmul(a, b);
}

void detail::register_matmul() {
  register_all(matmul_op);
  register_composite<Outer>();
  register_composite<Dot>();
}

}  // namespace dualtape
