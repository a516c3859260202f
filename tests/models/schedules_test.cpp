#include <dualtape/models/schedules.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <map>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/core/error.hpp>
#include <dualtape/models/plateau.hpp>
#include <tests/errors.hpp>
#include <tests/fixtures/read.hpp>

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
  CHECK_THROWS_AS(warm_up(3, nullptr), ValueError);
}

namespace {

std::map<std::string, std::vector<double>> torch_rates() {
  std::map<std::string, std::vector<double>> cases;
  for (const fixtures::Line& line : fixtures::read("schedules.csv", 1))
    cases[line.labels.at(0)] = line.numbers;
  return cases;
}

}  // namespace

TEST_CASE("schedules are PyTorch's where it has them") {
  const std::map<std::string, Schedule> ours{
      {"step", step_decay(0.8, 7, 0.3)},
      {"exponential", exponential_decay(0.8, 0.93)},
      {"cosine", cosine_decay(0.8, 29, 0.05)},
      {"warm-up", warm_up(5, constant_rate(0.8))},
      {"one cycle", one_cycle(0.8, 30)},
      {"one cycle options",
       one_cycle(0.8, 30, {.rising = 0.45, .start_divisor = 10, .end_divisor = 7})}};
  auto cases = torch_rates();
  for (const auto& [name, schedule] : ours) {
    const auto& label = name;
    CAPTURE(label);
    const std::vector<double>& wanted = cases[name];
    REQUIRE(wanted.size() == 30);
    for (std::size_t step = 0; step < 30; ++step)
      CHECK(std::abs(schedule(static_cast<std::int64_t>(step)) - wanted[step]) < 1e-12);
  }
  CHECK(one_cycle(0.8, 30)(29) == one_cycle(0.8, 30)(1000));
}

TEST_CASE("a plateau lowers the rate when PyTorch does") {
  auto cases = torch_rates();
  const auto check = [&](const std::string& name, const PlateauOptions& options) {
    CAPTURE(name);
    const std::vector<double>& metrics = cases["metrics"];
    const std::vector<double>& wanted = cases[name];
    REQUIRE(wanted.size() == metrics.size());
    Plateau plateau(constant_rate(0.8), options);
    const Schedule schedule = plateau.schedule();
    for (std::size_t i = 0; i < metrics.size(); ++i) {
      const double before = schedule(0);
      const bool lowered = plateau.observe(metrics[i]);
      CHECK(schedule(0) == Approx(wanted[i]).epsilon(1e-12));
      if (before > options.lowest_rate) CHECK(lowered == (schedule(0) < before));
    }
  };
  check("plateau", {.factor = 0.5, .patience = 2});
  check("plateau absolute", {.factor = 0.3,
                             .patience = 1,
                             .threshold = 0.05,
                             .relative = false,
                             .cooldown = 2,
                             .lowest_rate = 0.01});
  check("plateau largest", {.factor = 0.5, .patience = 3, .larger_is_better = true});
}

TEST_CASE("a plateau goes on from its saved state, over any other schedule") {
  auto cases = torch_rates();
  const std::vector<double>& metrics = cases["metrics"];
  for (std::size_t cut = 0; cut < metrics.size(); ++cut) {
    Plateau whole(exponential_decay(1, 0.9), {.patience = 1, .cooldown = 1});
    Plateau first(exponential_decay(1, 0.9), {.patience = 1, .cooldown = 1});
    Plateau second(exponential_decay(1, 0.9), {.patience = 1, .cooldown = 1});
    for (std::size_t i = 0; i < cut; ++i) first.observe(metrics[i]);
    second.restore(first.state());
    const Schedule rates = second.schedule();
    for (std::size_t i = 0; i < metrics.size(); ++i) {
      whole.observe(metrics[i]);
      if (i < cut) continue;
      second.observe(metrics[i]);
      CHECK(rates(3) == whole.schedule()(3));
    }
    CHECK(rates(0) < 1);
    CHECK(rates(3) == Approx(rates(0) * 0.729));
  }
  Plateau plateau(constant_rate(1));
  CHECK_THROWS_AS(plateau.restore(Tensor{1, 2}), ValueError);
  for (int i = 0; i < 12; ++i) plateau.observe(NAN);
  CHECK(plateau.schedule()(0) == Approx(0.1));
}

TEST_CASE("numbers that make no cycle or plateau are refused") {
  CHECK_THROWS_AS(one_cycle(0.1, 3), ValueError);
  CHECK_THROWS_AS(one_cycle(0.1, 30, {.rising = 1}), ValueError);
  CHECK_THROWS_AS(one_cycle(0.1, 30, {.end_divisor = 0}), ValueError);
  CHECK_THROWS_AS(Plateau(constant_rate(1), {.factor = 1}), ValueError);
  CHECK_THROWS_AS(Plateau(constant_rate(1), {.patience = -1}), ValueError);
  CHECK_THROWS_AS(Plateau(Schedule{}), ValueError);
}

TEST_CASE("a plateau that was moved from goes on with its copy") {
  Plateau first(constant_rate(1), {.factor = 0.5, .patience = 0});
  Plateau second = std::move(first);
  first.observe(1);
  CHECK(first.observe(2));
  CHECK(first.schedule()(0) == 0.5);
  CHECK(second.schedule()(0) == 0.5);
  CHECK(second.state().count() == 4);
}

TEST_CASE("a plateau that has lowered its rate to nothing is restored as well") {
  Plateau plateau(constant_rate(1), {.factor = 1e-200, .patience = 0});
  for (int i = 0; i < 5; ++i) plateau.observe(1);
  CHECK(plateau.schedule()(0) < 1e-300);
  Plateau again(constant_rate(1));
  again.restore(plateau.state());
  CHECK(identical(again.state(), plateau.state()));
}

TEST_CASE("wrong schedules, and steps that there are not, name the line where they are made") {
  const auto told = [](const char* name, const auto& act) {
    const std::string text = testing::error_of<ValueError>(act);
    CHECK(testing::has(text, std::string("[") + name + "] "));
    CHECK(testing::has(text, "schedules_test.cpp:"));
  };
  told("constant_rate", [] { constant_rate(-1); });
  told("step_decay", [] { step_decay(0.1, 0); });
  told("step_decay", [] { step_decay(0.1, -5); });
  told("exponential_decay", [] { exponential_decay(0.1, NAN); });
  told("natural_decay", [] { natural_decay(INFINITY, 1); });
  told("cosine_decay", [] { cosine_decay(0.1, -1); });
  told("warm_up", [] { warm_up(-3, constant_rate(1)); });
  told("warm_up", [] { warm_up(3, nullptr); });
  told("one_cycle", [] { one_cycle(0.1, 1); });
  told("one_cycle", [] { one_cycle(0.1, 100, {.end_divisor = 0}); });
  told("constant_rate", [] { constant_rate(1)(-1); });
  told("step_decay", [] { step_decay(0.1, 10)(-11); });
  told("cosine_decay", [] { cosine_decay(0.1, 10)(-1); });
  told("warm_up", [] { warm_up(3, constant_rate(1))(-1); });
  told("one_cycle", [] { one_cycle(0.1, 100)(std::numeric_limits<std::int64_t>::min()); });
}
