#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include <dualtape/dualtape.hpp>
#include <tests/errors.hpp>

namespace dt = dualtape;

namespace {

dt::Tensor number(double x) { return dt::Tensor::scalar(x); }

constexpr dt::OdeOptions tight{.rtol = 1e-12, .atol = 1e-13, .most = 5000};

// y'' = -w^2 y as two values: the position and the speed.
dt::Var oscillator(dt::Var y, dt::Var w) { return dt::stack({y[1], -w * w * y[0]}); }

// Lotka and Volterra's hares and lynxes by four rates.
dt::Var hares(dt::Var y, dt::Var p) {
  const dt::Var meets = y[0] * y[1];
  return dt::stack({p[0] * y[0] - p[1] * meets, p[2] * meets - p[3] * y[1]});
}
const dt::Tensor rates = dt::Tensor::of({1.1, 0.4, 0.1, 0.4}, dt::float64);
const dt::Tensor animals = dt::Tensor::of({10.0, 5.0}, dt::float64);

// Of {start, rates}, at `times`.
auto hares_by(dt::Tensor times, dt::OdeOptions options) {
  return [times, options](std::span<const dt::Var> in) {
    const dt::Var y =
        dt::odeint([&](dt::Var, dt::Var at) { return hares(at, in[1]); }, in[0], times, options).y;
    return dt::sum(dt::square(y - 1.0)) / 100.0;
  };
}
// The same by the classical method, written out.
auto hares_unrolled(dt::Tensor times, int steps) {
  return [times, steps](std::span<const dt::Var> in) {
    dt::Var y = in[0];
    const dt::Var p = in[1];
    dt::Var loss = dt::sum(dt::square(y - 1.0));
    const std::span<const double> t = times.data<double>();
    for (std::size_t i = 1; i < t.size(); ++i) {
      const double h = (t[i] - t[i - 1]) / steps;
      for (int s = 0; s < steps; ++s) {
        const dt::Var k1 = hares(y, p), k2 = hares(y + h / 2 * k1, p);
        const dt::Var k3 = hares(y + h / 2 * k2, p), k4 = hares(y + h * k3, p);
        y = y + h / 6 * (k1 + 2.0 * k2 + 2.0 * k3 + k4);
      }
      loss = loss + dt::sum(dt::square(y - 1.0));
    }
    return loss / 100.0;
  };
}

void check_close(const std::vector<dt::Tensor>& a, const std::vector<dt::Tensor>& b,
                 double tolerance) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(dt::all_close(a[i], b[i], tolerance, tolerance));
}

}  // namespace

TEST_CASE("odeint by rk4 is the unrolled program, in every mode") {
  const dt::Tensor times = dt::linspace(0, 1, 6, dt::float64);
  const std::vector<dt::Tensor> x{animals, rates};
  const std::vector<dt::Tensor> v{dt::Tensor::of({0.3, -0.2}, dt::float64),
                                  dt::Tensor::of({0.1, 0.2, -0.3, 0.4}, dt::float64)};
  for (const int steps : {1, 4}) {
    CAPTURE(steps);
    const auto looped = hares_by(times, {.method = dt::OdeMethod::rk4, .steps = steps});
    const auto plain = hares_unrolled(times, steps);
    CHECK(dt::all_close(dt::eval(looped, x), dt::eval(plain, x), 1e-12));
    CHECK(dt::all_close(dt::jvp(looped, x, v).tangent, dt::jvp(plain, x, v).tangent, 1e-12));
    check_close(dt::grad(looped)(x), dt::grad(plain)(x), 1e-12);
    const auto second = [&](auto f) {
      return [f, &v](std::span<const dt::Var> in) {
        const dt::Gradients g = dt::reverse(f(in), {in[0], in[1]});
        return dt::sum(g[in[0]] * in[0].graph().constant(v[0])) +
               dt::sum(g[in[1]] * in[0].graph().constant(v[1]));
      };
    };
    check_close(dt::grad(second(looped))(x), dt::grad(second(plain))(x), 1e-12);
    CHECK(dt::all_close(dt::jvp(second(looped), x, v).tangent, dt::jvp(second(plain), x, v).tangent,
                        1e-12));
    const dt::Tensor many = dt::Tensor::of({{10.0, 5.0}, {3.0, 2.0}, {7.0, 7.0}}, dt::float64);
    const auto by_start = [](auto f) {
      return [f](dt::Var y0) {
        const dt::Var p = y0.graph().constant(rates);
        return dt::reverse(f(std::vector<dt::Var>{y0, p}), {y0})[y0];
      };
    };
    CHECK(dt::all_close(dt::vmap(by_start(looped))(many), dt::vmap(by_start(plain))(many), 1e-12));
  }
}

