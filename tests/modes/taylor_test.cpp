// Taylor series, held to closed forms, to nested forward mode and to each other.
#include <dualtape/modes/taylor.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <dualtape/dualtape.hpp>
#include <tests/errors.hpp>
#include <tests/modes/drawn.hpp>

namespace dt = dualtape;
using dualtape::testing::error_of;
using dualtape::testing::has;
using dualtape::testing::numbers;

namespace {

using Curve = std::function<dt::Var(dt::Var)>;
using Coefficient = std::function<double(int)>;

dt::Tensor number(double x) { return dt::Tensor::scalar(x); }

double over_factorial(double x, int k) {
  for (int i = 2; i <= k; ++i) x /= i;
  return x;
}
double binomial(double a, int k) {
  double product = 1;
  for (int i = 0; i < k; ++i) product *= (a - i) / (i + 1);
  return product;
}
double odd(double x, int k) { return k % 2 == 1 ? x : 0; }
double even(double x, int k) { return k % 2 == 0 ? x : 0; }
double alternating(int k) { return k % 2 == 0 ? 1 : -1; }  // (-1)^k
double half_alternating(int k) { return alternating(k / 2); }

// The series of the tangent at 0: c_(k + 1) = (sum c_j c_(k - j) + [k = 0]) / (k + 1), with the
// sign of the square for tan, and the other one for tanh.
double tangent(int k, double sign) {
  std::vector<double> c{0};
  for (int n = 0; n < k; ++n) {
    double sum = n == 0 ? 1 : 0;
    for (int j = 0; j <= n; ++j)
      sum += sign * c[static_cast<std::size_t>(j)] * c[static_cast<std::size_t>(n - j)];
    c.push_back(sum / (n + 1));
  }
  return c[static_cast<std::size_t>(k)];
}

struct Known {
  const char* name;
  Curve f;
  double at;
  Coefficient coefficient;
};

// Power series with closed forms.
std::vector<Known> known() {
  return {{"exp", [](dt::Var x) { return dt::exp(x); }, 0.7,
           [](int k) { return over_factorial(std::exp(0.7), k); }},
          {"expm1", [](dt::Var x) { return dt::expm1(x); }, 0,
           [](int k) { return k == 0 ? 0 : over_factorial(1, k); }},
          {"log", [](dt::Var x) { return dt::log(x); }, 1,
           [](int k) { return k == 0 ? 0 : -alternating(k) / k; }},
          {"log1p", [](dt::Var x) { return dt::log1p(x); }, 1,
           [](int k) { return k == 0 ? std::log(2.0) : -alternating(k) / k / std::pow(2.0, k); }},
          {"sin", [](dt::Var x) { return dt::sin(x); }, 0,
           [](int k) { return odd(over_factorial(half_alternating(k), k), k); }},
          {"cos", [](dt::Var x) { return dt::cos(x); }, 0,
           [](int k) { return even(over_factorial(half_alternating(k), k), k); }},
          {"tan", [](dt::Var x) { return dt::tan(x); }, 0, [](int k) { return tangent(k, 1); }},
          {"tanh", [](dt::Var x) { return dt::tanh(x); }, 0, [](int k) { return tangent(k, -1); }},
          {"sigmoid", [](dt::Var x) { return dt::sigmoid(x); }, 0,  // 1/2 + tanh(x / 2) / 2
           [](int k) { return k == 0 ? 0.5 : tangent(k, -1) / std::pow(2.0, k + 1); }},
          {"softplus", [](dt::Var x) { return dt::softplus(x); }, 0,  // whose slope is the sigmoid
           [](int k) {
             if (k == 0) return std::log(2.0);
             return k == 1 ? 0.5 : tangent(k - 1, -1) / std::pow(2.0, k) / k;
           }},
          {"sinh", [](dt::Var x) { return dt::sinh(x); }, 0,
           [](int k) { return odd(over_factorial(1, k), k); }},
          {"cosh", [](dt::Var x) { return dt::cosh(x); }, 0,
           [](int k) { return even(over_factorial(1, k), k); }},
          {"atan", [](dt::Var x) { return dt::atan(x); }, 0,
           [](int k) { return odd(half_alternating(k) / std::max(k, 1), k); }},
          {"atanh", [](dt::Var x) { return dt::atanh(x); }, 0,
           [](int k) { return odd(1.0 / std::max(k, 1), k); }},
          {"asin", [](dt::Var x) { return dt::asin(x); }, 0,
           [](int k) { return odd(std::abs(binomial(-0.5, k / 2)) / std::max(k, 1), k); }},
          {"asinh", [](dt::Var x) { return dt::asinh(x); }, 0,
           [](int k) { return odd(binomial(-0.5, k / 2) / std::max(k, 1), k); }}};
}
std::vector<Known> known_quotients_and_powers() {
  const double pi = std::acos(-1.0);
  return {
      {"erf", [](dt::Var x) { return dt::erf(x); }, 0,
       [pi](int k) {
         return odd(2 / std::sqrt(pi) * over_factorial(half_alternating(k), k / 2) / std::max(k, 1),
                    k);
       }},
      {"sqrt", [](dt::Var x) { return dt::sqrt(x); }, 1, [](int k) { return binomial(0.5, k); }},
      {"rsqrt", [](dt::Var x) { return dt::rsqrt(x); }, 1, [](int k) { return binomial(-0.5, k); }},
      {"reciprocal", [](dt::Var x) { return dt::reciprocal(x); }, 2,
       [](int k) { return alternating(k) / std::pow(2.0, k + 1); }},
      {"a power", [](dt::Var x) { return dt::pow(x, 2.5); }, 1,
       [](int k) { return binomial(2.5, k); }},
      {"a whole power at 0", [](dt::Var x) { return dt::pow(x, 3); }, 0,
       [](int k) { return k == 3 ? 1 : 0; }},
      {"a power of a number", [](dt::Var x) { return dt::pow(2.0, x); }, 0,
       [](int k) { return over_factorial(std::pow(std::log(2.0), k), k); }},
      {"a quotient", [](dt::Var x) { return 1 / (1 + dt::square(x)); }, 0,
       [](int k) { return even(half_alternating(k), k); }},
      {"a quotient of two", [](dt::Var x) { return x / (1 - x - x * x); }, 0,  // Fibonacci's
       [](int k) {
         double a = 0, b = 1;
         for (int i = 0; i < k; ++i) b = std::exchange(a, b) + b;
         return a;
       }},
      {"a polynomial", [](dt::Var x) { return dt::square(x) * x - 2 * x; }, 0.5,
       [](int k) {
         return std::vector<double>{-0.875, -1.25, 1.5, 1}.at(
                    static_cast<std::size_t>(std::min(k, 3))) *
                (k < 4);
       }},
      {"a logarithm of a cosine", [](dt::Var x) { return -dt::log(dt::cos(x)); }, 0,
       [](int k) { return k == 0 ? 0 : tangent(k - 1, 1) / k; }}};
}

// d/dt of d/dt of ...
dt::Tensor nested(const Curve& f, double at, int order) {
  Curve g = f;
  for (int i = 0; i < order; ++i) g = [g](dt::Var x) { return dt::derivative(g)(x); };
  return dt::eval(g, number(at));
}

}  // namespace

