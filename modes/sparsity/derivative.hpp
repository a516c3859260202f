// One sparse derivative of a graph: its pattern, and the nodes that compute its values. Private.
#pragma once

#include <vector>

#include <dualtape/modes/sparsity.hpp>
#include <dualtape/modes/sparsity/known.hpp>

namespace dualtape::detail {

struct SparseDerivative {
  Csr<Var> matrix;
  SparseInfo info;
  std::vector<KnownValues::Decision> decisions;  // what the pattern was found with at a point
};

struct SparseTask {
  const char* function;
  SparseKind kind;
  Var y, x;
  SparseOptions options;
  Location where;

  SparsityPattern pattern() const;
  // With `point`, what decides is taken as it is there.
  SparseDerivative derivative(const std::vector<Feed>* point = nullptr) const;
};

// Which elements of `direction` each element of `result`, linear in it, depends on.
SparsityPattern linear_sparsity(Var result, Var direction, KnownValues& values);

}  // namespace dualtape::detail
