// Products as plans run them, against the definition of a product.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <dualtape/core/program.hpp>
#include <dualtape/core/random.hpp>
#include <dualtape/ops/kernels/products/onednn.hpp>
#include <dualtape/ops/kernels/products/products.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/passes/planned_products.hpp>
#include <tests/errors.hpp>

namespace dt = dualtape;
using dt::Shape;
using dt::Tensor;
using dt::detail::GemmShape;
using dt::detail::ProductBackend;

namespace {

Tensor numbers(std::uint64_t seed, const Shape& shape, dt::DType dtype) {
  return dt::uniform(dt::Key{seed}, shape, -1.0, 1.0, dtype);
}
Shape shape_a(const GemmShape& s) { return s.transpose_a ? Shape{s.k, s.m} : Shape{s.m, s.k}; }
Shape shape_b(const GemmShape& s) { return s.transpose_b ? Shape{s.n, s.k} : Shape{s.k, s.n}; }

// c + scale op(a) op(b) by the definition, in float64.
Tensor by_definition(const GemmShape& s, const Tensor& c, double scale, const Tensor& a,
                     const Tensor& b) {
  Tensor result = c.to(dt::float64).copy();
  const Tensor wide_a = a.to(dt::float64);
  const Tensor wide_b = b.to(dt::float64);
  const auto at = [](const Tensor& x, int i, int j) {
    return x.data<double>()[static_cast<std::size_t>(i * x.size(1) + j)];
  };
  for (int i = 0; i < s.m; ++i)
    for (int j = 0; j < s.n; ++j) {
      double sum = 0;
      for (int k = 0; k < s.k; ++k)
        sum += (s.transpose_a ? at(wide_a, k, i) : at(wide_a, i, k)) *
               (s.transpose_b ? at(wide_b, j, k) : at(wide_b, k, j));
      result.data<double>()[static_cast<std::size_t>(i * s.n + j)] += scale * sum;
    }
  return result;
}

// Thin in each direction, small, and large enough for either library.
std::vector<GemmShape> shapes() {
  std::vector<GemmShape> all;
  for (const bool ta : {false, true})
    for (const bool tb : {false, true})
      for (const auto& [m, n, k] : {std::array{1, 1, 1},
                                    {3, 4, 1},
                                    {5, 1, 7},
                                    {1, 6, 9},
                                    {2, 3, 5},
                                    {33, 17, 40},
                                    {64, 130, 140}})
        all.push_back({ta, tb, m, n, k});
  return all;
}
double tolerance(dt::DType dtype) { return dtype == dt::float64 ? 1e-12 : 2e-4; }

// Runs an operator's kernel on memory of the test's own.
template <std::size_t outputs>
void run(const dt::Op& op, const dt::Attributes& attributes, const std::vector<Tensor>& in,
         std::array<void*, outputs> out, const dt::Type& type) {
  std::vector<dt::Type> in_types;
  std::vector<const void*> data;
  for (const Tensor& tensor : in) {
    in_types.push_back(tensor.type());
    data.push_back(tensor.raw());
  }
  const std::vector<dt::Type> out_types(outputs, type);
  op.kernel({in_types, out_types, attributes}).run({data.data(), out.data(), nullptr});
}

dt::Attributes flags(const GemmShape& s, bool subtract) {
  return {{"transpose_a", s.transpose_a}, {"transpose_b", s.transpose_b}, {"subtract", subtract}};
}

}  // namespace

TEST_CASE("a product is written and added by the definition, whatever its shape") {
  for (const dt::DType dtype : {dt::float32, dt::float64})
    for (const GemmShape& s : shapes()) {
      CAPTURE(s.m);
      CAPTURE(s.n);
      CAPTURE(s.k);
      const Tensor a = numbers(1, shape_a(s), dtype);
      const Tensor b = numbers(2, shape_b(s), dtype);
      const dt::detail::Product product(s, dtype);
      // What was in c before must not matter, NaNs included.
      Tensor c = dt::full({s.m, s.n}, std::numeric_limits<double>::quiet_NaN(), dtype);
      Tensor sum = numbers(3, {s.m, s.n}, dtype);
      const Tensor before = sum.copy();
      dt::dispatch(dtype, [&]<class T>() {
        if constexpr (std::is_floating_point_v<T>) {
          product.assign(a.data<T>().data(), b.data<T>().data(), c.data<T>().data());
          product.add(T{-0.5}, a.data<T>().data(), b.data<T>().data(), sum.data<T>().data());
        }
      });
      const Tensor zero = dt::zeros({s.m, s.n}, dt::float64);
      CHECK(dt::all_close(c.to(dt::float64), by_definition(s, zero, 1, a, b), 0, tolerance(dtype)));
      CHECK(dt::all_close(sum.to(dt::float64), by_definition(s, before, -0.5, a, b), 0,
                          tolerance(dtype)));
    }
}

