#include <dualtape/ops/subscript.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

#include <dualtape/core/program.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/creation.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>
#include <tests/errors.hpp>

using namespace dualtape;
using testing::error_of;
using testing::has;

namespace {

// 0 ... 23 as (2, 3, 4): the element at (i, j, k) is 12 i + 4 j + k.
Var counted(Graph& g) { return g.constant(arange(24).to(float64).reshape({2, 3, 4})); }
Tensor numbers(const std::vector<double>& values, Shape shape) {
  return Tensor::from(values, std::move(shape));
}

}  // namespace

TEST_CASE("places take their axis away, ranges keep it") {
  Graph g;
  const Var x = counted(g);
  CHECK(identical(eval(x[1]), eval(x).row(1)));
  CHECK(identical(eval(x[-2]), eval(x).row(0)));
  CHECK(x[0][1].shape() == Shape{4});
  CHECK(eval(x[0][1][2]).item() == 6);
  CHECK(eval(x[{0, 1, 2}]).item() == 6);
  CHECK(eval(x[{1, -1, -1}]).item() == 23);
  CHECK(x[{1, -1, -1}].rank() == 0);
  CHECK(identical(eval(x[{1, 2}]), numbers({20, 21, 22, 23}, Shape{4})));
  CHECK(identical(eval(x[{1}]), eval(x[1])));
  CHECK(x[range(0, 1)].shape() == Shape{1, 3, 4});
  CHECK(identical(eval(x[{0, range(1, 3), 3}]), numbers({7, 11}, Shape{2})));
  CHECK(identical(eval(x[{range(), 0, range({}, {}, 2)}]), numbers({0, 2, 12, 14}, Shape{2, 2})));
  CHECK(identical(eval(x[{0, 0, range(2, {})}]), numbers({2, 3}, Shape{2})));
  CHECK(identical(eval(x[{0, 0, range({}, -1)}]), numbers({0, 1, 2}, Shape{3})));
  CHECK(identical(eval(x[{0, 0, range({}, {}, -1)}]), numbers({3, 2, 1, 0}, Shape{4})));
  CHECK(x[range(5, 9)].shape() == Shape{0, 3, 4});  // as NumPy's slices, beyond the edge
  // Axes of size 1 stay unless a place takes them.
  const Var thin = g.constant(numbers({5}, Shape{1, 1, 1}));
  CHECK(thin[0].shape() == Shape{1, 1});
  CHECK(thin[{range(), 0}].shape() == Shape{1, 1});
  const std::uint64_t unsigned_place = 1;
  CHECK(identical(eval(x[unsigned_place]), eval(x[1])));
}

TEST_CASE("rows by number, of a Var or a Tensor") {
  Graph g;
  const Var x = counted(g);
  const Var two = g.constant(Tensor::of({1, 0, 1}));
  CHECK(x[two].shape() == Shape{3, 3, 4});
  CHECK(identical(eval(x[two][0]), eval(x[1])));
  CHECK(identical(eval(x[Tensor::of({1, 0, 1})]), eval(x[two])));
}

TEST_CASE("the derivative of a part goes to its place") {
  Graph g;
  const Var x = counted(g);
  const Var y = sum(3.0 * x[{1, range(0, 2), 3}]);
  const Tensor slope = eval(reverse(y, {x})[x]);
  for (std::int64_t i = 0; i < 24; ++i)
    CHECK(slope.reshape({24}).at({i}) == (i == 15 || i == 19 ? 3 : 0));
}

TEST_CASE("places that are not there are refused at the user's line") {
  Graph g;
  const Var x = counted(g).named("x");
  const auto check = [](const std::string& text, const char* part, int line) {
    CHECK(has(text, part));
    CHECK(has(text, "subscript_test.cpp:" + std::to_string(line)));
  };
  int line = __LINE__;
  check(error_of<ShapeError>([&] { x[2]; }), "no place 2 along axis 0", line + 1);
  check(error_of<ShapeError>([&] { x[-3]; }), "places are -2 ... 1", line + 2);
  check(error_of<ShapeError>([&] { x[{0, 3}]; }), "no place 3 along axis 1", line + 3);
  check(error_of<ShapeError>([&] { x[{0, 0, 0, 0}]; }), "4 places for the 3 axes", line + 4);
  check(error_of<ShapeError>([&] { x[UINT64_MAX]; }), "no place", line + 5);
  check(error_of<ShapeError>([&] { x[INT64_MIN]; }), "no place", line + 6);
  check(error_of<ValueError>([&] { x[range(0, 2, 0)]; }), "step", line + 7);
  check(error_of<GraphError>([&] { Var()[0]; }), "empty Var", line + 8);
  check(error_of<ShapeError>([&] { sum(x)[0]; }), "1 places for the 0 axes", line + 9);
  check(error_of<ShapeError>([&] { x[range(1, 1)][0]; }), "this axis is empty", line + 10);
}
