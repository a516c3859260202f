// Recurrent layers, as PyTorch's of the same names: parameters, their layouts and the order of the
// gates are those, so that load_torch() takes them as they are. A layer is a scan over the places
// of a sequence (modes/loops.hpp), one for each of its `layers`, so every mode goes through it.
//
//   const dt::nn::LSTM lstm("lstm", 28, 64, dt::Key{1}, {.layers = 2});
//   dt::Var all = lstm(x);                           // (batch, length, 28) -> (batch, length, 64)
//   auto [out, last] = lstm.run(x, {h0, c0});        // from other states than zeros
//
// Sequences are (batch, length, size), as elsewhere here; (length, batch, size) by `batch_first`;
// or (length, size), one without a batch. Copies share parameters. Graphs are built by one thread
// at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <dualtape/core/graph.hpp>
#include <dualtape/core/random.hpp>
#include <dualtape/modes/loops.hpp>

namespace dualtape::nn {

struct RecurrentOptions {
  std::int64_t layers = 1;  // each of the second and on runs over what the one before gave
  bool bias = true;
  bool batch_first = true;  // PyTorch's is false unless said
  DType dtype = float32;
  Keep keep = {};  // what reverse mode keeps of each layer's places; see modes/loops.hpp
};

// (layers, batch, hidden), or (layers, hidden) without a batch. One that is left out is zeros.
struct RecurrentState {
  Var hidden;
  Var cell = {};  // of an LSTM alone
};
struct Recurred {
  Var out;  // what the last layer gave at every place: x's shape with `hidden` as the last size
  RecurrentState last;  // after the last place
};

// What the three have in common. The parameters of layer k = 0, 1 ... are
//   "<name>.weight_ih_lk" (gates * hidden, size), where size is `hidden` from layer 1 on,
//   "<name>.weight_hh_lk" (gates * hidden, hidden),
//   "<name>.bias_ih_lk" and "<name>.bias_hh_lk" (gates * hidden),
// each drawn from U(-a, a) with a = 1 / sqrt(hidden), from sub-streams of the key by name.
class Recurrent {
 public:
  // (batch, length, size) -> (batch, length, hidden). ShapeError and TypeError, with the layer's
  // name, for what does not fit.
  Var operator()(Var x, Location where = Location::current()) const {
    return run(x, {}, where).out;
  }
  // From those states, and with the last ones.
  Recurred run(Var x, const RecurrentState& start = {}, Location where = Location::current()) const;

  const std::string& name() const { return name_; }
  std::vector<Parameter> parameters() const { return parameters_; }
  std::vector<Parameter> tables() const;  // matrices that lie as PyTorch's do: all

 protected:
  enum class Cell : std::uint8_t { tanh, relu, gru, lstm };
  Recurrent(Cell cell, const std::string& name, std::int64_t size, std::int64_t hidden, Key key,
            const RecurrentOptions& options, Location where);

 private:
  std::string_view kind() const;  // "LSTM", for errors
  struct Layer;
  struct Sequence;
  Layer layer(Graph& graph, std::int64_t k) const;
  Sequence sequence(Var x, Location where) const;
  std::vector<Var> first_states(const Sequence& sequence, const RecurrentState& start,
                                Location where) const;

  Cell cell_;
  std::string name_;
  std::int64_t size_;
  std::int64_t hidden_;
  std::int64_t layers_;
  bool bias_;
  bool batch_first_;
  DType dtype_;
  Keep keep_;
  std::vector<Parameter> parameters_;  // layer by layer, in the order above
};

enum class RnnActivation : std::uint8_t { tanh, relu };
struct RnnOptions {
  std::int64_t layers = 1;
  RnnActivation activation = RnnActivation::tanh;
  bool bias = true;
  bool batch_first = true;
  DType dtype = float32;
  Keep keep = {};
};

// h' = tanh(W_ih x + b_ih + W_hh h + b_hh) (J. L. Elman, "Finding structure in time", Cognitive
// Science 14, 1990), or relu of it.
class RNN : public Recurrent {
 public:
  // `size` numbers at each place to `hidden`. ShapeError for sizes below 1 and ValueError for
  // layers below 1, as in the two others.
  RNN(const std::string& name, std::int64_t size, std::int64_t hidden, Key key,
      const RnnOptions& options = {}, Location where = Location::current());
};

// Rows of the matrices are those of r, z and n, one after the other:
//   r = sigmoid(W_ir x + b_ir + W_hr h + b_hr), z likewise,
//   n = tanh(W_in x + b_in + r (W_hn h + b_hn)), h' = (1 - z) n + z h
// (K. Cho et al., "Learning phrase representations using RNN encoder-decoder", EMNLP 2014, with r
// after the product, as in PyTorch).
class GRU : public Recurrent {
 public:
  GRU(const std::string& name, std::int64_t size, std::int64_t hidden, Key key,
      const RecurrentOptions& options = {}, Location where = Location::current())
      : Recurrent(Cell::gru, name, size, hidden, key, options, where) {}
};

// Rows of the matrices are those of i, f, g and o, one after the other:
//   i = sigmoid(W_ii x + b_ii + W_hi h + b_hi), f and o likewise, g the same with tanh,
//   c' = f c + i g, h' = o tanh(c')
// (S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997; the
// gate f by F. A. Gers et al., "Learning to forget", Neural Computation 12, 2000).
class LSTM : public Recurrent {
 public:
  LSTM(const std::string& name, std::int64_t size, std::int64_t hidden, Key key,
       const RecurrentOptions& options = {}, Location where = Location::current())
      : Recurrent(Cell::lstm, name, size, hidden, key, options, where) {}
};

}  // namespace dualtape::nn
