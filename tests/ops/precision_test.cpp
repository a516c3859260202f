// Products in bf16 and right operands kept packed: what they cost in accuracy, and that nobody
// reads a packed operand that has changed.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <dualtape/core/error.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/core/random.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/kernels/products/bf16.hpp>
#include <dualtape/ops/kernels/products/onednn.hpp>
#include <dualtape/ops/kernels/products/products.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/reduce.hpp>

namespace dt = dualtape;
using dt::Shape;
using dt::Tensor;
using dt::Var;

namespace {

Tensor numbers(std::uint64_t seed, const Shape& shape, dt::DType dtype = dt::float32) {
  return dt::normal(dt::Key{seed}, shape, 0.0, 1.0, dtype);
}
Tensor magnitudes(const Tensor& x) {
  Tensor result = x.to(dt::float64).copy();
  for (double& value : result.data<double>()) value = std::abs(value);
  return result;
}
Tensor product64(const Tensor& a, const Tensor& b, dt::MatmulOptions how = {}) {
  dt::Graph g;
  return dt::eval(dt::matmul(g.constant(a.to(dt::float64)), g.constant(b.to(dt::float64)), how));
}
bool bf16_here() { return dt::detail::onednn_has_bf16(); }
dt::CompileOptions in_bf16() {
  dt::CompileOptions how;
  how.precision = dt::precision::bf16;
  return how;
}
dt::CompileOptions keeping() {
  dt::CompileOptions how;
  how.keep_weights = true;
  return how;
}
dt::CompileOptions keeping_in_bf16() {
  dt::CompileOptions how = in_bf16();
  how.keep_weights = true;
  return how;
}

// Whether the oneDNN here, if any, keeps a right operand in its own order; version 3 is not asked.
bool packs(const dt::detail::GemmShape& shape) {
  return dt::detail::prepare_onednn_gemm(shape, {.packed = true}) != nullptr;
}

// The largest |found - exact| / (|A| |B|) among the elements.
double worst_error(const Tensor& found, const Tensor& exact, const Tensor& bound) {
  const Tensor wide = found.to(dt::float64);
  double worst = 0;
  for (std::size_t i = 0; i < wide.data<double>().size(); ++i) {
    const double error = std::abs(wide.data<double>()[i] - exact.data<double>()[i]);
    if (!(error <= worst * bound.data<double>()[i])) worst = error / bound.data<double>()[i];
  }
  return worst;
}
// Two factors, each rounded to 8 significant bits, so by 2^-8 of itself at most, and the float32
// rounding of the sums.
constexpr double two_roundings = 2.0 / 256 + 1.0 / 256 / 256 + 1e-5;

}  // namespace

TEST_CASE("numbers are rounded to the nearest bf16, the even one of two") {
  if (!dt::detail::has_bf16_instructions()) return;
  // The definition, in integers: the upper 16 bits, one more from the middle on.
  const auto by_definition = [](float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t low = bits & 0xFFFFU;
    const std::uint32_t high = bits >> 16U;
    const bool up = low > 0x8000U || (low == 0x8000U && (high & 1U) != 0);
    return static_cast<std::uint16_t>(high + (up ? 1U : 0U));
  };
  std::vector<float> from{0.0F,        -0.0F,       1.0F,    -1.0F,
                          1.00390625F, 1.01171875F, 3.0e38F, std::numeric_limits<float>::infinity(),
                          -1e-30F,     65504.0F};
  const Tensor drawn = numbers(3, {219});
  from.insert(from.end(), drawn.data<float>().begin(), drawn.data<float>().end());
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{31}, std::size_t{32},
                              std::size_t{33}, from.size()})
    for (const float scale : {1.0F, -0.3F}) {
      CAPTURE(n);
      std::vector<std::uint16_t> to(from.size() + 1, 12345);
      dt::detail::to_bf16(from.data(), scale, to.data(), n);
      for (std::size_t i = 0; i < n; ++i) CHECK(to[i] == by_definition(scale * from[i]));
      CHECK(std::all_of(to.begin() + static_cast<std::ptrdiff_t>(n), to.end(),
                        [](std::uint16_t x) { return x == 12345; }));
    }
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::uint16_t converted = 0;
  dt::detail::to_bf16(&nan, 1.0F, &converted, 1);
  CHECK(std::isnan(std::bit_cast<float>(std::uint32_t{converted} << 16U)));
}

