#include <dualtape/ops/like.hpp>

#include <doctest/doctest.h>

#include <vector>

#include <dualtape/core/program.hpp>

using namespace dualtape;

TEST_CASE("tensors and Vars like others keep their shape and dtype") {
  for (const DType dtype : {boolean, int32, int64, float32, float64}) {
    CAPTURE(name_of(dtype));
    const Tensor x(Shape{2, 3}, dtype);
    CHECK(identical(zeros_like(x), zeros({2, 3}, dtype)));
    CHECK(identical(ones_like(x), ones({2, 3}, dtype)));
    CHECK(identical(full_like(x, 1), ones({2, 3}, dtype)));
    Graph g;
    const Var v = g.input("v", {2, 3}, dtype);
    CHECK(identical(eval(zeros_like(v)), zeros({2, 3}, dtype)));
    CHECK(identical(eval(ones_like(v)), ones({2, 3}, dtype)));
    CHECK(identical(eval(full_like(v, 1)), ones({2, 3}, dtype)));
  }
  Graph g;
  const Var row = g.constant(Tensor{1, 2, 3});
  const Var wide = g.input("wide", {2, 3}, float64);
  CHECK(identical(eval(full_like(wide, row)),
                  Tensor::from(std::vector<double>{1, 2, 3, 1, 2, 3}, Shape{2, 3})));
  CHECK_THROWS_AS(full_like(row, wide), ShapeError);
  CHECK_THROWS_AS(zeros_like(Var()), GraphError);
  CHECK_THROWS_AS(full_like(row, Var()), GraphError);
}
