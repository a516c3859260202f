// Optimisers: gradients in, assignments out. They add nodes to the gradients' graph, so an update
// is part of the compiled step, and it does not matter which mode the gradients come from.
//
//   dt::Sgd sgd({.momentum = 0.9});
//   auto step = dt::compile({loss}, sgd.update(parameters, dt::reverse(loss, {w, b}), lr));
//
// What an optimiser remembers (velocities, moments, step counts) are Parameters that it owns: all
// graphs it updates from, such as that of a last smaller batch, share them. Call update() from one
// thread at a time; programs that share an optimiser must not run at the same time.
#pragma once

#include <concepts>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/core/program.hpp>
#include <dualtape/models/safetensors.hpp>
#include <dualtape/modes/wrt.hpp>

namespace dualtape {

class Optimiser {
 public:
  Optimiser() = default;
  // What is moved from throws GraphError whatever is asked of it; a copy would share its memory.
  Optimiser(Optimiser&&) noexcept = default;
  Optimiser& operator=(Optimiser&&) = delete;
  Optimiser(const Optimiser&) = delete;
  Optimiser& operator=(const Optimiser&) = delete;
  virtual ~Optimiser() = default;

  // The assignments that move `parameters` against `gradients`, and those of the own state. `lr` is
  // a scalar: an input fed at each run, or a literal. Throws GraphError for a parameter without
  // gradient, ShapeError or TypeError for a gradient that has not its parameter's type, ShapeError
  // unless lr is a scalar.
  std::vector<Assign> update(const std::vector<Parameter>& parameters, const Gradients& gradients,
                             In lr);

  // All that is remembered, in the order made; with the model's parameters and the step number it
  // is what a resumed run needs.
  std::vector<Parameter> state(Location where = Location::current()) const;
  // The same by name, with what restore() has kept for an update() to come: what to save.
  std::vector<NamedTensor> named_state(Location where = Location::current()) const;
  // Goes on from a named_state(), also before the first update(), which then takes what is
  // kept here; an empty one starts anew. Throws ValueError for a name or type that does not fit, at
  // once or in update(); after an error at once nothing has changed.
  void restore(const std::vector<NamedTensor>& state, Location where = Location::current());
  // The same in two parts: here all is checked and copied, and nothing has changed; the function
  // that is returned then puts it in place and does not fail, also where the optimiser has ended.
  // Call it before the next update().
  std::function<void()> prepare_restore(const std::vector<NamedTensor>& state,
                                        Location where = Location::current());

 protected:
  // One parameter: `p` is its value, `g` its gradient, `lr` has its dtype. Returns the new value
  // and appends what the own state becomes.
  virtual Var step(const Parameter& parameter, Var p, Var g, Var lr,
                   std::vector<Assign>& state) = 0;

  // beta moment + (1 - beta) news, which `moment` becomes.
  static Var average(const Parameter& moment, Var news, double beta, std::vector<Assign>& state);
  // The number of this step of `of`, from 1 on, as a float64 scalar; remembered as "steps".
  Var count(const Parameter& of, Graph& graph, std::vector<Assign>& state);

  // The remembered tensor "<parameter>.<name>", zeros when first asked for.
  Parameter remembered(const Parameter& of, const std::string& name, const Type& type);

 private:
  struct Slot {
    Parameter of;
    std::string name;
    Parameter value;
  };
  struct Memory {
    std::deque<Slot> slots;
    std::map<std::string, Tensor> restored;  // not yet asked for
    bool anew = true;                        // what is missing there starts at zero
  };
  Memory& memory(Location where = {}) const;  // GraphError where it was moved from
  void check_used(const std::vector<Parameter>& parameters) const;

  // Shared with the functions of prepare_restore(), which may be called when this has ended.
  std::shared_ptr<Memory> memory_ = std::make_shared<Memory>();
};

// An optimiser that whoever holds this owns: `dt::Adam{}` becomes one by itself, and copies of this
// hold the same, which is for one Trainer. One that is shared is given as a std::shared_ptr. Throws
// ValueError for a pointer that is null, GraphError for an optimiser that was moved from.
class OwnedOptimiser {
 public:
  OwnedOptimiser() = default;  // none
  template <std::derived_from<Optimiser> T>
  OwnedOptimiser(T optimiser, Location where = Location::current())
      : OwnedOptimiser(std::make_shared<T>(std::move(optimiser)), where) {
    taken_ = std::make_shared<bool>(false);
  }
  template <std::derived_from<Optimiser> T>
  OwnedOptimiser(std::shared_ptr<T> optimiser, Location where = Location::current())
      : held_(std::move(optimiser)), given_(true) {
    check_whole(where);
  }

