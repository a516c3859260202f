// Tutorial 15: sparse derivatives.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <iomanip>
#include <iostream>
#include <numeric>
#include <string>
#include <vector>

#include <dualtape/dualtape.hpp>

#include "common/tutorial.hpp"

namespace dt = dualtape;

namespace {

using Values = std::vector<double>;

// [brusselator]
// Two substances on a periodic grid of n x n points, u of shape (2, n, n): they react where they
// are, and spread to the four neighbours.
dt::Var brusselator(dt::Var u) {
  const auto n = static_cast<double>(u.shape()[1]);
  const auto spread = [&](dt::Var c) {
    const dt::Var around =
        dt::roll(c, 1, 0) + dt::roll(c, -1, 0) + dt::roll(c, 1, 1) + dt::roll(c, -1, 1);
    return 0.002 * n * n * (around - 4.0 * c);
  };
  const dt::Var a = u[0], b = u[1];
  return dt::stack({1.0 + a * a * b - 4.4 * a + spread(a), 3.4 * a - a * a * b + spread(b)});
}
// [/brusselator]

constexpr std::int64_t n = 32;

// Substances that differ from place to place.
dt::Tensor start(std::int64_t points) {
  dt::Tensor u({2, points, points}, dt::float64);
  const auto data = u.data<double>();
  const auto count = static_cast<std::size_t>(points * points);
  for (std::size_t p = 0; p < count; ++p) {
    const double x =
        static_cast<double>(p % static_cast<std::size_t>(points)) / static_cast<double>(points);
    const double y =
        static_cast<double>(p / static_cast<std::size_t>(points)) / static_cast<double>(points);
    data[p] = 22.0 * std::pow(y * (1 - y), 1.5);
    data[count + p] = 27.0 * std::pow(x * (1 - x), 1.5);
  }
  return u;
}

void pattern(const dt::docs::Tutorial& tutorial) {
  tutorial.section("pattern");
  // [pattern]
  const auto jacobian = dt::sparse_jacobian(brusselator);
  const dt::Tensor u = start(n);
  const dt::SparseInfo info = jacobian.prepare(u);
  std::cout << info.pattern.row_count << " x " << info.pattern.column_count << ", "
            << info.pattern.entries() << " entries, " << info.forward_sweeps << " directions\n";
  const dt::Csr<dt::Tensor> j = jacobian(u);
  const auto columns = j.columns.data<std::int64_t>();
  const auto values = j.values.data<double>();
  for (std::size_t k = 0; k < 6; ++k)
    std::cout << "d f_0 / d u_" << columns[k] << " = " << values[k] << '\n';
  // [/pattern]
  tutorial.aside();
  const dt::SparsityPattern small = dt::jacobian_sparsity(brusselator, start(6));
  Values x, y;
  for (std::int64_t i = 0; i < small.row_count; ++i)
    for (const std::int64_t k : small.row(i)) {
      x.push_back(static_cast<double>(k));
      y.push_back(static_cast<double>(i));
    }
  dt::docs::Figure figure("pattern", "Where the Jacobian has entries, 6 x 6 points");
  figure.labels("element of u", "element of f").x_range(-1, 72).y_range(72, -1).size(460, 440);
  figure.points("", x, y, dt::docs::Mark::dot, {.colour = 0});
  tutorial.draw(figure);
}

void dense(const dt::docs::Tutorial& tutorial) {
  tutorial.section("dense");
  // [dense]
  const dt::Tensor u = start(8);
  const dt::Tensor all = dt::jacobian(brusselator)(u).reshape({128, 128});
  const dt::Tensor same = dt::to_dense(dt::sparse_jacobian(brusselator, u));
  std::cout << std::boolalpha << "the same as dense: " << dt::all_close(all, same, 1e-14, 1e-14)
            << '\n';
  // [/dense]
}

// [implicit]
// A step of length h by the trapezoidal rule is the u where this is 0.
constexpr double h = 0.05;
dt::Var residual(dt::Var u, dt::Var before) {
  return u - before - 0.5 * h * (brusselator(u) + brusselator(before));
}
// [/implicit]

// [ilu]
// An incomplete LU factorization: Gaussian elimination that keeps the entries of the matrix alone.
struct Ilu {
  std::span<const std::int64_t> starts, columns;
  Values lu;
  std::vector<std::size_t> diagonal;

