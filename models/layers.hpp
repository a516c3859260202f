// The plain layers, and builders of small models. A model owns Parameters and adds nodes to
// whatever graph its input lives in, so one model serves training graphs, evaluation graphs and
// every batch size. Copies of a model share its parameters; copy_parameters makes two models equal.
// Graphs are built by one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <dualtape/core/graph.hpp>
#include <dualtape/models/context.hpp>
#include <dualtape/models/initialise.hpp>

namespace dualtape {

namespace nn {

struct LinearOptions {
  Initialiser initialiser = Initialiser::Rule::torch_default;
  bool bias = true;
  DType dtype = float32;
};

// What layers with a weight and perhaps a bias have in common.
class Weighted {
 public:
  const std::string& name() const { return name_; }
  const Parameter& weight() const { return weight_; }
  const std::optional<Parameter>& bias() const { return bias_; }
  std::vector<Parameter> parameters() const;

 protected:
  // How a layer is to be started: "<name>.weight" and, if wanted, "<name>.bias" of shape (outputs),
  // drawn from sub-streams of the key by name.
  struct Start {
    std::string_view layer;  // "Linear", for errors
    Shape weight;
    Fans fans;
    std::int64_t outputs = 0;
    bool bias = true;
    Initialiser initialiser = {};
    DType dtype = float32;
    Location where = {};  // of errors
  };
  Weighted(const std::string& name, Key key, const Start& start);
  // That of a convolution, whose options say the rest.
  template <class Options>
  static Start start_of(std::string_view layer, const std::string& name,
                        std::initializer_list<std::int64_t> weight, std::int64_t outputs,
                        const Options& options, Location where);

  // What `build` makes; its errors get the layer's name in front, as an operator knows only itself.
  Var named_in_errors(std::string_view layer, const std::function<Var()>& build) const;

 private:
  static Tensor drawn(Key key, const std::string& name, const Start& start);

  std::string name_;
  Parameter weight_;
  std::optional<Parameter> bias_;
};

// x W + b, with W of shape (in, out) and b of shape (out,).
class Linear : public Weighted {
 public:
  // Parameters are called "<name>.weight" and "<name>.bias" and drawn from sub-streams of the key
  // by name. Throws ShapeError for sizes below 1 and for more elements than a tensor may
  // have, MemoryError where there is no memory: all name the layer, its label and sizes.
  Linear(const std::string& name, std::int64_t in, std::int64_t out, Key key,
         const LinearOptions& options = {}, Location where = Location::current());

  // (..., in) to (..., out); the last node is labelled with the layer's name. ShapeError, which
  // names the layer, if x does not fit.
  Var operator()(Var x, Location where = Location::current()) const;
};

// Axes start ... end, both included, become one; by default all but the batch's.
class Flatten {
 public:
  explicit Flatten(std::int64_t start = 1, std::int64_t end = -1) : start_(start), end_(end) {}
  Var operator()(Var x, Location where = Location::current()) const;

 private:
  std::int64_t start_;
  std::int64_t end_;
};

// Each element is 0 with probability p, else divided by 1 - p, while training; else x itself. Draws
// from the context's next key. Making one throws ValueError unless 0 <= p < 1.
class Dropout {
 public:
  explicit Dropout(double p = 0.5, Location where = Location::current());
  bool needs_context() const { return p_ != 0; }
  // GraphError unless p is 0: whether to train or to evaluate must be said.
  Var operator()(Var x, Location where = Location::current()) const;
  Var evaluate(Var x, Location = Location::current()) const { return x; }
  Var operator()(Var x, Context& context, Location where = Location::current()) const;

 private:
  double p_;
};

struct EmbeddingOptions {
  Initialiser initialiser = Initialiser::Rule::normal;
  DType dtype = float32;
};

// A row of a table for each whole number in x.
class Embedding {
 public:
  // The table "<name>.weight" has shape (rows, size). ShapeError for sizes below 1.
  Embedding(const std::string& name, std::int64_t rows, std::int64_t size, Key key,
            const EmbeddingOptions& options = {}, Location where = Location::current());

  // Integers of shape (...) from 0 to rows-1 to (..., size). A number outside is a ValueError at
  // run time.
  Var operator()(Var x, Location where = Location::current()) const;

  const Parameter& weight() const { return weight_; }
  std::vector<Parameter> parameters() const { return {weight_}; }
  std::vector<Parameter> tables() const { return {weight_}; }

 private:
  std::string name_;
  Parameter weight_;
};

}  // namespace nn

enum class Activation : std::uint8_t { identity, relu, tanh, sigmoid, gelu };
std::string_view name_of(Activation activation);
Var activate(Activation activation, Var x, Location where = Location::current());

struct MlpOptions {
  Activation activation = Activation::relu;  // between the layers
  Activation output = Activation::identity;  // after the last one
  Initialiser initialiser = Initialiser::Rule::he_uniform;
  bool bias = true;
  DType dtype = float32;
};

// A multilayer perceptron: linear layers "layer1", "layer2" ... and "logits", each but the last
// followed by the activation.
class Mlp {
 public:
  // `sizes` are those of the input, the hidden layers and the output: {64, 32, 10}. Throws
  // ValueError for fewer than two.
  Mlp(const std::vector<std::int64_t>& sizes, Key key, const MlpOptions& options = {},
      Location where = Location::current());
  // Moving copies, as of a Sequential.
  Mlp(const Mlp&) = default;
  Mlp& operator=(const Mlp&) = default;

  // (..., sizes.front()) to (..., sizes.back()).
  Var operator()(Var x, Location where = Location::current()) const;

  const std::vector<nn::Linear>& layers() const { return layers_; }
  std::vector<Parameter> parameters() const;
  std::int64_t parameter_count() const;  // numbers, not tensors

 private:
  std::vector<nn::Linear> layers_;
  MlpOptions options_;
};

// One linear layer to the classes' logits, for cross_entropy (which holds the softmax). It starts
// at zero: the loss is convex, and all classes begin equally likely.
class LogisticRegression : public nn::Linear {
 public:
  LogisticRegression(std::int64_t features, std::int64_t classes, DType dtype = float32,
                     Location where = Location::current())
      : Linear("logits", features, classes, Key{0}, {Initialiser::Rule::zeros, true, dtype},
               where) {}
};

// Bit for bit. Throws GraphError unless there are equally many, ShapeError or TypeError unless each
// fits its partner; then none has changed.
void copy_parameters(const std::vector<Parameter>& from, std::vector<Parameter> to,
                     Location where = Location::current());

}  // namespace dualtape