TEST_CASE("series of scalar functions are their closed forms, to order 9") {
  std::vector<Known> all = known();
  for (const Known& one : known_quotients_and_powers()) all.push_back(one);
  for (const Known& one : all) {
    CAPTURE(one.name);
    const std::vector<dt::Tensor> c = dt::taylor(one.f, number(one.at), {number(1)}, 9);
    REQUIRE(c.size() == 10);
    for (int k = 0; k <= 9; ++k) {
      CAPTURE(k);
      const double wanted = one.coefficient(k);
      CHECK(std::abs(c[static_cast<std::size_t>(k)].item() - wanted) <=
            1e-13 * std::max(1.0, std::abs(wanted)));
    }
  }
}

TEST_CASE("derivatives are those of nested forward mode") {
  const Curve f = [](dt::Var x) { return dt::gelu(dt::sin(2 * x) * dt::silu(x)); };
  const std::vector<dt::Tensor> d = dt::derivatives(f, 4)(number(0.4));
  REQUIRE(d.size() == 5);
  for (int k = 0; k <= 4; ++k) {
    CAPTURE(k);
    CHECK(d[static_cast<std::size_t>(k)].item() ==
          doctest::Approx(nested(f, 0.4, k).item()).epsilon(1e-11));
  }
}

TEST_CASE("a curved path goes into the coefficients") {
  // (1 + 2 t + 3 t^2)^2 = 1 + 4 t + 10 t^2 + 12 t^3 + 9 t^4
  const auto c = dt::taylor([](dt::Var x) { return x * x; }, number(1), {number(2), number(3)}, 5);
  const std::vector<double> wanted{1, 4, 10, 12, 9, 0};
  for (std::size_t k = 0; k < wanted.size(); ++k) CHECK(c[k].item() == wanted[k]);
  // What is beyond the order of the path has no effect, an empty path none at all.
  const auto still = dt::taylor([](dt::Var x) { return x * x; }, number(3), {}, 2);
  CHECK(still[0].item() == 9);
  CHECK(still[1].item() == 0);
  CHECK(still[2].item() == 0);
}

