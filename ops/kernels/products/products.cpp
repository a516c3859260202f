#include <dualtape/ops/kernels/products/products.hpp>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <type_traits>

#include <dualtape/core/base/environment.hpp>
#include <dualtape/core/machine/kernel.hpp>
#include <dualtape/core/machine/team.hpp>
#include <dualtape/core/tensor/arena.hpp>
#include <dualtape/ops/kernels/products/bf16.hpp>
#include <dualtape/ops/kernels/products/onednn.hpp>
#include <dualtape/ops/kernels/products/tune.hpp>
#include <dualtape/ops/kernels/rows/fold_plan.hpp>

namespace dualtape::detail {
namespace {

// Read once: a plan made later must not differ from one made before.
std::optional<ProductBackend> forced_backend() {
  static const std::optional<ProductBackend> forced =
      backend_from(std::getenv("DUALTAPE_PRODUCTS"));  // NOLINT(concurrency-mt-unsafe)
  return forced;
}

bool tuning(const CompileOptions& options) {
  static const bool always =
      tuning_wanted(std::getenv("DUALTAPE_TUNE"));  // NOLINT(concurrency-mt-unsafe)
  return always || options.tune;
}

constexpr std::array<std::string_view, 3> choice_names{"openblas", "onednn", "onednn prepared"};

// Products of fewer multiplications are not divided: threads would cost more than they save.
constexpr std::int64_t least_divided_gemm = 2'000'000;
constexpr std::int64_t least_divided_thin = 200'000;  // bound by memory
// Rows and columns of c are divided at multiples of what the libraries' kernels hold in registers.
constexpr int division = 16;

}  // namespace

std::string_view name_of(ProductChoice choice) {
  return choice_names[static_cast<std::size_t>(choice)];
}

std::optional<ProductChoice> choice_from(std::string_view name) {
  const auto found = std::ranges::find(choice_names, name);
  if (found == choice_names.end()) return std::nullopt;
  return static_cast<ProductChoice>(found - choice_names.begin());
}

std::optional<ProductBackend> backend_from(const char* text) {
  const std::string_view name = text == nullptr ? "" : text;
  if (name.empty()) return std::nullopt;
  if (name == "openblas") return ProductBackend::openblas;
  if (name == "onednn" && has_onednn()) return ProductBackend::onednn;
  refuse_environment("DUALTAPE_PRODUCTS", name,
                     has_onednn() ? "openblas, onednn" : "openblas (built without oneDNN)",
                     "to have the one that measured faster");
}

// OpenBLAS 0.3.21 against oneDNN 2.6, one thread, AVX-512, matrices on huge pages. Above a million
// multiplications oneDNN took 0.4 to 0.97 of OpenBLAS's time at every shape tried. Up to there
// OpenBLAS has kernels that do not pack their operands: twice as fast as oneDNN's when the result
// has few columns, but slow for a transposed right operand unless k is much larger than n.
// Adding a product with a short inner size to a large matrix, as updates do, is bound by that
// matrix: oneDNN took 0.9 to 1.15 times as long alone; in whole training steps with an inner size
// of 64, 1.04 with matrices of 1024x1024, 0.99 with 784x100, 0.96 to 0.98 with 256x256.
ProductBackend measured_backend(const GemmShape& s, ProductUse use) {
  const std::int64_t operations = std::int64_t{s.m} * s.n * s.k;
  constexpr std::int64_t unpacked = 1'000'000;
  constexpr std::int64_t large = 256 * 1024;  // elements
  if (use == ProductUse::add && (s.k < 64 || (s.k == 64 && std::int64_t{s.m} * s.n >= large)))
    return ProductBackend::openblas;
  const bool onednn =
      operations > unpacked ||
      (s.transpose_b && !s.transpose_a && operations >= unpacked / 5 && s.k <= 10 * s.n) ||
      (!s.transpose_b && !s.transpose_a && operations >= unpacked / 2 && s.n >= 8);
  return onednn ? ProductBackend::onednn : ProductBackend::openblas;
}

// oneDNN 2.6, one thread, AVX-512. Its gemm copies a transposed right operand slowly where rows lie
// a multiple of 2 KiB apart, which fall on the same lines of the first cache. Prepared, such
// products took 0.41 to 0.93 of the time with 16 to 96 rows, 0.9 as 64x1024x1024; 0.89 to 0.98 with
// 128 rows; and 0.93 to 1.1 at other widths.
bool faster_prepared(const GemmShape& s) {
  return s.transpose_b && !s.transpose_a && s.m >= 16 && s.m <= 96 && s.n >= 64 && s.k >= 1024 &&
         s.k % 512 == 0;
}

// oneDNN 2.6, one thread, AMX. With both operands made bf16 first, products took 0.2 to 0.8 of the
// float32 time; 0.96 with 24 rows by a weight of 4 MiB, whose conversion the rows must pay for, and
// 1.08 as 32x64x64. With the weight kept, 0.15 to 0.7 from 2 rows on. Tall operands by few columns
// were not measured.
bool faster_in_bf16(const GemmShape& s, bool right_is_kept) {
  const std::int64_t operations = std::int64_t{s.m} * s.n * s.k;
  constexpr std::int64_t in_cache = 256 * 1024;  // elements
  if (s.k < 32 || s.n < 8 || (s.n < 32 && std::int64_t{s.m} * s.k > in_cache)) return false;
  return right_is_kept ? operations >= 100'000 : operations >= 200'000 && s.m >= 32;
}

// oneDNN 2.6, one thread, AVX-512, weights of 1024x1024: 0.84 of the time with 2 rows, 0.87 with
// 16, 0.91 with 32, but 1.0 with 8 and 1.02 to 1.04 with 64; transposed ones 0.77 with 16 rows, 0.9
// with 64, 1.02 with 2. No gain from weights of 256x256 and smaller, nor from 512 rows.
bool faster_kept(const GemmShape& s) {
  return std::int64_t{s.n} * s.k >= 512 * 1024 &&
         (s.transpose_b ? s.m >= 16 && s.m <= 96 : s.m <= 32);
}

void require_possible(const CompileOptions& options, Location where) {
  // Here, so that a misspelt variable is refused whether or not the program has products.
  static_cast<void>(forced_backend());
  static_cast<void>(tuning(options));
  if (options.precision != Precision::bf16) return;
  std::string reason;
  if (!has_onednn())
    reason = "this library was built without oneDNN";
  else if (forced_backend() == ProductBackend::openblas)
    reason = "DUALTAPE_PRODUCTS=openblas keeps oneDNN out";
  else if (!onednn_has_bf16())
    reason = "this processor, or " + onednn_version() + " on it, has no bf16 instructions";
  else
    return;
  fail<ValueError>({.op = "compile",
                    .what = "products in bf16 cannot be had: " + reason,
                    .where = where,
                    .help = "leave CompileOptions::precision at precision::full"});
}

ProductChoice usual_choice(const GemmShape& shape, ProductUse use) {
  if (!has_onednn() ||
      forced_backend().value_or(measured_backend(shape, use)) == ProductBackend::openblas)
    return ProductChoice::openblas;
  return use == ProductUse::assign && faster_prepared(shape) ? ProductChoice::onednn_prepared
                                                             : ProductChoice::onednn;
}

// Thin products leave gemm: it measured 2 to 6 times slower than a loop for k = 1, and up to 2.5
// times slower than gemv for one column or row, seldom a little faster.
Product::Product(const GemmShape& shape, DType dtype, ProductChoice choice)
    : shape_(shape),
      way_(shape.k == 1   ? Way::outer
           : shape.n == 1 ? Way::column
           : shape.m == 1 ? Way::row
                          : Way::gemm),
      use_(ProductUse::assign),
      choice_(dtype == float32 && has_onednn() ? choice : ProductChoice::openblas) {}

Product::Product(const GemmShape& shape, DType dtype, ProductUse use, const CompileOptions& options)
    : Product(shape, dtype, usual_choice(shape, use)) {
  use_ = use;
  bf16_wanted_ = dtype == float32 && options.precision == Precision::bf16;
  if (way_ != Way::gemm || dtype != float32 || forced_backend() || !has_onednn() ||
      !tuning(options))
    return;
  choice_ = tuned_choice(shape, use, options.tune_file);
  tuned_ = true;
}

// The right operand of a product as it was packed last.
class KeptOperand {
 public:
  KeptOperand(const Attributes& attributes, std::size_t bytes)
      : memory_(make_block(std::max<std::size_t>(bytes, 1))) {
    if (attributes.has("kept_parameter")) parameter_ = attributes.get<Parameter>("kept_parameter");
  }
  static bool may_keep(const Attributes& attributes) {
    return attributes.has("kept_parameter") || attributes.has("kept_constant");
  }
  // Packed again if it has changed; null if oneDNN refused.
  const void* packed(const PreparedGemm& gemm, const float* b) {
    const std::uint64_t version = parameter_ ? parameter_->version() : 0;
    if (b == from_ && version == version_) return memory_.get();
    from_ = nullptr;
    if (!gemm.pack(b, memory_.get())) return nullptr;
    from_ = b;
    version_ = version;
    return memory_.get();
  }

