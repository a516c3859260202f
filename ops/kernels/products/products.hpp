// One matrix product of a plan, and the library and loop it runs on: chosen once, from its sizes.
// Private. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <dualtape/core/attributes.hpp>
#include <dualtape/core/compile_options.hpp>
#include <dualtape/core/dtype.hpp>
#include <dualtape/ops/kernels/products/blas.hpp>

namespace dualtape::detail {

enum class ProductBackend : std::uint8_t { openblas, onednn };

// How a product of matrices runs: oneDNN's as a gemm, or prepared for its sizes.
enum class ProductChoice : std::uint8_t { openblas, onednn, onednn_prepared };
std::string_view name_of(ProductChoice choice);
std::optional<ProductChoice> choice_from(std::string_view name);

class KeptOperand;
class PreparedGemm;
class Team;

// What is done with a product: written to c, alone or as one of many, or added to what c holds.
enum class ProductUse : std::uint8_t { assign, assign_many, add };

// Where a product of these sizes ran faster when measured; always the same answer.
ProductBackend measured_backend(const GemmShape& shape, ProductUse use);
// Whether a product of oneDNN's, written to c, ran faster prepared for its sizes than as a gemm.
bool faster_prepared(const GemmShape& shape);
// Both in one, for float32: how such a product runs where nothing is measured.
ProductChoice usual_choice(const GemmShape& shape, ProductUse use);
// Whether a product ran faster with its operands made bf16 first, or the left one alone.
bool faster_in_bf16(const GemmShape& shape, bool right_is_kept);
// Whether a product of oneDNN's, written to c, ran faster with its right operand kept packed.
bool faster_kept(const GemmShape& shape);
// What the text of DUALTAPE_PRODUCTS names, "openblas" or "onednn"; nothing for null and "".
// ValueError for the rest, and for "onednn" without oneDNN.
std::optional<ProductBackend> backend_from(const char* text);
// ValueError if products cannot be had here as `options` ask for, at whatever sizes.
void require_possible(const CompileOptions& options, Location where);

// c = op(a) op(b), or c += scale op(a) op(b), for matrices of the sizes of `shape`. Either may be
// called whatever `use` says, which only tells what the library is chosen for.
class Product {
 public:
  // `dtype` is float32 or float64. The backend is what DUALTAPE_PRODUCTS names, else the one that
  // is tuned for where `options`, of the program, ask for that, else the usual one; OpenBLAS where
  // oneDNN is missing or does not have the dtype.
  Product(const GemmShape& shape, DType dtype, ProductUse use = ProductUse::assign,
          const CompileOptions& options = no_compile_options());
  Product(const GemmShape& shape, DType dtype, ProductChoice choice);

  const GemmShape& shape() const { return shape_; }
  // Has oneDNN prepare the product where it is chosen so, where `options` ask for
  // bf16, and where `attributes`, of the node, say that its right operand may be kept packed. What
  // was prepared is used if there is scratch_bytes() of memory, aligned to 64 bytes; of float32
  // only where no team divides the product.
  void prepare(const CompileOptions& options, const Attributes& attributes = {});
  std::size_t scratch_bytes() const;
  // With a team, c is cut into one part for each of its threads where the product is large.
  template <class T>
  void assign(const T* a, const T* b, T* c, const Team* team = nullptr,
              void* scratch = nullptr) const {
    run(false, T{1}, a, b, c, team, scratch);
  }
  template <class T>
  void add(T scale, const T* a, const T* b, T* c, const Team* team = nullptr,
           void* scratch = nullptr) const {
    run(true, scale, a, b, c, team, scratch);
  }
  // "openblas NT 64x784x1024": the library, "prepared" if it is, which operands are transposed, and
  // m x k x n. What follows says whether it was tuned, its right operand is kept, and where bf16 is
  // asked for but not worth it.
  std::string note(std::int64_t times = 1) const;

 private:
  enum class Way : std::uint8_t { outer, column, row, gemm };

  template <class T>
  void run(bool adds, T scale, const T* a, const T* b, T* c, const Team* team, void* scratch) const;
  template <class T>
  void run_on_this_thread(const GemmShape& s, bool adds, T scale, const T* a, const T* b,
                          T* c) const;
  bool run_prepared(float scale, const float* a, const float* b, float* c, void* scratch) const;
  bool divided_by_rows() const;
  bool large_enough_to_divide() const;
  std::string_view library() const;

  GemmShape shape_;
  Way way_;
  ProductUse use_;
  ProductChoice choice_;
  bool tuned_ = false;
  bool bf16_wanted_ = false;
  bool bf16_ = false;  // prepared so
  std::shared_ptr<const PreparedGemm> prepared_;
  std::shared_ptr<KeptOperand> kept_;
};

}  // namespace dualtape::detail