TEST_CASE("odeint holds closed forms to 1e-10") {
  const dt::Tensor times = dt::Tensor::of({0.0, 0.1, 0.75, 0.75001, 2.0, 3.0}, dt::float64);
  const std::span<const double> t = times.data<double>();
  SUBCASE("an exponential, its derivative by the rate and the second one") {
    for (const dt::OdeOptions& options :
         {tight, dt::OdeOptions{.method = dt::OdeMethod::rk4, .steps = 1000}}) {
      const auto decay = [&](dt::Var k) {
        return dt::odeint([&](dt::Var, dt::Var y) { return -k * y; }, dt::full_like(k, 2.0), times,
                          options)
            .y;
      };
      const dt::Tensor y = dt::eval(decay, number(1.5));
      const dt::Tensor dy = dt::jvp(decay, number(1.5), number(1)).tangent;
      const auto last = [&](dt::Var k) { return decay(k)[5]; };
      for (std::int64_t i = 0; i < 6; ++i) {
        const double at = t[static_cast<std::size_t>(i)];
        CHECK(std::abs(y.at({i}) - 2 * std::exp(-1.5 * at)) < 1e-10);
        CHECK(std::abs(dy.at({i}) + 2 * at * std::exp(-1.5 * at)) < 1e-10);
      }
      CHECK(std::abs(dt::grad(last)(number(1.5)).item() + 6 * std::exp(-4.5)) < 1e-10);
      CHECK(std::abs(dt::grad(dt::grad(last))(number(1.5)).item() - 18 * std::exp(-4.5)) < 1e-9);
    }
  }
  SUBCASE("an oscillator, forwards and backwards in time") {
    const auto swing = [&](dt::Tensor at) {
      return [at](dt::Var w) {
        const dt::Var y0 = w.graph().constant(dt::Tensor::of({1.0, 0.0}, dt::float64));
        return dt::odeint([&](dt::Var, dt::Var y) { return oscillator(y, w); }, y0, at, tight).y;
      };
    };
    for (const double direction : {1.0, -1.0}) {
      const dt::Tensor y =
          dt::eval(swing(dt::eval([&](dt::Var x) { return x * direction; }, times)), number(2));
      for (std::int64_t i = 0; i < 6; ++i) {
        const double at = 2 * direction * t[static_cast<std::size_t>(i)];
        CHECK(std::abs(y.at({i, 0}) - std::cos(at)) < 1e-10);
        CHECK(std::abs(y.at({i, 1}) + 2 * std::sin(at)) < 1e-10);
      }
    }
  }
  SUBCASE("a slope that depends on the time, by the times themselves") {
    for (const dt::OdeOptions& options :
         {tight, dt::OdeOptions{.method = dt::OdeMethod::rk4, .steps = 500}}) {
      const auto end = [&](dt::Var at) {  // y = e^(sin t - sin t0)
        return dt::odeint([](dt::Var now, dt::Var z) { return dt::cos(now) * z; }, 1.0, at, options)
            .y[2];
      };
      const dt::Tensor at = dt::Tensor::of({0.2, 0.9, 2.0}, dt::float64);
      const double value = std::exp(std::sin(2.0) - std::sin(0.2));
      CHECK(std::abs(dt::eval(end, at).item() - value) < 1e-10);
      const dt::Tensor slope = dt::grad(end)(at);
      CHECK(std::abs(slope.at({0}) + std::cos(0.2) * value) < 1e-9);
      CHECK(std::abs(slope.at({1})) < 1e-9);
      CHECK(std::abs(slope.at({2}) - std::cos(2.0) * value) < 1e-9);
    }
  }
}

