// What the recorder writes down, and what it refuses.
#include <doctest/doctest.h>

#include <concepts>
#include <limits>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <dualtape/core/error.hpp>
#include <dualtape/core/formula.hpp>

using namespace dualtape;

namespace {

struct Softsign {
  static auto formula(auto x) { return x / (1 + abs(x)); }
};
struct Larger {
  static auto formula(auto a, auto b) { return select(a > b, a, b); }
};
struct Choose {
  static constexpr std::size_t mask_inputs = 1;
  static auto formula(auto condition, auto a, auto b) { return select(condition, a, b); }
};
struct Nothing {};

static_assert(formula_arity<Softsign> == 1);
static_assert(formula_arity<Larger> == 2);
static_assert(formula_arity<Choose> == 3);
static_assert(formula_arity<Nothing> == 0);

// A mask is no truth value: `if (a < b)`, `a < b ? ...` and `a < b && ...` must not compile, which
// tests/compile_fail holds, with what is said then.
static_assert(!std::is_convertible_v<RecordedMask, bool>);
static_assert(!std::is_convertible_v<RecordedMask, Recorded>);
static_assert(!std::is_convertible_v<Recorded, RecordedMask>);
static_assert(!std::is_constructible_v<Recorded, bool>);
static_assert(!std::is_convertible_v<Recorded, float> && !std::is_convertible_v<Recorded, int>);

std::vector<Prim> prims_of(const Recording& recording) {
  std::vector<Prim> prims;
  for (const auto& step : recording.steps) prims.push_back(step.prim);
  return prims;
}

std::size_t count_of(const Recording& recording, Prim prim) {
  std::size_t count = 0;
  for (const auto& step : recording.steps) count += step.prim == prim ? 1 : 0;
  return count;
}

}  // namespace

TEST_CASE("a formula becomes straight-line code") {
  const Recording recording = record_formula<Softsign>();
  CHECK(recording.inputs == 1);
  CHECK_FALSE(recording.mask_result);
  CHECK(to_string(recording) ==
        "%0 = input 0\n%1 = constant 1\n%2 = abs %0\n%3 = add %1 %2\n%4 = div %0 %3\n");
  CHECK(recording == record<1>([](auto x) { return x / (1 + abs(x)); }));
  CHECK_FALSE(recording == record<1>([](auto x) { return x / (2 + abs(x)); }));
}

TEST_CASE("the order of steps is that of the formula, left to right") {
  // C++ leaves open which operand of + is evaluated first; the recording must not depend on it.
  const Recording recording = record<2>([](auto a, auto b) { return sin(b) + exp(a) * cos(b); });
  CHECK(prims_of(recording) == std::vector<Prim>{Prim::input, Prim::sin, Prim::input, Prim::exp,
                                                 Prim::cos, Prim::mul, Prim::add});
}

TEST_CASE("equal subexpressions are written once") {
  const Recording recording =
      record<2>([](auto a, auto b) { return exp(a + b) * exp(a + b) + exp(a + b) * 2 - 2; });
  CHECK(count_of(recording, Prim::exp) == 1);
  CHECK(count_of(recording, Prim::add) == 2);
  CHECK(count_of(recording, Prim::constant) == 1);
}

TEST_CASE("constants are told apart by their bits") {
  const Recording zeros = record<1>([](auto x) { return (x + 0.0) + (x + -0.0); });
  CHECK(count_of(zeros, Prim::constant) == 2);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto with_nan = [nan](auto x) { return select(x < 0, nan, x); };
  CHECK(record<1>(with_nan) == record<1>(with_nan));
}

TEST_CASE("steps the result does not need are dropped") {
  const Recording recording = record<3>([](auto a, auto b, auto c) {
    auto unused = exp(b) + sin(c);
    static_cast<void>(unused);
    return -a;
  });
  CHECK(prims_of(recording) == std::vector<Prim>{Prim::input, Prim::neg});
  CHECK(recording.inputs == 3);
  // The result may have been computed before steps that turn out to be dead.
  const Recording early = record<1>([](auto x) {
    auto y = exp(x);
    auto z = sin(y);
    static_cast<void>(z);
    return y;
  });
  CHECK(prims_of(early) == std::vector<Prim>{Prim::input, Prim::exp});
}

