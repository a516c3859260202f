#include <dualtape/ops/detail/products.hpp>

#include <algorithm>
#include <cstdlib>
#include <type_traits>

#include <dualtape/ops/detail/fold_plan.hpp>
#include <dualtape/ops/detail/onednn.hpp>

namespace dualtape::detail {
namespace {

// Read once: a plan made later must not differ from one made before.
std::optional<ProductBackend> forced_backend() {
  static const std::optional<ProductBackend> forced =
      backend_from(std::getenv("DUALTAPE_PRODUCTS"));  // NOLINT(concurrency-mt-unsafe)
  return forced;
}

// c = scale a b, or c += scale a b: a column times a row, which is the same whether they are
// transposed or not.
template <class T>
void outer_product(const GemmShape& shape, T scale, const T* a, const T* b, T* c, bool add) {
  const auto& kernels = row_kernels<T>();
  (add ? kernels.add_outer : kernels.outer)(static_cast<std::size_t>(shape.m),
                                            static_cast<std::size_t>(shape.n), scale, a, b, c);
}

}  // namespace

std::optional<ProductBackend> backend_from(const char* text) {
  const std::string_view name = text == nullptr ? "" : text;
  if (name == "openblas") return ProductBackend::openblas;
  if (name == "onednn") return ProductBackend::onednn;
  return std::nullopt;
}

// OpenBLAS 0.3.21 against oneDNN 2.6, one thread, AVX-512, matrices on huge pages. Above a million
// multiplications oneDNN took 0.4 to 0.97 of OpenBLAS's time at every shape tried. Up to there
// OpenBLAS has kernels that do not pack their operands: twice as fast as oneDNN's when the result
// has few columns, but slow for a transposed right operand unless k is much larger than n.
// Adding a product with a short inner size to a large matrix, as updates do, is bound by that
// matrix: oneDNN took 0.9 to 1.15 times as long alone, and 1.04 in whole training steps.
ProductBackend measured_backend(const GemmShape& s, ProductUse use) {
  const std::int64_t operations = std::int64_t{s.m} * s.n * s.k;
  constexpr std::int64_t unpacked = 1'000'000;
  if (use == ProductUse::add && s.k <= 64) return ProductBackend::openblas;
  const bool onednn =
      operations > unpacked ||
      (s.transpose_b && !s.transpose_a && operations >= unpacked / 5 && s.k <= 10 * s.n) ||
      (!s.transpose_b && !s.transpose_a && operations >= unpacked / 2 && s.n >= 8);
  return onednn ? ProductBackend::onednn : ProductBackend::openblas;
}

// Thin products leave gemm: it measured 2 to 6 times slower than a loop for k = 1, and up to 2.5
// times slower than gemv for one column or row, seldom a little faster.
Product::Product(const GemmShape& shape, DType dtype, ProductUse use)
    : shape_(shape),
      way_(shape.k == 1   ? Way::outer
           : shape.n == 1 ? Way::column
           : shape.m == 1 ? Way::row
                          : Way::gemm),
      backend_(forced_backend().value_or(measured_backend(shape, use))) {
  if (dtype != float32 || !has_onednn()) backend_ = ProductBackend::openblas;
}

template <class T>
void Product::run_gemm(T alpha, const T* a, const T* b, T beta, T* c) const {
  if constexpr (std::is_same_v<T, float>)
    if (backend_ == ProductBackend::onednn && onednn_gemm(shape_, alpha, a, b, beta, c)) return;
  detail::gemm(shape_, alpha, a, b, beta, c);
}

template <class T>
void Product::add_vector(T alpha, const T* a, const T* b, T* c) const {
  const auto [ta, tb, m, n, k] = shape_;
  if (way_ == Way::column)
    detail::gemv(ta, ta ? k : m, ta ? m : k, alpha, a, b, c);
  else
    detail::gemv(!tb, tb ? n : k, tb ? k : n, alpha, b, a, c);
}

template <class T>
void Product::assign(const T* a, const T* b, T* c) const {
  switch (way_) {
    case Way::outer: outer_product(shape_, T(1), a, b, c, false); break;
    case Way::column:
    case Way::row:
      std::fill_n(c, std::int64_t{shape_.m} * shape_.n, T{0});
      add_vector(T{1}, a, b, c);
      break;
    case Way::gemm: run_gemm(T{1}, a, b, T{0}, c); break;
  }
}

template <class T>
void Product::add(T scale, const T* a, const T* b, T* c) const {
  switch (way_) {
    case Way::outer: outer_product(shape_, scale, a, b, c, true); break;
    case Way::column:
    case Way::row: add_vector(scale, a, b, c); break;
    case Way::gemm: run_gemm(scale, a, b, T{1}, c); break;
  }
}

template void Product::assign(const float*, const float*, float*) const;
template void Product::assign(const double*, const double*, double*) const;
template void Product::add(float, const float*, const float*, float*) const;
template void Product::add(double, const double*, const double*, double*) const;

std::string_view Product::library() const {
  switch (way_) {
    case Way::outer: return "outer product";
    case Way::column:
    case Way::row: return "openblas gemv";
    case Way::gemm: break;
  }
  return backend_ == ProductBackend::onednn ? "onednn" : "openblas";
}

std::string Product::note(std::int64_t times) const {
  std::string text(library());
  if (way_ == Way::gemm)
    text += std::string(" ") + (shape_.transpose_a ? 'T' : 'N') + (shape_.transpose_b ? 'T' : 'N');
  text += ' ' + std::to_string(shape_.m) + 'x' + std::to_string(shape_.k) + 'x' +
          std::to_string(shape_.n);
  if (times != 1) text += " times " + std::to_string(times);
  return text;
}

}  // namespace dualtape::detail
