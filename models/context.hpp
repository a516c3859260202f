// nn::Context: what a layer needs beyond its input. One is made for each graph a model is built in;
// graphs are built by one thread at a time.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <dualtape/core/program.hpp>

namespace dualtape::nn {

struct Context {
  bool training = false;  // dropout draws and batch norm takes the batch's statistics
  Var key = {};           // int64 scalar; must differ from step to step, as the trainer's does
  // What layers want written at the end of a step, such as running statistics: to be given to
  // compile() with the optimiser's own. One for each parameter.
  std::vector<Assign> updates = {};
  std::int64_t draws = 0;  // keys handed out

  // A key for one layer's draws, independent of all others handed out. The n-th layer that asks
  // gets sub-stream n, so equal models draw equal numbers. GraphError if there is no key.
  Var next_key(Location where = Location::current());

  // What `buffer` holds after the updates so far, in `graph`: a layer that stands in two places
  // goes on from what it made of the first.
  Var latest(const Parameter& buffer, Graph& graph) const;
  void update(const Parameter& buffer, Var value, Location where = Location::current());
};

namespace detail {

// The GraphError of a layer, or of a net that holds such layers, that trains otherwise than it
// evaluates and was called without a Context: neither is done silently.
enum class Called : std::uint8_t { layer, net };
[[noreturn]] void refuse_without_context(std::string_view op, std::string_view label, Called called,
                                         Location where);

}  // namespace detail

}  // namespace dualtape::nn