TEST_CASE("an input that goes unused keeps the others' numbers") {
  const Recording recording = record<2>([](auto, auto b) { return b * b; });
  REQUIRE(recording.steps.size() == 2);
  CHECK(recording.steps[0].prim == Prim::input);
  CHECK(recording.steps[0].a == 1);
}

TEST_CASE("literals of every arithmetic type mix with numbers") {
  const Recording recording = record<1>([](auto x) {
    return 1 + x * 2.5F - std::int64_t{3} / x + maximum(x, 0U) + pow(2, x) + minimum(1.5L, x);
  });
  CHECK(count_of(recording, Prim::constant) == 6);
  CHECK(record<1>([](auto) { return 3; }).steps.back().constant == 3.0);
}

TEST_CASE("masks combine and choose") {
  const Recording recording =
      record<2>([](auto a, auto b) { return select(((a > b) & !isnan(a)) | isfinite(b), a, 0); });
  CHECK(count_of(recording, Prim::logical_and) == 1);
  CHECK(count_of(recording, Prim::logical_or) == 1);
  CHECK(count_of(recording, Prim::logical_not) == 1);
  CHECK_FALSE(recording.mask_result);
  const Recording mask = record<2>([](auto a, auto b) { return a == b; });
  CHECK(mask.mask_result);
  CHECK(mask.steps.back().mask);
}

TEST_CASE("inputs may be masks") {
  const Recording recording = record_formula<Choose>();
  const auto kinds = std::vector<InputKind>{InputKind::mask, InputKind::number, InputKind::number};
  CHECK(recording.kinds == kinds);
  const Recording same = record<InputKind::mask, InputKind::number, InputKind::number>(
      [](auto condition, auto a, auto b) { return select(condition, a, b); });
  CHECK(recording == same);
  const Recording masks = record<InputKind::mask, InputKind::mask, InputKind::mask>(
      [](auto condition, auto a, auto b) { return select(condition, a, b); });
  CHECK(masks.mask_result);
}

TEST_CASE("every primitive has its own name") {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < prim_count; ++i) {
    const std::string name(name_of(static_cast<Prim>(i)));
    CHECK_FALSE(name.empty());
    for (const auto& other : names) CHECK(name != other);
    names.push_back(name);
  }
  CHECK(name_of(Prim::input) == "input");
  CHECK(name_of(Prim::trunc) == "trunc");
  CHECK(name_of(Prim::cosh) == "cosh");
  CHECK(name_of(Prim::atanh) == "atanh");
  CHECK(name_of(Prim::normal_cdf) == "normal_cdf");
  CHECK(name_of(Prim::exp_product) == "exp_product");
  CHECK(name_of(Prim::atan2) == "atan2");
  CHECK(name_of(Prim::maximum) == "maximum");
  CHECK(name_of(Prim::logical_not) == "logical_not");
  CHECK(name_of(Prim::select) == "select");
}