TEST_CASE(
    "rk4 is of order 4, Dormand and Prince's steps of order 5, their interpolant of order 4") {
  const auto error = [](const dt::OdeOptions& options, const dt::Tensor& times) {
    const auto f = [&](dt::Var w) {
      const dt::Var y0 = w.graph().constant(dt::Tensor::of({1.0, 0.0}, dt::float64));
      return dt::odeint([&](dt::Var, dt::Var y) { return oscillator(y, w); }, y0, times, options).y;
    };
    const dt::Tensor y = dt::eval(f, number(1));
    double most = 0;
    for (std::int64_t i = 1; i < times.shape()[0]; ++i)
      most = std::max({most, std::abs(y.at({i, 0}) - std::cos(times.at({i}))),
                       std::abs(y.at({i, 1}) + std::sin(times.at({i})))});
    return most;
  };
  const auto rk4 = [&](std::int64_t steps) {
    return error({.method = dt::OdeMethod::rk4, .steps = steps},
                 dt::Tensor::of({0.0, 2.0}, dt::float64));
  };
  CHECK(std::log2(rk4(10) / rk4(20)) == doctest::Approx(4).epsilon(0.05));
  CHECK(std::log2(rk4(20) / rk4(40)) == doctest::Approx(4).epsilon(0.05));
  // One step of a length that is given, as its tolerance is no matter: its error is of order 6,
  // that of the interpolant within it of order 5.
  const auto step = [&](double h, double part) {
    return error({.rtol = 1, .atol = 1e6, .most = 2, .first = h},
                 part < 1 ? dt::Tensor::of({0.0, part * h, h}, dt::float64)
                          : dt::Tensor::of({0.0, h}, dt::float64));
  };
  CHECK(std::log2(step(0.4, 1) / step(0.2, 1)) == doctest::Approx(6).epsilon(0.05));
  CHECK(std::log2(step(0.4, 0.4) / step(0.2, 0.4)) == doctest::Approx(5).epsilon(0.06));
}

TEST_CASE("the adaptive solution of hares and lynxes, and its gradient by the four rates") {
  const dt::Tensor times = dt::linspace(0, 10, 11, dt::float64);
  const std::vector<dt::Tensor> x{animals, rates};
  const auto exact = hares_by(times, {.method = dt::OdeMethod::rk4, .steps = 400});
  const auto found = hares_by(times, tight);
  CHECK(dt::all_close(dt::eval(found, x), dt::eval(exact, x), 1e-9));
  check_close(dt::grad(found)(x), dt::grad(exact)(x), 1e-8);
  const auto loose = hares_by(times, {});
  CHECK(dt::all_close(dt::eval(loose, x), dt::eval(exact, x), 1e-4));
  // Forward and reverse mode agree to rounding, whatever the tolerance.
  const std::vector<dt::Tensor> v{dt::zeros({2}, dt::float64),
                                  dt::Tensor::of({1.0, 0.0, 0.0, 0.0}, dt::float64)};
  CHECK(dt::jvp(loose, x, v).tangent.item() ==
        doctest::Approx(dt::grad(loose)(x)[1].at({0})).epsilon(1e-11));
  const dt::Tensor many = dt::Tensor::of({{10.0, 5.0}, {3.0, 2.0}, {7.0, 7.0}}, dt::float64);
  const auto by_rates = [&](dt::Var y0) {
    const dt::Var p = y0.graph().constant(rates);
    return dt::reverse(loose(std::vector<dt::Var>{y0, p}), {p})[p];
  };
  const dt::Tensor all = dt::vmap(by_rates)(many);
  for (std::int64_t i = 0; i < 3; ++i)
    CHECK(dt::all_close(all.row(i), dt::eval(by_rates, many.row(i)), 1e-9, 1e-9));
}

