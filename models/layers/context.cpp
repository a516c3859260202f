#include <dualtape/models/context.hpp>

#include <algorithm>
#include <string>

#include <dualtape/ops/random.hpp>

namespace dualtape::nn {

Var Context::next_key(Location where) {
  if (!key.defined())
    fail<GraphError>({.op = "Context",
                      .what = "a layer draws random numbers, but there is no key",
                      .where = where,
                      .help = "set context.key to an int64 scalar that differs in every step, such "
                              "as graph.input(\"key\", {}, dt::int64)"});
  return fold_key({key, where}, {draws++, where});
}

Var Context::latest(const Parameter& buffer, Graph& graph) const {
  const auto known = std::ranges::find(updates, buffer, &Assign::parameter);
  return known == updates.end() ? graph.read(buffer) : known->value;
}

void Context::update(const Parameter& buffer, Var value, Location where) {
  const auto known = std::ranges::find(updates, buffer, &Assign::parameter);
  if (known != updates.end())
    *known = assign(buffer, value, where);
  else
    updates.push_back(assign(buffer, value, where));
}

void detail::refuse_without_context(std::string_view op, std::string_view label, Called called,
                                    Location where) {
  const bool net = called == Called::net;
  const std::string name = net ? "net" : "layer";
  fail<GraphError>(
      {.op = op,
       .label = label,
       .what = std::string(net ? "it holds layers that train otherwise than they evaluate, such as "
                                 "dropout or batch norm,"
                               : "it trains otherwise than it evaluates") +
               " and was called without an nn::Context",
       .where = where,
       .help = std::string("let the objective") + (net ? "" : ", or the layer that holds it,") +
               " take `nn::Context& context` after its " + (net ? "two Vars" : "Vars") +
               " and call " + name + "(x, context); to evaluate, call " + name + ".evaluate(x)"});
}

}  // namespace dualtape::nn
