// Literals: integers keep their value and widen where they do not fit, on every way into a graph or
// a tensor.
#include <dualtape/core/number.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include <doctest/doctest.h>
#include <dualtape/dualtape.hpp>

#include "tests/errors.hpp"

using namespace dualtape;
using dualtape::testing::contains;
using dualtape::testing::error_of;

namespace {

// No double holds it, nor does a float32 its neighbourhood.
constexpr std::int64_t odd = 9007199254740993;
constexpr std::int64_t three_billion = 3000000000;
constexpr auto beyond = std::uint64_t{1} << 63U;

Tensor ints(std::int64_t value, DType dtype = int64) { return full({1}, value, dtype); }

}  // namespace

TEST_CASE("an integer literal keeps its value and widens int32 where it does not fit") {
  Graph g;
  const Var narrow = g.input("narrow", {1}, int32);
  const Var wide = g.input("wide", {1}, int64);
  const Var truth = g.input("truth", {1}, boolean);
  const auto value = [&](Var y) {
    CHECK(y.dtype() == int64);
    return eval(y, {{narrow, ints(3, int32)}, {wide, ints(0)}, {truth, full({1}, true, boolean)}})
        .item<std::int64_t>();
  };
  CHECK(value(narrow + three_billion) == 3000000003);
  CHECK(value(three_billion - narrow) == 2999999997);
  CHECK(value(narrow * std::int64_t{-3000000000}) == -9000000000);
  CHECK(value(narrow + odd) == odd + 3);
  CHECK(value(wide + odd) == odd);
  CHECK(value(wide - odd) == -odd);
  CHECK(value(truth + odd) == odd + 1);
  CHECK(value(maximum(wide, odd)) == odd);
  CHECK(value(where(narrow > 5, 0, In(wide + odd))) == odd);
  CHECK(value(where(narrow < 5, odd, wide)) == odd);
  CHECK(value(clamp(wide, odd, odd + 2)) == odd);
  CHECK(value(clamp(wide + odd + 2, 0, odd)) == odd);
  CHECK(value(clamp(narrow, three_billion, odd)) == three_billion);
  CHECK(value(wide + std::numeric_limits<std::int64_t>::max()) ==
        std::numeric_limits<std::int64_t>::max());
  CHECK(value(wide + std::numeric_limits<std::int64_t>::min()) ==
        std::numeric_limits<std::int64_t>::min());
}

TEST_CASE("an integer literal that fits is weak, and so are truth values and reals") {
  Graph g;
  const Var narrow = g.input("narrow", {1}, int32);
  const Var truth = g.input("truth", {1}, boolean);
  const Var single = g.input("single", {1});
  CHECK((narrow + 2147483647).dtype() == int32);
  CHECK((narrow + (-2147483647 - 1)).dtype() == int32);
  CHECK((narrow + true).dtype() == int32);
  CHECK((narrow * 0.5).dtype() == float32);
  CHECK((single + odd).dtype() == float32);
  CHECK((single * 0.1).dtype() == float32);
  CHECK((single + true).dtype() == float32);
  CHECK(equal(truth, true).dtype() == boolean);
  CHECK(eval(narrow + true, {{narrow, ints(3, int32)}}).item<int>() == 4);
  CHECK(eval(equal(truth, true), {{truth, full({1}, true, boolean)}}).item<bool>());
}

TEST_CASE("comparisons with an integer literal are exact") {
  Graph g;
  const Var wide = g.input("wide", {1}, int64);
  const Var narrow = g.input("narrow", {1}, int32);
  const auto holds = [&](Var y) {
    return eval(y, {{wide, ints(odd)}, {narrow, ints(3, int32)}}).item<bool>();
  };
  CHECK(holds(equal(wide, odd)));
  CHECK(!holds(equal(wide, odd - 1)));
  CHECK(holds(wide > odd - 1));
  CHECK(!holds(wide > odd));
  CHECK(holds(narrow < three_billion));
  CHECK(!holds(equal(narrow, std::int64_t{1} << 32U | 3)));
}

