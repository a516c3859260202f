// Program: a graph compiled to a list of kernels on memory placed ahead of time.
//
// Compile once, run many times; after the first run a run allocates nothing (oneDNN, where products
// go to it, makes a few small allocations of its own), but for results that are kept: memory for
// others in their place. Every read of a Parameter sees its value at
// the start of the run and every assignment commits at the end, all or none. A Program may be used
// by one thread at a time; different Programs run at the same time as long as they do not write the
// same Parameter (that is detected and throws GraphError).
#pragma once

#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/core/graph.hpp>
#include <dualtape/core/pass.hpp>
#include <dualtape/core/plan.hpp>
#include <dualtape/core/profile.hpp>

namespace dualtape {

// Throws ShapeError or TypeError unless value and parameter have the same type.
Assign assign(const Parameter& parameter, Var value, Location where = Location::current());

// A value for a graph input. The tensor is read in place during the run. A bare literal is weak: it
// becomes a tensor of shape () and the input's dtype, if that can hold it.
struct Feed {
  Feed(Var input_var, Tensor fed, Location here = Location::current())
      : input(input_var), value(std::move(fed)), where(here) {}
  template <class T>
  requires std::is_arithmetic_v<T> Feed(Var input_var, T number,
                                        Location here = Location::current())
      : Feed(input_var, tensor_for(input_var, Number(number, here)), here) {
    if (!input_var.alive()) literal = Number(number, here);
  }
  Var input;
  Tensor value;
  Location where;
  std::optional<Number> literal;  // of an input whose graph has ended: a run knows its dtype

 private:
  static Tensor tensor_for(Var input, Number number);
};

// Bytes. A total counts every value of its category as if no memory were used twice; a peak is the
// most that is alive at one step.
struct MemoryUse {
  std::size_t arena_bytes = 0;            // allocated once
  std::size_t result_bytes = 0;           // of the outputs of one run, which have their own memory
  std::size_t workspace_bytes = 0;        // the largest kernel's scratch, on every thread
  std::size_t peak_live_bytes = 0;        // the most that is alive at one step, all categories
  std::size_t peak_activation_bytes = 0;  // activations, tangents and cotangents
  std::size_t peak_direction_bytes = 0;   // random directions
  std::size_t peak_update_bytes = 0;      // what only assignments need
  std::size_t total_activation_bytes = 0;
  std::size_t total_direction_bytes = 0;
  std::size_t total_update_bytes = 0;
  std::size_t parameter_bytes = 0;  // of all parameters read or written; they are the user's
  std::size_t constant_bytes = 0;   // of the graph's constants
  std::size_t input_bytes = 0;      // of what a run is fed
};

class Outputs;
namespace detail {
class Body;
}

class Program {
 public:
  Program(Program&&) noexcept;
  Program& operator=(Program&&) noexcept;
  ~Program();

  // Throws GraphError, ShapeError or TypeError for a missing, foreign or ill-typed feed, and what
  // kernels find (ValueError); then no parameter has changed.
  Outputs run(std::initializer_list<Feed> feeds = {}, Location where = Location::current());
  Outputs run(std::span<const Feed> feeds, Location where = Location::current());

  MemoryUse memory(Location where = Location::current()) const;
  std::size_t steps(Location where = Location::current()) const;
  int threads(Location where = Location::current()) const;  // that it was compiled for
  // What runs, in order: each step's kernel, arithmetic, bytes and memory; what was fused, and why
  // other elementwise steps were not.
  std::string explain(Location where = Location::current()) const;
  std::string to_dot(Location where = Location::current()) const;  // a Graphviz drawing of it
  const Plan& plan(Location where = Location::current()) const;

  // From the next run on, the time of every step is taken, or no longer; costs tens of
  // nanoseconds a step.
  // Switching it on forgets earlier times.
  void profile(bool on, Location where = Location::current());
  // The times so far; no runs if it was never switched on.
  Profile profiled(Location where = Location::current()) const;

 private:
  friend Program compile(std::vector<Var>, std::vector<Assign>, const CompileOptions&, Location);
  friend class detail::Body;
  struct Impl;
  // What is known of a program before it has memory.
  static std::unique_ptr<Impl> planned(std::span<const Var> outputs,
                                       std::span<const Assign> assigns,
                                       const CompileOptions& options, Location where);
  explicit Program(std::unique_ptr<Impl> impl);
  Impl& impl(Location where) const;  // GraphError if it was moved from
  std::unique_ptr<Impl> impl_;
};

// The results of a run. They stay as they are for as long as they, or Tensors taken from them, are
// kept, whatever becomes of the Program; a Tensor from them may be fed to any program. Copies share
// the results, and any thread may keep or drop one.
class Outputs {
 public:
  // GraphError if `var` was not among the outputs compiled.
  const Tensor& operator[](VarAt var) const& { return find(var); }
  Tensor operator[](VarAt var) && { return find(var); }

  struct Results;  // private to the library

 private:
  friend class Program;
  explicit Outputs(std::shared_ptr<const Results> results) : results_(std::move(results)) {}
  const Tensor& find(const VarAt& var) const;

  std::shared_ptr<const Results> results_;
};

// Plans the computation of `outputs` and of the assignments. Throws GraphError if they belong to
// different graphs, or if two assignments write one Parameter.
Program compile(std::vector<Var> outputs, std::vector<Assign> assigns = {},
                Location where = Location::current());
// The same with passes left out (GraphError for a name that is no optional pass); see passes().
Program compile(std::vector<Var> outputs, std::vector<Assign> assigns,
                const CompileOptions& options, Location where = Location::current());

// Compiles and runs once; for looking at values, not for loops.
Tensor eval(Var var, std::initializer_list<Feed> feeds = {}, Location where = Location::current());

// The graph as a Graphviz drawing: primal nodes, coefficients, tangents and cotangents in colours.
std::string to_dot(const Graph& graph, Location where = Location::current());
// The same of a plan, in run order.
std::string to_dot(const Plan& plan);

}  // namespace dualtape
