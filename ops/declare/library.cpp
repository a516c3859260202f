// What core has of this layer: its operators, and the one list of passes in the order compile()
// runs them.
#include <array>

#include <dualtape/core/plan/library.hpp>
#include <dualtape/core/registry.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/kernels/products/products.hpp>
#include <dualtape/ops/passes/passes.hpp>

namespace dualtape {

const detail::Library& detail::library() {
  static constexpr std::array passes{
      Pass{"merge", "one node for equal computations", &merge},
      Pass{"absorb", "one loop for values and tangents", &absorb},
      Pass{"precompute", "what depends on constants alone is computed now", &precompute},
      Pass{"simplify", "algebra that changes no result beyond rounding", &simplify},
      Pass{"collapse", "a sum over a batch comes before what is linear in it", &collapse},
      Pass{"thin", "products in the cheaper order, (x a) b for x (a b)", &thin},
      Pass{"layout", "images stay in blocks of channels from one convolution to the next", &layout},
      Pass{"remerge", "one node for computations that became equal", &merge},
      Pass{"unshare", "outputs and assigned values get memory of their own", &unshare, false},
      Pass{"schedule", "a tangent runs right after its primal", &schedule},
      Pass{"stack_products", "products with one right operand run as one", &stack_products},
      Pass{"sum_products", "sums of thin products are one product", &sum_products},
      Pass{"accumulate", "sums with a product are written by the product", &accumulate},
      Pass{"hasten", "updates run as soon as they may", &hasten},
      Pass{"redraw", "large random signs are drawn again, not kept, for updates", &redraw},
      Pass{"fuse", "elementwise nodes next to each other run as one, in cache", &fuse},
      Pass{"overwrite", "an update is written over the parameter where nobody can tell",
           &overwrite},
  };
  static constexpr Library with_operators{passes, &require_possible, &keep_weights};
  return with_operators;
}

void detail::register_builtin_ops() { register_families(); }

}  // namespace dualtape
