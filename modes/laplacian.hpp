// Laplacians and biharmonics, exact and estimated, by Taylor mode (modes/taylor.hpp).
//
//   dt::Tensor l = dt::laplacian(f)(x);                          // sum_i d^2 f / dx_i^2
//   dt::Tensor l = dt::laplacian(net, {.points = 1})(x);         // of (N, D) to (N): at each point
//   dt::Var b = dt::biharmonic(y, x);                            // of Vars
//   dt::Var e = dt::stochastic_laplacian(y, x, key, {.samples = 16});
//
// Each is a sum over directions of the highest coefficient of a Taylor sweep, written as a batch.
// The planner makes it one sweep whose highest coefficient is summed from the start
// (ops/passes/collapse.cpp): for the Laplacian in D directions, 2 + D vectors instead of 1 + 2 D
// (Dangel, Siebert, Zeinhofer and Walther, Collapsing Taylor mode automatic differentiation,
// NeurIPS 2025). Given Vars these add nodes to their graph, so that they nest with everything else;
// given Tensors functions keep programs as jit() does. Results are zero where y does not depend on
// x.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include <dualtape/modes/taylor.hpp>

namespace dualtape {

struct PointOptions {
  // So many first axes of x and y, of the same sizes, number points: y at one of them depends on x
  // at that one alone, as a net does that is given a batch of rows. Derivatives are then by the
  // other axes of x at each point. It is not checked that points are apart from each other.
  std::int64_t points = 0;
};

// sum_i d^2 y / dx_i^2 over the elements of x (behind its points), of y's shape. Throws TypeError
// unless both are floating, GraphError unless they are of one graph, ShapeError where points do not
// agree.
Var laplacian(Var y, Var x, const PointOptions& options = {}, Location where = Location::current());

// The Laplacian of the Laplacian, sum_ij d^4 y / dx_i^2 dx_j^2, from D^2 directions: e_i, and e_i +
// e_j and e_i - e_j for i < j. By (a + b)^4 + (a - b)^4 - 2 a^4 - 2 b^4 = 12 a^2 b^2 that is
//   (4 - D) / 3 sum_i d_(e_i)^4 y + 1/6 sum_(i < j) (d_(e_i + e_j)^4 y + d_(e_i - e_j)^4 y).
Var biharmonic(Var y, Var x, const PointOptions& options = {},
               Location where = Location::current());

// sum_k weights[k] (d/dt)^order y(x + v_k t) at t = 0 over the rows v_k of `directions`, which are
// (count) + the shape of x behind its points; of y's shape. Order 2 with the rows of L^T for a
// matrix A = L L^T is the trace of A H. ShapeError unless directions have that shape and the dtype
// of x and weights are (count); ValueError unless order is 1 to 64.
Var derivative_sum(Var y, Var x, Var directions, int order, const PointOptions& options = {},
                   const std::optional<Tensor>& weights = {}, Location where = Location::current());

// What directions estimates are made from.
enum class Probe : std::uint8_t {
  rademacher,   // signs
  normal,       // N(0, 1)
  coordinates,  // unit vectors, no two the same in one estimate
};

struct ProbeOptions {
  Probe probe = Probe::rademacher;
  std::int64_t samples = 1;  // directions, the same for all points
  std::int64_t points = 0;   // as in PointOptions
};

// An unbiased estimate of the Laplacian from random directions v_k that are drawn from `key`, an
// int64 number of y's graph: the mean of v_k^T H v_k (Hutchinson, 1989), times D for coordinates
// (the stochastic Taylor derivative estimator: Shi, Hu, Lin and Kawaguchi, NeurIPS 2024, arXiv
// 2412.00088). With S samples the variance is
//   2 (|H|^2 - sum_i H_ii^2) / S for signs, 2 |H|^2 / S for normal ones and, for coordinates of a
//   total of D, D^2 / S (D - S) / (D - 1) times the variance of the H_ii.
// Throws what laplacian() does, and ValueError for fewer than 1 sample or more coordinates than
// there are.
Var stochastic_laplacian(Var y, Var x, Var key, const ProbeOptions& options = {},
                         Location where = Location::current());

// The same of the biharmonic by normal directions, as E[(d/dt)^4 y(x + v t)] = 3 times it.
// ValueError for another probe.
Var stochastic_biharmonic(Var y, Var x, Var key,
                          const ProbeOptions& options = {.probe = Probe::normal},
                          Location where = Location::current());

// ---- of functions of one Var --------------------------------------------------------------------

template <detail::NoVar F>
auto laplacian(F f, const PointOptions& options = {}, Location where = Location::current()) {
  const auto make = [options](Var y, std::span<const Var> x, Location at) {
    return laplacian(y, detail::only_argument(x, "laplacian", at), options, at);
  };
  return detail::MadeOfFunction<F, std::decay_t<decltype(make)>>(std::move(f), make,
                                                                 {"laplacian", where});
}
template <detail::NoVar F>
auto biharmonic(F f, const PointOptions& options = {}, Location where = Location::current()) {
  const auto make = [options](Var y, std::span<const Var> x, Location at) {
    return biharmonic(y, detail::only_argument(x, "biharmonic", at), options, at);
  };
  return detail::MadeOfFunction<F, std::decay_t<decltype(make)>>(std::move(f), make,
                                                                 {"biharmonic", where});
}

}  // namespace dualtape
