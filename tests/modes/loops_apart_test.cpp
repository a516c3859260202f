// Batches whose members end at different steps or take different branches: reverse mode over the
// batch against a loop over members, forward mode and single members.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/dualtape.hpp>
#include <tests/errors.hpp>

namespace dt = dualtape;
using dualtape::testing::error_of;
using dualtape::testing::has;

namespace {

using Member = std::function<dt::Var(dt::Var x, dt::Var q)>;  // q is shared by all members

dt::Tensor row(const std::vector<double>& values) {
  return dt::Tensor::from(values, dt::Shape{static_cast<std::int64_t>(values.size())});
}

// d/dq and d/dx of the sum over a batch, by every way there is, first and second order.
void check(const Member& f, const std::vector<double>& xs, double q) {
  const dt::Tensor all = row(xs), shared = dt::Tensor::scalar(q);
  const auto batch = [&](dt::Var x, dt::Var p) {
    return dt::sum(dt::vmap([&](dt::Var one) { return f(one, p); })(x));
  };
  const auto turns = [&](dt::Var x, dt::Var p) {
    dt::Var total;
    for (std::size_t m = 0; m < xs.size(); ++m) {
      const dt::Var one = f(x[static_cast<std::int64_t>(m)], p);
      total = m == 0 ? one : total + one;
    }
    return total;
  };
  const std::vector<dt::Tensor> at{all, shared};
  CHECK(dt::eval(batch, at).item() == doctest::Approx(dt::eval(turns, at).item()).epsilon(1e-12));
  const std::vector<dt::Tensor> wanted = dt::grad(turns)(at), found = dt::grad(batch)(at);
  REQUIRE(!std::isnan(wanted[1].item()));
  CHECK(dt::all_close(found[0], wanted[0], 1e-9, 1e-11));
  CHECK(dt::all_close(found[1], wanted[1], 1e-9, 1e-11));
  const auto slope = [&](const auto& g) {
    return [&](dt::Var p) {
      const dt::Var x = p.graph().constant(all);
      return dt::reverse(g(x, p), {p})[p];
    };
  };
  const double second = dt::grad(slope(turns))(shared).item();
  CHECK(dt::grad(slope(batch))(shared).item() == doctest::Approx(second).epsilon(1e-8));
  CHECK(dt::jvp(slope(batch), shared, dt::Tensor::scalar(1.0)).tangent.item() ==
        doctest::Approx(second).epsilon(1e-8));
}

dt::WhileOptions kept(std::int64_t states) { return {.most = 40, .keep = {.states = states}}; }

}  // namespace

TEST_CASE("a member that ended computes nothing where it stands") {
  for (const std::int64_t states : {0, 2}) {
    CAPTURE(states);
    // The square root has no slope where the members end.
    check(
        [&](dt::Var x, dt::Var q) {
          return dt::while_loop([](dt::Var s) { return s > 0.0; },
                                [&](dt::Var s) { return s - q * dt::sqrt(s) - 0.5; }, x,
                                kept(states))
              .state;
        },
        {0.3, 5, 2}, 0.7);
    // And a member that never starts is at a pole.
    check(
        [&](dt::Var x, dt::Var q) {
          return dt::while_loop([](dt::Var s) { return s > 1.0; },
                                [&](dt::Var s) { return s - q / (s - 1.0) - 1.0; }, x, kept(states))
              .state;
        },
        {1, 4, 2.5}, 0.5);
  }
}

TEST_CASE("a branch is computed for the members that take it alone") {
  check(
      [](dt::Var x, dt::Var q) {
        return dt::cond(
            x > 0.0, [&] { return q * dt::sqrt(x); }, [&] { return q * q * x; });
      },
      {4, -1, 0, -0.25}, 1.5);
  check(
      [](dt::Var x, dt::Var q) {
        return dt::cond(
            x > 0.0, [&] { return q * x * dt::log(x); }, [&] { return 0.0 * x * q; });
      },
      {0, 0.5, 2}, 1.5);
  // One branch that nobody takes, and that none could.
  check(
      [](dt::Var x, dt::Var q) {
        return dt::cond(
            x > 10.0, [&] { return dt::log(x - 10.0) * q; }, [&] { return q * dt::square(x); });
      },
      {1, 2, 3}, 0.5);
  // Within a loop.
  check(
      [](dt::Var x, dt::Var q) {
        return dt::fori(0, 3, x, [&](dt::Var, dt::Var s) {
          return dt::cond(
              s > 0.0, [&] { return s - q * dt::sqrt(s); }, [&] { return 3.0 * s; });
        });
      },
      {4, 0, 0.25}, 0.9);
}

TEST_CASE("what cannot be computed of a member that ended is not an error") {
  // Sums the table from a place on; a member that is done stands after its end.
  const dt::Tensor table = row({1, 2, 3});
  const auto sums = [&](dt::Var start) {
    const std::vector<dt::In> state{start, dt::In(0.0)};
    return dt::while_loop([](std::span<const dt::Var> s) { return s[0] < 3; },
                          [&](std::span<const dt::Var> s) {
                            const dt::Var x = s[0].graph().constant(table);
                            return std::vector<dt::Var>{
                                s[0] + 1, s[1] + dt::cast(dt::take(x, s[0], 0), dt::float32)};
                          },
                          state)
        .state[1];
  };
  const dt::Tensor found = dt::eval(dt::vmap(sums), dt::Tensor::of({0, 2, 3}, dt::int64));
  CHECK(dt::identical(found, dt::Tensor{6, 3, 0}));
  const auto chosen = [&](dt::Var i) {
    return dt::cond(
        i < 3, [&] { return dt::take(i.graph().constant(table), i, 0); },
        [&] { return i.graph().constant(-1.0, dt::float64); });
  };
  CHECK(dt::identical(dt::eval(dt::vmap(chosen), dt::Tensor::of({2, 7}, dt::int64)), row({3, -1})));
}

TEST_CASE("a batch of equations whose steps differ has right gradients") {
  const auto end = [](dt::Var y0, dt::Var k) {
    return dt::odeint([&](dt::Var, dt::Var y) { return -(k * y * y); }, y0, row({0, 1})).y[1];
  };
  check(end, {1, 3, 9}, 0.7);
  // Times of each member.
  const auto until = [](dt::Var t, dt::Var k) {
    const dt::Var one = t.graph().constant(1.0, dt::float64);
    return dt::odeint([&](dt::Var, dt::Var y) { return -k * y; }, one,
                      dt::stack({dt::zeros_like(t), t}))
        .y[1];
  };
  check(until, {0.5, 1, 4}, 1.0);
  // A member that has nowhere to go has a slope by its time.
  const auto slope = dt::vmap(dt::grad(
      [&](dt::Var t) { return until(t, t.graph().constant(1.0, dt::float64)); }))(row({0, 1}));
  CHECK(slope.at({0}) == doctest::Approx(-1));
  CHECK(slope.at({1}) == doctest::Approx(-std::exp(-1)).epsilon(1e-5));
}

TEST_CASE("cond names its branches as they are given") {
  dt::Graph g;
  const dt::Var x = g.input("x", {3});
  const std::string text = error_of<dt::ShapeError>([&] {
    dt::cond(
        dt::sum(x) > 0, [&] { return x; }, [&] { return dt::sum(x); });
  });
  CHECK_MESSAGE(has(text, "[cond] result 0 of `otherwise` is float32 (), of `then` float32 (3,)"),
                text);
}
