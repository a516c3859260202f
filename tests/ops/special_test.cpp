// Special functions against values of 50 digits, identities and special values.
#include <doctest/doctest.h>

#include <limits>
#include <numbers>

#include <dualtape/modes/check.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/special.hpp>

#include "known.hpp"
#include "tests/fixtures/special_values.hpp"

using namespace known;

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

template <class F>
void check_table(F op, const special_values::Table& table, double tolerance) {
  REQUIRE(table.size() > 10);
  Numbers points, wanted;
  for (const auto& [x, value] : table) {
    points.push_back(x);
    wanted.push_back(value);
  }
  dt::Graph graph;
  const Numbers got = numbers(dt::eval(op(graph.constant(tensor(points)))));
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(points[i]);
    CAPTURE(got[i]);
    CAPTURE(wanted[i]);
    CHECK(std::abs(got[i] - wanted[i]) <= tolerance * std::abs(wanted[i]));
  }
  // float32: the rounded value at the rounded point.
  for (std::size_t i = 0; i < points.size(); ++i) {
    const auto x = static_cast<double>(static_cast<float>(points[i]));
    if (x != points[i] || std::abs(wanted[i]) > 3e38 || std::abs(wanted[i]) < 1e-37) continue;
    dt::Graph narrow;
    const double y = dt::eval(op(narrow.constant(x, dt::float32))).item();
    CHECK(y == doctest::Approx(wanted[i]).epsilon(1e-7).scale(0));
  }
}

TEST_CASE("special functions are right to the last digits") {
  namespace values = special_values;
  SUBCASE("lgamma") { check_table(dt::lgamma, values::lgamma, 4e-15); }
  SUBCASE("digamma") { check_table(dt::digamma, values::digamma, 4e-15); }
  SUBCASE("erfinv") { check_table(dt::erfinv, values::erfinv, 2e-15); }
  SUBCASE("i0") { check_table(dt::i0, values::i0, 2e-15); }
  SUBCASE("i1") { check_table(dt::i1, values::i1, 2e-15); }
  SUBCASE("trigamma") {
    check_table([](dt::Var x) { return dt::polygamma(1, x); }, values::trigamma, 4e-15);
  }
  SUBCASE("order 4") {
    check_table([](dt::Var x) { return dt::polygamma(4, x); }, values::polygamma4, 1e-14);
  }
  SUBCASE("order 21") {
    check_table([](dt::Var x) { return dt::polygamma(21, x); }, values::polygamma21, 1e-13);
  }
}

TEST_CASE("the derivative of each is the next") {
  const auto check = [](dt::Var (*op)(dt::In), auto slope, const Numbers& points) {
    dt::Graph graph;
    const dt::Var x = graph.constant(tensor(points));
    check_close(derivative(op(x), x), numbers(dt::eval(slope(x))), 1e-14);
  };
  const Numbers points{-2.5, -0.4, 0.3, 1.4, 7};
  check(
      dt::lgamma, [](dt::Var x) { return dt::digamma(x); }, points);
  check(
      dt::digamma, [](dt::Var x) { return dt::polygamma(1, x); }, points);
  check(
      dt::i0, [](dt::Var x) { return dt::i1(x); }, points);
  // (d/dx)(x i1(x)) = x i0(x)
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({-30, -2, 0, 1e-5, 0.5, 25}));
  check_close(derivative(x * dt::i1(x), x), numbers(dt::eval(x * dt::i0(x))), 1e-14);
  check_close(derivative(dt::i1(x * 0.0), x), Numbers(6, 0.0), 0);
  check_close(derivative(dt::i1(graph.constant(tensor({0})) + x * 0.0 + 0.0), x), Numbers(6, 0.0),
              0);
}

TEST_CASE("erf undoes erfinv, and its derivative at 0 is sqrt(pi) / 2") {
  dt::Graph graph;
  const dt::Var y = graph.constant(tensor({-0.99, -0.3, 0, 1e-9, 0.7, 0.9999}));
  check_close(numbers(dt::eval(dt::erf(dt::erfinv(y)))), numbers(dt::eval(y)), 1e-15);
  const dt::Var zero = graph.constant(tensor({0}));
  check_close(derivative(dt::erfinv(zero), zero), {std::sqrt(std::numbers::pi) / 2}, 1e-15);
}

