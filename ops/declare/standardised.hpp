// What normalisations and variances share: rows less their means, refusals, dtypes.
// Private. Plain functions; a graph may be built by one thread at a time.
#pragma once

#include <cmath>
#include <string>
#include <string_view>

#include <dualtape/core/error.hpp>
#include <dualtape/core/op.hpp>
#include <dualtape/ops/arithmetic.hpp>

namespace dualtape::detail {

// x less its mean, times `part`: all as kernels leave them (RowStatistics in fold_plan.hpp), so
// that no difference over- or underflows. `part` is a power of 2, which takes no digits from them.
inline Var deviations(const Var& x, const Var& mean, const Var& rest, const Var& part) {
  return x * part - mean - rest;
}

// 1 - variance r^2 for r = 1 / sqrt(variance + epsilon), without the difference: what a slope keeps
// of a tangent along the normalised row itself. Only in the shortest rows is there nothing across;
// in others the difference rounds to floats of the size of the tangent, not of that share.
inline Var share_of_epsilon(const NodeView& node, const Var& r) {
  return r * node.attributes.get<double>("epsilon") * r;
}

inline void require_epsilon(std::string_view function, double epsilon, Location where) {
  if (epsilon >= 0 && std::isfinite(epsilon)) return;
  fail<ValueError>({.op = function,
                    .what = "epsilon is " + std::to_string(epsilon),
                    .where = where,
                    .help = "use a small number that is not negative, such as 1e-5"});
}

// Calls f.template operator()<T>() for the dtype of operand 0.
template <class F>
Kernel for_floats(const KernelRequest& request, F f) {
  return request.in[0].dtype == float32 ? f.template operator()<float>()
                                        : f.template operator()<double>();
}

}  // namespace dualtape::detail