 private:
  Block memory_;
  std::optional<Parameter> parameter_;  // none if a constant
  const float* from_ = nullptr;         // null until packed
  std::uint64_t version_ = 0;
};

void Product::prepare(const CompileOptions& options, const Attributes& attributes) {
  if (way_ != Way::gemm || use_ == ProductUse::assign_many) return;
  const bool may_keep = use_ == ProductUse::assign && KeptOperand::may_keep(attributes);
  PreparedHow how{.adds = use_ == ProductUse::add};
  how.bf16 = bf16_wanted_ && faster_in_bf16(shape_, may_keep);
  const bool divided = options.threads > 1 && large_enough_to_divide();
  how.packed = may_keep && (how.bf16 || (choice_ != ProductChoice::openblas && !tuned_ &&
                                         !divided && faster_kept(shape_)));
  if (how.bf16 || how.packed) prepared_ = prepare_onednn_gemm(shape_, how);
  if (prepared_ != nullptr) {
    bf16_ = how.bf16;
    if (how.packed) kept_ = std::make_shared<KeptOperand>(attributes, prepared_->packed_bytes());
  } else if (choice_ == ProductChoice::onednn_prepared) {
    prepared_ = prepare_onednn_gemm(shape_);
  }
}

namespace {

std::size_t bf16_bytes(int rows, int columns) {
  return aligned(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns) *
                 sizeof(std::uint16_t));
}

}  // namespace