  const std::shared_ptr<Optimiser>& get() const { return held_; }  // null for none

 private:
  friend class Trainer;
  void check_whole(Location where) const;
  // For a Trainer that is to be made: GraphError where this or its optimiser was moved from,
  // ValueError where another Trainer has it.
  void check_free(Location where) const;

  std::shared_ptr<Optimiser> held_;
  std::shared_ptr<bool> taken_;  // by a Trainer; null where it may be shared
  bool given_ = false;           // stays when this is moved from
};

struct SgdOptions {
  double momentum = 0;  // mu
  bool nesterov = false;
  double weight_decay = 0;  // lambda
  // The velocity holds the rate: v <- mu v - lr h, p <- p + v. A rate that changes then scales what
  // is still to come and not what has gathered. With `nesterov` h is the gradient at the point
  // looked ahead to, q + mu v, and that point is what the parameters hold: p <- p + mu v - lr h,
  // from which q is p - mu v.
  bool rate_in_velocity = false;
};

// Stochastic gradient descent as torch.optim.SGD without dampening: with h = g + lambda p,
//   v <- mu v + h,   p <- p - lr v,   with Nesterov's momentum p <- p - lr (h + mu v).
// Sutskever, Martens, Dahl and Hinton, ICML 2013; PyTorch scales v by lr when it is used, not when
// it is made.
class Sgd final : public Optimiser {
 public:
  // ValueError unless momentum is in [0, 1), weight_decay at least 0, and Nesterov has a momentum.
  explicit Sgd(const SgdOptions& options = {}, Location where = Location::current());

 protected:
  Var step(const Parameter& parameter, Var p, Var g, Var lr, std::vector<Assign>& state) override;

 private:
  SgdOptions options_;
};

struct AdamOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;       // lambda, added to the gradient as torch.optim.Adam does
  bool epsilon_in_root = false;  // sqrt(s / (1 - beta2^t) + epsilon)
  // The decay is p <- (1 - lr lambda) p and leaves the moments alone: Loshchilov and Hutter, ICLR
  // 2019, as torch.optim.AdamW.
  bool decoupled = false;
};

// Adam with bias correction: with h = g + lambda p and t counting steps from 1,
//   m <- beta1 m + (1 - beta1) h,   s <- beta2 s + (1 - beta2) h^2,
//   p <- p - lr (m / (1 - beta1^t)) / (sqrt(s / (1 - beta2^t)) + epsilon).
// Kingma and Ba, ICLR 2015, algorithm 1. The powers of beta are taken in float64.
class Adam : public Optimiser {
 public:
  // ValueError unless the betas are in [0, 1), epsilon above 0 and weight_decay at least 0.
  explicit Adam(const AdamOptions& options = {}, Location where = Location::current());

 protected:
  Var step(const Parameter& parameter, Var p, Var g, Var lr, std::vector<Assign>& state) override;

 private:
  AdamOptions options_;
};

// Options of their own, so that setting one of them leaves the decay as it is.
struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;    // lambda
  bool epsilon_in_root = false;  // sqrt(s / (1 - beta2^t) + epsilon)
};

// Adam with decoupled weight decay, 0.01 unless told.
class AdamW final : public Adam {
 public:
  explicit AdamW(const AdamWOptions& options = {}, Location where = Location::current())
      : Adam(decoupled(options), where) {}

 private:
  static AdamOptions decoupled(const AdamWOptions& options) {
    return {.beta1 = options.beta1,
            .beta2 = options.beta2,
            .epsilon = options.epsilon,
            .weight_decay = options.weight_decay,
            .epsilon_in_root = options.epsilon_in_root,
            .decoupled = true};
  }
};

}  // namespace dualtape