TEST_CASE("products of matrices, and several arguments, each along its own path") {
  const dt::Tensor a = numbers({2, 3}, 1), da = numbers({2, 3}, 2);
  const dt::Tensor b = numbers({3, 2}, 3), db = numbers({3, 2}, 4);
  const auto f = [](dt::Var x, dt::Var y) { return dt::matmul(x, y); };
  const auto c = dt::taylor(f, {a, b}, {{da}, {db}}, 3);
  CHECK(dt::all_close(c[2], dt::eval(f, {da, db}), 1e-14, 1e-14));
  CHECK(dt::all_close(c[3], dt::zeros({2, 2}, dt::float64)));
  const auto sum = [](std::span<const dt::Var> x) {
    return dt::matmul(x[0], x[3]) + dt::matmul(x[2], x[1]);
  };
  CHECK(dt::all_close(c[1], dt::eval(sum, {a, b, da, db}), 1e-14, 1e-14));
}

TEST_CASE(
    "operators without a rule of their own: softmax, inverse, eigenvalues, sums of products") {
  const dt::Tensor w = numbers({3, 3}, 5),
                   base = dt::Tensor::of({{3.0, 0.0, 0.0}, {0.0, 3.0, 0.0}, {0.0, 0.0, 3.0}},
                                         dt::float64);
  const std::vector<std::pair<const char*, Curve>> curves{
      {"softmax",
       [](dt::Var t) {
         return dt::softmax(dt::stack({t, t * t, dt::sin(t)}))[0];
       }},
      {"logsumexp",
       [](dt::Var t) {
         return dt::logsumexp(dt::stack({t, t * t, dt::sin(t)}));
       }},
      {"inverse", [&](dt::Var t) { return dt::sum(dt::inverse(t * w + base)); }},
      {"a determinant", [&](dt::Var t) { return dt::det(t * w + base); }},
      {"a norm",
       [&](dt::Var t) {
         return dt::norm(dt::stack({t, t * t, dt::exp(t)}));
       }},
      {"a running product",
       [&](dt::Var t) {
         return dt::cumprod(dt::stack({t, t, t + 1}))[2];
       }},
      {"a largest", [&](dt::Var t) {
         return dt::max(dt::stack({t, dt::exp(t), -t}));
       }}};
  for (const auto& curve : curves) {
    CAPTURE(curve.first);
    const Curve& f = curve.second;
    const std::vector<dt::Tensor> d = dt::derivatives(f, 4)(number(0.3));
    for (int k = 0; k <= 4; ++k) {
      CAPTURE(k);
      CHECK(d[static_cast<std::size_t>(k)].item() ==
            doctest::Approx(nested(f, 0.3, k).item()).epsilon(1e-10));
    }
  }
}

TEST_CASE("a function that twice depends on one direction keeps its arguments apart") {
  // Both arguments of the product start with slope 1, and bend apart.
  const auto f = [](dt::Var t) {
    const dt::Var x = dt::reshape(t, {1}), y = dt::reshape(dt::exp(t) - 1, {1});
    return dt::prod(dt::concat({x, y, dt::softmax(dt::concat({x, y}))}));
  };
  const std::vector<dt::Tensor> d = dt::derivatives(f, 4)(number(0));
  for (int k = 0; k <= 4; ++k)
    CHECK(d[static_cast<std::size_t>(k)].item() ==
          doctest::Approx(nested(f, 0, k).item()).epsilon(1e-11));
}

