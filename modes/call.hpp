// Subgraphs called as nodes.
//
// A Function is a body with its own graph; call() makes one node of it in another graph.
// Derivatives of a call are calls of derived functions: its jvp runs the body's tangent program,
// the transpose its cotangent program, each computing the body's values again, so nothing of the
// body is kept between forward and backward: that is checkpointing. Functions are immutable once
// made and may be called from any number of graphs; making one and building graphs is for one
// thread at a time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <dualtape/core/op.hpp>

namespace dualtape {

// Derivatives of a function that come from its author instead of its body (modes/custom.hpp).
// Either may be empty.
struct FunctionRules {
  // (inputs, outputs, tangents of the inputs) -> tangents of the outputs, linear in the tangents.
  using Jvp = std::function<std::vector<Var>(std::span<const Var> in, std::span<const Var> out,
                                             std::span<const Var> tangents)>;
  // (inputs, outputs, cotangents of the outputs) -> cotangents of the inputs.
  using Vjp = std::function<std::vector<Var>(std::span<const Var> in, std::span<const Var> out,
                                             std::span<const Var> cotangents)>;
  Jvp jvp;
  Vjp vjp;
  bool of_batch = false;  // made of a member's rules: they emit ordinary nodes, none on a tape
  bool any() const { return jvp != nullptr || vjp != nullptr; }
};

class Function : public std::enable_shared_from_this<Function> {
 public:
  using Body = std::function<std::vector<Var>(std::span<const Var>)>;

  // Builds `body` on inputs of these types. Throws what building throws, and GraphError if the body
  // is an empty function, calls functions that call others more than 256 deep, returns nothing or
  // Vars of another graph, or reads a Parameter: derivatives reach what is passed as an argument,
  // so pass it.
  static std::shared_ptr<const Function> make(std::string name, const std::vector<Type>& inputs,
                                              const Body& body,
                                              Location where = Location::current(),
                                              FunctionRules rules = {});

  const std::string& name() const { return name_; }
  const Graph& graph() const { return *graph_; }
  const std::vector<Var>& inputs() const { return inputs_; }
  const std::vector<Var>& outputs() const { return outputs_; }
  Location where() const { return where_; }  // of make()
  const FunctionRules& rules() const { return rules_; }
  std::shared_ptr<const Function> shared() const { return shared_from_this(); }
  // 0 for a body that calls no Function, else one more than the deepest of those it calls.
  int depth() const { return depth_; }

  // Adds the body's nodes to the graph of `arguments`; returns what the outputs become. GraphError
  // unless there is one argument for each input, of one graph; ShapeError or TypeError unless it
  // has that one's type.
  std::vector<Var> inlined(std::span<const Var> arguments,
                           Location where = Location::current()) const;

  // A function made from this one (its jvp, its transpose), made once for each name. Any thread.
  std::shared_ptr<const Function> derived(
      const std::string& name, const std::function<std::shared_ptr<const Function>()>& make_it,
      Location where = Location::current()) const;

 private:
  Function() = default;
  std::string name_;
  std::unique_ptr<Graph> graph_;
  std::vector<Var> inputs_;
  std::vector<Var> outputs_;
  std::vector<NodeId> needed_;  // by the outputs, ascending
  int depth_ = 0;
  Location where_;
  FunctionRules rules_;
  mutable std::map<std::string, std::shared_ptr<const Function>> derived_;
};

// One node that runs `function` on `arguments`. ShapeError or TypeError unless they have the types
// of its inputs.
std::vector<Var> call(const std::shared_ptr<const Function>& function,
                      std::span<const In> arguments, Location where = Location::current());
std::vector<Var> call(const std::shared_ptr<const Function>& function,
                      std::initializer_list<In> arguments, Location where = Location::current());

// A function that is computed again in the backward sweep instead of kept: call() of `body`.
std::vector<Var> checkpoint(const Function::Body& body, std::initializer_list<In> arguments,
                            Location where = Location::current());

}  // namespace dualtape