TEST_CASE("odeint says what it could not reach") {
  dt::Graph g;
  const dt::Var one = g.constant(number(1));
  const dt::Tensor times = dt::Tensor::of({0.0, 0.001, 5.0}, dt::float64);
  const auto short_of = dt::odeint([](dt::Var, dt::Var y) { return -y; }, one, times, {.most = 3});
  CHECK(!dt::eval(short_of.reached).item<bool>());
  CHECK(dt::eval(short_of.steps).item<std::int64_t>() == 3);
  CHECK(dt::eval(short_of.y).at({1}) == doctest::Approx(std::exp(-0.001)));
  CHECK(std::isnan(dt::eval(short_of.y).at({2})));
  // y = 1 / (1 - t) is infinite before 5.
  const auto blown = dt::odeint([](dt::Var, dt::Var y) { return y * y; }, one, times);
  CHECK(!dt::eval(blown.reached).item<bool>());
  CHECK(std::isnan(dt::eval(blown.y).at({2})));
  const auto fine = dt::odeint([](dt::Var, dt::Var y) { return -y; }, one, times);
  CHECK(dt::eval(fine.reached).item<bool>());
}

TEST_CASE("odeint looks nowhere beyond the last time") {
  // y' = sqrt(1 - t), which is NaN after 1: y(1) = y0 + 2/3.
  dt::Graph g;
  const auto f = [](dt::Var t, dt::Var y) { return dt::sqrt(1.0 - t) + 0.0 * y; };
  for (const double y0 : {0.0, 1000.0}) {
    const auto made = dt::odeint(f, g.constant(number(y0)), dt::Tensor::of({0.0, 1.0}, dt::float64),
                                 {.rtol = 1e-9});
    CHECK(dt::eval(made.reached).item<bool>());
    CHECK(std::abs(dt::eval(made.y).at({1}) - y0 - 2.0 / 3) < 1e-5);
  }
}

TEST_CASE("odeint over several values, a Parameter, float32, one time alone") {
  dt::Graph g;
  const dt::Parameter k("k", number(0.7));
  const dt::Var y0 = g.constant(dt::Tensor::of({1.0, 2.0}, dt::float64));
  const dt::Tensor times = dt::Tensor::of({0.0, 1.0}, dt::float64);
  const dt::OdeSolution made = dt::odeint(
      [&](dt::Var t, std::span<const dt::Var> y) {
        return std::vector<dt::Var>{-(k * y[0]), y[0] * y[0] + 0.0 * t};
      },
      {y0, g.constant(dt::zeros({2}, dt::float64))}, times, tight);
  const dt::Tensor a = dt::eval(made.y[0]), b = dt::eval(made.y[1]);
  CHECK(a.at({1, 1}) == doctest::Approx(2 * std::exp(-0.7)).epsilon(1e-11));
  CHECK(b.at({1, 1}) == doctest::Approx(4 * (1 - std::exp(-1.4)) / 1.4).epsilon(1e-11));
  const dt::Var slope = dt::reverse(dt::sum(made.y[0][1]), {k})[k];
  CHECK(dt::eval(slope).item() == doctest::Approx(-3 * std::exp(-0.7)).epsilon(1e-11));
  const dt::Var single = g.constant(dt::Tensor{1.0f});
  const auto f = [](dt::Var, dt::Var y) { return -y; };
  const dt::Var small = dt::odeint(f, single, times, {.rtol = 1e-5}).y;
  CHECK(small.dtype() == dt::float32);
  CHECK(dt::eval(small).at<float>({1, 0}) == doctest::Approx(std::exp(-1)).epsilon(1e-5));
  for (const auto method : {dt::OdeMethod::rk4, dt::OdeMethod::dormand_prince}) {
    const auto alone = dt::odeint(f, y0, dt::Tensor{3.0}, {.method = method});
    CHECK(dt::identical(dt::eval(alone.y), dt::Tensor::of({{1.0, 2.0}}, dt::float64)));
    CHECK(dt::eval(alone.reached).item<bool>());
  }
}