TEST_CASE("calls, loops and branches have series") {
  const auto turns = [](dt::Var t) {  // logistic map
    return dt::fori(0, 3, t, [](dt::Var, dt::Var x) { return 2.5 * x * (1 - x); });
  };
  const auto unrolled = [](dt::Var t) {
    for (int i = 0; i < 3; ++i) t = 2.5 * t * (1 - t);
    return t;
  };
  const auto looped = dt::derivatives(turns, 4)(number(0.3));
  const auto plain = dt::derivatives(unrolled, 4)(number(0.3));
  for (std::size_t k = 0; k < plain.size(); ++k)
    CHECK(looped[k].item() == doctest::Approx(plain[k].item()).epsilon(1e-12));
  const auto root = [](dt::Var a) {
    return dt::while_loop([&](dt::Var x) { return dt::abs(x * x - a) > 1e-14 * a; },
                          [&](dt::Var x) { return (x + a / x) / 2.0; }, a, {.most = 60})
        .state;
  };
  const auto roots = dt::derivatives(root, 3)(number(2));
  CHECK(roots[3].item() == doctest::Approx(0.375 * std::pow(2.0, -2.5)).epsilon(1e-8));
  const auto called = [](dt::Var t) {
    return dt::checkpoint(
        [](std::span<const dt::Var> x) { return std::vector{dt::exp(dt::sin(x[0]))}; }, {t})[0];
  };
  const auto direct = [](dt::Var x) { return dt::exp(dt::sin(x)); };
  const auto a = dt::derivatives([&](dt::Var t) { return called(t) * t; }, 4)(number(0.5));
  const auto b = dt::derivatives([&](dt::Var t) { return direct(t) * t; }, 4)(number(0.5));
  for (std::size_t k = 0; k < a.size(); ++k)
    CHECK(a[k].item() == doctest::Approx(b[k].item()).epsilon(1e-12));
}

TEST_CASE("an implicit function's series") {
  // y = t e^-y: Lambert's function at t, whose series at 0 is sum (-k)^(k - 1) / k! t^k.
  const auto lambert = [](dt::Var t) {
    return dt::root([&](dt::Var y) { return y * dt::exp(y) - t; }, t);
  };
  const auto c = dt::taylor(lambert, number(0), {number(1)}, 3);
  CHECK(c[1].item() == doctest::Approx(1).epsilon(1e-9));
  CHECK(c[2].item() == doctest::Approx(-1).epsilon(1e-9));
  CHECK(c[3].item() == doctest::Approx(1.5).epsilon(1e-9));
}

TEST_CASE("series nest: gradients, tangents and batches of coefficients") {
  const auto third = [](dt::Var x) {
    return dt::derivatives([](dt::Var t) { return dt::sin(2 * t); }, 3)(x)[3];
  };
  CHECK(dt::grad(third)(number(0.3)).item() == doctest::Approx(16 * std::sin(0.6)));
  const dt::Tensor t = numbers({5}, 6);
  const dt::Tensor all = dt::vmap(third)(t);
  for (std::int64_t i = 0; i < 5; ++i)
    CHECK(all.at({i}) == doctest::Approx(-8 * std::cos(2 * t.at({i}))));
  // Series of coefficients of series: the third derivative of the third.
  const auto sixth = dt::derivatives(third, 3)(number(0.3));
  CHECK(sixth[3].item() == doctest::Approx(-64 * std::sin(0.6)));
  CHECK(dt::jit(third)(number(0.3)).item() == doctest::Approx(-8 * std::cos(0.6)));
}

TEST_CASE("mixed partials of a function of several variables") {
  // x^a y^b z^c at (1, 1, 1): products of falling factorials.
  const auto f = [](dt::Var x) { return dt::pow(x[0], 4) * dt::pow(x[1], 3) * dt::exp(2 * x[2]); };
  const dt::Tensor at = dt::Tensor::of({1.0, 1.0, 0.0}, dt::float64);
  const auto falling = [](double a, std::int64_t k) {
    double product = 1;
    for (std::int64_t i = 0; i < k; ++i) product *= a - static_cast<double>(i);
    return product;
  };
  for (std::int64_t i = 0; i <= 3; ++i)
    for (std::int64_t j = 0; j <= 2; ++j)
      for (std::int64_t k = 0; k <= 2; ++k) {
        if (i + j + k == 0) continue;
        CAPTURE(i);
        CAPTURE(j);
        CAPTURE(k);
        const double wanted = falling(4, i) * falling(3, j) * std::pow(2.0, static_cast<double>(k));
        CHECK(dt::mixed_partial(f, {i, j, k})(at).item() == doctest::Approx(wanted).epsilon(1e-9));
      }
  const auto of_two = [](dt::Var x, dt::Var y) { return dt::sin(x * y); };
  const double x = 0.4, y = 0.7;
  CHECK(dt::mixed_partial(of_two, {1, 2})(number(x), number(y)).item() ==
        doctest::Approx(-2 * x * std::sin(x * y) - x * x * y * std::cos(x * y)).epsilon(1e-11));
}