  explicit Ilu(const dt::Csr<dt::Tensor>& a)
      : starts(a.row_starts.data<std::int64_t>()), columns(a.columns.data<std::int64_t>()) {
    const auto values = a.values.data<double>();
    lu.assign(values.begin(), values.end());
    std::vector<std::ptrdiff_t> place(starts.size(), -1);  // of a column in the row at hand
    for (std::size_t i = 0; i + 1 < starts.size(); ++i) {
      const auto first = static_cast<std::size_t>(starts[i]),
                 last = static_cast<std::size_t>(starts[i + 1]);
      for (std::size_t k = first; k < last; ++k)
        place[static_cast<std::size_t>(columns[k])] = static_cast<std::ptrdiff_t>(k);
      for (std::size_t k = first; static_cast<std::size_t>(columns[k]) < i; ++k) {
        const auto row = static_cast<std::size_t>(columns[k]);
        lu[k] /= lu[diagonal[row]];
        for (std::size_t e = diagonal[row] + 1; e < static_cast<std::size_t>(starts[row + 1]); ++e)
          if (const std::ptrdiff_t at = place[static_cast<std::size_t>(columns[e])]; at >= 0)
            lu[static_cast<std::size_t>(at)] -= lu[k] * lu[e];
      }
      diagonal.push_back(static_cast<std::size_t>(place[i]));
      for (std::size_t k = first; k < last; ++k) place[static_cast<std::size_t>(columns[k])] = -1;
    }
  }
  // What solves L U x = b.
  Values operator()(Values x) const {
    for (std::size_t i = 0; i < x.size(); ++i)
      for (auto k = static_cast<std::size_t>(starts[i]); k < diagonal[i]; ++k)
        x[i] -= lu[k] * x[static_cast<std::size_t>(columns[k])];
    for (std::size_t i = x.size(); i-- > 0; x[i] /= lu[diagonal[i]])
      for (std::size_t k = diagonal[i] + 1; k < static_cast<std::size_t>(starts[i + 1]); ++k)
        x[i] -= lu[k] * x[static_cast<std::size_t>(columns[k])];
    return x;
  }
};
// [/ilu]

Values times(const dt::Csr<dt::Tensor>& a, const Values& x) {
  const auto starts = a.row_starts.data<std::int64_t>(), columns = a.columns.data<std::int64_t>();
  const auto values = a.values.data<double>();
  Values y(x.size());
  for (std::size_t i = 0; i < y.size(); ++i)
    for (auto k = static_cast<std::size_t>(starts[i]); k < static_cast<std::size_t>(starts[i + 1]);
         ++k)
      y[i] += values[k] * x[static_cast<std::size_t>(columns[k])];
  return y;
}
double dot(const Values& x, const Values& y) {
  return std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
}
Values sum(Values x, double factor, const Values& y) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += factor * y[i];
  return x;
}

// [bicgstab]
// BiCGStab (van der Vorst, 1992) with that factorization in the place of the inverse.
Values solved(const dt::Csr<dt::Tensor>& a, const Values& b) {
  const Ilu inverse(a);
  Values x(b.size()), r = b, p = b;
  const Values shadow = b;
  for (double rho = dot(shadow, r); dot(r, r) > 1e-24 * dot(b, b);) {
    const Values y = inverse(p), v = times(a, y);
    const double alpha = rho / dot(shadow, v);
    const Values s = sum(r, -alpha, v), z = inverse(s), t = times(a, z);
    const double omega = dot(t, s) / dot(t, t);
    x = sum(sum(x, alpha, y), omega, z);
    r = sum(s, -omega, t);
    const double next = dot(shadow, r);
    p = sum(r, next / rho * alpha / omega, sum(p, -omega, v));
    rho = next;
  }
  return x;
}
// [/bicgstab]

// [newton]
// Newton's method: the value and the Jacobian at u, then a linear system for the change.
struct Stepped {
  dt::Tensor u;
  Values norms;  // of the residual, step by step
};
Stepped step(const dt::SparseFunction& jacobian, const dt::Tensor& before) {
  Stepped made{before.copy(), {}};
  while (made.norms.size() < 20) {
    const auto [value, j] = jacobian.value_and(made.u, before);
    const auto wrong = value.data<double>();
    const Values r(wrong.begin(), wrong.end());
    made.norms.push_back(std::sqrt(dot(r, r)));
    if (made.norms.back() < 1e-9) break;
    const Values change = solved(j, r);
    const auto u = made.u.data<double>();
    for (std::size_t i = 0; i < u.size(); ++i) u[i] -= change[i];
  }
  return made;
}
// [/newton]