TEST_CASE("where bf16 cannot be had, compiling says so") {
  dt::Graph g;
  const Var x = g.input("x", {2, 2});
  if (bf16_here()) {
    CHECK_NOTHROW(dt::compile({dt::matmul(x, x)}, {}, in_bf16()));
  } else {
    CHECK_THROWS_AS(dt::compile({dt::matmul(x, x)}, {}, in_bf16()), dt::ValueError);
  }
}

TEST_CASE("products in bf16 are off by two roundings of the factors at most, and by some") {
  if (!bf16_here()) return;
  struct Sizes {
    std::int64_t m, k, n;
  };
  for (const Sizes& s : {Sizes{64, 200, 150}, Sizes{128, 64, 96}, Sizes{33, 1000, 47}})
    for (const bool ta : {false, true})
      for (const bool tb : {false, true})
        for (const bool keeps : {false, true}) {
          CAPTURE(s.m);
          CAPTURE(ta);
          CAPTURE(tb);
          CAPTURE(keeps);
          const Tensor a = numbers(1, ta ? Shape{s.k, s.m} : Shape{s.m, s.k});
          const Tensor b = numbers(2, tb ? Shape{s.n, s.k} : Shape{s.k, s.n});
          const dt::MatmulOptions flags{ta, tb};
          const dt::Parameter weight("weight", b);
          dt::Graph g;
          const Var x = g.input("x", a.shape());
          const Var y = dt::matmul(x, weight, flags);
          dt::Program full = dt::compile({y});
          dt::Program rounded = dt::compile({y}, {}, keeps ? keeping_in_bf16() : in_bf16());
          const Tensor exact = product64(a, b, flags);
          const Tensor bound = product64(magnitudes(a), magnitudes(b), flags);
          const double error = worst_error(rounded.run({{x, a}})[y], exact, bound);
          CHECK(error < two_roundings);
          CHECK(error > 1e-5);  // it is bf16 indeed
          CHECK(worst_error(full.run({{x, a}})[y], exact, bound) < 1e-6);
          CHECK(rounded.explain().find("onednn bf16") != std::string::npos);
          CHECK((rounded.explain().find("right operand kept") != std::string::npos) == keeps);
          CHECK(full.explain().find("bf16") == std::string::npos);
          // What bf16 holds is not changed by it.
          Tensor whole = a.copy();
          for (float& value : whole.data<float>()) value = std::round(8 * value);
          Tensor halves = b.copy();
          for (float& value : halves.data<float>()) value = std::round(8 * value) / 2;
          dt::Parameter(weight).set(halves);
          CHECK(dt::identical(rounded.run({{x, whole}})[y].to(dt::float64),
                              product64(whole, halves, flags)));
        }
}

