// The one list of operator families.
#include <dualtape/ops/declare/families.hpp>

namespace dualtape {

void detail::register_families() {
  register_activations();
  register_arithmetic();
  register_compare();
  register_convolution();
  register_linalg();
  register_determinants();
  register_math();
  register_matmul();
  register_reduce();
  register_extremes();
  register_moments();
  register_softmax();
  register_normalise();
  register_losses();
  register_join();
  register_attention();
  register_dropout();
  register_einsum();
  register_normalise_batch();
  register_pooling();
  register_shapes();
  register_slice();
  register_scan();
  register_trigonometry();
  register_gather();
  register_indexing();
  register_random();
  register_special();
  register_sort();
  register_running();
  register_recurrences();
  register_diagonals();
  register_creation();
  register_factorisations();
  register_spectral();
}

}  // namespace dualtape
