// L-BFGS: a quasi-Newton method for losses of the full batch, with a line search that ends at the
// strong Wolfe conditions. One thread at a time for one object; lbfgs() from any thread.
//
//   dt::Lbfgs lbfgs(mlp.parameters(), loss, dt::reverse(loss, mlp.parameters()));
//   const dt::LbfgsResult result = lbfgs.minimise({{x, inputs}, {y, labels}});
//
// Nocedal and Wright, Numerical Optimization, second edition, algorithms 7.4 and 7.5 (the two
// loops), 3.5 and 3.6 (the line search, with cubic interpolation, equation 3.59).
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include <dualtape/core/named_tensor.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/modes/wrt.hpp>

namespace dualtape {

// What an iteration arrived at; the spans are valid during the call.
struct LbfgsIteration {
  std::int64_t iteration = 0;  // from 1
  double loss = 0;
  std::span<const double> point;
  std::span<const double> gradient;
};

struct LbfgsOptions {
  std::int64_t history = 10;        // pairs of steps and changes of the gradient kept
  std::int64_t iterations = 100;    // at most
  std::int64_t evaluations = 1000;  // at most, of the loss with its gradient
  double gradient_below = 1e-7;     // stop where no component is above
  double change_below = 1e-12;      // stop where |f - f'| / max(|f|, |f'|, 1) is not above
  double c1 = 1e-4;                 // f(x + a d) <= f(x) + c1 a g(x).d
  double c2 = 0.9;                  // |g(x + a d).d| <= c2 |g(x).d|
  // Return false to stop.
  std::function<bool(const LbfgsIteration&)> on_iteration = {};
};

enum class LbfgsStop : std::uint8_t {
  gradient,     // below its bound: a minimum, or a saddle
  change,       // the loss hardly falls any more
  iterations,   // of the options
  evaluations,  // of the options
  line_search,  // no step lowers the loss, mostly as rounding hides the way
  callback,
};
std::string_view name_of(LbfgsStop stop);

struct LbfgsResult {
  LbfgsStop stop = LbfgsStop::iterations;
  double loss = 0;
  double largest_gradient = 0;  // component, by its size
  std::int64_t iterations = 0;
  std::int64_t evaluations = 0;
};

// Returns the loss at `point` and fills `gradient`, which is as long.
using LossAndGradient =
    std::function<double(std::span<const double> point, std::span<double> gradient)>;

// Moves `point` to a minimum nearby. A loss that is not finite counts as too far. Throws ValueError
// for options out of range, for a null function, or if the loss or gradient at the start is not
// finite.
LbfgsResult lbfgs(const LossAndGradient& function, std::span<double> point,
                  const LbfgsOptions& options = {}, Location where = Location::current());

// The same on Parameters, by a compiled program of a loss and its gradients, from any mode. Random
// gradients make no sense here: the method takes differences of them.
class Lbfgs {
 public:
  // Throws GraphError for a parameter without gradient, ValueError without parameters and for one
  // that is listed twice, ShapeError unless the loss has one element and each gradient its
  // parameter's shape, TypeError unless the loss is floating. What is moved from may be assigned
  // to, and else throws GraphError.
  Lbfgs(std::vector<Parameter> parameters, Var loss, const Gradients& gradients,
        LbfgsOptions options = {}, Location where = Location::current());
  Lbfgs(Lbfgs&&) noexcept;
  Lbfgs& operator=(Lbfgs&&) noexcept;
  ~Lbfgs();

  // The parameters end at the best point; each call begins with an empty history, but after
  // restore(). All arithmetic but the program's is float64. Throws what lbfgs() and Program::run
  // throw, and GraphError within on_iteration or if that moves the Lbfgs; the parameters then are
  // as they were.
  LbfgsResult minimise(std::initializer_list<Feed> feeds = {},
                       Location where = Location::current());
  LbfgsResult minimise(std::span<const Feed> feeds, Location where = Location::current());

  // What a call that was stopped needs to go on: point, gradient, history and counts, as named
  // tensors; save_checkpoint() makes a file of them. To be asked within on_iteration or after
  // minimise(); ValueError where there is nothing yet.
  std::vector<NamedTensor> state(Location where = Location::current()) const;
  // Sets the parameters to the state's point; the next minimise() then goes on there and ends with
  // the bits of a call that was not stopped, given the same feeds and options, whose bounds count
  // from the start of the first. ValueError for a state of other parameters; then nothing has
  // changed.
  void restore(const std::vector<NamedTensor>& state, Location where = Location::current());

 private:
  struct Impl;
  Impl& impl(const char* function, Location where) const;
  std::shared_ptr<Impl> impl_;  // minimise() has a hold on it, too
};

}  // namespace dualtape
