// What optimisers share: checks of their options, and pieces of their formulas.
#pragma once

#include <cmath>
#include <string>
#include <string_view>

#include <dualtape/core/graph.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/math.hpp>

namespace dualtape::detail {

inline void require(bool good, std::string_view optimiser, const char* option, double value,
                    const char* wanted, Location where = {}) {
  if (good) return;
  fail<ValueError>(
      {.op = optimiser,
       .what = std::string(option) + " is " + std::to_string(value) + ", but must be " + wanted,
       .where = where});
}

inline bool is_share(double value) { return value >= 0 && value < 1; }
inline bool is_amount(double value) { return value >= 0 && std::isfinite(value); }

// The gradient of the loss with weight_decay |p|^2 / 2 added.
inline Var decayed(Var g, Var p, double weight_decay) {
  return weight_decay == 0 ? g : g + weight_decay * p;
}
// Decoupled weight decay: (1 - lr weight_decay) p.
inline Var shrunk(Var p, Var lr, double weight_decay) {
  return weight_decay == 0 ? p : p * (1 - lr * weight_decay);
}

// 1 - beta^t in float64; in float32 1 - 0.999^t would lose four digits at the start.
inline Var bias_correction(double beta, Var t) {
  return 1 - pow(t.graph().constant(beta, float64), t);
}

}  // namespace dualtape::detail
