// Layers of transformers (Vaswani et al., "Attention Is All You Need", 2017). Sequences have shape
// (..., L, E): L places of E numbers. Copies share parameters. Graphs are built by one thread at a
// time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <dualtape/models/layers.hpp>
#include <dualtape/models/normalise.hpp>
#include <dualtape/models/sequential.hpp>

namespace dualtape::nn {

struct MultiHeadAttentionOptions {
  bool causal = false;  // place i sees places 0 ... i
  bool bias = true;
  DType dtype = float32;
  double dropout = 0;  // of the weights after the softmax, while training
};

// Queries, keys and values by linear layers "<name>.query", ".key" and ".value", attention in
// `heads` parts, and "<name>.output" after it. Starts as PyTorch's: Glorot's rule for the three
// matrices as one, 1 / sqrt(fan_in) for the last, biases 0.
class MultiHeadAttention {
 public:
  // `size` is E. ShapeError unless `heads` divides it; ValueError unless 0 <= dropout < 1.
  MultiHeadAttention(const std::string& name, std::int64_t size, std::int64_t heads, Key key,
                     const MultiHeadAttentionOptions& options = {},
                     Location where = Location::current());

  // A sequence attends to itself: (..., L, E), which is kept. Without a context, which dropout
  // needs, as a Layer does.
  Var operator()(Var x, Location where = Location::current()) const { return attend(x, x, where); }
  Var operator()(Var x, Context& context, Location where = Location::current()) const {
    return attend(x, x, context, where);
  }
  Var evaluate(Var x, Location where = Location::current()) const;
  // `query` (..., L, E) attends to `memory` (..., S, E): (..., L, E).
  Var attend(Var query, Var memory, Location where = Location::current()) const;
  Var attend(Var query, Var memory, Context& context, Location where = Location::current()) const;
  bool needs_context() const { return dropout_ > 0; }
  std::vector<Parameter> parameters() const;

 private:
  std::string name_;
  std::int64_t heads_;
  bool causal_;
  double dropout_;
  Linear query_, key_, value_, output_;
};

struct TransformerBlockOptions {
  bool causal = false;
  double dropout = 0.1;    // after the attention, the activation and the last layer
  bool norm_first = true;  // normalise before each part; false: after it, as in 2017
  Activation activation = Activation::gelu;
  DType dtype = float32;
  double attention_dropout = 0;  // of the attention's weights; PyTorch's is `dropout` there, too
};

// x + attention, then + a perceptron of one hidden layer for every place. Parameters are called
// "<name>.attention.query.weight" and so on, "<name>.norm1", "<name>.fc1", "<name>.fc2" and
// "<name>.norm2".
class TransformerBlock {
 public:
  TransformerBlock(const std::string& name, std::int64_t size, std::int64_t heads,
                   std::int64_t hidden, Key key, const TransformerBlockOptions& options = {},
                   Location where = Location::current());

  // (..., L, E), which is kept.
  // Without a context, which dropout needs, as a Layer does.
  Var operator()(Var x, Location where = Location::current()) const;
  Var evaluate(Var x, Location where = Location::current()) const {
    return parts_.evaluate(x, where);
  }
  bool needs_context() const { return parts_.needs_context(); }
  Var operator()(Var x, Context& context, Location where = Location::current()) const;
  std::vector<Parameter> parameters() const { return parts_.parameters(); }

 private:
  Sequential parts_;
};

// Adds a learned row to each place of a sequence: "<name>.weight" of shape (length, size), which
// starts as an embedding does.
class PositionEmbedding {
 public:
  PositionEmbedding(const std::string& name, std::int64_t length, std::int64_t size, Key key,
                    const EmbeddingOptions& options = {}, Location where = Location::current());

  // (..., length, size), which is kept; ShapeError for another.
  Var operator()(Var x, Location where = Location::current()) const;
  std::vector<Parameter> parameters() const { return table_.parameters(); }
  std::vector<Parameter> tables() const { return table_.tables(); }

 private:
  std::string name_;
  Embedding table_;
};

}  // namespace dualtape::nn
