// Solutions, determinants and factorisations against PyTorch's: fixtures/linalg.csv.
#include <dualtape/ops/creation.hpp>
#include <dualtape/ops/diagonals.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/linalg.hpp>
#include <dualtape/ops/linalg_factor.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/shapes.hpp>

#include "torch_cases.hpp"

namespace dt = dualtape;
using dt::Var;
using torch_cases::Vars;

namespace {

void check(const std::string& name, const std::vector<dt::Shape>& shapes,
           const std::function<Var(Vars)>& function) {
  torch_cases::check("linalg.csv", name, shapes, function);
}

// The matrices that the fixtures make of their operands, which have rank 2.
Var full(Var x) { return dt::exp(2 * x); }
Var symmetric(Var x) { return full(x) + dt::transpose(full(x)); }
dt::Tensor unit(Var x) { return dt::eye(x.shape().back(), x.shape().back(), 0, x.dtype()); }
Var definite(Var x) { return dt::matmul(full(x), full(x), {false, true}) + unit(x); }
Var triangular(Var x) { return x / 2 + 2 * x.graph().constant(unit(x)); }

Var joined(const std::vector<Var>& parts) {
  std::vector<Var> flat;
  for (const Var part : parts) flat.push_back(dt::flatten(part));
  return dt::concat(flat);
}

TEST_CASE("solutions, inverses and determinants are PyTorch's") {
  check("solve", {{4, 4}, {4, 2}}, [](Vars x) { return dt::solve(full(x[0]), x[1]); });
  check("solve batch", {{2, 3, 3}, {2, 3, 1}}, [](Vars x) { return dt::solve(full(x[0]), x[1]); });
  check("inverse", {{2, 3, 3}}, [](Vars x) { return dt::inverse(full(x[0])); });
  check("det", {{2, 3, 3}}, [](Vars x) { return dt::det(full(x[0]) / 2); });
  check("slogdet", {{2, 4, 4}}, [](Vars x) { return dt::slogdet(full(x[0])).log_abs_det; });
  check("slogdet sign", {{2, 4, 4}}, [](Vars x) {
    const dt::SignLogDet both = dt::slogdet(full(x[0]));
    return both.sign * both.log_abs_det;
  });
  check("kron", {{2, 3}, {3, 2}}, [](Vars x) { return dt::kron(x[0], x[1]); });
  check("trace", {{3, 3}}, [](Vars x) { return dt::trace(x[0]); });
}

TEST_CASE("triangular solutions are PyTorch's") {
  const auto solve = [](const dt::TriangularOptions& options) {
    return [options](Vars x) { return dt::triangular_solve(triangular(x[0]), x[1], options); };
  };
  check("triangular lower", {{3, 3}, {3, 2}}, solve({.lower = true}));
  check("triangular upper", {{2, 3, 3}, {2, 3, 2}}, solve({.lower = false}));
  check("triangular transpose", {{3, 3}, {3, 2}}, solve({.transpose = true}));
  check("triangular unit", {{3, 3}, {3, 2}},
        solve({.lower = false, .transpose = true, .unit_diagonal = true}));
}

TEST_CASE("Cholesky's and QR factors are PyTorch's") {
  check("cholesky", {{2, 3, 3}}, [](Vars x) { return dt::cholesky(definite(x[0])); });
  const auto factors = [](Vars x) {
    const dt::QR qr = dt::qr(full(x[0]));
    return joined({qr.q, qr.r});
  };
  check("qr square", {{2, 3, 3}}, factors);
  check("qr tall", {{5, 3}}, factors);
  check("qr wide", {{2, 4}}, factors);
}

TEST_CASE("eigenvalues and vectors are PyTorch's but for signs") {
  check("eigenvalues", {{2, 4, 4}}, [](Vars x) { return dt::eigh(symmetric(x[0])).values; });
  check("eigenvectors", {{2, 3, 3}},
        [](Vars x) { return dt::square(dt::eigh(symmetric(x[0])).vectors); });
  // PyTorch's matrix_exp takes no eigenvectors.
  check("matrix exponential", {{3, 3}}, [](Vars x) {
    const dt::Eigh factors = dt::eigh(symmetric(x[0]) / 8);
    return dt::matmul(factors.vectors * dt::unsqueeze(dt::exp(factors.values), -2), factors.vectors,
                      {false, true});
  });
}

TEST_CASE("singular values and vectors are PyTorch's but for signs") {
  check("singular values", {{2, 3, 4}}, [](Vars x) { return dt::svd(full(x[0])).s; });
  const auto vectors = [](Vars x) {
    const dt::SVD factors = dt::svd(full(x[0]));
    return joined(
        {dt::square(factors.u), dt::square(factors.vt), dt::matmul(factors.u, factors.vt)});
  };
  check("singular vectors", {{3, 3}}, vectors);
  check("singular vectors tall", {{4, 2}}, vectors);
  check("singular vectors wide", {{2, 4}}, vectors);
}

TEST_CASE("norms of matrices are PyTorch's") {
  const auto norm = [](dt::MatrixNorm kind) {
    return [kind](Vars x) { return dt::matrix_norm(full(x[0]), kind); };
  };
  check("frobenius", {{2, 3, 2}}, norm(dt::MatrixNorm::frobenius));
  check("nuclear", {{2, 3, 2}}, norm(dt::MatrixNorm::nuclear));
  check("spectral", {{2, 3, 2}}, norm(dt::MatrixNorm::spectral));
}

}  // namespace
