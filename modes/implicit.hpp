// Implicit functions: what solves an equation, as a node that is differentiated by the equation.
//
//   dt::Var z = dt::fixed_point([&](dt::Var z) { return dt::tanh(dt::matmul(w, z) + x); }, x);
//   dt::Var r = dt::root([&](dt::Var r) { return r * r * r + a * r - 1.0; }, dt::ones_like(a));
//   dt::Var m = dt::argmin([&](dt::Var m) { return dt::sum(dt::square(m - a)) + loss(m); }, a);
//   dt::Var y = dt::linear_solve([&](dt::Var v) { return dt::matmul(k, v) + v; }, b);
//
// Derivatives come from the implicit function theorem: where F(x, a) = 0, dx solves the linear
// equation F_x dx = -F_a da. However long the solver runs, a derivative takes one linear solve a
// sweep, and no memory for the steps. What is captured, Vars and Parameters, gets derivatives in
// every mode, of every order, and batches; the start and the solver get none. Any solver will do: a
// function of Vars, with loops (modes/loops.hpp) inside.
//
// What does not converge is an error of the run, a ValueError with the residual, the tolerance and
// the steps; try_root() and its like give a flag instead, which tells of the derivatives, too, and
// these are NaN where their own linear solve fails. Whatever the solver says of itself, the
// residual is computed once more from what it returns. Building is for one thread at a time, as for
// any graph.
#pragma once

#include <cstdint>
#include <functional>

#include <dualtape/core/graph.hpp>

namespace dualtape {

using VarMap = std::function<Var(Var)>;  // keeps the shape and the dtype

// What a solver returns; without steps where it does not count them.
struct Solved {
  Solved(Var solution) : x(solution) {}
  Solved(Var solution, Var taken) : x(solution), steps(taken) {}  // int64 ()
  Var x;
  Var steps;
};
// A solver of one's own: of the function that is given to root() and its like (for linear_solve()
// the linear map), and the start (for linear_solve() the right side). Called while the graph is
// built, also with the transposed map, and never differentiated.
using Solver = std::function<Solved(const VarMap& f, Var start)>;

enum class LinearMethod : std::uint8_t {
  automatic,  // cg in argmin(), gmres elsewhere
  // Conjugate gradients, for a symmetric positive definite map: Hestenes and Stiefel (1952).
  cg,
  // Of any map: as GMRES(restart), in the form of Jiranek and Rozloznik, "Adaptive version of
  // simpler GMRES", Numerical Algorithms 53 (2010), which keeps 2 restart vectors.
  gmres,
  // Of any map in the memory of eight vectors, and less sure to converge: van der Vorst (1992).
  bicgstab,
};
struct LinearOptions {
  LinearMethod method = LinearMethod::automatic;
  bool symmetric = false;      // the map is its own transpose; so it is with cg
  double tolerance = 0;        // of |b - A x| / |b|; 0: 1e-12 in float64, 1e-5 in float32
  std::int64_t most = 1000;    // steps
  std::int64_t restart = 30;   // gmres: steps after which it starts anew
  VarMap preconditioner = {};  // linear, near the inverse of the map
  Solver solver = {};          // instead of the method
};
struct ImplicitOptions {
  double tolerance = 0;  // of the residual, see each function; 0: 1e-12 in float64, 1e-5 in float32
  std::int64_t most = 0;      // steps; 0: 100 for root(), else 1000
  std::int64_t memory = 0;    // fixed_point(): Anderson's mixing of so many steps; 0: none
  Solver solver = {};         // instead of the one that comes with the function
  LinearOptions linear = {};  // for the derivatives, and for the steps of Newton's method
};

// What a solver found, whether or not it is a solution.
struct Solution {
  Var x;
  Var converged;  // bool (): the residual is at most the tolerance
  Var residual;   // a number of x's dtype; without a derivative
  Var steps;      // int64 (); -1 where a solver of one's own does not count them
};

// x with A x = b, where `map` is v -> A v, linear: x and v have b's shape and dtype, which is a
// floating one. dx = A^-1 (db - dA x), and the cotangent of b is A^-T c. GraphError unless b or
// what it is made of is in a graph; TypeError, ShapeError and DerivativeError for a map that does
// not fit or is not linear (by what its derivative says); ValueError for options out of range; at
// run time ValueError where the residual |b - A x| / |b| stays above the tolerance, as for a
// singular map.
Var linear_solve(const VarMap& map, In b, const LinearOptions& options = {},
                 Location where = Location::current());
Solution try_linear_solve(const VarMap& map, In b, const LinearOptions& options = {},
                          Location where = Location::current());

// x with f(x) = 0, of f's shape and dtype. By default Newton's method from `start`, its steps by
// linear solves and halved until |f| falls. The residual is |f(x)| / max(1, |f(start)|), in the
// Euclidean norm. dx = -f_x^-1 f_a da. Throws as linear_solve() does.
Var root(const VarMap& f, In start, const ImplicitOptions& options = {},
         Location where = Location::current());
Solution try_root(const VarMap& f, In start, const ImplicitOptions& options = {},
                  Location where = Location::current());

// x with f(x) = x. By default x = f(x) until it stays, which wants a contraction near x, or with
// Anderson's mixing of the last steps, which is quicker and wants less. The
// residual is |f(x) - x| / (1 + |x|). dx = (1 - f_x)^-1 f_a da. Throws as linear_solve() does.
Var fixed_point(const VarMap& f, In start, const ImplicitOptions& options = {},
                Location where = Location::current());
Solution try_fixed_point(const VarMap& f, In start, const ImplicitOptions& options = {},
                         Location where = Location::current());

// x where f, a scalar, is least near `start`: its gradient g is 0. By default Newton's method with
// directions by conjugate gradients and steps that let f fall (Nocedal and Wright, "Numerical
// Optimization", 2006, algorithm 7.1). The residual is |g(x)| / max(1, |g(start)|). dx = -H^-1 g_a
// da with the Hessian H. ShapeError unless f is one number; else throws as linear_solve() does.
Var argmin(const VarMap& f, In start, const ImplicitOptions& options = {},
           Location where = Location::current());
Solution try_argmin(const VarMap& f, In start, const ImplicitOptions& options = {},
                    Location where = Location::current());

}  // namespace dualtape
