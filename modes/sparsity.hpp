// Sparse Jacobians and Hessians.
//
//   auto jacobian = dt::sparse_jacobian(f);
//   dt::Csr<dt::Tensor> J = jacobian(x);              // compiled once for x of its type
//   auto [y, again] = jacobian.value_and(x);          // f(x), too
//   dt::Csr<dt::Tensor> H = dt::sparse_hessian(g)(x);          // g scalar
//   dt::SparsityPattern p = dt::jacobian_sparsity(f, x);       // where entries may be
//   dt::Csr<dt::Var> j = dt::sparse_jacobian(y, x);            // of Vars
//
// Which elements of x each element of y depends on is found once, from the linear program that
// forward mode makes of f: from what operators say, or by running them on labels. The pattern holds
// for all x and never misses an entry; it has more than are needed where values decide (max, a fed
// index) or an operator says nothing. Columns that share no row are then seeded together, as many
// together as a colouring finds, and all colours are one sweep (modes/batching.hpp); rows likewise
// by reverse mode, or some of each. For Hessians symmetry saves more (star colouring). Evaluations
// run that sweep and pick the entries out of it.
//
// Sources: A. R. Curtis, M. J. D. Powell and J. K. Reid, On the estimation of sparse Jacobian
// matrices, 1974; A. H. Gebremedhin, F. Manne and A. Pothen, What color is your Jacobian?, SIAM
// Review 47, 2005.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <dualtape/modes/functional.hpp>
#include <dualtape/modes/jacobian.hpp>

namespace dualtape {

// Where a matrix may have entries: those of row i are at the columns columns[row_starts[i]] ...
// columns[row_starts[i + 1] - 1], ascending.
struct SparsityPattern {
  std::int64_t row_count = 0;
  std::int64_t column_count = 0;
  std::vector<std::int64_t> row_starts{0};
  std::vector<std::int64_t> columns;

  std::int64_t entries() const { return static_cast<std::int64_t>(columns.size()); }
  std::span<const std::int64_t> row(std::int64_t i) const {
    const auto first = static_cast<std::size_t>(row_starts[static_cast<std::size_t>(i)]);
    const auto last = static_cast<std::size_t>(row_starts[static_cast<std::size_t>(i) + 1]);
    return std::span(columns).subspan(first, last - first);
  }
  friend bool operator==(const SparsityPattern&, const SparsityPattern&) = default;
};

// A matrix by its rows (compressed sparse rows): of y.shape().count() rows and x.shape().count()
// columns, elements in row-major order. T is Tensor or Var. The two index tensors are shared by all
// results of one function: they are to be read.
template <class T>
struct Csr {
  std::int64_t row_count = 0;
  std::int64_t column_count = 0;
  Tensor row_starts;  // int64 (rows + 1)
  Tensor columns;     // int64 (entries)
  T values;           // (entries), of the dtype of y
};

// The matrix with its zeros, (rows, columns).
Tensor to_dense(const Csr<Tensor>& matrix, Location where = Location::current());

// Which products are taken: with columns by forward mode, with rows by reverse mode, or both.
enum class Sweeps : std::uint8_t { fewest, columns, rows, both };

struct SparseOptions {
  Sweeps sweeps = Sweeps::fewest;  // of Jacobians; Hessians take columns, and use symmetry
  // Whether indices and masks that values decide are taken as they are at the point where the
  // function is prepared. Each evaluation compares them; where they differ the pattern is found
  // anew there. For functions of Tensors.
  bool at_point = false;
};

// What a sparse derivative was prepared to.
struct SparseInfo {
  SparsityPattern pattern;
  std::int64_t forward_sweeps = 0;  // directions of the one sweep by forward mode
  std::int64_t reverse_sweeps = 0;
};

// The pattern of dy/dx and of d^2y/dx^2. Throws what forward and reverse mode throw; GraphError,
// TypeError unless both are floating and of one graph; SizeError for more than 2^31 entries.
SparsityPattern jacobian_sparsity(Var y, Var x, Location where = Location::current());
SparsityPattern hessian_sparsity(Var y, Var x, Location where = Location::current());

// dy/dx and d^2y/dx^2, as nodes of the graph. The same errors; ShapeError for the Hessian of what
// is not one number, ValueError for options.at_point, as Vars have no values.
Csr<Var> sparse_jacobian(Var y, Var x, const SparseOptions& options = {},
                         Location where = Location::current());
Csr<Var> sparse_hessian(Var y, Var x, const SparseOptions& options = {},
                        Location where = Location::current());

struct ValueAndCsr {
  Tensor value;
  Csr<Tensor> derivative;
};

namespace detail {

enum class SparseKind : std::uint8_t { jacobian, hessian };

// The prepared programs of one function, by the types of its arguments.
class SparseCache {
 public:
  SparseCache(VarFunction f, SparseKind kind, const SparseOptions& options, Called called);
  ~SparseCache();
  SparseCache(const SparseCache&) = delete;
  SparseCache& operator=(const SparseCache&) = delete;
  Csr<Tensor> derivative(std::span<const Tensor> x);
  ValueAndCsr value_and(std::span<const Tensor> x);
  SparseInfo info(std::span<const Tensor> x);
  Csr<Var> of_vars(std::span<const Var> x) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace detail

// What sparse_jacobian() and sparse_hessian() of a function give: its derivative by the first
// argument, of which others may follow. A program is prepared for each combination of the
// arguments' types, the first time it is met, and kept as jit() does; f is called then. Copies
// share them, and any thread may call.
class SparseFunction {
 public:
  SparseFunction(VarFunction f, detail::SparseKind kind, const SparseOptions& options,
                 detail::Called called)
      : called_(called),
        cache_(std::make_shared<detail::SparseCache>(std::move(f), kind, options, called)) {}

