#include <dualtape/models/schedules.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include <dualtape/core/error.hpp>

using namespace dualtape;
using doctest::Approx;

TEST_CASE("schedules follow their closed forms") {
  CHECK(constant_rate(0.3)(0) == 0.3);
  CHECK(constant_rate(0.3)(1'000'000) == 0.3);

  const Schedule steps = step_decay(0.8, 10, 0.5);
  CHECK(steps(0) == 0.8);
  CHECK(steps(9) == 0.8);
  CHECK(steps(10) == Approx(0.4));
  CHECK(steps(39) == Approx(0.1));

  const Schedule powers = exponential_decay(2.0, 0.9);
  CHECK(powers(0) == 2.0);
  double product = 2.0;
  for (int i = 0; i < 25; ++i) product *= 0.9;
  CHECK(powers(25) == Approx(product).epsilon(1e-12));

  // e^(-k t) halves every ln 2 / k steps.
  const Schedule natural = natural_decay(1.0, std::numbers::ln2 / 50);
  CHECK(natural(50) == Approx(0.5).epsilon(1e-12));
  CHECK(natural(150) == Approx(0.125).epsilon(1e-12));
}

TEST_CASE("a cosine starts at the rate, passes its middle half way and stays at the last value") {
  const Schedule cosine = cosine_decay(1.0, 100, 0.2);
  CHECK(cosine(0) == 1.0);
  CHECK(cosine(50) == Approx(0.6));
  CHECK(cosine(100) == Approx(0.2));
  CHECK(cosine(5000) == Approx(0.2));
  // cos(pi / 3) = 1/2 at a third of the way.
  CHECK(cosine_decay(4.0, 3)(1) == Approx(3.0));
  for (int step = 0; step < 100; ++step) CHECK(cosine(step + 1) < cosine(step));
}

TEST_CASE("warm-up rises in equal steps and hands over at the other schedule's start") {
  const Schedule warm = warm_up(4, exponential_decay(0.8, 0.5));
  CHECK(warm(0) == Approx(0.2));
  CHECK(warm(1) == Approx(0.4));
  CHECK(warm(3) == Approx(0.8));
  CHECK(warm(4) == Approx(0.8));
  CHECK(warm(5) == Approx(0.4));
}

TEST_CASE("numbers that make no schedule are refused") {
  CHECK_THROWS_AS(constant_rate(-0.1), ValueError);
  CHECK_THROWS_AS(constant_rate(NAN), ValueError);
  CHECK_THROWS_AS(step_decay(0.1, 0), ValueError);
  CHECK_THROWS_AS(cosine_decay(0.1, 0), ValueError);
  CHECK_THROWS_AS(natural_decay(0.1, INFINITY), ValueError);
  CHECK_THROWS_AS(warm_up(0, constant_rate(1)), ValueError);
}
