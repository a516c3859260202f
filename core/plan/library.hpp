// What the layers above hand to core, which names none of them: passes that know their operators. A
// program of core alone runs without. Private; any thread.
#pragma once

#include <span>

#include <dualtape/core/pass.hpp>

namespace dualtape::detail {

struct Library {
  std::span<const Pass> passes;  // in the order compile() runs them
  // ValueError if kernels cannot be had here as `options` ask for, at whatever sizes.
  void (*require_possible)(const CompileOptions& options, Location where);
  // Gives products the attribute "kept_parameter" or "kept_constant" where their right operand is
  // one that stays the same from run to run.
  void (*keep_weights)(Plan& plan);
};

// Defined in ops/declare/library.cpp; in core/plan/alone.cpp for a program of core alone.
const Library& library();

}  // namespace dualtape::detail