TEST_CASE("an integer is rounded once on its way to float32") {
  // Above the middle of two float32 numbers by less than a double can tell there.
  constexpr std::int64_t n = (std::int64_t{1} << 60U) + (std::int64_t{1} << 36U) + 1;
  const double wanted = 0x1p60 + 0x1p37;
  Graph g;
  const Var x = g.input("x", {});
  CHECK(eval(x + n, {{x, Tensor(0.0)}}).item() == wanted);
  CHECK(full({}, n).item() == wanted);
  CHECK(arange(n, n + 1).at({0}) == wanted);
  CHECK(Tensor::of({n}, float32).at({0}) == wanted);
}

TEST_CASE("unsigned integers beyond int64 are refused with the user's line") {
  Graph g;
  const Var x = g.input("x", {1}, int64);
  for (const std::string& text :
       {error_of<ValueError>([&] { return x + beyond; }),
        error_of<ValueError>([&] { return full({2}, beyond, int64); }),
        error_of<ValueError>([&] { return Tensor::of({beyond}, int64); })}) {
    CHECK(contains(text, "9223372036854775808"));
    CHECK(contains(text, "number_test.cpp"));
  }
  CHECK_THROWS_AS(x + beyond, ValueError);
  CHECK((x + (beyond - 1)).dtype() == int64);
}

TEST_CASE("tensors made of integers hold them, or say that they cannot") {
  CHECK(full({2}, odd, int64).at<std::int64_t>({1}) == odd);
  CHECK_THROWS_AS(full({2}, three_billion, int32), ValueError);
  CHECK_THROWS_AS(Tensor::of({three_billion}, int32), ValueError);
  CHECK_THROWS_AS(arange(three_billion, three_billion + 2, 1, int32), ValueError);
  Tensor filled({2}, int64);
  filled.fill(odd);
  CHECK(filled.at<std::int64_t>({1}) == odd);
  CHECK(full({1}, 2, boolean).item<bool>());
  CHECK(full({1}, 2.5, int32).item<int>() == 2);
  CHECK(Tensor::of({1, odd}, int64).at<std::int64_t>({1}) == odd);
  CHECK(identical(Tensor::of({1, 2}, int64), Tensor::of({1, 2})));
}

TEST_CASE("an element is read as the type asked for") {
  CHECK(ints(odd).item<std::int64_t>() == odd);
  CHECK(ints(odd).item<std::uint64_t>() == static_cast<std::uint64_t>(odd));
  CHECK(ints(odd).at<std::int64_t>({0}) == odd);
  CHECK(ints(3).item() == 3.0);
  CHECK(full({1}, 1e30, float64).item<std::int64_t>() == std::numeric_limits<std::int64_t>::max());
  CHECK(full({1}, -1e30, float64).item<std::int32_t>() == std::numeric_limits<std::int32_t>::min());
  CHECK(full({1}, 1e30, float64).item<std::uint64_t>() ==
        std::numeric_limits<std::uint64_t>::max());
  CHECK(full({1}, -2.5, float64).item<std::uint8_t>() == 0);
  CHECK(full({1}, NAN, float64).item<int>() == 0);
}

TEST_CASE("arange of integers is exact at both ends of int64") {
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  constexpr auto least = std::numeric_limits<std::int64_t>::min();
  CHECK(identical(arange(odd, odd + 3, 1, int64), Tensor::of({odd, odd + 1, odd + 2})));
  CHECK(identical(arange(odd, odd - 5, -2, int64), Tensor::of({odd, odd - 2, odd - 4})));
  CHECK(identical(arange(most - 3, most, 2, int64), Tensor::of({most - 3, most - 1})));
  CHECK(identical(arange(least, most, most, int64), Tensor::of({least, -1, most - 1})));
  CHECK(identical(arange(most, least, least, int64), Tensor::of({most, -1})));
  CHECK(arange(5, 5, 1, int64).count() == 0);
  CHECK(arange(5, 0, 1, int64).count() == 0);
  CHECK(identical(arange(0, 3), Tensor{0, 1, 2}));
  CHECK(identical(arange(0, 3, 1, float64), Tensor::of({0, 1, 2}, float64)));
  CHECK_THROWS_AS(arange(0, 3, 0), ValueError);
  CHECK_THROWS_AS(arange(least, most, 1, int64), ValueError);
}

