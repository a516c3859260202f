#include <dualtape/ops/passes/planned_products.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include <dualtape/core/kept.hpp>
#include <dualtape/ops/declare/matrix.hpp>
#include <dualtape/ops/kernels/products/products.hpp>

namespace dualtape::detail {
namespace {

// Of a product of matrices whose result has the shape `c`.
GemmShape gemm_shape(const Shape& a, const Shape& c, bool transpose_a, bool transpose_b) {
  return {transpose_a, transpose_b, static_cast<int>(rows_of(c)), static_cast<int>(columns_of(c)),
          static_cast<int>(transpose_a ? rows_of(a) : columns_of(a))};
}

Cost product_cost(const KernelRequest& request, const Shape& a, bool transpose_a) {
  Cost cost = bytes_only(request);
  const auto inner = static_cast<double>(transpose_a ? rows_of(a) : columns_of(a));
  for (const Type& out : request.out)
    cost.flops += 2 * inner * static_cast<double>(out.shape.count());
  return cost;
}

class PlannedProduct : public Op {
 public:
  const OpInfo& info() const override { return info_; }
  std::vector<Case> cases() const override { return {}; }
  bool can_fail() const override { return false; }

 protected:
  OpInfo info_;
};

class MatmulAdd : public PlannedProduct {
 public:
  MatmulAdd() {
    info_.name = "matmul_add";
    info_.doc = "C + s A B, written over C where nobody reads C again";
    info_.kind = Kind::general;
  }
  void infer(Inference& inference) const override { inference.out = {inference.in[0]}; }
  bool in_place(std::size_t i, std::size_t) const override { return i == 0; }
  Cost cost(const KernelRequest& request) const override {
    return product_cost(request, request.in[1].shape, request.attributes.get<bool>("transpose_a"));
  }
  Kernel kernel(const KernelRequest& request) const override {
    prepare_blas();
    return request.out[0].dtype == float32 ? kernel_for<float>(request)
                                           : kernel_for<double>(request);
  }

 private:
  template <class T>
  static Kernel kernel_for(const KernelRequest& request) {
    const GemmShape shape = gemm_shape(request.in[1].shape, request.out[0].shape,
                                       request.attributes.get<bool>("transpose_a"),
                                       request.attributes.get<bool>("transpose_b"));
    const std::size_t bytes = bytes_of(request.out[0]);
    const bool scaled = request.in.size() == 4;
    const T sign = request.attributes.get<bool>("subtract") ? T{-1} : T{1};
    if (bytes == 0 || shape.k == 0) return {[bytes](const KernelArgs& args) { copy(args, bytes); }};
    Product product(shape, request.out[0].dtype, ProductUse::add, request.options);
    product.prepare(request.options);
    return {[=](const KernelArgs& args) {
              copy(args, bytes);
              const T scale = scaled ? sign * *args.input<T>(3) : sign;
              if (scale == 0) return add_nothing<T>(shape, args);
              product.add(scale, args.input<T>(1), args.input<T>(2), args.output<T>(), args.team,
                          args.workspace);
            },
            product.scratch_bytes(), product.note()};
  }
  // C + 0 A B, for which libraries leave A and B alone, and so what is not finite there.
  template <class T>
  static void add_nothing(const GemmShape& s, const KernelArgs& args) {
    const T* const a = args.input<T>(1);
    const T* const b = args.input<T>(2);
    T* const c = args.output<T>();
    const auto size = [](const T* from, std::int64_t count) {
      return std::accumulate(from, from + count, T{0},
                             [](T sum, T x) { return sum + std::abs(x); });
    };
    // No product on the way is beyond the largest number, then.
    const std::int64_t k = s.k;
    if (std::isfinite(size(a, k * s.m) * size(b, k * s.n))) return;
    for (std::int64_t i = 0; i < s.m; ++i)
      for (std::int64_t j = 0; j < s.n; ++j) {
        T sum = 0;
        for (std::int64_t l = 0; l < k; ++l)
          sum += a[s.transpose_a ? l * s.m + i : i * k + l] *
                 b[s.transpose_b ? j * k + l : l * s.n + j];
        c[i * s.n + j] += 0 * sum;
      }
  }
  static void copy(const KernelArgs& args, std::size_t bytes) {
    if (args.in[0] != args.out[0])
      std::copy_n(args.input<std::byte>(0), bytes, args.output<std::byte>());
  }
};

class StackedMatmul : public PlannedProduct {
 public:
  StackedMatmul() {
    info_.name = "stacked_matmul";
    info_.doc = "A B and A' B in one product, whose left operand is A with A' below";
    info_.kind = Kind::general;
  }
  void infer(Inference& inference) const override {
    const Shape& b = inference.shape(2);
    const bool transposed = inference.attributes.get<bool>("transpose_b");
    const Type out{{rows_of(inference.shape(0)), transposed ? rows_of(b) : columns_of(b)},
                   inference.dtype(0)};
    inference.out = {out, out};
  }
  Cost cost(const KernelRequest& request) const override {
    return product_cost(request, request.in[0].shape, false);
  }
  Kernel kernel(const KernelRequest& request) const override {
    prepare_blas();
    return request.out[0].dtype == float32 ? kernel_for<float>(request)
                                           : kernel_for<double>(request);
  }

 private:
  template <class T>
  static Kernel kernel_for(const KernelRequest& request) {
    const std::int64_t in_count = request.in[0].shape.count();
    const std::int64_t out_count = request.out[0].shape.count();
    GemmShape shape = gemm_shape(request.in[0].shape, request.out[0].shape, false,
                                 request.attributes.get<bool>("transpose_b"));
    Product single(shape, request.out[0].dtype, ProductUse::assign, request.options);
    shape.m *= 2;
    Product both(shape, request.out[0].dtype, ProductUse::assign, request.options);
    single.prepare(request.options, request.attributes);
    both.prepare(request.options, request.attributes);
    return {[=](const KernelArgs& args) {
              const T* const b = args.input<T>(2);
              if (args.input<T>(1) == args.input<T>(0) + in_count &&
                  args.output<T>(1) == args.output<T>(0) + out_count) {
                both.assign(args.input<T>(0), b, args.output<T>(0), args.team, args.workspace);
                return;
              }
              single.assign(args.input<T>(0), b, args.output<T>(0), args.team, args.workspace);
              single.assign(args.input<T>(1), b, args.output<T>(1), args.team, args.workspace);
            },
            std::max(single.scratch_bytes(), both.scratch_bytes()), both.note()};
  }
};

}  // namespace

const Op& matmul_add_op() {
  static const detail::Kept<MatmulAdd> op;
  return op.value;
}

const Op& stacked_matmul_op() {
  static const detail::Kept<StackedMatmul> op;
  return op.value;
}

}  // namespace dualtape::detail