TEST_CASE("poles, edges and NaN") {
  CHECK(at(dt::lgamma, 0) == inf);
  CHECK(at(dt::lgamma, -3) == inf);
  CHECK(at(dt::lgamma, 1) == 0);
  CHECK(at(dt::lgamma, 2) == 0);
  CHECK(at(dt::digamma, 0) == -inf);
  CHECK(std::isnan(at(dt::digamma, -2)));
  CHECK(at(dt::digamma, inf) == inf);
  CHECK(at(dt::erfinv, 1) == inf);
  CHECK(at(dt::erfinv, -1) == -inf);
  CHECK(std::isnan(at(dt::erfinv, 1.5)));
  CHECK(at(dt::i0, 0) == 1);
  CHECK(at(dt::i1, 0) == 0);
  CHECK(at(dt::i0, -800) == inf);
  CHECK(at(dt::i1, -800) == -inf);
  for (const auto op : {dt::lgamma, dt::digamma, dt::erfinv, dt::i0, dt::i1})
    CHECK(std::isnan(at(op, nan)));
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({0, -1, inf, nan}));
  const Numbers first = numbers(dt::eval(dt::polygamma(1, x)));
  CHECK(first[0] == inf);
  CHECK(first[1] == inf);
  CHECK(first[2] == 0);
  CHECK(std::isnan(first[3]));
  const std::string text = error_of<dt::ValueError>([&] { dt::polygamma(-1, x); });
  CHECK(has(text, "polygamma"));
  CHECK(has(text, "-1"));
}

TEST_CASE("logaddexp neither overflows nor makes NaN of infinities") {
  dt::Graph graph;
  const dt::Var a = graph.constant(tensor({0, 1000, -1000, -inf, -inf, inf, inf, nan}));
  const dt::Var b = graph.constant(tensor({0, 1, -1000, -inf, 3, inf, -inf, 0}));
  const dt::Var y = dt::logaddexp(a, b);
  check_close(numbers(dt::eval(y)),
              {std::numbers::ln2, 1000, -1000 + std::numbers::ln2, -inf, 3, inf, inf, nan}, 1e-15);
  check_close(derivative(y, a), {0.5, 1, 0.5, 0.5, 0, 0.5, 1, nan}, 1e-15);
}

TEST_CASE("logaddexp's slope at any size") {
  dt::Graph graph;
  const dt::Var a = graph.constant(tensor({1e39, 1e38, -1e300, 2}));
  const dt::Var b = graph.constant(tensor({1e38, 1e39, 1e300, 2}));
  const dt::Var y = dt::logaddexp(a, b);
  check_close(derivative(y, a), {1, 0, 0, 0.5}, 0);
  const dt::Var slope = dt::vjp({y}, {a}, {graph.constant(tensor({1, 1, 1, 1}))})[a];
  check_close(derivative(slope, b), {0, 0, 0, -0.25}, 0);
}

TEST_CASE("Bessel functions keep their digits near 0 and overflow to infinity") {
  CHECK(at(dt::i0, 3e307) == inf);
  CHECK(at(dt::i1, -3e307) == -inf);
  CHECK(off(slopes_at(dt::i1, 1e-8).second, 3.75e-9) < 4);
  CHECK(slopes_at(dt::i1, 0) == std::pair{0.5, 0.0});
  // I_(n-1)(x) - I_(n+1)(x) = 2 n I_n(x) / x
  for (const double x : {0.5, 3.0, 25.0, 100.0}) {
    dt::Graph graph;
    const dt::Var at = graph.constant(tensor({x}));
    for (const int n : {1, 2, 5, 12}) {
      const double left = numbers(dt::eval(dt::bessel_i(n - 1, at) - dt::bessel_i(n + 1, at)))[0];
      CHECK(off(numbers(dt::eval(2.0 * n / x * dt::bessel_i(n, at)))[0], left) < 1000);
    }
  }
}

TEST_CASE("xlogy is 0 where x is") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({0, 0, 0, 2, 0}));
  const dt::Var y = graph.constant(tensor({0, 3, -1, std::numbers::e, nan}));
  const dt::Var z = dt::xlogy(x, y);
  check_close(numbers(dt::eval(z)), {0, 0, 0, 2, nan}, 1e-15);
  check_close(derivative(z, y), {0, 0, 0, 2 / std::numbers::e, nan}, 1e-15);
  const dt::Var inner = graph.constant(tensor({0, 2}));
  const dt::Var base = graph.constant(tensor({0, 4}));
  check_close(derivative(dt::xlogy(inner, base), inner), {0, std::log(4)}, 1e-15);
}

TEST_CASE("the rules hold where x is negative, too") {
  for (const double center : {-0.5, -1.5, -3.4}) {
    const dt::Domain near = dt::domain(center - 0.1, center + 0.1);
    const dt::CheckReport report = dt::check_gradients(
        [](std::span<const dt::Var> in) {
          return std::vector<dt::Var>{dt::lgamma(in[0]), dt::polygamma(2, in[0])};
        },
        {dt::Arg{{3}, near}}, 1e-5);
    INFO(dt::to_string(report));
    CHECK(report.ok());
  }
}

TEST_CASE("every entry of the family passes its checks") {
  for (const char* name :
       {"lgamma", "digamma", "polygamma", "erfinv", "i0", "i1", "bessel_i", "logaddexp", "xlogy"}) {
    CAPTURE(name);
    bool found = false;
    for (const dt::Entry& entry : dt::all_entries()) {
      if (entry.info.name != name) continue;
      found = true;
      const dt::CheckReport report = dt::check_entry(entry);
      INFO(dt::to_string(report));
      CHECK(report.ok());
    }
    CHECK(found);
  }
}

}  // namespace