TEST_CASE(
    "the continuous adjoint is the gradient to the tolerances, and forward mode goes through") {
  const dt::Tensor times = dt::Tensor::of({0.0, 0.5, 1.25, 3.0}, dt::float64);
  const std::vector<dt::Tensor> x{animals, rates};
  for (const auto method : {dt::OdeMethod::dormand_prince, dt::OdeMethod::rk4}) {
    dt::OdeOptions options = tight;
    options.method = method;
    options.steps = 300;
    const auto discrete = hares_by(times, options);
    options.adjoint = dt::OdeAdjoint::continuous;
    const auto continuous = hares_by(times, options);
    CHECK(dt::all_close(dt::eval(continuous, x), dt::eval(discrete, x), 1e-13));
    check_close(dt::grad(continuous)(x), dt::grad(discrete)(x), 1e-8);
    const std::vector<dt::Tensor> v{dt::Tensor::of({0.3, -0.2}, dt::float64),
                                    dt::Tensor::of({0.1, 0.2, -0.3, 0.4}, dt::float64)};
    CHECK(dt::all_close(dt::jvp(continuous, x, v).tangent, dt::jvp(discrete, x, v).tangent, 1e-12));
  }
  const auto end = [&](dt::OdeAdjoint adjoint) {
    return [adjoint](dt::Var at) {
      dt::OdeOptions options = tight;
      options.adjoint = adjoint;
      const dt::Var y =
          dt::odeint([](dt::Var now, dt::Var z) { return dt::cos(now) * z; }, 1.0, at, options).y;
      return y[1] * y[2];
    };
  };
  const dt::Tensor at = dt::Tensor::of({0.2, 0.9, 2.0}, dt::float64);
  CHECK(dt::all_close(dt::grad(end(dt::OdeAdjoint::continuous))(at),
                      dt::grad(end(dt::OdeAdjoint::discrete))(at), 1e-8, 1e-8));
}

TEST_CASE("both adjoints are differentiable again and in a batch, and reach a Parameter") {
  const dt::Tensor times = dt::Tensor::of({0.0, 0.5, 1.5}, dt::float64);
  for (const auto adjoint : {dt::OdeAdjoint::discrete, dt::OdeAdjoint::continuous}) {
    dt::OdeOptions options = tight;
    options.adjoint = adjoint;
    const auto last = [&](dt::Var k) {  // y = 2 / (1 + 2 k t)
      return dt::odeint([&](dt::Var, dt::Var y) { return -k * y * y; }, dt::full_like(k, 2.0),
                        times, options)
          .y[2];
    };
    const double k = 0.7, t = 1.5, d = 1 + 2 * k * t;
    const dt::Tensor at = number(k);
    CHECK(std::abs(dt::eval(last, at).item() - 2 / d) < 1e-10);
    CHECK(std::abs(dt::grad(last)(at).item() + 4 * t / d / d) < 1e-10);
    const double second = 16 * t * t / d / d / d;
    CHECK(std::abs(dt::grad(dt::grad(last))(at).item() - second) < 1e-9);
    CHECK(std::abs(dt::jvp(dt::grad(last), at, number(1)).tangent.item() - second) < 1e-9);
    const auto along = [&](dt::Var x) { return dt::forward(last(x), {x}, {dt::ones_like(x)}); };
    CHECK(std::abs(dt::grad(along)(at).item() - second) < 1e-9);
    const dt::Tensor many = dt::vmap(dt::grad(last))(dt::Tensor::of({0.7, 0.1}, dt::float64));
    CHECK(std::abs(many.at({0}) + 4 * t / d / d) < 1e-10);
    CHECK(std::abs(many.at({1}) + 4 * t / 1.69) < 1e-10);
    const dt::Parameter p("p", at);
    dt::Graph g;
    const dt::Var y = dt::odeint([&](dt::Var, dt::Var now) { return -(p * now * now); },
                                 g.constant(number(2)), times, options)
                          .y[2];
    CHECK(std::abs(dt::eval(dt::reverse(y, {p})[p]).item() + 4 * t / d / d) < 1e-10);
  }
}

