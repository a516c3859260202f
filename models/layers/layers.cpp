#include <dualtape/models/layers.hpp>

#include <dualtape/core/composite.hpp>
#include <dualtape/models/layers/layer_shape.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/attention.hpp>
#include <dualtape/ops/dropout.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {
namespace nn {
namespace {

void check_linear(Var x, const Linear& layer, Location where) {
  const Shape& shape = x.shape(where);
  const std::int64_t in = layer.weight().shape()[0];
  if (shape.rank() > 0 && shape[shape.rank() - 1] == in) return;
  std::int64_t after_batch = 1;
  for (std::size_t axis = 1; axis < shape.rank(); ++axis) after_batch *= shape[axis];
  const std::string wanted = std::to_string(in);
  fail<ShapeError>({.op = "Linear",
                    .label = layer.name(),
                    .what = "x is " + to_string(x.type()) + ", but its last size must be " + wanted,
                    .where = where,
                    .help = shape.rank() > 2 && after_batch == in
                                ? "put nn::Flatten() in front of the layer, which makes x " +
                                      to_string(Shape{shape[0], in})
                                : "make the layer for the size x has, or give x the shape (..., " +
                                      wanted + ")"});
}

}  // namespace

// Errors of a rule know neither the layer nor its sizes.
Tensor Weighted::drawn(Key key, const std::string& name, const Start& start) {
  return dualtape::detail::layer_tensor(
      start.layer, name, "weight", {start.weight, start.dtype}, start.where, [&] {
        return start.initialiser.weight(key.fold(name + ".weight"), start.weight, start.fans,
                                        start.dtype, start.where);
      });
}

Weighted::Weighted(const std::string& name, Key key, const Start& start)
    : name_(name), weight_(name + ".weight", drawn(key, name, start)) {
  if (!start.bias) return;
  const Shape outputs =
      dualtape::detail::layer_shape(start.layer, name, "bias", {start.outputs}, start.where);
  bias_.emplace(name + ".bias",
                dualtape::detail::layer_tensor(
                    start.layer, name, "bias", {outputs, start.dtype}, start.where, [&] {
                      return start.initialiser.bias(key.fold(name + ".bias"), outputs, start.fans,
                                                    start.dtype, start.where);
                    }));
}

std::vector<Parameter> Weighted::parameters() const {
  std::vector<Parameter> all{weight_};
  if (bias_) all.push_back(*bias_);
  return all;
}

Var Weighted::named_in_errors(std::string_view layer, const std::function<Var()>& build) const {
  const auto with_name = [&](const Error& error) {
    return "[" + std::string(layer) + " '" + name_ + "'] " + error.what();
  };
  try {
    return build();
  } catch (const ShapeError& error) {
    throw ShapeError(with_name(error));
  } catch (const TypeError& error) {
    throw TypeError(with_name(error));
  } catch (const ValueError& error) {
    throw ValueError(with_name(error));
  }
}

Linear::Linear(const std::string& name, std::int64_t in, std::int64_t out, Key key,
               const LinearOptions& options, Location where)
    : Weighted(name, key, [&]() -> Start {
        return {.layer = "Linear",
                .weight = dualtape::detail::layer_shape("Linear", name, "weight", {in, out}, where),
                .fans = {static_cast<double>(in), static_cast<double>(out)},
                .outputs = out,
                .bias = options.bias,
                .initialiser = options.initialiser,
                .dtype = options.dtype,
                .where = where};
      }()) {}

Var Linear::operator()(Var x, Location where) const {
  const Composite c("Linear", {In(x, where)});
  check_linear(x, *this, where);
  const Var product = named_in_errors("Linear", [&] { return matmul(x, weight()); });
  if (!bias()) return product.named(name());
  product.named(name() + "/product");
  return (product + *bias()).named(name());
}

Var Flatten::operator()(Var x, Location where) const { return flatten({x, where}, start_, end_); }

Dropout::Dropout(double p, Location where) : p_(p) {
  if (!(p >= 0 && p < 1))
    fail<ValueError>({.op = "Dropout",
                      .what = "p is " + std::to_string(p) + ", the probability of being dropped",
                      .where = where,
                      .help = "give 0 <= p < 1"});
}

Var Dropout::operator()(Var x, Location where) const {
  if (needs_context()) detail::refuse_without_context("Dropout", {}, detail::Called::layer, where);
  return x;
}

Var Dropout::operator()(Var x, Context& context, Location where) const {
  if (!context.training || p_ == 0) return x;
  return dropout({x, where}, p_, {context.next_key(where), where});
}

Embedding::Embedding(const std::string& name, std::int64_t rows, std::int64_t size, Key key,
                     const EmbeddingOptions& options, Location where)
    : name_(name), weight_(name + ".weight", [&] {
        const Shape shape =
            dualtape::detail::layer_shape("Embedding", name, "weight", {rows, size}, where);
        const Fans fans{static_cast<double>(rows), static_cast<double>(size)};
        return dualtape::detail::layer_tensor(
            "Embedding", name, "weight", {shape, options.dtype}, where, [&] {
              return options.initialiser.weight(key.fold(name + ".weight"), shape, fans,
                                                options.dtype, where);
            });
      }()) {}

Var Embedding::operator()(Var x, Location where) const {
  return embedding({weight_, where}, {x, where}).named(name_);
}

}  // namespace nn

