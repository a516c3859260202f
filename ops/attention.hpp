// Embeddings and attention (Vaswani et al., "Attention Is All You Need", 2017, equation 1 and
// section 3.2.2). Floating dtypes are kept. A graph may be built by one thread at a time.
#pragma once

#include <cstdint>
#include <optional>

#include <dualtape/core/graph.hpp>

namespace dualtape {

// Row ids[i] of `table` for each of ids: a table of shape (V, ...) and ids of any shape S give
// S + (...). ids are int32 or int64 (TypeError); one outside 0 ... V-1 is a ValueError at run time
// that gives the number. ShapeError for a table without axes.
Var embedding(In table, In ids);

struct AttentionOptions {
  bool causal = false;  // query i sees keys 0 ... i
  // Truth values: true where a query may see a key; or numbers, which are added to the scores. Its
  // shape broadcasts to that of the scores, (..., L, S).
  MaybeVar mask = {};
  std::optional<double> scale = {};  // of the scores; 1 / sqrt(E) if none is given
  // Each weight that the softmax gives is 0 with this probability, else divided by 1 - dropout, as
  // dropout() does with this key, an int64 scalar.
  double dropout = 0;
  MaybeVar dropout_key = {};
};

// softmax(q k^T scale) v along the keys: q of shape (..., L, E), k (..., S, E), v (..., S, D) give
// (..., L, D); leading axes are batches and broadcast. A query that may see no key gives 0, and its
// derivatives are 0. ShapeError where sizes do not fit; ValueError unless 0 <= dropout < 1;
// GraphError for dropout without a key.
Var scaled_dot_product_attention(In q, In k, In v, const AttentionOptions& options = {});

// Matrices (in, out), and one bias for each output of a matrix or none.
struct AttentionWeights {
  Var query;   // (E, H d)
  Var key;     // (E_k, H d)
  Var value;   // (E_v, H d')
  Var output;  // (H d', E_o)
  MaybeVar query_bias = {};
  MaybeVar key_bias = {};
  MaybeVar value_bias = {};
  MaybeVar output_bias = {};
};

// Attention in `heads` parts of the projected queries, keys and values, joined and projected: q of
// shape (..., L, E), k (..., S, E_k), v (..., S, E_v) give (..., L, E_o). A mask has the shape of
// one head's scores, or an axis of heads before its last two. ShapeError where sizes do not fit or
// do not divide by `heads`.
Var multi_head_attention(In q, In k, In v, const AttentionWeights& weights, std::int64_t heads,
                         const AttentionOptions& options = {});

}  // namespace dualtape