TEST_CASE("keys and the numbers of their streams keep their low bits") {
  Graph g;
  const Var key = g.input("key", {}, int64);
  const Key start{static_cast<std::uint64_t>(odd)};
  const Var folded = fold_key(key, odd);
  const Tensor got = eval(folded, {{key, start.to_tensor()}});
  CHECK(Key::from_tensor(got) == start.fold(odd));
  CHECK(got.item<std::int64_t>() == start.fold(odd).to_tensor().item<std::int64_t>());
  CHECK(eval(fold_key(odd, key), {{key, Key{7}.to_tensor()}}).item<std::int64_t>() ==
        start.fold(7).to_tensor().item<std::int64_t>());
  // A fed literal, too.
  CHECK(Key::from_tensor(eval(fold_key(key, 1), {{key, odd}})) == start.fold(1));
}

TEST_CASE("padding is weak as a literal is") {
  Graph g;
  const Var wide = g.input("wide", {1}, int64);
  const Var narrow = g.input("narrow", {1}, int32);
  const auto padded = [&](Var x, Number value) {
    const Var y = pad(x, {1}, {0}, value);
    return eval(y, {{wide, ints(1)}, {narrow, ints(1, int32)}});
  };
  CHECK(identical(padded(wide, odd), Tensor::of({odd, 1})));
  CHECK(identical(padded(narrow, three_billion), Tensor::of({three_billion, 1})));
  CHECK(identical(padded(narrow, 0.5), Tensor{0.5, 1}));
  CHECK(padded(narrow, 7).dtype() == int32);
  const Var real = g.input("real", {1});
  const Var y = pad(real, {1}, {0}, -0.0);
  CHECK(std::signbit(eval(y, {{real, Tensor{1}}}).at({0})));
}

TEST_CASE("constants of a graph are told apart by their element") {
  Graph g;
  const auto value = [](Var v) { return eval(v).item<std::int64_t>(); };
  const Var a = g.constant(odd, int64);
  const Var b = g.constant(odd - 1, int64);
  CHECK(value(a) == odd);
  CHECK(value(b) == odd - 1);
  CHECK(a == g.constant(odd, int64));
  CHECK(!(g.constant(0.0, float64) == g.constant(-0.0, float64)));
  CHECK(g.constant(1, float32) == g.constant(1.0, float32));
}

TEST_CASE("a literal that is fed takes the input's dtype") {
  Graph g;
  const Var t = g.input("t", {}, float64);
  const Var r = g.input("r", {});
  const Var n = g.input("n", {}, int32);
  CHECK(eval(t * 1, {{t, 0.1}}).item() == 0.1);
  CHECK(eval(t * 1, {{t, 1}}).item() == 1);
  CHECK(eval(r * 1, {{r, 1}}).item() == 1);
  CHECK(eval(r * 1, {{r, 0.1}}).item<float>() == 0.1F);
  CHECK(eval(n + 0, {{n, 7}}).item<int>() == 7);
  CHECK(identical(eval(n + 0, {{n, std::int64_t{7}}}), full({}, 7, int32)));
  CHECK_THROWS_AS(eval(n + 0, {{n, three_billion}}), TypeError);
  CHECK_THROWS_AS(eval(n + 0, {{n, 0.5}}), TypeError);
  const Var vector = g.input("vector", {3}, float64);
  CHECK_THROWS_AS(eval(vector * 1, {{vector, 0.1}}), ShapeError);
  const std::string text = error_of<TypeError>([&] { return eval(t * 1, {{t, Tensor(0.1)}}); });
  CHECK(contains(text, "Tensor::of"));
}

TEST_CASE("lists of float64 hold every digit") {
  CHECK(Tensor::of({0.1, 2}, float64).at({0}) == 0.1);
  const Tensor rows = Tensor::of({{0.1, 0.2}, {1, 2}}, float64);
  CHECK(rows.shape() == Shape{2, 2});
  CHECK(rows.at({0, 1}) == 0.2);
  CHECK(Tensor::of({{1.0}, {2.0}}, float64).shape() == Shape{2, 1});
  CHECK(identical(Tensor::of({{0.5, 1}}, float32), Tensor{{0.5, 1}}));
  CHECK_THROWS_AS(Tensor::of({{1.0, 2.0}, {1.0}}, float64), ShapeError);
  Graph g;
  const Var t = g.input("t", {1}, float64);
  CHECK(eval(t + Tensor::of({0.1}, float64), {{t, Tensor::of({0.2}, float64)}}).item() ==
        0.1 + 0.2);
}
