#include <dualtape/models/recurrent.hpp>

#include <cmath>

#include <dualtape/core/composite.hpp>
#include <dualtape/models/initialise.hpp>
#include <dualtape/models/layers/layer_shape.hpp>
#include <dualtape/modes/loops.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/creation.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/slice.hpp>

namespace dualtape::nn {
namespace {

// x W^T.
Var times_transposed(Var x, Var w) { return matmul(x, w, {.transpose_b = true}); }

// Gate k of the numbers along the last axis, `size` for each.
Var gate(Var all, std::int64_t k, std::int64_t size) {
  return slice(all, -1, k * size, (k + 1) * size);
}

}  // namespace

// The parameters of one layer in a graph; biases are undefined where there are none.
struct Recurrent::Layer {
  Cell cell;
  std::int64_t hidden;
  Var weight_ih, weight_hh, bias_ih, bias_hh;

  // What does not depend on the state, for all places at once.
  Var from_input(Var x) const {
    const Var product = times_transposed(x, weight_ih);
    if (!bias_ih.defined()) return product;
    // The last bias of a GRU is multiplied by a gate.
    return cell == Cell::gru ? product + bias_ih : product + (bias_ih + bias_hh);
  }
  // The states after one place; the first is h.
  std::vector<Var> step(std::span<const Var> state, Var input) const {
    const Var h = state[0];
    Var from_h = times_transposed(h, weight_hh);
    if (cell == Cell::gru) {
      if (bias_hh.defined()) from_h = from_h + bias_hh;
      const auto open = [&](std::int64_t k) {
        return sigmoid(gate(input, k, hidden) + gate(from_h, k, hidden));
      };
      const Var r = open(0), z = open(1);
      const Var n = tanh(gate(input, 2, hidden) + r * gate(from_h, 2, hidden));
      return {n + z * (h - n)};
    }
    const Var sum = input + from_h;
    if (cell == Cell::tanh) return {tanh(sum)};
    if (cell == Cell::relu) return {relu(sum)};
    const auto part = [&](std::int64_t k) { return gate(sum, k, hidden); };
    const Var i = sigmoid(part(0)), f = sigmoid(part(1)), g = tanh(part(2)), o = sigmoid(part(3));
    const Var c = f * state[1] + i * g;
    return {o * tanh(c), c};
  }
};

// A sequence as (length, batch, size), and how it was given.
struct Recurrent::Sequence {
  Var x;
  std::int64_t batch;
  bool batched;
};

Recurrent::Recurrent(Cell cell, const std::string& name, std::int64_t size, std::int64_t hidden,
                     Key key, const RecurrentOptions& options, Location where)
    : cell_(cell),
      name_(name),
      size_(size),
      hidden_(hidden),
      layers_(options.layers),
      bias_(options.bias),
      batch_first_(options.batch_first),
      dtype_(options.dtype),
      keep_(options.keep) {
  const std::string_view layer = kind();
  const std::int64_t gates = cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1;
  if (layers_ < 1)
    fail<ValueError>({.op = layer,
                      .label = name,
                      .what = "there are " + std::to_string(layers_) + " layers",
                      .where = where,
                      .help = "at least one"});
  const Initialiser rule(Initialiser::Rule::uniform,
                         hidden < 1 ? 1.0 : 1 / std::sqrt(static_cast<double>(hidden)));
  const Fans any{1, 1};  // the bound is that of the hidden size
  const auto add = [&](const std::string& what, std::initializer_list<std::int64_t> sizes) {
    const Shape shape = dualtape::detail::layer_shape(layer, name, what, sizes, where);
    const std::string full = name + "." + what;
    parameters_.emplace_back(
        full, dualtape::detail::layer_tensor(layer, name, what, {shape, dtype_}, where, [&] {
          return rule.weight(key.fold(full), shape, any, dtype_, where);
        }));
  };
  dualtape::detail::layer_shape(layer, name, "hidden state", {hidden}, where);
  for (std::int64_t k = 0; k < layers_; ++k) {
    const std::string number = "_l" + std::to_string(k);
    add("weight_ih" + number, {gates * hidden, k == 0 ? size : hidden});
    add("weight_hh" + number, {gates * hidden, hidden});
    if (!bias_) continue;
    add("bias_ih" + number, {gates * hidden});
    add("bias_hh" + number, {gates * hidden});
  }
}

std::string_view Recurrent::kind() const {
  return cell_ == Cell::lstm ? "LSTM" : cell_ == Cell::gru ? "GRU" : "RNN";
}

std::vector<Parameter> Recurrent::tables() const {
  std::vector<Parameter> all;
  for (const Parameter& parameter : parameters_)
    if (parameter.shape().rank() == 2) all.push_back(parameter);
  return all;
}

Recurrent::Layer Recurrent::layer(Graph& graph, std::int64_t k) const {
  const std::size_t first = static_cast<std::size_t>(k) * (bias_ ? 4 : 2);
  Layer made{cell_, hidden_, graph.read(parameters_[first]), graph.read(parameters_[first + 1]),
             {},    {}};
  if (!bias_) return made;
  made.bias_ih = graph.read(parameters_[first + 2]);
  made.bias_hh = graph.read(parameters_[first + 3]);
  return made;
}

Recurrent::Sequence Recurrent::sequence(Var x, Location where) const {
  const Shape& shape = x.shape();
  const std::size_t rank = shape.rank();
  if ((rank != 2 && rank != 3) || shape.back() != size_)
    fail<ShapeError>({.op = kind(),
                      .label = name_,
                      .what = "x is " + to_string(x.type()),
                      .where = where,
                      .help = std::string("give it the shape ") +
                              (batch_first_ ? "(batch, length, " : "(length, batch, ") +
                              std::to_string(size_) + "), or (length, " + std::to_string(size_) +
                              ")"});
  if (x.dtype() != dtype_)
    fail<TypeError>({.op = kind(),
                     .label = name_,
                     .what = "x is " + to_string(x.type()) + " and the weights are " +
                             std::string(name_of(dtype_)),
                     .where = where,
                     .help = "make the layer with the dtype of x, or cast x"});
  if (rank == 2) return {unsqueeze(x, 1), 1, false};
  const Var over = batch_first_ ? transpose(x, 0, 1) : x;
  return {over, over.shape()[1], true};
}

// Of all layers, (layers, batch, hidden): h, and c where there is one.
std::vector<Var> Recurrent::first_states(const Sequence& sequence, const RecurrentState& start,
                                         Location where) const {
  const bool has_cell = cell_ == Cell::lstm;
  if (start.cell.defined() && !has_cell)
    fail<GraphError>({.op = kind(),
                      .label = name_,
                      .what = "it is given the state of a cell, and has none",
                      .where = where,
                      .help = "leave RecurrentState::cell out"});
  const Type wanted{Shape{layers_, sequence.batch, hidden_}, dtype_};
  std::vector<Var> made;
  for (const Var& state : {start.hidden, start.cell}) {
    if (made.size() == 1 && !has_cell) break;
    if (!state.defined()) {
      made.push_back(sequence.x.graph().constant(zeros(wanted.shape, dtype_)));
      continue;
    }
    const Var given = sequence.batched ? state : unsqueeze(state, 1);
    if (given.type() != wanted)
      fail<ShapeError>(
          {.op = kind(),
           .label = name_,
           .what = std::string(made.empty() ? "the hidden state" : "the cell") + " is " +
                   to_string(state.type()),
           .where = where,
           .help = std::string("it is of ") + std::string(name_of(dtype_)) +
                   (sequence.batched ? " (layers, batch, hidden), here " + to_string(wanted.shape)
                                     : " (layers, hidden)")});
    made.push_back(given);
  }
  return made;
}

Recurred Recurrent::run(Var x, const RecurrentState& start, Location where) const {
  const Composite c(kind(), {In(x, where)});
  const Sequence sequence = this->sequence(c[0], where);
  const std::vector<Var> first = first_states(sequence, start, where);
  std::vector<std::vector<Var>> last(first.size());
  Var over = sequence.x;
  for (std::int64_t k = 0; k < layers_; ++k) {
    const Layer layer = this->layer(c.graph(), k);
    std::vector<In> states;
    for (const Var& state : first)
      states.emplace_back(squeeze(slice(state, 0, k, k + 1), {0}), where);
    const auto step = [&](std::span<const Var> state, std::span<const Var> input) -> Step {
      const std::vector<Var> next = layer.step(state, input[0]);
      return {next, {next[0]}};
    };
    const Scanned all =
        scan(step, states, {In(layer.from_input(over), where)}, {.keep = keep_}, where);
    over = all.out[0];
    for (std::size_t i = 0; i < last.size(); ++i) last[i].push_back(all.state[i]);
  }
  const auto given = [&](Var state) { return sequence.batched ? state : squeeze(state, {1}); };
  const Var out = !sequence.batched ? squeeze(over, {1})
                  : batch_first_    ? transpose(over, 0, 1)
                                    : over;
  Recurred made{out.named(name_), {given(stack(last[0]))}};
  if (last.size() > 1) made.last.cell = given(stack(last[1]));
  return made;
}

RNN::RNN(const std::string& name, std::int64_t size, std::int64_t hidden, Key key,
         const RnnOptions& options, Location where)
    : Recurrent(options.activation == RnnActivation::relu ? Cell::relu : Cell::tanh, name, size,
                hidden, key,
                {options.layers, options.bias, options.batch_first, options.dtype, options.keep},
                where) {}

}  // namespace dualtape::nn
