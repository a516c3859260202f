// Operators on shapes against index arithmetic written out here.
#include "moving.hpp"

#include <dualtape/core/program.hpp>
#include <dualtape/core/random.hpp>
#include <dualtape/modes/functional.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

using namespace dualtape;
using moving::check_derivatives;
using moving::check_refused;
using moving::counted;

namespace {

// Row-major coordinates of element `flat`.
std::vector<std::int64_t> coordinates(std::int64_t flat, const Shape& shape) {
  std::vector<std::int64_t> at(shape.rank());
  for (std::size_t d = shape.rank(); d-- > 0;) {
    at[d] = flat % shape[d];
    flat /= shape[d];
  }
  return at;
}
std::int64_t flat_of(const std::vector<std::int64_t>& at, const Shape& shape) {
  std::int64_t flat = 0;
  for (std::size_t d = 0; d < shape.rank(); ++d) flat = flat * shape[d] + at[d];
  return flat;
}

void check_permute(const Shape& shape, const std::vector<std::int64_t>& axes) {
  CAPTURE(to_string(shape));
  const Tensor x = counted(shape);
  Graph g;
  const Tensor y = eval(permute(g.constant(x), axes));
  REQUIRE(y.rank() == shape.rank());
  for (std::int64_t i = 0; i < y.count(); ++i) {
    const auto to = coordinates(i, y.shape());
    std::vector<std::int64_t> from(shape.rank());
    for (std::size_t d = 0; d < axes.size(); ++d) from[static_cast<std::size_t>(axes[d])] = to[d];
    REQUIRE(y.data<double>()[static_cast<std::size_t>(i)] ==
            x.data<double>()[static_cast<std::size_t>(flat_of(from, shape))]);
  }
}

}  // namespace

TEST_CASE("permute moves every element to its place") {
  check_permute({2, 3}, {1, 0});
  check_permute({37, 70}, {1, 0});  // several blocks and ragged edges
  check_permute({3, 17, 20}, {0, 2, 1});
  check_permute({3, 17, 20}, {2, 0, 1});
  check_permute({3, 17, 20}, {1, 0, 2});
  check_permute({3, 17, 20}, {2, 1, 0});
  check_permute({2, 3, 4, 5}, {3, 1, 0, 2});
  check_permute({2, 3, 1, 5, 2}, {4, 2, 0, 3, 1});
  check_permute({1, 7, 1}, {2, 1, 0});
  check_permute({0, 3}, {1, 0});
  check_permute({}, {});
}

TEST_CASE("permute by an order and by its inverse is the identity for every dtype") {
  for (const DType dtype : {boolean, int32, int64, float32, float64}) {
    Graph g;
    const Tensor x = counted({4, 5, 3}, dtype);
    CHECK(identical(eval(permute(permute(g.constant(x), {2, 0, 1}), {1, 2, 0})), x));
    CHECK(identical(eval(transpose(transpose(g.constant(x)))), x));
    CHECK(identical(eval(transpose(transpose(g.constant(x), 0, 2), -1, 0)), x));
  }
}

TEST_CASE("broadcast_to repeats by NumPy's rules") {
  const auto repeated = [](const Shape& from, const Shape& to) {
    CAPTURE(to_string(from));
    const Tensor x = counted(from, int64);
    Graph g;
    const Tensor y = eval(broadcast_to(g.constant(x), to));
    REQUIRE(y.shape() == to);
    for (std::int64_t i = 0; i < y.count(); ++i) {
      auto at = coordinates(i, to);
      at.erase(at.begin(), at.begin() + static_cast<std::ptrdiff_t>(to.rank() - from.rank()));
      for (std::size_t d = 0; d < from.rank(); ++d)
        if (from[d] == 1) at[d] = 0;
      REQUIRE(y.data<std::int64_t>()[static_cast<std::size_t>(i)] == flat_of(at, from) + 1);
    }
  };
  repeated({3}, {4, 3});
  repeated({4, 1}, {4, 3});
  repeated({2, 1, 3, 1}, {2, 5, 3, 4});
  repeated({1, 3, 1}, {2, 3, 2});
  repeated({}, {2, 2});
  repeated({3}, {3});
  repeated({1}, {0});
}