TEST_CASE("sums and stacked products take bf16 factors, too, and nothing but factors") {
  if (!bf16_here()) return;
  const Tensor x_value = numbers(1, {48, 256});
  const Tensor dx_value = numbers(2, {48, 256});
  const Tensor w_value = numbers(3, {256, 160});
  const Tensor c_value = numbers(4, {48, 160});
  const dt::Parameter w("w", w_value);
  dt::Graph g;
  const Var x = g.input("x", {48, 256});
  const Var dx = g.input("dx", {48, 256});
  const Var c = g.input("c", {48, 160});
  const Var s = g.input("s", {});
  const Var y = dt::matmul(dt::neg(x), w);  // neg, so that the operands are the program's own
  const Var dy = dt::matmul(dt::neg(dx), w);
  const Var sum = c - s * dt::matmul(x, w);
  for (const dt::CompileOptions& how : {in_bf16(), keeping_in_bf16()}) {
    dt::Program program = dt::compile({y, dy, sum}, {}, how);
    // The factor of a sum is applied before rounding; c is not rounded.
    const auto out = program.run({{x, x_value}, {dx, dx_value}, {c, c_value}, {s, Tensor(0.25)}});
    const Tensor xw = product64(x_value, w_value);
    const Tensor bound = product64(magnitudes(x_value), magnitudes(w_value));
    Tensor minus = xw.copy();
    for (double& value : minus.data<double>()) value = -value;
    Tensor exact_sum = c_value.to(dt::float64).copy();
    for (std::size_t i = 0; i < exact_sum.data<double>().size(); ++i)
      exact_sum.data<double>()[i] -= 0.25 * xw.data<double>()[i];
    Tensor quarter = bound.copy();
    for (double& value : quarter.data<double>()) value /= 4;
    Tensor minus_dy = product64(dx_value, w_value);
    for (double& value : minus_dy.data<double>()) value = -value;
    const Tensor bound_dy = product64(magnitudes(dx_value), magnitudes(w_value));
    CHECK(worst_error(out[y], minus, bound) < two_roundings);
    CHECK(worst_error(out[y], minus, bound) > 1e-5);
    CHECK(worst_error(out[dy], minus_dy, bound_dy) < two_roundings);
    CHECK(worst_error(out[dy], minus_dy, bound_dy) > 1e-5);
    CHECK(worst_error(out[sum], exact_sum, quarter) < two_roundings);
    CHECK(worst_error(out[sum], exact_sum, quarter) > 1e-5);
  }
}

TEST_CASE("thin and small products and float64 ones stay as they are, and explain says so") {
  if (!bf16_here()) return;
  for (const dt::DType dtype : {dt::float32, dt::float64}) {
    dt::Graph g;
    const Var a = g.input("a", {40, 30}, dtype);
    const Var v = g.input("v", {30, 1}, dtype);
    const Var big = g.input("big", {64, 64}, dt::float64);
    const std::vector<Var> outputs{dt::matmul(a, v), dt::matmul(a, a, {false, true}),
                                   dt::matmul(big, big)};
    dt::Program full = dt::compile(outputs);
    dt::Program rounded = dt::compile(outputs, {}, in_bf16());
    const std::vector<dt::Feed> feeds{{a, numbers(1, {40, 30}, dtype)},
                                      {v, numbers(2, {30, 1}, dtype)},
                                      {big, numbers(3, {64, 64}, dt::float64)}};
    const auto expected = full.run(feeds);
    const auto found = rounded.run(feeds);
    for (const Var& out : outputs) CHECK(dt::identical(found[out], expected[out]));
    CHECK((rounded.explain().find("float32: bf16 would not gain") != std::string::npos) ==
          (dtype == dt::float32));
    CHECK(rounded.explain().find("onednn bf16") == std::string::npos);
  }
}

TEST_CASE("threads change no bit of a product in bf16") {
  if (!bf16_here()) return;
  dt::Graph g;
  const Var a = g.input("a", {96, 300});
  const Var b = g.input("b", {300, 200});
  const Var y = dt::matmul(a, b);
  const Tensor left = numbers(1, {96, 300});
  const Tensor right = numbers(2, {300, 200});
  dt::CompileOptions how = in_bf16();
  how.threads = 1;
  dt::Program one = dt::compile({y}, {}, how);
  how.threads = 2;
  dt::Program two = dt::compile({y}, {}, how);
  CHECK(dt::identical(one.run({{a, left}, {b, right}})[y], two.run({{a, left}, {b, right}})[y]));
}

