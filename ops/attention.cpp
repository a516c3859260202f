#include <dualtape/ops/attention.hpp>

#include <cmath>
#include <limits>

#include <dualtape/core/composite.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/declare/edge_calls.hpp>
#include <dualtape/ops/declare/families.hpp>

#include <dualtape/ops/declare/indices.hpp>
#include <dualtape/ops/declare/softmax_limits.hpp>
#include <dualtape/ops/dropout.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace {

constexpr std::string_view attention_name = "scaled_dot_product_attention";
constexpr std::string_view heads_name = "multi_head_attention";

// Query i of L may see key j of S: j <= i.
Tensor causal_mask(std::int64_t queries, std::int64_t keys) {
  Tensor mask(Shape{queries, keys}, DType::boolean);
  const auto seen = mask.data<bool>();
  for (std::int64_t i = 0; i < queries; ++i)
    for (std::int64_t j = 0; j < keys; ++j) seen[static_cast<std::size_t>(i * keys + j)] = j <= i;
  return mask;
}

void require_fit(const Composite& c) {
  const Shape q = c[0].shape(), k = c[1].shape(), v = c[2].shape();
  const bool ranks = q.rank() >= 2 && k.rank() >= 2 && v.rank() >= 2;
  if (ranks && q.back() == k.back() && k[k.rank() - 2] == v[v.rank() - 2]) return;
  fail<ShapeError>({.op = attention_name,
                    .what = "queries of shape " + to_string(q) + ", keys of " + to_string(k) +
                            " and values of " + to_string(v) + " do not fit",
                    .where = c.where(),
                    .help = "give shapes (..., L, E), (..., S, E) and (..., S, D)"});
}

// A mask that fits is broadcast against the scores.
void require_mask(const Var& mask, const Var& scores, Location where) {
  if (is_integer(mask.dtype()))
    fail<TypeError>({.op = attention_name,
                     .label = mask.label(),
                     .what = "the mask is " + to_string(mask.type()) +
                             ", but masks are bool, true where a key is seen, or floating, and "
                             "then added to the scores",
                     .where = where,
                     .help = "use mask > 0"});
  if (broadcast(mask.shape(), scores.shape()).ok) return;
  fail<ShapeError>({.op = attention_name,
                    .label = mask.label(),
                    .what = "the mask of shape " + to_string(mask.shape()) +
                            " does not fit the scores of shape " + to_string(scores.shape()),
                    .where = where,
                    .help = "give a shape that broadcasts to (..., L, S): a row for each query "
                            "and a column for each key"});
}

struct Embedding {
  static constexpr auto name = "embedding";
  static constexpr auto doc = "rows of a table chosen by integers";
  static constexpr auto math = "y[i] = table[ids[i]]; linear in the table, as take along axis 0";
  static constexpr Example example{
      "embedding(g.constant(Tensor{{1, 2}, {3, 4}}), g.constant(Tensor::of({1, 1, 0})))",
      "[[3. 4.]\n [3. 4.]\n [1. 2.]]"};
  static std::vector<Edge> edges() {
    using namespace detail;
    const auto call = [](std::span<const Var> in) {
      return std::vector<Var>{embedding(in[0], Tensor::of({1, 1}))};
    };
    return edges_of(call, {{"rows not chosen do not count",
                            {table({2, 1}, {not_a_number, 3})},
                            {table({2, 1}, {3, 3})},
                            {table({2, 1}, {0, 2})}},
                           {"infinity and the least float",
                            {table({2, 2}, {0, 0, infinity, 0x1p-126})},
                            {table({2, 2}, {infinity, 0x1p-126, infinity, 0x1p-126})},
                            {table({2, 2}, {0, 0, 2, 2})}}});
  }
  static std::vector<Case> cases() {
    const auto build = [](std::span<const Var> in) {
      return std::vector<Var>{embedding(in[0], in[1])};
    };
    return {{"a sequence", {Arg{{5, 3}}, detail::index_arg({4}, 5)}, build},
            {"a batch of sequences", {Arg{{4, 2}}, detail::index_arg({2, 3}, 4, int32)}, build},
            {"no ids", {Arg{{4, 2}}, detail::index_arg({0}, 4)}, build}};
  }
};

