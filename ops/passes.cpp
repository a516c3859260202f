// The one list of passes, in the order compile() runs them.
#include <array>

#include <dualtape/core/pass.hpp>
#include <dualtape/ops/detail/rewrites.hpp>

namespace dualtape {

std::span<const Pass> passes() {
  static constexpr std::array all{
      Pass{"merge", "one node for equal computations", &merge_common},
      Pass{"fold", "what depends on constants alone is computed now", &fold_constants},
      Pass{"simplify", "algebra that changes no result beyond rounding", &detail::simplify},
      Pass{"thin", "products in the cheaper order, (x a) b for x (a b)", &detail::thin_products},
      Pass{"layout", "images stay in blocks of channels from one convolution to the next",
           &detail::choose_layouts},
      Pass{"remerge", "one node for computations that became equal", &merge_common},
      Pass{"share", "outputs and assigned values get memory of their own", &copy_shared, false},
      Pass{"schedule", "a tangent runs right after its primal", &schedule},
      Pass{"stack", "products with one right operand run as one", &detail::stack_products},
      Pass{"gather", "sums of thin products are one product", &detail::gather_products},
      Pass{"accumulate", "sums with a product are written by the product",
           &detail::accumulate_products},
      Pass{"hasten", "updates run as soon as they may", &hasten_updates},
      Pass{"redraw", "large random signs are drawn again, not kept, for updates",
           &detail::redraw_signs},
      Pass{"fuse", "elementwise nodes next to each other run as one, in cache", &detail::fuse},
      Pass{"overwrite", "an update is written over the parameter where nobody can tell",
           &assign_in_place},
  };
  return all;
}

}  // namespace dualtape
