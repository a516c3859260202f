// Random directions for forward mode: one tensor for each parameter, drawn in the graph from a key.
//
// The components of a direction v are uncorrelated with mean 0 and variance 1, so (grad f . v) v is
// an unbiased estimate of the gradient (modes/estimators.hpp). Such a v may be
//   dense     every component drawn by itself;
//   low-rank  for a parameter W of two axes (n, m), V = (1 / sqrt(r)) A B with A (n, r) and B (r,
//   m)
//             drawn component by component, n r + r m numbers instead of n m. x V is then two thin
//             products, x A times B. More axes count as two, the first and all others: filters of
//             low rank make two thin convolutions. Parameters of one axis or none stay dense.
// Low-rank directions are unbiased for factors of independent components of mean 0 and variance 1:
// E[V_ij V_kl] = (1 / r) sum_pq E[A_ip A_kq] E[B_pj B_ql] = delta_ik delta_jl. Their variance is
//   E|<G, V> V - G|^2 / |G|^2 = ((n + c)(m + c) + (r - 1)(n m + 2)) / r - 1
// for a gradient G and c = E[a^4] - 1 of the factors' components a: 0 for signs, 2 for normal, 0.8
// for uniform ones. It follows from E[a_i a_k |a|^2] = delta_ik (n + c): of the terms
// <a_k b_k', G> <a_l b_l', G> (a_p . a_q) (b_p . b_q) over k, l, p, q in 1 .. r those are not 0
// that have k = l = p = q (r of them, (n + c)(m + c) |G|^2 each), k = l and p = q but k != p (n m
// |G|^2 each), or k != l and {p, q} = {k, l} (|G|^2 each), and 1 / r^2 stands before them. So one
// pair of sign vectors has the variance of dense signs, n m - 1, normal ones n m + 2 n + 2 m + 3
// against the dense n m + 1, and both tend to n m + 1 as r grows.
//
// Graphs are built by one thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <dualtape/modes/wrt.hpp>

namespace dualtape {

enum class Perturbation : std::uint8_t {
  normal,      // N(0, 1)
  rademacher,  // -1 or 1
  uniform,     // U(-sqrt(3), sqrt(3))
  sphere,      // uniform on the sphere of radius sqrt(n) over all n components drawn together
};
std::string_view name_of(Perturbation perturbation);

struct DirectionOptions {
  // 0: dense. r >= 1: the direction of a parameter of two or more axes is the sum of r outer
  // products over sqrt(r); not for the sphere, whose components are not independent.
  std::int64_t rank = 0;
  // Each parameter's part is shifted to mean 0 and scaled to standard deviation 1 (dividing by
  // n - 1). Not for low-rank directions.
  bool standardise = false;
  // RandomDirection::times() draws dense parts anew instead of keeping those of parts(). Low-rank
  // ones need none of it: their factors stay, and products and updates do not form them.
  bool replay = false;
};

// One direction over a list of parameters, in the graph of `key`. Component i of the list draws
// from fold_key(key, i), the factors of a low-rank one from fold_key(fold_key(key, i), 0) and 1.
// The nodes run as late as their readers allow.
class RandomDirection {
 public:
  // Throws ValueError if rank < 0, for rank > 0 with the sphere or standardise, and if a parameter
  // of one element is to be standardised.
  RandomDirection(const WrtList& wrt, Var key, Perturbation perturbation,
                  const DirectionOptions& options = {}, Location where = Location::current());

  // The direction, of the shapes and dtypes of the parameters.
  const std::vector<Var>& parts() const { return parts_; }
  // The factors a (n, r) and b (r, m) whose product parts()[i] is, for a low-rank part of two axes.
  struct Factors {
    Var a, b;
  };
  const std::optional<Factors>& factors(std::size_t i) const { return factors_.at(i); }
  // number * parts()[i], for an update that comes after a sweep along parts(). With replay the part
  // is drawn once more from the key, so that no buffer of a parameter's size lives from the sweep
  // to the update; the result is the same bits with and without. `number` is a scalar.
  Var times(Var number, std::size_t i, Location where = Location::current()) const;

 private:
  Location where_;
  std::vector<Var> parts_;
  std::vector<Var> again_;  // without the scale
  std::vector<std::optional<Factors>> factors_;
  MaybeVar scale_;  // of the sphere
};

// RandomDirection's parts.
std::vector<Var> draw_direction(const WrtList& wrt, Var key, Perturbation perturbation,
                                const DirectionOptions& options = {},
                                Location where = Location::current());

// A perturbation with its key, as forward() takes it in place of tangents.
struct RandomTangents {
  RandomTangents(Var key_var, Perturbation kind, const DirectionOptions& how = {})
      : key(key_var), perturbation(kind), options(how) {}
  Var key;
  Perturbation perturbation;
  DirectionOptions options;
};
inline RandomTangents normal_tangents(Var key, const DirectionOptions& options = {}) {
  return {key, Perturbation::normal, options};
}
inline RandomTangents rademacher_tangents(Var key, const DirectionOptions& options = {}) {
  return {key, Perturbation::rademacher, options};
}

// The derivative of `output` along a random direction drawn from the key.
Var forward(Var output, const WrtList& wrt, const RandomTangents& tangents,
            Location where = Location::current());

}  // namespace dualtape