std::string_view name_of(Activation activation) {
  switch (activation) {
    case Activation::identity: return "identity";
    case Activation::relu: return "relu";
    case Activation::tanh: return "tanh";
    case Activation::sigmoid: return "sigmoid";
    case Activation::gelu: return "gelu";
  }
  return "";
}

Var activate(Activation activation, Var x, Location where) {
  const In in(x, where);
  switch (activation) {
    case Activation::identity: return x;
    case Activation::relu: return relu(in);
    case Activation::tanh: return tanh(in);
    case Activation::sigmoid: return sigmoid(in);
    case Activation::gelu: return gelu(in);
  }
  fail<ValueError>({.op = "activate",
                    .what = "there is no activation of the number " +
                            std::to_string(static_cast<int>(activation)),
                    .where = where,
                    .help = "dt::Activation::relu, or another one"});
}

Mlp::Mlp(const std::vector<std::int64_t>& sizes, Key key, const MlpOptions& options, Location where)
    : options_(options) {
  if (sizes.size() < 2)
    fail<ValueError>({.op = "Mlp",
                      .what = std::to_string(sizes.size()) + " sizes make no layer",
                      .where = where,
                      .help = "give at least those of the input and the output"});
  const nn::LinearOptions linear{options.initialiser, options.bias, options.dtype};
  for (std::size_t i = 1; i < sizes.size(); ++i) {
    const std::string name = i + 1 == sizes.size() ? "logits" : "layer" + std::to_string(i);
    layers_.emplace_back(name, sizes[i - 1], sizes[i], key, linear, where);
  }
}

Var Mlp::operator()(Var x, Location where) const {
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const bool last = i + 1 == layers_.size();
    const Var sums = layers_[i](x, where);
    const Activation activation = last ? options_.output : options_.activation;
    x = activate(activation, sums, where);
    if (activation != Activation::identity)
      x.named(layers_[i].name() + "/" + std::string(name_of(activation)));
  }
  return x;
}

std::vector<Parameter> Mlp::parameters() const {
  std::vector<Parameter> all;
  for (const nn::Linear& layer : layers_)
    for (const Parameter& parameter : layer.parameters()) all.push_back(parameter);
  return all;
}

std::int64_t Mlp::parameter_count() const {
  std::int64_t count = 0;
  for (const Parameter& parameter : parameters()) count += parameter.count();
  return count;
}

void copy_parameters(const std::vector<Parameter>& from, std::vector<Parameter> to,
                     Location where) {
  if (from.size() != to.size())
    fail<GraphError>({.op = "copy_parameters",
                      .what = std::to_string(from.size()) + " parameters cannot be copied to " +
                              std::to_string(to.size()),
                      .where = where,
                      .help = "build both models alike"});
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (from[i].type() == to[i].type()) continue;
    const Complaint complaint{.op = "copy_parameters",
                              .label = to[i].name(),
                              .what = "is " + to_string(to[i].type()) + ", but '" + from[i].name() +
                                      "', number " + std::to_string(i) + " of those copied, is " +
                                      to_string(from[i].type()),
                              .where = where,
                              .help = "build both models with the same sizes and dtype"};
    if (from[i].shape() != to[i].shape()) fail<ShapeError>(complaint);
    fail<TypeError>(complaint);
  }
  for (std::size_t i = 0; i < from.size(); ++i) to[i].set(from[i].value(), where);
}

}  // namespace dualtape