TEST_CASE("a kept right operand is packed again when its parameter changes, whoever changes it") {
  std::vector<dt::CompileOptions> all{keeping()};
  if (bf16_here()) all.push_back(keeping_in_bf16());
  for (dt::CompileOptions how : all)
    for (const bool transposed : {false, true})
      for (const int threads : {1, 2}) {
        how.threads = threads;
        const Shape shape = transposed ? Shape{520, 1024} : Shape{1024, 520};
        dt::Parameter weight("weight", numbers(1, shape));
        dt::Graph g;
        const Var x = g.input("x", {32, 1024});
        const Var y = dt::matmul(x, weight, {false, transposed});
        dt::Program program = dt::compile({y}, {}, how);
        if (threads == 1)
          CHECK((program.explain().find("right operand kept") != std::string::npos) ==
                packs({false, transposed, 32, 520, 1024}));
        dt::Graph other;
        const Var factor = other.input("factor", {});
        dt::Program update = dt::compile({}, {dt::assign(weight, weight * factor)});
        const Tensor in = numbers(2, {32, 1024});
        const double tolerance = how.precision == dt::precision::full ? 1e-6 : two_roundings;
        const auto check = [&] {
          for (int i = 0; i < 2; ++i) {  // packed, then kept
            const Tensor now = weight.value().copy();
            const Tensor exact = product64(in, now, {false, transposed});
            const Tensor bound = product64(magnitudes(in), magnitudes(now), {false, transposed});
            CHECK(worst_error(program.run({{x, in}})[y], exact, bound) < tolerance);
          }
        };
        check();
        weight.set(numbers(3, shape));
        check();
        update.run({{factor, Tensor(-2.0)}});
        check();
        update.run({{factor, Tensor(0.5)}});
        weight.set(numbers(4, shape));
        check();
      }
}

TEST_CASE("a parameter that the program assigns itself is not kept, a constant is") {
  dt::Parameter weight("weight", numbers(1, {1024, 520}));
  dt::Graph g;
  const Var x = g.input("x", {32, 1024});
  const Var y = dt::matmul(x, weight);
  dt::Program step =
      dt::compile({y}, {dt::assign(weight, weight * g.constant(Tensor(0.5)))}, keeping());
  CHECK(step.explain().find("kept") == std::string::npos);
  const Var z = dt::matmul(x, g.constant(numbers(5, {1024, 520})));
  const Var second = dt::matmul(x, g.constant(numbers(6, {1024, 520})));
  dt::Program fixed = dt::compile({z, second}, {}, keeping());
  dt::Program usual = dt::compile({z, second});
  CHECK((fixed.explain().find("right operand kept") != std::string::npos) ==
        packs({false, false, 32, 520, 1024}));
  for (const std::uint64_t seed : {7U, 8U}) {
    const Tensor in = numbers(seed, {32, 1024});
    const auto found = fixed.run({{x, in}});
    const auto expected = usual.run({{x, in}});
    CHECK(dt::all_close(found[z], expected[z], 0, 1e-4));
    CHECK(dt::all_close(found[second], expected[second], 0, 1e-4));
    step.run({{x, in}});
  }
}

TEST_CASE("what gains by bf16 and by kept operands follows from the sizes") {
  using dt::detail::faster_in_bf16;
  using dt::detail::faster_kept;
  CHECK(faster_in_bf16({false, false, 64, 1024, 1024}, false));
  CHECK(faster_in_bf16({true, false, 784, 1024, 64}, false));
  CHECK(!faster_in_bf16({false, false, 16, 1024, 1024}, false));
  CHECK(faster_in_bf16({false, false, 16, 1024, 1024}, true));
  CHECK(!faster_in_bf16({false, false, 32, 64, 64}, false));
  CHECK(!faster_in_bf16({false, false, 4096, 10, 1024}, false));
  CHECK(!faster_in_bf16({false, false, 1024, 1024, 2}, false));
  CHECK(faster_kept({false, false, 16, 1024, 1024}));
  CHECK(faster_kept({false, true, 64, 1024, 1024}));
  CHECK(!faster_kept({false, false, 64, 1024, 1024}));
  CHECK(!faster_kept({false, true, 64, 256, 256}));
}

TEST_CASE("parameters count what writes them") {
  dt::Parameter p("p", dt::zeros({3}));
  const std::uint64_t before = p.version();
  CHECK(p.version() == before);
  p.set(dt::full({3}, 1.0));
  const std::uint64_t set = p.version();
  CHECK(set > before);
  dt::Graph g;
  dt::Program update = dt::compile({}, {dt::assign(p, p + g.constant(Tensor(1.0)))});
  CHECK(p.version() == set);
  update.run();
  CHECK(p.version() > set);
}