TEST_CASE("a refused step that overflows leaves no NaN in a gradient") {
  // The long first step goes where e^(200 y) is infinite; y settles at log(k) / 200.
  const auto last = [](dt::Var k) {
    return dt::odeint([&](dt::Var, dt::Var y) { return k - dt::exp(200.0 * y); },
                      dt::full_like(k, -1.0), dt::Tensor::of({0.0, 2.0}, dt::float64), {.first = 2})
        .y[1];
  };
  CHECK(dt::grad(last)(number(1)).item() == doctest::Approx(0.005).epsilon(1e-4));
  CHECK(dt::jvp(last, number(1), number(1)).tangent.item() == doctest::Approx(0.005).epsilon(1e-4));
  CHECK(dt::vmap(dt::grad(last))(dt::Tensor::of({1.0, 2.0}, dt::float64)).at({1}) ==
        doctest::Approx(0.0025).epsilon(1e-3));
}

TEST_CASE("odeint_event finds the first crossing, differentiable three times") {
  // A stone thrown up at speed v from height h lands at (v + sqrt(v^2 + 2 h)) / 1.
  const auto lands = [](dt::Var v) {
    const dt::Var y0 = dt::stack({v.graph().constant(number(0)), v});
    return dt::odeint_event(
               [](dt::Var, dt::Var y) {
                 return dt::stack({y[1], -1.0 + 0.0 * y[1]});
               },
               [](dt::Var, dt::Var y) { return y[0] - 0.0; }, y0, 0.0, 100.0, tight)
        .t;
  };
  CHECK(dt::eval(lands, number(1.5)).item() == doctest::Approx(3).epsilon(1e-11));
  CHECK(dt::grad(lands)(number(1.5)).item() == doctest::Approx(2).epsilon(1e-10));
  // cos(w t) crosses 0 at pi / (2 w).
  const auto quarter = [](dt::Var w) {
    const dt::Var y0 = w.graph().constant(dt::Tensor::of({1.0, 0.0}, dt::float64));
    return dt::odeint_event([&](dt::Var, dt::Var y) { return oscillator(y, w); },
                            [](dt::Var, dt::Var y) { return y[0]; }, y0, 0.0, 10.0, tight)
        .t;
  };
  const double half_pi = std::acos(0.0), w = 1.25;
  const dt::Tensor at = number(w);
  CHECK(std::abs(dt::eval(quarter, at).item() - half_pi / w) < 1e-10);
  CHECK(std::abs(dt::jvp(quarter, at, number(1)).tangent.item() + half_pi / w / w) < 1e-9);
  CHECK(std::abs(dt::grad(quarter)(at).item() + half_pi / w / w) < 1e-9);
  CHECK(std::abs(dt::grad(dt::grad(quarter))(at).item() - 2 * half_pi / w / w / w) < 1e-7);
  CHECK(dt::grad(dt::grad(dt::grad(quarter)))(at).item() ==
        doctest::Approx(-6 * half_pi / w / w / w / w).epsilon(1e-5));
  const dt::Tensor many = dt::Tensor::of({0.5, 1.0, 3.0}, dt::float64);
  const dt::Tensor each = dt::vmap(quarter)(many), slopes = dt::vmap(dt::grad(quarter))(many);
  for (std::int64_t i = 0; i < 3; ++i) {
    CHECK(std::abs(each.at({i}) - half_pi / many.at({i})) < 1e-9);
    CHECK(std::abs(slopes.at({i}) + half_pi / many.at({i}) / many.at({i})) < 1e-8);
  }
}

