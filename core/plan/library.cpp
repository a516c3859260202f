#include <array>

#include <dualtape/core/plan/library.hpp>

namespace dualtape {
namespace detail {

[[gnu::weak]] void register_builtin_ops() {}

[[gnu::weak]] const Library& library() {
  static constexpr std::array passes{
      Pass{"merge", "one node for equal computations", &merge_common},
      Pass{"fold", "what depends on constants alone is computed now", &fold_constants},
      Pass{"share", "outputs and assigned values get memory of their own", &copy_shared, false},
      Pass{"schedule", "a tangent runs right after its primal", &schedule},
      Pass{"hasten", "updates run as soon as they may", &hasten_updates},
      Pass{"overwrite", "an update is written over the parameter where nobody can tell",
           &assign_in_place},
  };
  static constexpr Library alone{passes, [](const CompileOptions&, Location) {}, [](Plan&) {}};
  return alone;
}

}  // namespace detail

std::span<const Pass> passes() { return detail::library().passes; }

}  // namespace dualtape
