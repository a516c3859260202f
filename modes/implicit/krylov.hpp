// Krylov methods, written with Vars and loops: what they run on, their kernels, batching, is what
// every graph has. Private. Graphs are built by one thread at a time.
#pragma once

#include <cstdint>

#include <dualtape/modes/implicit.hpp>

namespace dualtape::detail {

struct Krylov {
  LinearMethod method = LinearMethod::gmres;
  VarMap a;               // v -> A v
  VarMap preconditioner;  // on the right of A (in cg on both sides); may be empty
  double tolerance = 0;   // of |b - A x| / |b|
  std::int64_t most = 0;
  std::int64_t restart = 0;
};

// x with A x = b as far as it comes; it is for others to look at its residual.
Solved solve_krylov(const Krylov& krylov, Var b);

// b in numbers near 1, so that no square overflows or vanishes, and what it is divided by.
struct Scaled {
  Var unit;
  Var scale;
};
Scaled scaled(Var b);

}  // namespace dualtape::detail