std::size_t Product::scratch_bytes() const {
  if (prepared_ == nullptr) return 0;
  std::size_t bytes = aligned(prepared_->scratch_bytes());
  if (bf16_) bytes += bf16_bytes(shape_.m, shape_.k);
  if (bf16_ && kept_ == nullptr) bytes += bf16_bytes(shape_.k, shape_.n);
  return std::max<std::size_t>(bytes, 1);  // none would look like no scratch
}

// Scratch holds the library's own, then the bf16 operands.
bool Product::run_prepared(float scale, const float* a, const float* b, float* c,
                           void* scratch) const {
  const void* left = a;
  const void* right = b;
  if (kept_ != nullptr) right = kept_->packed(*prepared_, b);
  if (right == nullptr) return false;
  if (bf16_) {
    auto* const memory = static_cast<std::byte*>(scratch) + aligned(prepared_->scratch_bytes());
    const auto converted = [](const float* from, float factor, std::byte* to, int rows,
                              int columns) {
      auto* const numbers = reinterpret_cast<std::uint16_t*>(to);
      to_bf16(from, factor, numbers,
              static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
      return numbers;
    };
    left = converted(a, scale, memory, shape_.m, shape_.k);
    if (kept_ == nullptr)
      right = converted(b, 1.0F, memory + bf16_bytes(shape_.m, shape_.k), shape_.k, shape_.n);
  }
  return prepared_->run(left, right, c, scratch);
}

// The rows of a column or of an outer product, the columns of a row, else the longer side.
bool Product::divided_by_rows() const {
  return way_ == Way::gemm ? shape_.m > shape_.n : way_ != Way::row;
}

bool Product::large_enough_to_divide() const {
  const std::int64_t operations = std::int64_t{shape_.m} * shape_.n * shape_.k;
  return (divided_by_rows() ? shape_.m : shape_.n) >= 2 * division &&
         operations >= (way_ == Way::gemm ? least_divided_gemm : least_divided_thin);
}

template <class T>
void Product::run(bool adds, T scale, const T* a, const T* b, T* c, const Team* team,
                  void* scratch) const {
  const bool undivided = team == nullptr || !large_enough_to_divide();
  if constexpr (std::is_same_v<T, float>)
    if (prepared_ != nullptr && scratch != nullptr && adds == (use_ == ProductUse::add) &&
        (undivided || bf16_) && run_prepared(scale, a, b, c, scratch))
      return;
  if (undivided) return run_on_this_thread(shape_, adds, scale, a, b, c);
  const bool rows = divided_by_rows();
  const int side = rows ? shape_.m : shape_.n;
  const int share = (side - 1) / team->threads() + 1;
  const int step = (share + division - 1) / division * division;
  team->run(static_cast<std::size_t>((side - 1) / step) + 1, [&](std::size_t part, int) {
    const int first = static_cast<int>(part) * step;
    GemmShape s = shape_;
    s.stride_a = shape_.row_of_a();
    s.stride_b = shape_.row_of_b();
    s.stride_c = shape_.row_of_c();
    (rows ? s.m : s.n) = std::min(step, side - first);
    const std::int64_t begin = first;
    run_on_this_thread(s, adds, scale, a + (rows ? begin * (s.transpose_a ? 1 : s.stride_a) : 0),
                       b + (rows ? 0 : begin * (s.transpose_b ? s.stride_b : 1)),
                       c + (rows ? begin * s.stride_c : begin));
  });
}

template <class T>
void Product::run_on_this_thread(const GemmShape& s, bool adds, T scale, const T* a, const T* b,
                                 T* c) const {
  switch (way_) {
    case Way::outer: {  // a column times a row, which is the same whether transposed or not
      const auto& kernels = row_kernels<T>();
      return (adds ? kernels.add_outer : kernels.outer)(
          static_cast<std::size_t>(s.m), static_cast<std::size_t>(s.n), scale, a, b, c);
    }
    case Way::column:
      if (!adds) std::fill_n(c, s.m, T{0});
      return detail::gemv(s.transpose_a, s.transpose_a ? s.k : s.m, s.transpose_a ? s.m : s.k,
                          s.row_of_a(), scale, a, b, c);
    case Way::row:
      if (!adds) std::fill_n(c, s.n, T{0});
      return detail::gemv(!s.transpose_b, s.transpose_b ? s.n : s.k, s.transpose_b ? s.k : s.n,
                          s.row_of_b(), scale, b, a, c);
    case Way::gemm: break;
  }
  const T keep = adds ? T{1} : T{0};
  if constexpr (std::is_same_v<T, float>)
    if (choice_ != ProductChoice::openblas && onednn_gemm(s, scale, a, b, keep, c)) return;
  detail::gemm(s, scale, a, b, keep, c);
}

template void Product::run(bool, float, const float*, const float*, float*, const Team*,
                           void*) const;
template void Product::run(bool, double, const double*, const double*, double*, const Team*,
                           void*) const;

std::string_view Product::library() const {
  switch (way_) {
    case Way::outer: return "outer product";
    case Way::column:
    case Way::row: return "openblas gemv";
    case Way::gemm: break;
  }
  return choice_ == ProductChoice::openblas && prepared_ == nullptr ? "openblas" : "onednn";
}

std::string Product::note(std::int64_t times) const {
  std::string text(library());
  if (bf16_) text += " bf16";
  if (prepared_ != nullptr && !bf16_) text += " prepared";
  if (way_ == Way::gemm)
    text += std::string(" ") + (shape_.transpose_a ? 'T' : 'N') + (shape_.transpose_b ? 'T' : 'N');
  text += ' ' + std::to_string(shape_.m) + 'x' + std::to_string(shape_.k) + 'x' +
          std::to_string(shape_.n);
  if (times != 1) text += " times " + std::to_string(times);
  if (kept_ != nullptr) text += ", right operand kept";
  if (tuned_ && !bf16_) text += ", measured";
  if (bf16_wanted_ && !bf16_) text += ", float32: bf16 would not gain";
  return text;
}

}  // namespace dualtape::detail