  template <std::same_as<Tensor>... Others>
  Csr<Tensor> operator()(const Tensor& x, const Others&... others) const {
    return cache().derivative(std::vector<Tensor>{x, others...});
  }
  template <std::same_as<Var>... Others>
  Csr<Var> operator()(Var x, Others... others) const {
    return cache().of_vars(std::vector<Var>{x, others...});
  }
  // With the function's value, which a sweep mostly computes anyway.
  template <std::same_as<Tensor>... Others>
  ValueAndCsr value_and(const Tensor& x, const Others&... others) const {
    return cache().value_and(std::vector<Tensor>{x, others...});
  }
  // Prepares without running; how many directions an evaluation takes.
  template <std::same_as<Tensor>... Others>
  SparseInfo prepare(const Tensor& x, const Others&... others) const {
    return cache().info(std::vector<Tensor>{x, others...});
  }

 private:
  detail::SparseCache& cache() const {
    detail::require_callable(cache_ != nullptr, called_.function, called_.where);
    return *cache_;
  }
  detail::Called called_;
  std::shared_ptr<detail::SparseCache> cache_;  // of all copies
};

template <detail::FunctionOfVars F>
SparseFunction sparse_jacobian(F f, const SparseOptions& options = {},
                               Location where = Location::current()) {
  const detail::Called called{"sparse_jacobian", where};
  return {detail::erase(std::move(f), called), detail::SparseKind::jacobian, options, called};
}
// Of a scalar function.
template <detail::FunctionOfVars F>
SparseFunction sparse_hessian(F f, const SparseOptions& options = {},
                              Location where = Location::current()) {
  const detail::Called called{"sparse_hessian", where};
  return {detail::erase(std::move(f), called), detail::SparseKind::hessian, options, called};
}
// Once, at x.
template <detail::FunctionOfVars F, std::same_as<Tensor> X>
Csr<Tensor> sparse_jacobian(F f, const X& x, Location where = Location::current()) {
  return sparse_jacobian(std::move(f), SparseOptions{}, where)(x);
}
template <detail::FunctionOfVars F, std::same_as<Tensor> X>
Csr<Tensor> sparse_hessian(F f, const X& x, Location where = Location::current()) {
  return sparse_hessian(std::move(f), SparseOptions{}, where)(x);
}

// The pattern for arguments of x's type; its values do not matter.
template <detail::FunctionOfVars F>
SparsityPattern jacobian_sparsity(F f, const Tensor& x, Location where = Location::current()) {
  return sparse_jacobian(std::move(f), SparseOptions{}, where).prepare(x).pattern;
}
template <detail::FunctionOfVars F>
SparsityPattern hessian_sparsity(F f, const Tensor& x, Location where = Location::current()) {
  return sparse_hessian(std::move(f), SparseOptions{}, where).prepare(x).pattern;
}

}  // namespace dualtape
