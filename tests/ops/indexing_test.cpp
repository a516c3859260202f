// Indexing against loops written out here, its transposes, and its complaints.
#include "moving.hpp"

#include <functional>

#include <dualtape/core/program.hpp>
#include <dualtape/core/random.hpp>
#include <dualtape/modes/functional.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/subscript.hpp>
#include <tests/errors.hpp>

using namespace dualtape;
using moving::check_derivatives;
using moving::check_refused;
using moving::counted;

namespace {

Tensor indices(Shape shape, std::int64_t size, DType dtype) {
  return uniform(Key{3}, std::move(shape), 0, static_cast<double>(size), float64).to(dtype);
}

}  // namespace

TEST_CASE("take copies whole entries of an axis") {
  for (const DType index_dtype : {int32, int64})
    for (const DType dtype : {boolean, int32, int64, float32, float64}) {
      const Tensor x = counted({3, 4, 5}, dtype);
      const Tensor index = indices({2, 7}, 4, index_dtype);
      Graph g;
      const Tensor y = eval(take(g.constant(x), g.constant(index), 1));
      REQUIRE(y.shape() == Shape{3, 2, 7, 5});
      REQUIRE(y.dtype() == dtype);
      for (std::int64_t a = 0; a < 3; ++a)
        for (std::int64_t i = 0; i < 2; ++i)
          for (std::int64_t j = 0; j < 7; ++j)
            for (std::int64_t b = 0; b < 5; ++b)
              REQUIRE(y.at({a, i, j, b}) ==
                      x.at({a, static_cast<std::int64_t>(index.at({i, j})), b}));
    }
}

TEST_CASE("gather reads one element for each index, scatter_add is its transpose") {
  for (const DType index_dtype : {int32, int64}) {
    const Tensor x = counted({3, 4, 5});
    const Tensor index = indices({3, 6, 2}, 4, index_dtype);
    Graph g;
    const Var i = g.constant(index);
    const Tensor y = eval(gather(g.constant(x), i, 1));
    const Tensor u = counted({3, 6, 2});
    const Tensor s = eval(scatter_add(g.constant(x), i, g.constant(u), -2));
    Tensor expected = x.copy();
    for (std::int64_t a = 0; a < 3; ++a)
      for (std::int64_t k = 0; k < 6; ++k)
        for (std::int64_t b = 0; b < 2; ++b) {
          const auto place = static_cast<std::int64_t>(index.at({a, k, b}));
          REQUIRE(y.at({a, k, b}) == x.at({a, place, b}));
          expected.data<double>()[static_cast<std::size_t>((a * 4 + place) * 5 + b)] +=
              u.at({a, k, b});
        }
    CHECK(identical(s, expected));
  }
}

TEST_CASE("index_add adds repeated entries") {
  Graph g;
  const Var x = g.constant(Tensor{{1, 1}, {2, 2}, {3, 3}});
  const Var index = g.constant(Tensor::of({2, 0, 2}));
  const Var u = g.constant(Tensor{{10, 20}, {30, 40}, {50, 60}});
  CHECK(identical(eval(index_add(x, index, u)), Tensor{{31, 41}, {2, 2}, {63, 83}}));
}

TEST_CASE("gradients of take and gather count how often an element was read") {
  const Tensor index = Tensor::of({2, 0, 2, 2});
  const auto f = [&](Var x) { return sum(take(x, index)); };
  CHECK(identical(grad(f)(Tensor{5, 6, 7}), Tensor{1, 0, 3}));
  const auto h = [&](Var x) { return sum(gather(x, index, 0) * Tensor{1, 2, 3, 4}); };
  CHECK(identical(grad(h)(Tensor{5, 6, 7}), Tensor{2, 0, 8}));
}

TEST_CASE("a negative index counts from the end") {
  for (const DType dtype : {int32, int64}) {
    const Tensor back = Tensor::of({-1, 0, -3}).to(dtype);
    const Tensor index = Tensor::of({2, 0, 0}).to(dtype);
    const Tensor x = counted({3, 3});
    const Tensor u = counted({3, 1});
    const auto column = [](const Tensor& t) { return t.reshape({3, 1}); };
    Graph g;
    const Var v = g.constant(x);
    CHECK(identical(eval(take(v, back, 1)), eval(take(v, index, 1))));
    CHECK(identical(eval(gather(v, column(back), 1)), eval(gather(v, column(index), 1))));
    CHECK(identical(eval(index_add(v, back, x)), eval(index_add(v, index, x))));
    CHECK(identical(eval(scatter_add(v, column(back), u, 1)),
                    eval(scatter_add(v, column(index), u, 1))));
    const auto slopes = [&](const Tensor& i) {
      return grad([&](Var w) { return sum(take(w, i) * x) + sum(gather(w, column(i), 0)); })(x);
    };
    CHECK(identical(slopes(back), slopes(index)));
  }
}