TEST_CASE("oneDNN, where it is there, and OpenBLAS give the same product") {
  if (!dt::detail::has_onednn()) {
    MESSAGE("[skipped] this library was built without oneDNN");
    return;
  }
  for (const GemmShape& s : shapes()) {
    const Tensor a = numbers(1, shape_a(s), dt::float32);
    const Tensor b = numbers(2, shape_b(s), dt::float32);
    Tensor c = numbers(3, {s.m, s.n}, dt::float32);
    const Tensor expected = by_definition(s, c, 1.5, a, b);
    REQUIRE(dt::detail::onednn_gemm(s, 1.5F, a.data<float>().data(), b.data<float>().data(), 1.0F,
                                    c.data<float>().data()));
    CHECK(dt::all_close(c.to(dt::float64), expected, 0, tolerance(dt::float32)));
  }
}

TEST_CASE("a prepared product of oneDNN is the product, for any operands and transposes") {
  for (const GemmShape& s : shapes()) {
    CAPTURE(s.m);
    CAPTURE(s.transpose_a);
    CAPTURE(s.transpose_b);
    const auto prepared = dt::detail::prepare_onednn_gemm(s);
    if (prepared == nullptr) continue;  // no oneDNN, or a processor it has no such code for
    const Tensor scratch({static_cast<std::int64_t>(prepared->scratch_bytes() / 4 + 1)},
                         dt::float32);
    for (const std::uint64_t seed : {1U, 2U, 3U}) {
      const Tensor a = numbers(seed, shape_a(s), dt::float32);
      const Tensor b = numbers(seed + 9, shape_b(s), dt::float32);
      Tensor c = dt::full({s.m, s.n}, std::numeric_limits<double>::quiet_NaN(), dt::float32);
      REQUIRE(prepared->run(a.data<float>().data(), b.data<float>().data(), c.data<float>().data(),
                            const_cast<void*>(scratch.raw())));
      const Tensor zero = dt::zeros({s.m, s.n}, dt::float64);
      CHECK(dt::all_close(c.to(dt::float64), by_definition(s, zero, 1, a, b), 0,
                          tolerance(dt::float32)));
    }
  }
}

TEST_CASE("a product prepared or not is the same, with scratch or without") {
  const GemmShape s{false, true, 16, 64, 1024};
  dt::detail::Product product(s, dt::float32);
  const dt::detail::Product plain = product;
  CHECK(plain.scratch_bytes() == 0);
  product.prepare(dt::no_compile_options());
  CHECK((product.note().find("prepared") != std::string::npos) == (product.scratch_bytes() > 0));
  CHECK(plain.note().find("prepared") == std::string::npos);
  const Tensor a = numbers(1, shape_a(s), dt::float32);
  const Tensor b = numbers(2, shape_b(s), dt::float32);
  const Tensor zero = dt::zeros({s.m, s.n}, dt::float64);
  const Tensor expected = by_definition(s, zero, 1, a, b);
  Tensor scratch({static_cast<std::int64_t>(product.scratch_bytes() / 4 + 1)}, dt::float32);
  for (void* memory : {scratch.raw(), static_cast<void*>(nullptr)}) {
    Tensor c = dt::full({s.m, s.n}, std::numeric_limits<double>::quiet_NaN(), dt::float32);
    product.assign(a.data<float>().data(), b.data<float>().data(), c.data<float>().data(), nullptr,
                   memory);
    CHECK(dt::all_close(c.to(dt::float64), expected, 0, tolerance(dt::float32)));
    // Adding takes nothing that is prepared.
    product.add(-1.0F, a.data<float>().data(), b.data<float>().data(), c.data<float>().data());
    CHECK(dt::all_close(c.to(dt::float64), zero, 0, tolerance(dt::float32)));
  }
}

