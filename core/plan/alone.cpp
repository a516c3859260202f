// What a program of core alone has in the place of ops/declare/library.cpp: core's own passes, and
// no operators. Not in the library, which has that one.
#include <array>

#include <dualtape/core/plan/library.hpp>
#include <dualtape/core/registry.hpp>

namespace dualtape {
namespace detail {

void register_builtin_ops() {}

const Library& library() {
  static constexpr std::array passes{
      Pass{"merge", "one node for equal computations", &merge},
      Pass{"precompute", "what depends on constants alone is computed now", &precompute},
      Pass{"unshare", "outputs and assigned values get memory of their own", &unshare, false},
      Pass{"schedule", "a tangent runs right after its primal", &schedule},
      Pass{"hasten", "updates run as soon as they may", &hasten},
      Pass{"overwrite", "an update is written over the parameter where nobody can tell",
           &overwrite},
  };
  static constexpr Library alone{passes, [](const CompileOptions&, Location) {}, [](Plan&) {}};
  return alone;
}

}  // namespace detail

}  // namespace dualtape