void newton(const dt::docs::Tutorial& tutorial) {
  tutorial.section("newton");
  // [run]
  const dt::SparseFunction jacobian = dt::sparse_jacobian(residual);
  const Stepped first = step(jacobian, start(n));
  std::cout << std::setprecision(1) << std::scientific << "residual";
  for (const double norm : first.norms)
    if (norm > 1e-9) std::cout << ' ' << norm;
  std::cout << ", then rounding";
  // [/run]
  std::cout << std::defaultfloat << '\n';
  tutorial.section("time");
  // [time]
  dt::Tensor u = start(n);
  std::size_t systems = 0;
  constexpr int steps = 20;
  for (int i = 0; i < steps; ++i) {
    Stepped next = step(jacobian, u);
    u = next.u;
    systems += next.norms.size() - 1;
  }
  std::cout << "time " << steps * h << ", " << systems << " linear systems, a at a corner "
            << std::setprecision(5) << u.at({0, 0, 0}) << " and in the middle "
            << u.at({0, n / 2, n / 2}) << '\n';
  // [/time]
  tutorial.aside();
  const auto at = [&u](double x, double y) {
    const auto cell = [&](std::int64_t i, std::int64_t k) {
      return u.at({0, ((i % n) + n) % n, ((k % n) + n) % n});
    };
    const double gx = x * static_cast<double>(n), gy = y * static_cast<double>(n);
    const auto i = static_cast<std::int64_t>(std::floor(gy)),
               k = static_cast<std::int64_t>(std::floor(gx));
    const double fy = gy - std::floor(gy), fx = gx - std::floor(gx);
    return (1 - fy) * ((1 - fx) * cell(i, k) + fx * cell(i, k + 1)) +
           fy * ((1 - fx) * cell(i + 1, k) + fx * cell(i + 1, k + 1));
  };
  const auto data = u.data<double>().first(static_cast<std::size_t>(n * n));
  const auto [low, high] = std::ranges::minmax(data);
  dt::docs::Figure figure("solution", "The first substance");
  figure.labels("x", "y").x_range(0, 1).y_range(0, 1).square().size(460, 440);
  Values levels;
  for (int i = 1; i < 10; ++i) levels.push_back(low + (high - low) * i / 10);
  figure.contours(at, levels);
  tutorial.draw(figure);
}

void hessian(const dt::docs::Tutorial& tutorial) {
  tutorial.section("hessian");
  // [hessian]
  const auto rosenbrock = [](dt::Var x) {
    const dt::Var a = dt::slice(x, 0, 0, -1), b = dt::slice(x, 0, 1, x.shape()[0]);
    return dt::sum(100.0 * dt::square(b - a * a) + dt::square(1.0 - a));
  };
  const dt::Tensor x = dt::full({10000}, 0.5, dt::float64);
  const dt::SparseInfo info = dt::sparse_hessian(rosenbrock).prepare(x);
  std::cout << info.pattern.entries() << " entries of " << info.pattern.row_count << " squared, "
            << info.forward_sweeps << " directions\n";
  // [/hessian]
}

void point(const dt::docs::Tutorial& tutorial) {
  tutorial.section("point");
  // [point]
  const auto ranked = [](dt::Var x) { return dt::square(dt::sort(x).values); };
  const dt::Tensor x = dt::Tensor::of({3, 1, 2, 5, 4}, dt::float64);
  const dt::SparseFunction everywhere = dt::sparse_jacobian(ranked);
  const dt::SparseFunction here = dt::sparse_jacobian(ranked, {.at_point = true});
  std::cout << "everywhere " << everywhere.prepare(x).pattern.entries() << " entries, here "
            << here.prepare(x).pattern.entries() << '\n';
  const dt::Tensor y = dt::Tensor::of({1, 2, 5, 4, 3}, dt::float64);
  std::cout << "elsewhere the columns are " << here(y).columns << '\n';
  // [/point]
}

void times(const dt::docs::Tutorial& tutorial) {
  tutorial.aside();
  const dt::Tensor u = start(n);
  const auto microseconds = [](auto&& act) {
    double least = 1e9;
    for (int i = 0; i < 50; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      act();
      least = std::min(
          least, std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
                     .count());
    }
    return least;
  };
  const auto f = dt::jit(brusselator);
  const auto sparse = dt::sparse_jacobian(brusselator);
  std::cout << "f " << microseconds([&] { f(u); }) << " us, its sparse Jacobian "
            << microseconds([&] { sparse(u); }) << " us\n";
}

void body(const dt::docs::Tutorial& tutorial) {
  pattern(tutorial);
  dense(tutorial);
  newton(tutorial);
  hessian(tutorial);
  point(tutorial);
  times(tutorial);
}

}  // namespace

int main(int argc, char** argv) {
  return dt::docs::run_tutorial(argc, argv, "Tutorial 15: sparse derivatives", body);
}
