#include <dualtape/models/attention.hpp>

#include <cmath>

#include <dualtape/core/composite.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/attention.hpp>

namespace dualtape::nn {
namespace {

using Rule = Initialiser::Rule;

// Glorot's bound for a matrix of (E, 3 E), drawn in three parts.
const Initialiser third{Rule::glorot_uniform, std::sqrt(0.5)};

std::int64_t divided(const std::string& name, std::int64_t size, std::int64_t heads,
                     Location where) {
  if (heads < 1 || size < 1 || size % heads != 0)
    fail<ShapeError>(
        {.op = "MultiHeadAttention",
         .label = name,
         .what = "size " + std::to_string(size) + " in " + std::to_string(heads) + " heads",
         .where = where,
         .help = "heads must divide the size"});
  return size;
}

double checked_dropout(const std::string& name, double dropout, Location where) {
  if (!(dropout >= 0 && dropout < 1))
    fail<ValueError>({.op = "MultiHeadAttention",
                      .label = name,
                      .what = "dropout is " + std::to_string(dropout) +
                              ", the probability of a weight to be dropped",
                      .where = where,
                      .help = "give 0 <= dropout < 1"});
  return dropout;
}

Sequential parts_of(const std::string& name, std::int64_t size, std::int64_t heads,
                    std::int64_t hidden, Key key, const TransformerBlockOptions& options,
                    Location where) {
  const LinearOptions linear{.dtype = options.dtype};
  const NormOptions norm{.dtype = options.dtype};
  const Dropout dropout(options.dropout, where);
  const MultiHeadAttention attention(
      name + ".attention", size, heads, key,
      {.causal = options.causal, .dtype = options.dtype, .dropout = options.attention_dropout},
      where);
  const LayerNorm norm1(name + ".norm1", size, norm, where);
  const LayerNorm norm2(name + ".norm2", size, norm, where);
  const auto activation = [which = options.activation](Var x, Location here) {
    return activate(which, x, here);
  };
  const Sequential perceptron{Linear(name + ".fc1", size, hidden, key, linear, where), activation,
                              dropout, Linear(name + ".fc2", hidden, size, key, linear, where),
                              dropout};
  if (options.norm_first)
    return {Residual(Sequential{norm1, attention, dropout}),
            Residual(Sequential{norm2, perceptron})};
  return {Residual(Sequential{attention, dropout}), norm1, Residual(perceptron), norm2};
}

}  // namespace

MultiHeadAttention::MultiHeadAttention(const std::string& name, std::int64_t size,
                                       std::int64_t heads, Key key,
                                       const MultiHeadAttentionOptions& options, Location where)
    : name_(name),
      heads_(heads),
      causal_(options.causal),
      dropout_(checked_dropout(name, options.dropout, where)),
      query_(name + ".query", divided(name, size, heads, where), size, key,
             {third, options.bias, options.dtype}, where),
      key_(name + ".key", size, size, key, {third, options.bias, options.dtype}, where),
      value_(name + ".value", size, size, key, {third, options.bias, options.dtype}, where),
      output_(name + ".output", size, size, key,
              {Initialiser(Rule::uniform, 1 / std::sqrt(static_cast<double>(size))), options.bias,
               options.dtype},
              where) {}

Var MultiHeadAttention::evaluate(Var x, Location where) const {
  Context evaluation;
  return attend(x, x, evaluation, where);
}

Var MultiHeadAttention::attend(Var query, Var memory, Location where) const {
  if (needs_context())
    detail::refuse_without_context("MultiHeadAttention", name_, detail::Called::layer, where);
  Context evaluation;
  return attend(query, memory, evaluation, where);
}

Var MultiHeadAttention::attend(Var query, Var memory, Context& context, Location where) const {
  const Composite c("MultiHeadAttention", {In(query, where), In(memory, where)});
  Graph& graph = c.graph();
  const auto bias = [&](const Linear& layer) -> MaybeVar {
    if (!layer.bias()) return std::nullopt;
    return graph.read(*layer.bias());
  };
  const AttentionWeights weights{.query = graph.read(query_.weight()),
                                 .key = graph.read(key_.weight()),
                                 .value = graph.read(value_.weight()),
                                 .output = graph.read(output_.weight()),
                                 .query_bias = bias(query_),
                                 .key_bias = bias(key_),
                                 .value_bias = bias(value_),
                                 .output_bias = bias(output_)};
  AttentionOptions options;
  options.causal = causal_;
  if (context.training && dropout_ > 0) {
    options.dropout = dropout_;
    options.dropout_key = context.next_key(where);
  }
  return multi_head_attention(query, memory, memory, weights, heads_, options).named(name_);
}

std::vector<Parameter> MultiHeadAttention::parameters() const {
  std::vector<Parameter> all;
  for (const Linear* layer : {&query_, &key_, &value_, &output_})
    for (const Parameter& parameter : layer->parameters()) all.push_back(parameter);
  return all;
}

TransformerBlock::TransformerBlock(const std::string& name, std::int64_t size, std::int64_t heads,
                                   std::int64_t hidden, Key key,
                                   const TransformerBlockOptions& options, Location where)
    : parts_(parts_of(name, size, heads, hidden, key, options, where)) {}

Var TransformerBlock::operator()(Var x, Location where) const { return parts_(x, where); }

Var TransformerBlock::operator()(Var x, Context& context, Location where) const {
  return parts_(x, context, where);
}

PositionEmbedding::PositionEmbedding(const std::string& name, std::int64_t length,
                                     std::int64_t size, Key key, const EmbeddingOptions& options,
                                     Location where)
    : name_(name), table_(name, length, size, key, options, where) {}

Var PositionEmbedding::operator()(Var x, Location where) const {
  const Composite c("PositionEmbedding", {In(x, where)});
  const Shape& rows = table_.weight().shape();
  const std::size_t rank = x.rank();
  // Broadcasting would take sequences of length 1 and hide a mistake.
  if (rank < 2 || x.shape()[rank - 2] != rows[0] || x.shape()[rank - 1] != rows[1])
    fail<ShapeError>({.op = "PositionEmbedding",
                      .label = name_,
                      .what = "x is " + to_string(x.type()) + ", but its last two sizes must be " +
                              to_string(rows),
                      .where = where});
  return (x + table_.weight()).named(name_);
}

}  // namespace dualtape::nn
