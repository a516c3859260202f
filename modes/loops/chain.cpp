// Chains of layers that keep some of what goes into them: checkpoints inside checkpoints.
//
// A part of the chain that is to be run again is one call of a function, whose transpose computes
// it anew. Within it the same is done with the states that are free then: so nested, calls follow
// the schedule.
#include <algorithm>
#include <string>

#include <dualtape/core/callable.hpp>
#include <dualtape/core/composite.hpp>
#include <dualtape/modes/loops.hpp>
#include <dualtape/modes/loops/closure.hpp>
#include <dualtape/modes/loops/schedule.hpp>

namespace dualtape {
namespace {

class Chain {
 public:
  Chain(const std::vector<Layer>& layers, const Keep& keep, Location where)
      : layers_(layers), keep_(keep), where_(where) {}

  std::vector<Var> run(std::vector<Var> x) const {
    const auto count = static_cast<std::int64_t>(layers_.size());
    if (keep_.every > 0) {
      for (std::int64_t first = 0; first < count; first += keep_.every)
        x = again(x, first, std::min(first + keep_.every, count), 0);
      return x;
    }
    return part(std::move(x), 0, count, keep_.states > 0 ? keep_.states : count);
  }

 private:
  // Layers first ... last - 1, of whose inputs `states` may be kept; 0 for all.
  std::vector<Var> part(std::vector<Var> x, std::int64_t first, std::int64_t last,
                        std::int64_t states) const {
    if (states == 0 || states >= last - first) {
      for (std::int64_t i = first; i < last; ++i) x = layer(i, x);
      return x;
    }
    while (last - first > 1) {
      const std::int64_t middle = first + detail::next_kept(last - first, states);
      x = again(x, first, middle, states);
      first = middle;
      if (--states == 0) break;
    }
    for (; first < last; ++first) x = layer(first, x);
    return x;
  }

  std::vector<Var> layer(std::int64_t i, const std::vector<Var>& x) const {
    std::vector<Var> y = layers_[static_cast<std::size_t>(i)](x);
    for (const Var& var : y) detail::require_alive(var, "chain", "what a layer returns", where_);
    if (y.empty())
      fail<GraphError>({.op = "chain",
                        .what = "layer " + std::to_string(i) + " (from 0) returns nothing",
                        .where = where_,
                        .help = "return what the next layer is given"});
    return y;
  }

  // As one node that is computed again when it is differentiated backwards.
  std::vector<Var> again(const std::vector<Var>& x, std::int64_t first, std::int64_t last,
                         std::int64_t states) const {
    if (last - first == 1 && states != 0) return layer(first, x);
    Graph& graph = x[0].graph();
    std::vector<Var> given;
    for (const Var& var : x) given.push_back(detail::stand_in_of_type(graph, var.type(), where_));
    const std::vector<Var> results = part(given, first, last, states);
    const std::vector<bool> depends = detail::depending_on(graph, given);
    const detail::Closure closure = detail::close_over(
        "layers " + std::to_string(first) + " to " + std::to_string(last - 1), graph, given,
        results, {given[0].id(), [&](NodeId id) { return bool{depends[id]}; }}, where_);
    std::vector<In> operands;
    for (const Var& var : x) operands.emplace_back(var, where_);
    for (const Var& var : closure.captured) operands.emplace_back(var, where_);
    return call(closure.function, operands, where_);
  }

  const std::vector<Layer>& layers_;
  const Keep& keep_;
  Location where_;
};

}  // namespace

std::vector<Var> chain(const std::vector<Layer>& layers, const std::vector<In>& start,
                       const Keep& keep, Location where) {
  const auto refuse = [&](const char* what, const char* help) {
    fail<ValueError>({.op = "chain", .what = what, .where = where, .help = help});
  };
  for (const Layer& layer : layers)
    detail::require_callable(!detail::is_null(layer), "chain", where);
  if (keep.bytes != 0)
    refuse("it is to keep as many states as fit into bytes, and they have different sizes",
           "give states or every");
  if (keep.states < 0 || keep.every < 0)
    refuse("it is to keep fewer than 0 states", "give 0 for all");
  if (keep.states > 0 && keep.every > 0)
    refuse("what to keep is said in two ways", "give states or every");
  const Composite operands("chain", start);
  return Chain(layers, keep, where).run(operands.operands());
}

}  // namespace dualtape
