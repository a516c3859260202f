// What the files of implicit functions share. Private. Plain values, any thread; graphs are built
// by one thread at a time.
//
// A problem is solved by a function of (constants, start) that returns (x, residual, steps); the
// node that runs it looks at the residual. The derivative of each problem is a linear system.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <dualtape/core/op.hpp>
#include <dualtape/modes/call.hpp>
#include <dualtape/modes/implicit.hpp>
#include <dualtape/modes/loops/closure.hpp>

namespace dualtape::detail {

using FunctionPtr = std::shared_ptr<const Function>;

// What becomes of a solution that is none.
enum class Failure : std::uint8_t { error, flag, nan };

struct Terms {
  std::string function;  // the user called
  double tolerance = 0;
  std::int64_t most = 0;
  Failure failure = Failure::error;
  bool of_derivative = false;  // of that function, whose solution is another node's

  // Of the derivatives of what has these: no number of theirs is silent, either.
  Failure of_derivatives() const { return failure == Failure::error ? failure : Failure::nan; }
};

// A x = b, the attributes of linear_solve. All functions take (constants, v).
struct LinearSystem {
  FunctionPtr matvec;      // -> A v
  FunctionPtr solve;       // -> (x, residual, steps) for b = v
  FunctionPtr transposed;  // the same for A^T; null where it is not known
  bool symmetric = false;
  Terms terms;

  LinearSystem() = default;
  explicit LinearSystem(const Attributes& attributes);
  std::vector<Attributes::Entry> entries() const;

  std::size_t constants() const { return matvec->inputs().size() - 1; }
  // A^T x = b. Throws what transposing the map throws.
  LinearSystem transpose() const;
  // Of all members of a batch, where those inputs have the batch axis.
  LinearSystem batch(const std::vector<bool>& batched, std::int64_t size) const;
  // One node: (x, residual, steps). The operands are the constants and b.
  std::vector<Var> apply(std::span<const Var> operands) const;
};
const Op& linear_solve_operator();

// A system with the constants that go with it, of the graph of what `map` captures.
struct BuiltSystem {
  LinearSystem system;
  std::vector<Var> constants;
};
BuiltSystem build_system(Graph& graph, const VarMap& map, const Type& type,
                         const LinearOptions& options, const Terms& terms, Location where);

// F(x) = 0, the attributes of root. Functions take (constants, x or start).
struct RootProblem {
  FunctionPtr condition;     // -> F
  FunctionPtr solve;         // -> (x, residual, steps)
  FunctionPtr coefficients;  // -> the constants of `linear`, at a solution x; null for none
  LinearSystem linear;       // F_x dx = b; without functions where F has no derivative
  Terms terms;

  RootProblem() = default;
  explicit RootProblem(const Attributes& attributes);
  Attributes attributes() const;
  std::size_t constants() const { return condition->inputs().size() - 1; }
};
std::vector<Var> apply_root(const RootProblem& problem, std::span<const Var> operands);

// The change of a function's output 0 by its inputs but the last, which move along `tangents`; they
// are of the graph of the inputs or on its tape.
MaybeVar moved_by_constants(const Function& function, std::span<const Var> inputs,
                            std::span<const MaybeVar> tangents);

// Finds the constants of functions that are built in a user's graph, then makes them. What the
// graph has got since this was made is part of them.
class Closing {
 public:
  Closing(Graph& graph, std::vector<Var> constants, Location where)
      : graph_(graph),
        first_(static_cast<NodeId>(graph.size())),
        constants_(std::move(constants)),
        where_(where) {}
  // All that `outputs` capture, beside the stand-in, are constants from now on.
  void capture(Var stand_in, std::span<const Var> outputs);
  FunctionPtr function(std::string name, Var stand_in, std::span<const Var> outputs) const;
  const std::vector<Var>& constants() const { return constants_; }

 private:
  Made belongs() const;

  Graph& graph_;
  NodeId first_;
  std::vector<Var> constants_;
  Location where_;
};

// A map with its captured Vars, as one that adds its nodes again where it is called; what does not
// depend on its argument stays outside.
struct ClosedMap {
  FunctionPtr function;  // of (captured, x)
  std::vector<Var> captured;
  Var operator()(Var x) const;
};
ClosedMap close_map(std::string name, Graph& graph, Var stand_in, Var result, Location where);

// DerivativeError unless the function is linear in its last input, as far as its nodes tell.
void require_linear(const char* what, const Function& function, Location where);

// The tolerance that is asked for, or the default of the dtype. ValueError unless it is above 0 and
// finite; TypeError for a dtype that is not floating.
double tolerance_for(const char* function, double asked, const Type& type, Location where);
// ValueError unless it is at least 1.
void require_steps(const char* function, const char* option, std::int64_t steps, Location where);
// TypeError or ShapeError unless what a user's function returned has the type of its argument.
Var require_same_type(const char* function, const char* what, Var given, const Type& type,
                      Location where);

// v -> y'(x) v, where x and y are of one graph that is no scratch graph.
VarMap derivative_of(Var y, Var x, Location where);

Var inner(Var a, Var b);  // the sum of the products of all elements
Var norm_of(Var x);       // Euclidean, of all elements
// int64 (): -1 where they are not counted.
Var steps_of(const char* function, const Solved& solved, Location where);

}  // namespace dualtape::detail
