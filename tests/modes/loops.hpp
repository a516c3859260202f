// What the tests of loops share: a scan, and the same steps written out.
#pragma once

#include <doctest/doctest.h>

#include <utility>
#include <vector>

#include <dualtape/dualtape.hpp>

namespace loops {

namespace dt = dualtape;

// A body with what each kind of operand can do: values that move and do not, products, captures.
inline std::pair<dt::Var, dt::Var> cell(dt::Var h, dt::Var x, dt::Var w) {
  const dt::Var next = dt::tanh(dt::matmul(h, w) + x);
  return {next, next * next + x};
}

inline dt::Var by_scan(std::span<const dt::Var> in) {
  const auto [last, out] =
      dt::scan([&](dt::Var h, dt::Var x) { return cell(h, x, in[2]); }, in[0], in[1]);
  return dt::sum(last * last) + dt::sum(dt::sin(out));
}

inline dt::Var unrolled(std::span<const dt::Var> in) {
  dt::Var h = in[0];
  std::vector<dt::Var> out;
  for (std::int64_t t = 0; t < in[1].shape()[0]; ++t) {
    const auto [next, y] = cell(h, in[1][t], in[2]);
    h = next;
    out.push_back(y);
  }
  return dt::sum(h * h) + dt::sum(dt::sin(dt::stack(out)));
}

inline dt::Tensor drawn(std::uint64_t number, dt::Shape shape) {
  return dt::normal(dt::Key{7}.fold(number), std::move(shape), 0.0, 1.0, dt::float64);
}
inline std::vector<dt::Tensor> point() {
  return {drawn(0, {2, 3}), drawn(1, {5, 2, 3}), drawn(2, {3, 3})};
}
// The tensor and two others of its kind.
inline dt::Tensor three(const dt::Tensor& t) {
  return dt::eval([](dt::Var x) { return dt::stack(std::vector{x, x * 0.5, x - 1.0}); }, t);
}

inline void check_close(const std::vector<dt::Tensor>& a, const std::vector<dt::Tensor>& b,
                        double tolerance = 1e-12) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(dt::all_close(a[i], b[i], tolerance, tolerance));
}

}  // namespace loops
