// The families of built-in operators: each registers its own. A static library drops object files
// that nothing names, so register_families() in ops/declare/families.cpp names them all.
// Private. Registering is safe from any thread.
#pragma once

namespace dualtape::detail {

void register_families();

// Registers wrapped operators: asking one for its Op does it.
template <class... Callables>
void register_all(const Callables&...) {
  (static_cast<void>(Callables::op()), ...);
}

void register_activations();
void register_cut_activations();
void register_arithmetic();
void register_compare();
void register_convolution();
void register_convolution1d();
void register_linalg();
void register_determinants();
void register_math();
void register_matmul();
void register_gather();
void register_indexing();
void register_join();
void register_random();
void register_special();
void register_sort();
void register_running();
void register_recurrences();
void register_diagonals();
void register_creation();
void register_factorisations();
void register_spectral();
void register_reduce();
void register_extremes();
void register_moments();
void register_norms();
void register_softmax();
void register_normalise();
void register_losses();
void register_attention();
void register_dropout();
void register_einsum();
void register_normalise_batch();
void register_pooling();
void register_pooling1d();
void register_shapes();
void register_slice();
void register_scan();
void register_trigonometry();

}  // namespace dualtape::detail