struct ScaledDotProductAttention {
  static constexpr auto name = "scaled_dot_product_attention";
  static constexpr auto doc = "values weighted by how well their keys fit the queries";
  static constexpr auto math =
      "y = softmax(scale q k^T + mask) v along the keys, scale = 1 / sqrt(E) unless given; "
      "derivatives as those of matmul and softmax";
  static constexpr Example example{
      "scaled_dot_product_attention(g.constant(Tensor{{1, 2}}), g.constant(Tensor{{0, 0}, {0, "
      "0}}), g.constant(Tensor{{1, 4}, {3, 8}}))",
      "[[2. 6.]]"};
  static Var body(const Composite& c, const AttentionOptions& options) {
    require_fit(c);
    const auto size = static_cast<double>(c[0].shape().back());
    // Scaling the queries costs less than scaling the scores.
    const Var queries = c[0] * options.scale.value_or(1 / std::sqrt(size));
    Var scores = matmul(queries, c[1], {.transpose_b = true});
    const double never = -std::numeric_limits<double>::infinity();
    if (options.mask) require_mask(*options.mask, scores, c.where());
    if (options.mask && options.mask->dtype() == DType::boolean)
      scores = where(*options.mask, scores, never);
    else if (options.mask)
      scores = scores + *options.mask;
    if (options.causal) {
      const std::size_t rank = scores.rank();
      scores =
          where(causal_mask(scores.shape()[rank - 2], scores.shape()[rank - 1]), scores, never);
    }
    Var weights = detail::softmax_with_limits(scores, -1);
    if (options.dropout != 0) {
      if (!options.dropout_key)
        fail<GraphError>({.op = attention_name,
                          .what = "weights are to be dropped, but there is no key to draw from",
                          .where = c.where(),
                          .help = "set dropout_key to an int64 scalar that differs in every step"});
      weights = dropout(weights, options.dropout, *options.dropout_key);
    }
    return matmul(weights, c[2]);
  }
  static std::vector<Edge> edges() {
    using namespace detail;
    const auto call = [](std::span<const Var> in) {
      AttentionOptions options;
      options.scale = 1;
      options.mask = in[3];
      return std::vector<Var>{scaled_dot_product_attention(in[0], in[1], in[2], options)};
    };
    const Tensor keys = table({2, 1}, {1, -1});
    const Tensor values = table({2, 1}, {3, 5});
    const Tensor seen = table({1, 2}, {0, 0});
    return edges_of(call,
                    {{"nothing seen",
                      {table({1, 1}, {2}), keys, values, table({1, 2}, {-infinity, -infinity})},
                      {table({1, 1}, {0})},
                      {table({1, 1}, {0}), table({2, 1}, {0, 0}), table({2, 1}, {0, 0}),
                       table({1, 2}, {0, 0})}},
                     {"one key seen",
                      {table({1, 1}, {2}), keys, values, table({1, 2}, {-infinity, 0})},
                      {table({1, 1}, {5})},
                      {table({1, 1}, {0}), table({2, 1}, {0, 0}), table({2, 1}, {0, 1}),
                       table({1, 2}, {0, 0})}},
                     {"keys that are nearly alone",
                      {table({1, 1}, {10}), keys, values, seen},
                      {table({1, 1}, {3.0000000041223074})},
                      {table({1, 1}, {-8.244614455767373e-09}),
                       table({2, 1}, {-4.1223072278836866e-08, 4.1223072278836866e-08}),
                       table({2, 1}, {0.9999999979388464, 2.0611536181902037e-09}),
                       table({1, 2}, {-4.1223072278836866e-09, 4.1223072278836866e-09})}},
                     {"scores that are huge",
                      {table({1, 1}, {0x1p60}), keys, values, seen},
                      {table({1, 1}, {3})},
                      {table({1, 1}, {0}), table({2, 1}, {0, 0}), table({2, 1}, {1, 0}),
                       table({1, 2}, {0, 0})}},
                     {"NaN",
                      {table({1, 1}, {not_a_number}), keys, values, seen},
                      {table({1, 1}, {not_a_number})},
                      {table({1, 1}, {not_a_number}), table({2, 1}, {not_a_number, not_a_number}),
                       table({2, 1}, {not_a_number, not_a_number}),
                       table({1, 2}, {not_a_number, not_a_number})}}});
  }
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    const auto add = [&](const std::string& name, const Shape& q, const Shape& k, const Shape& v,
                         const AttentionOptions& options) {
      cases.push_back({name, {Arg{q}, Arg{k}, Arg{v}}, [options](std::span<const Var> in) {
                         return std::vector<Var>{
                             scaled_dot_product_attention(in[0], in[1], in[2], options)};
                       }});
    };
    AttentionOptions causal;
    causal.causal = true;
    AttentionOptions scaled;
    scaled.scale = 0.3;
    add("one sequence", {3, 2}, {4, 2}, {4, 3}, {});
    add("batches, causal", {2, 3, 2}, {2, 3, 2}, {2, 3, 2}, causal);
    add("batches broadcast, scaled", {2, 1, 2, 3}, {3, 2, 3}, {3, 2, 1}, scaled);
    add("one query and key", {1, 1}, {1, 1}, {1, 1}, {});
    cases.push_back({"a mask that is added",
                     {Arg{{2, 3}}, Arg{{4, 3}}, Arg{{4, 2}}, Arg{{2, 4}}},
                     [](std::span<const Var> in) {
                       AttentionOptions masked;
                       masked.mask = in[3];
                       return std::vector<Var>{
                           scaled_dot_product_attention(in[0], in[1], in[2], masked)};
                     }});
    cases.push_back({"weights dropped",
                     {Arg{{2, 3, 2}}, Arg{{2, 4, 2}}, Arg{{2, 4, 3}}},
                     [](std::span<const Var> in) {
                       AttentionOptions dropping;
                       dropping.dropout = 0.4;
                       dropping.dropout_key = in[0].graph().constant(Key{5}.to_tensor());
                       return std::vector<Var>{
                           scaled_dot_product_attention(in[0], in[1], in[2], dropping)};
                     }});
    return cases;
  }
};