TEST_CASE("threads may share a prepared product, each with operands and scratch of its own") {
  const GemmShape s{false, true, 4, 16, 16};
  const auto prepared = dt::detail::prepare_onednn_gemm(s);
  if (prepared == nullptr) return;
  std::array<bool, 3> good{};
  const auto repeat = [&](std::size_t thread) {
    const Tensor a = dt::full(shape_a(s), static_cast<double>(thread + 1), dt::float32);
    const Tensor b = dt::full(shape_b(s), 1, dt::float32);
    Tensor c = dt::zeros({s.m, s.n}, dt::float32);
    Tensor scratch({static_cast<std::int64_t>(prepared->scratch_bytes() / 4 + 1)}, dt::float32);
    const std::span<float> out = c.data<float>();
    const auto sum = static_cast<float>(s.k) * static_cast<float>(thread + 1);
    good[thread] = true;
    for (int i = 0; i < 30'000; ++i) {
      std::ranges::fill(out, 0.0F);
      good[thread] &= prepared->run(a.data<float>().data(), b.data<float>().data(), out.data(),
                                    scratch.raw()) &&
                      std::ranges::all_of(out, [&](float x) { return x == sum; });
    }
  };
  std::vector<std::thread> running;
  for (std::size_t i = 0; i < good.size(); ++i) running.emplace_back(repeat, i);
  for (std::thread& thread : running) thread.join();
  for (const bool ok : good) CHECK(ok);
}

TEST_CASE("products are prepared where that measured faster, and float32 ones of oneDNN only") {
  using dt::detail::faster_prepared;
  CHECK(faster_prepared({false, true, 64, 1024, 1024}));
  CHECK(faster_prepared({false, true, 32, 784, 1536}));
  CHECK(!faster_prepared({false, false, 64, 1024, 1024}));
  CHECK(!faster_prepared({true, true, 64, 1024, 1024}));
  CHECK(!faster_prepared({false, true, 128, 1024, 1024}));
  CHECK(!faster_prepared({false, true, 64, 1024, 1100}));
  CHECK(!faster_prepared({false, true, 64, 1024, 256}));
  dt::detail::Product wide({false, true, 64, 1024, 1024}, dt::float64);
  wide.prepare(dt::no_compile_options());
  CHECK(wide.scratch_bytes() == 0);
}

TEST_CASE("DUALTAPE_PRODUCTS names a library or nothing") {
  using dt::detail::backend_from;
  CHECK(backend_from("openblas") == ProductBackend::openblas);
  CHECK(!backend_from(""));
  CHECK(!backend_from(nullptr));
  std::vector<std::string> refused{"OneDNN", "mkl"};
  if (dt::detail::has_onednn())
    CHECK(backend_from("onednn") == ProductBackend::onednn);
  else
    refused.emplace_back("onednn");
  for (const std::string& text : refused) {
    CAPTURE(text);
    const std::string said = dt::testing::error_of<dt::ValueError>(
        [&] { static_cast<void>(backend_from(text.c_str())); });
    CHECK(said.find("DUALTAPE_PRODUCTS") != std::string::npos);
    CHECK(said.find('"' + text + '"') != std::string::npos);
    CHECK(said.find("only: openblas") != std::string::npos);
    CHECK((said.find("without oneDNN") != std::string::npos) == !dt::detail::has_onednn());
  }
}

TEST_CASE("the library of a product follows from its sizes and use") {
  using dt::detail::measured_backend;
  using dt::detail::ProductUse;
  const GemmShape wide{false, false, 64, 1024, 784};
  const GemmShape update{true, false, 784, 1024, 64};
  CHECK(measured_backend(wide, ProductUse::assign) == ProductBackend::onednn);
  CHECK(measured_backend(wide, ProductUse::add) == ProductBackend::onednn);
  CHECK(measured_backend(update, ProductUse::assign) == ProductBackend::onednn);
  CHECK(measured_backend(update, ProductUse::add) == ProductBackend::openblas);
  CHECK(measured_backend({false, true, 64, 10, 1024}, ProductUse::assign) ==
        ProductBackend::openblas);
  CHECK(measured_backend({false, false, 8, 8, 8}, ProductUse::assign) == ProductBackend::openblas);
}

TEST_CASE("a note tells the library, the flags and the sizes") {
  const dt::detail::Product wide({false, true, 64, 1024, 784}, dt::float64);
  CHECK(wide.note() == "openblas NT 64x784x1024");  // oneDNN has no float64
  CHECK(wide.note(3) == "openblas NT 64x784x1024 times 3");
  CHECK(dt::detail::Product({false, false, 3, 4, 1}, dt::float32).note() == "outer product 3x1x4");
}