TEST_CASE("reshape and its kin keep the elements in order") {
  Graph g;
  const Tensor x = counted({2, 3, 4}, float32);
  const Var v = g.constant(x);
  CHECK(identical(eval(reshape(v, {6, -1})), x.reshape({6, 4})));
  CHECK(identical(eval(reshape(v, Shape{4, 6})), x.reshape({4, 6})));
  CHECK(identical(eval(reshape(v, {-1})), x.reshape({24})));
  CHECK(flatten(v).shape() == Shape{24});
  CHECK(flatten(v, 1).shape() == Shape{2, 12});
  CHECK(flatten(v, 0, -2).shape() == Shape{6, 4});
  CHECK(flatten(g.constant(1.0, float32)).shape() == Shape{1});
  CHECK(unsqueeze(v, 0).shape() == Shape{1, 2, 3, 4});
  CHECK(unsqueeze(v, -1).shape() == Shape{2, 3, 4, 1});
  CHECK(unsqueeze(v, -2).shape() == Shape{2, 3, 1, 4});
  const Var ones = reshape(v, {1, 6, 1, 4});
  CHECK(squeeze(ones).shape() == Shape{6, 4});
  CHECK(squeeze(ones, {2}).shape() == Shape{1, 6, 4});
  CHECK(squeeze(ones, {-2, 0}).shape() == Shape{6, 4});
  CHECK(identical(eval(squeeze(ones)), x.reshape({6, 4})));
  CHECK(reshape(g.constant(Tensor(Shape{0, 3})), {3, -1}).shape() == Shape{3, 0});
}

TEST_CASE("stop_gradient gives the value and no derivative in both modes") {
  const Tensor x{1, 2, 3};
  const auto f = [](Var v) { return sum(v * stop_gradient(v)); };
  CHECK(eval(f, x).item() == 14);
  CHECK(identical(grad(f)(x), x));  // not 2x
  CHECK(jvp(f, x, Tensor{1, 1, 1}).tangent.item() == 6);
}

TEST_CASE("shape mistakes name the shapes, the axis and the line") {
  Graph g;
  const Var x = g.input("x", {2, 3});
  const std::string line = "shapes_test.cpp:" + std::to_string(__LINE__ + 1);
  check_refused<ShapeError>([&] { reshape(x, {4, -1}); }, {"reshape", "(2, 3)", "[4, -1]", line});
  check_refused<ShapeError>([&] { reshape(x, {-1, -1}); }, {"reshape", "one may be -1"});
  check_refused<ShapeError>([&] { reshape(x, {5}); }, {"6 elements", "[5]"});
  check_refused<ShapeError>([&] { permute(x, {0, 0}); }, {"permute", "twice"});
  check_refused<ShapeError>([&] { permute(x, {0}); }, {"permute", "all 2 axes"});
  check_refused<ShapeError>([&] { permute(x, {0, 2}); }, {"axis 2", "out of range"});
  check_refused<ShapeError>([&] { permute(x, {0, -3}); }, {"axis -3", "out of range"});
  check_refused<ShapeError>([&] { squeeze(x, {1}); }, {"squeeze", "size 3"});
  check_refused<ShapeError>([&] { squeeze(x, {2}); }, {"squeeze", "axis 2", "from -2 to 1"});
  check_refused<ShapeError>([&] { unsqueeze(x, 3); }, {"unsqueeze", "axis 3"});
  check_refused<ShapeError>([&] { flatten(x, 1, 0); }, {"flatten", "after axis 0"});
  check_refused<ShapeError>([&] { transpose(reshape(x, {6})); }, {"transpose", "(6,)"});
  check_refused<ShapeError>([&] { broadcast_to(x, {2, 4}); }, {"broadcast_to", "(2, 3)", "(2, 4)"});
  check_refused<ShapeError>([&] { broadcast_to(x, {3}); }, {"broadcast_to", "(3,)"});
}

TEST_CASE("the derivatives of operators on shapes hold in every mode") {
  check_derivatives({"reshape", "permute", "broadcast_to", "stop_gradient", "flatten", "squeeze",
                     "unsqueeze", "transpose"});
}
