// The one list of operator families.
#include <dualtape/core/registry.hpp>
#include <dualtape/ops/detail/families.hpp>

namespace dualtape {

void register_builtin_ops() {
  detail::register_activations();
  detail::register_arithmetic();
  detail::register_compare();
  detail::register_convolution();
  detail::register_linalg();
  detail::register_determinants();
  detail::register_math();
  detail::register_matmul();
  detail::register_reduce();
  detail::register_extremes();
  detail::register_moments();
  detail::register_softmax();
  detail::register_normalise();
  detail::register_losses();
  detail::register_join();
  detail::register_attention();
  detail::register_dropout();
  detail::register_einsum();
  detail::register_normalise_batch();
  detail::register_pooling();
  detail::register_shapes();
  detail::register_slice();
  detail::register_scan();
  detail::register_trigonometry();
  detail::register_gather();
  detail::register_indexing();
  detail::register_random();
  detail::register_special();
  detail::register_sort();
  detail::register_running();
  detail::register_recurrences();
  detail::register_diagonals();
  detail::register_creation();
  detail::register_factorisations();
  detail::register_spectral();
}

}  // namespace dualtape