// 2^24 and then ones, each of which a float32 sum would lose.
TEST_CASE("sums of any number of updates in float32 are rounded once") {
  const std::int64_t ones_count = 3001;
  Tensor updates = ones({ones_count + 1});
  updates.data<float>()[0] = 16777216;
  const Tensor wanted{16777216.0 + 3000, 0};  // 3001 is between two float32 numbers
  const Tensor to_first(Shape{ones_count + 1}, int64);
  const auto row = [&](const Tensor& t) { return t.reshape({1, ones_count + 1}); };
  Graph g;
  const Var x = g.constant(Tensor{0, 0});
  CHECK(identical(eval(index_add(x, to_first, updates)), wanted));
  CHECK(identical(eval(scatter_add(x, to_first, updates, 0)), wanted));
  for (const std::int64_t columns : {9, 70}) {  // more than are summed at once
    const auto spread = [&](const Tensor& t) {
      return broadcast_to(g.constant(t.reshape({t.count(), 1})), {t.count(), columns});
    };
    const Var nothing = g.constant(zeros({2, columns}));
    CHECK(identical(eval(index_add(nothing, to_first, spread(updates))), eval(spread(wanted))));
    CHECK(identical(eval(scatter_add(nothing, spread(to_first), spread(updates), 0)),
                    eval(spread(wanted))));
  }
  const Var wide = g.constant(Tensor{{0, 0}});
  CHECK(identical(eval(scatter_add(wide, row(to_first), row(updates), 1)), wanted.reshape({1, 2})));
  CHECK(identical(grad([&](Var v) { return sum(take(v, to_first) * updates); })(Tensor{5, 5}),
                  wanted));
  CHECK(identical(grad([&](Var v) { return sum(gather(v, to_first, 0) * updates); })(Tensor{5, 5}),
                  wanted));
}

TEST_CASE("sums at an index of zeros have a derivative by either operand") {
  const Tensor zeros_only(Shape{2}, int64);
  const Tensor two{3, 4};
  const auto by_updates = [&](Var u) {
    const Var x = u.graph().constant(two);
    return sum(index_add(x, zeros_only, u) * two) + sum(scatter_add(x, zeros_only, u, 0));
  };
  CHECK(identical(grad(by_updates)(two), Tensor{4, 4}));
  const auto by_sums = [&](Var x) {
    return sum(index_add(x, zeros_only, x.graph().constant(two)) * two);
  };
  CHECK(identical(grad(by_sums)(two), two));
}

TEST_CASE("one_hot marks the label") {
  for (const DType dtype : {boolean, int32, int64, float32, float64}) {
    Graph g;
    const Tensor y = eval(one_hot(g.constant(Tensor::of({2, 0})), 3, dtype));
    CHECK(identical(y, Tensor{{0, 0, 1}, {1, 0, 0}}.to(dtype)));
    CHECK(identical(eval(one_hot(g.constant(Tensor(std::int64_t{1})), 2, dtype)),
                    Tensor{0, 1}.to(dtype)));
  }
}

TEST_CASE("an index out of range is named with its place and the range") {
  Graph g;
  const Var x = g.constant(counted({3, 4}));
  const Var labels = g.input("labels", {2, 2}, int64);
  const auto fed = [&](Var out, std::initializer_list<std::int64_t> values) {
    return [=] { eval(out, {{labels, Tensor::of(values).reshape({2, 2})}}); };
  };
  check_refused<ValueError>(fed(one_hot(labels, 10), {1, 9, 10, 3}),
                            {"one_hot", "label 10", "(1, 0)", "0 to 9"});
  check_refused<ValueError>(fed(take(x, labels), {0, -4, 0, 0}),
                            {"take", "index -4", "(0, 1)", "-3 to 2"});
  check_refused<ValueError>(fed(one_hot(labels, 10), {1, -1, 0, 0}),
                            {"one_hot", "label -1", "(0, 1)", "do not count from the end"});
  check_refused<ValueError>(fed(gather(x, labels, 1), {0, 1, 2, 4}),
                            {"gather", "index 4", "(1, 1)", "-4 to 3"});
  const Var u = g.constant(counted({2, 2}));
  check_refused<ValueError>(fed(scatter_add(x, labels, u, 0), {3, 0, 0, 0}),
                            {"scatter_add", "index 3", "(0, 0)", "-3 to 2"});
  const Var nothing = g.constant(Tensor(Shape{0, 2}));
  check_refused<ValueError>(fed(take(nothing, labels), {0, 0, 0, 0}), {"nothing to choose from"});
  CHECK_NOTHROW(fed(take(x, labels), {0, 1, 2, 2})());
}

TEST_CASE("mistakes with indices are refused when the graph is built") {
  Graph g;
  const Var x = g.input("x", {3, 4});
  const Var index = g.input("index", {2}, int64);
  const std::string line = "indexing_test.cpp:" + std::to_string(__LINE__ + 1);
  check_refused<TypeError>([&] { take(x, x); }, {"take", "int32 or int64", "cast", line});
  check_refused<ShapeError>([&] { take(x, index, 2); }, {"axis 2", "out of range"});
  check_refused<ShapeError>([&] { gather(x, index, 0); }, {"gather", "(2,)", "(3, 4)"});
  check_refused<ShapeError>([&] { index_add(x, index, x); }, {"index_add", "(2, 4)"});
  check_refused<TypeError>([&] { one_hot(x, 3); }, {"one_hot", "cast"});
  check_refused<ValueError>([&] { one_hot(index, 0); }, {"classes is 0"});
  const Var truth = g.input("truth", {2}, boolean);
  check_refused<TypeError>([&] { index_add(truth, index, truth); }, {"bool"});
  const Var two = g.input("two", {2});
  const std::function<void()> selections[] = {[&] { take(two, two > 0); }, [&] { two[two > 0]; },
                                              [&] { gather(two, truth, 0); },
                                              [&] { index_add(two, truth, two); }};
  for (const auto& select : selections) {
    check_refused<TypeError>(select, {"bool (2,)", "cannot select", "where(mask, x, 0)"});
    CHECK(!testing::contains(testing::error_of<TypeError>(select), "cast"));
  }
  const Var whole = g.input("whole", {2, 4}, int64);
  check_refused<TypeError>([&] { index_add(x, index, whole); }, {"int64", "float32"});
}

TEST_CASE("the derivatives of indexing hold in every mode") {
  check_derivatives({"take", "index_add", "gather", "scatter_add", "one_hot"});
}
