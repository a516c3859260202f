// One matrix product of a plan, and the library and loop it runs on: chosen once, from its sizes.
// Private. Plain data; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <dualtape/core/dtype.hpp>
#include <dualtape/ops/detail/blas.hpp>

namespace dualtape::detail {

enum class ProductBackend : std::uint8_t { openblas, onednn };

// What is done with a product: written to c, or added to what c holds.
enum class ProductUse : std::uint8_t { assign, add };

// Where a product of these sizes ran faster when measured; always the same answer.
ProductBackend measured_backend(const GemmShape& shape, ProductUse use);
// What the text of DUALTAPE_PRODUCTS names, "openblas" or "onednn"; nothing for null and the rest.
std::optional<ProductBackend> backend_from(const char* text);

// c = op(a) op(b), or c += scale op(a) op(b), for matrices of the sizes of `shape`. Either may be
// called whatever `use` says, which only tells what the library is chosen for.
class Product {
 public:
  // `dtype` is float32 or float64. The backend is what DUALTAPE_PRODUCTS names or else the measured
  // one; OpenBLAS where oneDNN is missing or does not have the dtype.
  Product(const GemmShape& shape, DType dtype, ProductUse use = ProductUse::assign);

  const GemmShape& shape() const { return shape_; }
  template <class T>
  void assign(const T* a, const T* b, T* c) const;
  template <class T>
  void add(T scale, const T* a, const T* b, T* c) const;
  // "openblas NT 64x784x1024": the library, which operands are transposed, and m x k x n.
  std::string note(std::int64_t times = 1) const;

 private:
  enum class Way : std::uint8_t { outer, column, row, gemm };

  template <class T>
  void run_gemm(T alpha, const T* a, const T* b, T beta, T* c) const;
  template <class T>
  void add_vector(T alpha, const T* a, const T* b, T* c) const;
  std::string_view library() const;

  GemmShape shape_;
  Way way_;
  ProductBackend backend_;
};

}  // namespace dualtape::detail