Var projected(const Var& x, const Var& weight, const MaybeVar& bias) {
  const Var product = matmul(x, weight);
  return bias ? product + *bias : product;
}

// (..., L, H d) to (..., H, L, d).
Var split_heads(const Var& x, std::int64_t heads, const char* what, Location where) {
  const Shape& shape = x.shape();
  if (shape.rank() < 2 || shape.back() % heads != 0)
    fail<ShapeError>({.op = heads_name,
                      .what = std::string("the projected ") + what + " of shape " +
                              to_string(shape) + " do not part in " + std::to_string(heads) +
                              " heads",
                      .where = where,
                      .help = "their last size must be a multiple of the number of heads"});
  std::vector<std::int64_t> sizes = shape.vector();
  sizes.back() = heads;
  sizes.push_back(shape.back() / heads);
  return transpose(reshape(x, sizes), -3, -2);
}

struct MultiHeadAttention {
  static constexpr auto name = "multi_head_attention";
  static constexpr auto doc = "attention in several projected parts, joined and projected";
  static constexpr auto math =
      "y = concat_h(attention(q Wq_h + bq_h, k Wk_h + bk_h, v Wv_h + bv_h)) Wo + bo; derivatives "
      "as "
      "those of matmul and softmax";
  static constexpr Example example{
      "multi_head_attention(g.constant(Tensor{{1, 2}}), g.constant(Tensor{{1, 2}}), "
      "g.constant(Tensor{{1, 2}}), {g.constant(Tensor{{1, 0}, {0, 1}}), "
      "g.constant(Tensor{{1, 0}, {0, 1}}), g.constant(Tensor{{1, 0}, {0, 1}}), "
      "g.constant(Tensor{{1, 0}, {0, 1}})}, 2)",
      "[[1. 2.]]"};
  static Var body(const Composite& c, const AttentionWeights& w, std::int64_t heads,
                  const AttentionOptions& options) {
    if (heads < 1)
      fail<ValueError>({.op = heads_name,
                        .what = "the number of heads is " + std::to_string(heads),
                        .where = c.where(),
                        .help = "give 1 or more"});
    const auto parts = [&](const Var& x, const Var& weight, const MaybeVar& bias,
                           const char* what) {
      return split_heads(projected(x, weight, bias), heads, what, c.where());
    };
    const Var queries = parts(c[0], w.query, w.query_bias, "queries");
    const Var keys = parts(c[1], w.key, w.key_bias, "keys");
    const Var values = parts(c[2], w.value, w.value_bias, "values");
    const Var each = scaled_dot_product_attention(queries, keys, values, options);
    const Var joined = flatten(transpose(each, -3, -2), -2, -1);  // from (..., L, H, d')
    return projected(joined, w.output, w.output_bias);
  }
  static std::vector<Edge> edges() {
    using namespace detail;
    const auto call = [](std::span<const Var> in) {
      const AttentionWeights weights{in[1], in[1], in[1], in[1]};
      AttentionOptions options;
      options.mask = in[2];
      return std::vector<Var>{multi_head_attention(in[0], in[0], in[0], weights, 1, options)};
    };
    return edges_of(call, {{"nothing seen",
                            {table({1, 1}, {2}), table({1, 1}, {1}), table({1, 1}, {-infinity})},
                            {table({1, 1}, {0})},
                            {table({1, 1}, {0}), table({1, 1}, {0}), table({1, 1}, {0})}},
                           {"one key seen",
                            {table({1, 1}, {2}), table({1, 1}, {1}), table({1, 1}, {0})},
                            {table({1, 1}, {2})},
                            {table({1, 1}, {1}), table({1, 1}, {4}), table({1, 1}, {0})}}});
  }
  static std::vector<Case> cases() {
    const auto call = [](std::span<const Var> in, std::int64_t heads, bool biased, bool causal) {
      AttentionWeights weights{in[1], in[2], in[3], in[4]};
      if (biased) weights.query_bias = weights.key_bias = weights.value_bias = in[5];
      if (biased) weights.output_bias = in[6];
      AttentionOptions options;
      options.causal = causal;
      return std::vector<Var>{multi_head_attention(in[0], in[0], in[0], weights, heads, options)};
    };
    return {
        {"two heads of a batch, causal, with biases",
         {Arg{{2, 3, 4}}, Arg{{4, 4}}, Arg{{4, 4}}, Arg{{4, 4}}, Arg{{4, 3}}, Arg{{4}}, Arg{{3}}},
         [call](std::span<const Var> in) { return call(in, 2, true, true); }},
        {"one head of one sequence",
         {Arg{{2, 3}}, Arg{{3, 2}}, Arg{{3, 2}}, Arg{{3, 4}}, Arg{{4, 1}}},
         [call](std::span<const Var> in) { return call(in, 1, false, false); }}};
  }
};

}  // namespace

Var embedding(In table, In ids) {
  if (detail::shape_of(table).rank() == 0)
    fail<ShapeError>({.op = "embedding",
                      .what = "the table is a scalar",
                      .where = table.where(),
                      .help = "give one row for each number: shape (V, E)"});
  return detail::rows_of("embedding: id", table, ids);
}

Var scaled_dot_product_attention(In q, In k, In v, const AttentionOptions& options) {
  return ScaledDotProductAttention::body({attention_name, {q, k, v}}, options);
}

Var multi_head_attention(In q, In k, In v, const AttentionWeights& weights, std::int64_t heads,
                         const AttentionOptions& options) {
  return MultiHeadAttention::body({heads_name, {q, k, v}}, weights, heads, options);
}

void detail::register_attention() {
  register_composite<Embedding>();
  register_composite<ScaledDotProductAttention>();
  register_composite<MultiHeadAttention>();
}

}  // namespace dualtape
