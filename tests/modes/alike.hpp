// Functions beside others that are equal to them, under every mode and its nestings: what the tests
// of implicit functions check.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <dualtape/dualtape.hpp>

namespace dualtape::testing {

namespace dt = dualtape;

using Spanned = std::function<dt::Var(std::span<const dt::Var>)>;

inline dt::Tensor drawn(std::uint64_t number, dt::Shape shape, dt::DType dtype = dt::float64) {
  return dt::normal(dt::Key{11}.fold(number), std::move(shape), 0.0, 1.0, dtype);
}
inline dt::Tensor scalar(double x) { return dt::Tensor::of({x}, dt::float64).reshape({}); }
// A matrix with its eigenvalues around 2, not symmetric.
inline dt::Tensor matrix(std::uint64_t number, std::int64_t n, dt::DType dtype = dt::float64) {
  return dt::eval(
      [&](dt::Var a) { return 0.3 * (a + 6.0 * a.graph().constant(dt::eye(n, n, 0, dtype))); },
      drawn(number, {n, n}, dtype));
}
inline dt::Tensor symmetric(std::uint64_t number, std::int64_t n) {
  return dt::eval(
      [n](dt::Var a) { return dt::matmul(a, dt::transpose(a)) + dt::eye(n, n, 0, dt::float64); },
      drawn(number, {n, n}));
}

// What a function's value does under both modes and their nestings, beside another that is equal.
inline void check_alike(const Spanned& f, const Spanned& wanted, const std::vector<dt::Tensor>& x,
                        double tolerance = 1e-10) {
  std::vector<dt::Tensor> v;
  for (const dt::Tensor& t : x) v.push_back(drawn(50 + v.size(), t.shape(), t.dtype()));
  const auto scalar = [](const Spanned& g) -> Spanned {
    return [g](std::span<const dt::Var> in) {
      const dt::Var y = g(in);
      return dt::sum(dt::sin(y) + y * y);
    };
  };
  const auto along = [&](const Spanned& g) -> Spanned {
    return [g, &v](std::span<const dt::Var> in) {
      std::vector<dt::Var> tangents;
      for (const dt::Tensor& t : v) tangents.push_back(in[0].graph().constant(t));
      return dt::forward(g(in), {in.begin(), in.end()}, tangents);
    };
  };
  const auto slope = [&](const Spanned& g) -> Spanned {
    return [g, &v](std::span<const dt::Var> in) {
      const dt::Var y = g(in);
      const auto gradients = dt::reverse(y, {in.begin(), in.end()}).all();
      dt::Var total;
      for (std::size_t i = 0; i < in.size(); ++i) {
        const dt::Var part = dt::sum(gradients[i] * in[0].graph().constant(v[i]));
        total = i == 0 ? part : total + part;
      }
      return total;
    };
  };
  const auto close = [&](const dt::Tensor& a, const dt::Tensor& b) {
    const bool alike = dt::all_close(a, b, tolerance, tolerance);
    if (!alike) MESSAGE(a << " beside " << b);
    CHECK(alike);
  };
  const Spanned one = scalar(f), other = scalar(wanted);
  close(dt::eval(f, x), dt::eval(wanted, x));
  close(dt::jvp(f, x, v).tangent, dt::jvp(wanted, x, v).tangent);
  const auto a = dt::grad(one)(x), b = dt::grad(other)(x);
  for (std::size_t i = 0; i < x.size(); ++i) close(a[i], b[i]);
  const dt::Tensor second = dt::eval(along(along(other)), x);
  close(dt::eval(along(along(one)), x), second);
  close(dt::eval(along(slope(one)), x), second);
  close(dt::eval(slope(along(one)), x), second);
  close(dt::eval(slope(slope(one)), x), second);
}

// The same in batches, over all arguments and over each alone.
inline void check_batched(const Spanned& f, const Spanned& wanted, const std::vector<dt::Tensor>& x,
                          double tolerance = 1e-10) {
  const auto many = [](const dt::Tensor& t) {
    return dt::eval([](dt::Var y) { return dt::stack(std::vector{y, y * 0.75, y * 1.125}); }, t);
  };
  for (std::size_t only = 0; only <= x.size(); ++only) {
    std::vector<dt::BatchAxis> axes;
    std::vector<dt::Tensor> given;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const bool batched = only == x.size() || only == i;
      axes.push_back(batched ? dt::BatchAxis(0) : dt::BatchAxis());
      given.push_back(batched ? many(x[i]) : x[i]);
    }
    const auto slopes = [](const Spanned& g) {
      return [g](std::span<const dt::Var> in) {
        return dt::reverse(dt::sum(dt::sin(g(in))), {in.begin(), in.end()}).all();
      };
    };
    CHECK(dt::all_close(dt::vmap(f, {.in = axes})(given), dt::vmap(wanted, {.in = axes})(given),
                        tolerance, tolerance));
    const std::vector<dt::Tensor> a = dt::vmap(slopes(f), {.in = axes})(given);
    const std::vector<dt::Tensor> b = dt::vmap(slopes(wanted), {.in = axes})(given);
    for (std::size_t i = 0; i < a.size(); ++i)
      CHECK(dt::all_close(a[i], b[i], tolerance, tolerance));
  }
}

inline std::size_t count_of(const dt::Program& program, std::string_view op) {
  std::size_t count = 0;
  for (const dt::PlanNode& node : program.plan().nodes) count += node.op->name() == op;
  return count;
}

}  // namespace dualtape::testing