TEST_CASE("each function records its primitive, with its operands in order") {
  const auto last = [](const Recording& recording) { return recording.steps.back().prim; };
#define DUALTAPE_CHECK_RECORDS(NAME) \
  CHECK(last(record<1>([](auto x) { return NAME(x); })) == Prim::NAME);
  DUALTAPE_CHECK_RECORDS(abs)
  DUALTAPE_CHECK_RECORDS(sqrt)
  DUALTAPE_CHECK_RECORDS(exp)
  DUALTAPE_CHECK_RECORDS(expm1)
  DUALTAPE_CHECK_RECORDS(log)
  DUALTAPE_CHECK_RECORDS(log1p)
  DUALTAPE_CHECK_RECORDS(sin)
  DUALTAPE_CHECK_RECORDS(cos)
  DUALTAPE_CHECK_RECORDS(tan)
  DUALTAPE_CHECK_RECORDS(asin)
  DUALTAPE_CHECK_RECORDS(acos)
  DUALTAPE_CHECK_RECORDS(atan)
  DUALTAPE_CHECK_RECORDS(sinh)
  DUALTAPE_CHECK_RECORDS(cosh)
  DUALTAPE_CHECK_RECORDS(tanh)
  DUALTAPE_CHECK_RECORDS(asinh)
  DUALTAPE_CHECK_RECORDS(acosh)
  DUALTAPE_CHECK_RECORDS(atanh)
  DUALTAPE_CHECK_RECORDS(erf)
  DUALTAPE_CHECK_RECORDS(erfc)
  DUALTAPE_CHECK_RECORDS(normal_cdf)
  DUALTAPE_CHECK_RECORDS(sigmoid)
  DUALTAPE_CHECK_RECORDS(floor)
  DUALTAPE_CHECK_RECORDS(ceil)
  DUALTAPE_CHECK_RECORDS(round)
  DUALTAPE_CHECK_RECORDS(trunc)
  DUALTAPE_CHECK_RECORDS(isnan)
  DUALTAPE_CHECK_RECORDS(isfinite)
#undef DUALTAPE_CHECK_RECORDS
  CHECK(last(record<1>([](auto x) { return -x; })) == Prim::neg);
  const auto binary = [&](Prim prim, auto f) {
    const Recording recording = record<2>(f);
    const auto& step = recording.steps.back();
    CHECK(step.prim == prim);
    CHECK(recording.steps[step.a].a == 0);
    CHECK(recording.steps[step.b].a == 1);
  };
  binary(Prim::add, [](auto a, auto b) { return a + b; });
  binary(Prim::sub, [](auto a, auto b) { return a - b; });
  binary(Prim::mul, [](auto a, auto b) { return a * b; });
  binary(Prim::div, [](auto a, auto b) { return a / b; });
  binary(Prim::pow, [](auto a, auto b) { return pow(a, b); });
  binary(Prim::atan2, [](auto a, auto b) { return atan2(a, b); });
  binary(Prim::hypot, [](auto a, auto b) { return hypot(a, b); });
  binary(Prim::exp_product, [](auto a, auto b) { return exp_product(a, b); });
  binary(Prim::mod, [](auto a, auto b) { return mod(a, b); });
  binary(Prim::minimum, [](auto a, auto b) { return minimum(a, b); });
  binary(Prim::maximum, [](auto a, auto b) { return maximum(a, b); });
  binary(Prim::less, [](auto a, auto b) { return a < b; });
  binary(Prim::less_equal, [](auto a, auto b) { return a <= b; });
  binary(Prim::greater, [](auto a, auto b) { return a > b; });
  binary(Prim::greater_equal, [](auto a, auto b) { return a >= b; });
  binary(Prim::equal, [](auto a, auto b) { return a == b; });
  binary(Prim::not_equal, [](auto a, auto b) { return a != b; });
}

TEST_CASE("numbers cannot be used outside their recording") {
  CHECK_THROWS_AS(static_cast<void>(Recorded(1)), GraphError);
  std::optional<Recorded> kept;
  record<1>([&](auto x) {
    kept = x;
    return x;
  });
  CHECK_THROWS_AS(static_cast<void>(*kept + *kept), GraphError);
  CHECK_THROWS_AS(record<1>([&](auto x) { return x + *kept; }), GraphError);
  CHECK_THROWS_AS(record<1>([&](auto) { return *kept; }), GraphError);
  // The failure above must leave no recorder behind.
  CHECK_THROWS_AS(static_cast<void>(Recorded(1)), GraphError);
}

TEST_CASE("recordings nest and run in parallel") {
  std::optional<Recording> inner;
  const Recording outer = record<1>([&](auto x) {
    auto y = x + 1;
    inner = record<1>([](auto z) { return exp(z); });
    return y * y;
  });
  CHECK(outer == record<1>([](auto x) { return square(x + 1); }));
  CHECK(*inner == record<1>([](auto x) { return exp(x); }));

  const Recording expected = record_formula<Softsign>();
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) wrong[t] += record_formula<Softsign>() == expected ? 0 : 1;
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4, 0));
}

TEST_CASE("a formula that is too long is refused") {
  const auto chain = [](int length) {
    return record<1>([length](auto x) {
      for (int i = 0; i < length; ++i) x = x + 1;
      return x;
    });
  };
  CHECK(chain(65534).steps.size() == 65536);
  CHECK_THROWS_AS(chain(65535), GraphError);
}