TEST_CASE("a rule for one operator, also where formulas use it") {
  dt::Graph g;
  const dt::Var x = g.input("x", {}, dt::float64), v = g.constant(1.0, dt::float64);
  const dt::Var y = dt::exp(dt::floor(x)) * x;
  dt::TaylorMode mode(g, 2);
  // floor, as if it were the identity.
  mode.set_rule(dt::require_op("floor"), [](const dt::NodeView& node, auto in) {
    dt::Series series = *in[0];
    series.terms[0] = node.out[0];
    return std::vector<std::optional<dt::Series>>{series};
  });
  const auto found = mode.run(g, std::vector{x}, std::vector{dt::Series{{x, v}}}, std::vector{y});
  REQUIRE(found[0].has_value());
  // At 0: e^t t = t + t^2 + ...
  CHECK(dt::eval(*found[0]->terms[1], {{x, number(0)}}).item() == 1);
  CHECK(dt::eval(*found[0]->terms[2], {{x, number(0)}}).item() == 1);
}

TEST_CASE("what does not move is absent, and what has no derivative is refused") {
  dt::Graph g;
  const dt::Var x = g.input("x", {2}, dt::float64), v = g.input("v", {2}, dt::float64);
  const dt::Var other = g.input("other", {2}, dt::float64);
  const auto found = dt::taylor_all({dt::exp(other), dt::floor(x), x + other}, {x}, {{v}}, 2);
  for (std::size_t k = 1; k <= 2; ++k) {
    CHECK_FALSE(found[0][k]);
    CHECK_FALSE(found[1][k]);
  }
  REQUIRE(found[2][1].has_value());
  CHECK(*found[2][1] == v);
  CHECK_FALSE(found[2][2]);
  const dt::Var y = dt::taylor(dt::exp(other), x, {v}, 1)[1];
  CHECK(dt::eval(y).at({1}) == 0);
}

TEST_CASE("errors name the order, the path and the types") {
  dt::Graph g, elsewhere;
  const dt::Var x = g.input("x", {2}, dt::float64), y = dt::exp(x);
  CHECK(has(error_of<dt::ValueError>([&] { dt::taylor(y, x, {x}, 0); }), "the order is 0"));
  CHECK(has(error_of<dt::ValueError>([&] { dt::taylor(y, x, {x}, 65); }), "not 1 to 64"));
  CHECK(
      has(error_of<dt::ShapeError>([&] { dt::taylor(y, x, {g.input("v", {3}, dt::float64)}, 1); }),
          "a coefficient of its path is float64 (3,)"));
  CHECK(has(error_of<dt::GraphError>(
                [&] { dt::taylor(y, x, {elsewhere.input("v", {2}, dt::float64)}, 1); }),
            "another graph"));
  CHECK(has(error_of<dt::GraphError>([&] { dt::taylor_all({y}, {x}, {}, 1); }),
            "1 inputs but 0 paths"));
  const dt::Var n = g.input("n", {}, dt::int64);
  CHECK(
      has(error_of<dt::TypeError>([&] { dt::taylor(y, n, {n}, 1); }), "only float32 and float64"));
  CHECK(has(error_of<dt::ShapeError>([&] { dt::derivatives(y, x, 2); }), "not a single number"));
  CHECK(has(error_of<dt::ValueError>([&] { dt::mixed_partial(y, x, {1}); }),
            "1 orders for 2 elements"));
  CHECK(has(error_of<dt::ValueError>([&] {
              dt::mixed_partial(y, x, {1, -1});
            }),
            "must not be negative"));
  CHECK(has(error_of<dt::ValueError>([&] {
              dt::mixed_partial(y, x, {0, 0});
            }),
            "must add up to 1 to 16"));
  CHECK(has(error_of<dt::ShapeError>([&] {
              dt::mixed_partial(y, std::vector{x, x}, {1, 1});
            }),
            "not a single number"));
  const auto two = dt::derivatives([](dt::Var a, dt::Var b) { return a * b; }, 2);
  CHECK_THROWS_AS(two(number(1), number(2)), dt::ValueError);
}