TEST_CASE("odeint_event says that there is no crossing, and gives the values at one") {
  dt::Graph g;
  const dt::Var y0 = g.constant(number(1));
  const auto decays = [](dt::Var, dt::Var y) { return -y; };
  const auto none = dt::odeint_event(
      decays, [](dt::Var, dt::Var y) { return y; }, y0, 0.0, 3.0);
  CHECK(!dt::eval(none.crossed).item<bool>());
  CHECK(std::isnan(dt::eval(none.t).item()));
  CHECK(std::isnan(dt::eval(none.y).item()));
  const auto half = dt::odeint_event(
      decays, [](dt::Var, dt::Var y) { return y - 0.5; }, y0, 0.0, 3.0, tight);
  CHECK(dt::eval(half.crossed).item<bool>());
  CHECK(std::abs(dt::eval(half.t).item() - std::log(2.0)) < 1e-10);
  CHECK(std::abs(dt::eval(half.y).item() - 0.5) < 1e-14);
}

TEST_CASE("odeint says what does not fit") {
  dt::Graph g;
  const dt::Var y0 = g.constant(dt::Tensor::of({1.0, 2.0}, dt::float64));
  const dt::Tensor times = dt::Tensor::of({0.0, 1.0}, dt::float64);
  const auto decays = [](dt::Var, dt::Var y) { return -y; };
  const auto text = [](auto f) { return dt::testing::error_of<dt::Error>(f); };
  const auto has = [](const std::string& a, std::string_view b) { return dt::testing::has(a, b); };
  CHECK(has(text([&] { dt::odeint([](dt::Var, dt::Var y) { return y[0]; }, y0, times); }),
            "[odeint] value 0 is float64 (2,) and its slope float64 ()"));
  CHECK(has(text([&] {
              dt::odeint(decays, y0, dt::Tensor::of({0.0, 2.0, 1.0}, dt::float64));
            }),
            "time 2, 1.000000, comes after 2.000000"));
  CHECK(has(text([&] { dt::odeint(decays, y0, 1.0); }), "the times are float64 ()"));
  CHECK(has(text([&] {
              dt::odeint(decays, g.constant(dt::Tensor::of({1, 2})), times);
            }),
            "start value 0 is int64 (2,)"));
  CHECK(has(text([&] { dt::odeint(decays, y0, times, {.rtol = 0}); }), "rtol is 0"));
  CHECK(has(text([&] { dt::odeint(decays, y0, times, {.atol = -1}); }), "atol -1"));
  CHECK(has(text([&] { dt::odeint(decays, y0, times, {.most = -1}); }), "the most steps are -1"));
  CHECK(has(text([&] { dt::odeint(decays, y0, times, {.first = -1}); }), "the first step"));
  CHECK(
      has(text([&] { dt::odeint(decays, y0, times, {.method = dt::OdeMethod::rk4, .steps = 0}); }),
          "0 steps between two times"));
  const auto first = [](dt::Var, dt::Var y) { return y[0]; };
  CHECK(has(text([&] { dt::odeint_event(decays, decays, y0, 0.0, 1.0); }),
            "[odeint_event] g returns float64 (2,)"));
  CHECK(has(text([&] { dt::odeint_event(decays, first, y0, times, 1.0); }), "a time is"));
  CHECK(has(
      text([&] { dt::odeint_event(decays, first, y0, 0.0, 1.0, {.method = dt::OdeMethod::rk4}); }),
      "not by rk4"));
  CHECK_THROWS_AS(dt::odeint(dt::OdeFunction(), {y0}, times), dt::GraphError);
  CHECK_THROWS_AS(dt::odeint(decays, 1.0, times), dt::GraphError);
}