TEST_CASE("matmul_add adds to C in its own memory, or leaves C as it was") {
  const dt::Op& op = dt::detail::matmul_add_op();
  CHECK(op.in_place(0, 0));
  CHECK(!op.in_place(1, 0));
  CHECK(!op.in_place(2, 0));
  for (const dt::DType dtype : {dt::float32, dt::float64})
    for (const GemmShape& s : shapes()) {
      const Tensor a = numbers(1, shape_a(s), dtype);
      const Tensor b = numbers(2, shape_b(s), dtype);
      const Tensor c = numbers(3, {s.m, s.n}, dtype);
      const Tensor kept = c.copy();
      Tensor out = dt::full({s.m, s.n}, 7, dtype);
      run<1>(op, flags(s, false), {c, a, b}, {out.raw()}, c.type());
      CHECK(
          dt::all_close(out.to(dt::float64), by_definition(s, kept, 1, a, b), 0, tolerance(dtype)));
      CHECK(dt::identical(c, kept));

      const Tensor scale = Tensor(0.25).to(dtype);
      Tensor own = c.copy();
      run<1>(op, flags(s, true), {own, a, b, scale}, {own.raw()}, c.type());
      CHECK(dt::all_close(own.to(dt::float64), by_definition(s, kept, -0.25, a, b), 0,
                          tolerance(dtype)));
    }
}

TEST_CASE("a program's wide product by a transposed matrix is the product, on one thread or two") {
  const GemmShape s{false, true, 32, 128, 1024};
  const Tensor first = numbers(1, shape_a(s), dt::float32);
  const Tensor second = numbers(2, shape_b(s), dt::float32);
  const Tensor expected = by_definition(s, dt::zeros({s.m, s.n}, dt::float64), 1, first, second);
  for (const int threads : {1, 2}) {
    dt::Graph g;
    const dt::Var a = g.input("a", {s.m, s.k});
    const dt::Var b = g.input("b", {s.n, s.k});
    dt::CompileOptions how;
    how.threads = threads;
    const dt::Var c = dt::matmul(a, b, {false, true});
    dt::Program program = dt::compile({c}, {}, how);
    for (int i = 0; i < 2; ++i)
      CHECK(dt::all_close(program.run({{a, first}, {b, second}})[c].to(dt::float64), expected, 0,
                          tolerance(dt::float32)));
  }
}

TEST_CASE("matmul_add with an empty product gives C") {
  const Tensor c = numbers(3, {2, 3}, dt::float32);
  Tensor out = dt::full({2, 3}, 7, dt::float32);
  run<1>(dt::detail::matmul_add_op(), flags({false, false, 2, 3, 0}, false),
         {c, dt::zeros({2, 0}), dt::zeros({0, 3})}, {out.raw()}, c.type());
  CHECK(dt::identical(out, c));
}

TEST_CASE("stacked products are the two products, one behind the other in memory or not") {
  for (const dt::DType dtype : {dt::float32, dt::float64})
    for (const bool transposed : {false, true}) {
      const GemmShape s{false, transposed, 8, 48, 32};
      const Tensor both = numbers(1, {2 * s.m, s.k}, dtype);
      const std::size_t bytes = both.bytes() / 2;
      const auto* const memory = static_cast<const std::byte*>(both.raw());
      const Tensor upper = Tensor::view(const_cast<std::byte*>(memory), {{s.m, s.k}, dtype});
      const Tensor lower =
          Tensor::view(const_cast<std::byte*>(memory + bytes), {{s.m, s.k}, dtype});
      const Tensor b = numbers(2, shape_b(s), dtype);
      const Tensor zero = dt::zeros({s.m, s.n}, dt::float64);
      const dt::Type out_type{{s.m, s.n}, dtype};
      const dt::Attributes attributes{{"transpose_b", transposed}};
      Tensor together({2 * s.m, s.n}, dtype);
      auto* const first = static_cast<std::byte*>(together.raw());
      std::byte* const second = first + together.bytes() / 2;
      // Adjacent; results apart; operands apart.
      for (const bool operands : {true, false})
        for (const bool results : {true, false}) {
          Tensor apart(out_type);
          run<2>(dt::detail::stacked_matmul_op(), attributes,
                 {upper, operands ? lower : lower.copy(), b},
                 {first, results ? static_cast<void*>(second) : apart.raw()}, out_type);
          const Tensor top = Tensor::view(first, out_type);
          const Tensor below = results ? Tensor::view(second, out_type) : apart;
          CHECK(dt::all_close(top.to(dt::float64), by_definition(s, zero, 1, upper, b), 0,
                              tolerance(dtype)));
          CHECK(dt::all_close(below.to(dt::float64), by_definition(s, zero, 1, lower, b), 0,
                              tolerance(dtype)));
        }
    }
}
