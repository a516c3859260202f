// More optimisers that scale each component by its history: RMSprop, Adagrad, AdaBelief, and Lion,
// which keeps the signs alone. Used as those of models/optimisers.hpp, from one thread at a time.
//
//   dt::RmsProp rmsprop;
//   auto step = dt::compile({loss}, rmsprop.update(parameters, gradients, lr));
//
// Fed by forward_gradient() they are ForwardRMSprop and so on.
#pragma once

#include <dualtape/models/optimisers.hpp>

namespace dualtape {

struct RmsPropOptions {
  double alpha = 0.99;
  double epsilon = 1e-8;
  double momentum = 0;      // mu
  bool centred = false;     // divide by the deviation from the mean gradient
  double weight_decay = 0;  // lambda, added to the gradient
};

// RMSprop as torch.optim.RMSprop: with h = g + lambda p,
//   s <- alpha s + (1 - alpha) h^2,   u = h / (sqrt(s) + epsilon),
//   v <- mu v + u,   p <- p - lr v    (without momentum v = u).
// `centred` also keeps a <- alpha a + (1 - alpha) h and takes s - a^2 in place of s, which rounding
// does not let fall below 0. Tieleman and Hinton, lecture 6.5 of Coursera's Neural Networks, 2012;
// Graves, arXiv 1308.0850, equations 38 to 45.
class RmsProp final : public Optimiser {
 public:
  // ValueError unless alpha and momentum are in [0, 1), epsilon above 0, weight_decay at least 0.
  explicit RmsProp(const RmsPropOptions& options = {}, Location where = Location::current());

 protected:
  Var step(const Parameter& parameter, Var p, Var g, Var lr, std::vector<Assign>& state) override;

 private:
  RmsPropOptions options_;
};

struct AdagradOptions {
  double epsilon = 1e-10;
  double rate_decay = 0;    // the rate of step t is lr / (1 + (t - 1) rate_decay)
  double initial_sum = 0;   // of squares
  double weight_decay = 0;  // lambda, added to the gradient
};

// Adagrad as torch.optim.Adagrad: with h = g + lambda p,
//   s <- s + h^2,   p <- p - lr h / (sqrt(s) + epsilon).
// Duchi, Hazan and Singer, JMLR 12, 2011, with a diagonal matrix.
class Adagrad final : public Optimiser {
 public:
  // ValueError unless epsilon is above 0 and the others at least 0.
  explicit Adagrad(const AdagradOptions& options = {}, Location where = Location::current());

 protected:
  Var step(const Parameter& parameter, Var p, Var g, Var lr, std::vector<Assign>& state) override;

 private:
  AdagradOptions options_;
};

struct AdaBeliefOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;  // lambda; decoupled: p <- (1 - lr lambda) p
};

// AdaBelief: Adam that divides by how far the gradient is from its mean,
//   m <- beta1 m + (1 - beta1) g,   s <- beta2 s + (1 - beta2) (g - m)^2 + epsilon,
//   p <- p - lr (m / (1 - beta1^t)) / (sqrt(s / (1 - beta2^t)) + epsilon).
// Zhuang et al., NeurIPS 2020, algorithm 2.
class AdaBelief final : public Optimiser {
 public:
  // ValueError unless the betas are in [0, 1), epsilon above 0 and weight_decay at least 0.
  explicit AdaBelief(const AdaBeliefOptions& options = {}, Location where = Location::current());

 protected:
  Var step(const Parameter& parameter, Var p, Var g, Var lr, std::vector<Assign>& state) override;

 private:
  AdaBeliefOptions options_;
};

struct LionOptions {
  double beta1 = 0.9;
  double beta2 = 0.99;
  double weight_decay = 0;  // lambda; decoupled
};

// Lion: every component moves by the rate, so rates are some ten times smaller than Adam's,
//   p <- p - lr (sign(beta1 m + (1 - beta1) g) + lambda p),   m <- beta2 m + (1 - beta2) g.
// Chen et al., arXiv 2302.06675, program 1.
class Lion final : public Optimiser {
 public:
  // ValueError unless the betas are in [0, 1) and weight_decay at least 0.
  explicit Lion(const LionOptions& options = {}, Location where = Location::current());

 protected:
  Var step(const Parameter& parameter, Var p, Var g, Var lr, std::vector<Assign>& state) override;

 private:
  LionOptions options_;
};

}  // namespace dualtape
