#include <dualtape/models/sequential.hpp>

#include <algorithm>
#include <string>
#include <unordered_set>
#include <utility>

#include <dualtape/core/composite.hpp>
#include <dualtape/ops/arithmetic.hpp>

namespace dualtape::nn {
namespace {

struct Function {
  Var (*function)(In);
  Var operator()(Var x, Location where) const { return function({x, where}); }
};

// Evaluates without a Context what works the same in training.
template <class Model>
Var call_plain(const char* name, const Model& model, Var x, Location where) {
  if (model.needs_context()) detail::refuse_without_context(name, {}, detail::Called::net, where);
  return model.evaluate(x, where);
}

}  // namespace

void detail::append_new(std::vector<Parameter>& all, const std::vector<Parameter>& more) {
  for (const Parameter& parameter : more)
    if (std::ranges::find(all, parameter) == all.end()) all.push_back(parameter);
}

Layer::Layer(Var (*function)(In), Location where) : Layer(Function{function}, where) {
  if (function == nullptr) refuse_empty(where);
}

void Layer::refuse_empty(Location where) {
  fail<ValueError>({.op = "Layer",
                    .what = "a layer is made of a function that is empty or null",
                    .where = where,
                    .help = "give a function of one Var, such as dt::relu"});
}

void Layer::check_depth(Location where) const {
  // Layers are called, asked for parameters and destroyed one inside the other, on the stack.
  constexpr int most_depth = 512;
  if (depth() > most_depth)
    fail<ValueError>({.op = "Layer",
                      .what = "layers are nested more than " + std::to_string(most_depth) + " deep",
                      .where = where,
                      .help = "put layers side by side into one Sequential"});
}

Var Layer::operator()(Var x, Location where) const { return call_plain("Layer", *this, x, where); }

Var Layer::evaluate(Var x, Location where) const {
  Context evaluation;
  return (*this)(x, evaluation, where);
}

Sequential::Sequential(std::vector<Layer> layers, Location where) : layers_(std::move(layers)) {
  std::unordered_set<std::string> names;
  for (const Parameter& parameter : state_of(*this))
    if (!names.insert(parameter.name()).second)
      fail<ValueError>({.op = "Sequential",
                        .what = "two parameters are called '" + parameter.name() + "'",
                        .where = where,
                        .help = "give each layer a name of its own"});
}

Var Sequential::operator()(Var x, Location where) const {
  return call_plain("Sequential", *this, x, where);
}

Var Sequential::evaluate(Var x, Location where) const {
  Context evaluation;
  return (*this)(x, evaluation, where);
}

Var Sequential::operator()(Var x, Context& context, Location where) const {
  for (const Layer& layer : layers_) x = layer(x, context, where);
  return x;
}

namespace {

struct ParameterHash {
  std::size_t operator()(const Parameter& parameter) const { return parameter.hash(); }
};

// Those of all layers, each once.
std::vector<Parameter> distinct(const std::vector<Layer>& layers,
                                std::vector<Parameter> (Layer::*own)() const) {
  std::vector<Parameter> all;
  std::unordered_set<Parameter, ParameterHash> seen;
  for (const Layer& layer : layers)
    for (const Parameter& parameter : (layer.*own)())
      if (seen.insert(parameter).second) all.push_back(parameter);
  return all;
}

}  // namespace

std::vector<Parameter> Sequential::parameters() const {
  return distinct(layers_, &Layer::parameters);
}

std::vector<Parameter> Sequential::buffers() const { return distinct(layers_, &Layer::buffers); }

std::vector<Parameter> Sequential::tables() const { return distinct(layers_, &Layer::tables); }

bool Sequential::needs_context() const {
  return std::ranges::any_of(layers_, &Layer::needs_context);
}

int Sequential::depth() const {
  int deepest = 0;
  for (const Layer& layer : layers_) deepest = std::max(deepest, layer.depth());
  return deepest + 1;
}

std::int64_t Sequential::parameter_count() const { return count_of(parameters()); }

Var Residual::operator()(Var x, Location where) const {
  return call_plain("Residual", *this, x, where);
}

Var Residual::evaluate(Var x, Location where) const {
  Context evaluation;
  return (*this)(x, evaluation, where);
}

Var Residual::operator()(Var x, Context& context, Location where) const {
  const Var detour = inner_(x, context, where);
  const Var straight = shortcut_ ? (*shortcut_)(x, context, where) : x;
  // Broadcasting would hide a detour of another size.
  if (detour.shape(where) != straight.shape(where))
    fail<ShapeError>({.op = "Residual",
                      .label = detour.label(),
                      .what = "the inner layers give " + to_string(detour.type()) +
                              ", which cannot be added to " + to_string(straight.type()),
                      .where = where,
                      .help = "let both keep the size, or give a shortcut that brings x to it"});
  const Composite c("Residual", {In(detour, where), In(straight, where)});
  return detour + straight;
}

std::vector<Parameter> Residual::parameters() const {
  std::vector<Parameter> all = inner_.parameters();
  if (shortcut_) detail::append_new(all, shortcut_->parameters());
  return all;
}

std::vector<Parameter> Residual::buffers() const {
  std::vector<Parameter> all = inner_.buffers();
  if (shortcut_) detail::append_new(all, shortcut_->buffers());
  return all;
}

std::vector<Parameter> Residual::tables() const {
  std::vector<Parameter> all = inner_.tables();
  if (shortcut_) detail::append_new(all, shortcut_->tables());
  return all;
}

int Residual::depth() const {
  return 1 + std::max(inner_.depth(), shortcut_ ? shortcut_->depth() : 0);
}

std::int64_t count_of(const std::vector<Parameter>& parameters) {
  std::int64_t count = 0;
  for (const Parameter& parameter : parameters) count += parameter.count();
  return count;
}

}  // namespace dualtape::nn
