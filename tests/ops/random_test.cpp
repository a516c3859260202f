// Random draws in graphs: the bits of the plain functions, keys that advance, errors.
#include "moving.hpp"

#include <dualtape/core/program.hpp>
#include <dualtape/modes/functional.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/random.hpp>
#include <dualtape/ops/reduce.hpp>

using namespace dualtape;
using moving::check_derivatives;
using moving::check_refused;

TEST_CASE("draws in a graph are the bits of the plain functions") {
  for (const DType dtype : {float32, float64})
    for (const std::uint64_t seed : {std::uint64_t{1}, ~std::uint64_t{5}}) {
      Graph g;
      const Key key{seed};
      const Shape shape{7, 33};
      CHECK(identical(eval(random_uniform(g, key, shape, -2, 3, dtype)),
                      uniform(key, shape, -2, 3, dtype)));
      CHECK(identical(eval(random_normal(g, key, shape, 1, 0.5, dtype)),
                      normal(key, shape, 1, 0.5, dtype)));
      CHECK(
          identical(eval(random_rademacher(g, key, shape, dtype)), rademacher(key, shape, dtype)));
      const Var fed = g.input("key", {}, int64);
      CHECK(identical(eval(random_normal(fed, shape, 0, 1, dtype), {{fed, key.to_tensor()}}),
                      normal(key, shape, 0, 1, dtype)));
    }
}

TEST_CASE("fold_key is Key::fold, and a key in a Parameter advances by it") {
  Graph g;
  const Parameter counter("counter", Tensor(std::int64_t{0}));
  const Key key{11};
  const Var step = g.read(counter);
  const Var drawn = random_uniform(fold_key(key.to_tensor(), step), {5});
  Program program = compile({drawn}, {assign(counter, step + 1)});
  for (std::uint64_t i = 0; i < 3; ++i)
    CHECK(identical(program.run()[drawn], uniform(key.fold(i), {5})));
  const Var last = fold_key(g.constant(key.to_tensor()), -1);
  CHECK(Key::from_tensor(eval(last)) == key.fold(~std::uint64_t{0}));
  const Var narrow = fold_key(g.constant(key.to_tensor()), g.constant(Tensor(4)));
  CHECK(Key::from_tensor(eval(narrow)) == key.fold(4));
}

TEST_CASE("a draw is a constant to both modes") {
  const Key key{2};
  const auto f = [key](Var x) { return sum(x * random_normal(x.graph(), key, {3})); };
  const Tensor x{1, 2, 3};
  CHECK(identical(grad(f)(x), normal(key, {3})));
}

TEST_CASE("mistakes in draws are refused when the graph is built") {
  Graph g;
  const Var real = g.input("real", {});
  const Var keys = g.input("keys", {2}, int64);
  const std::string line = "random_test.cpp:" + std::to_string(__LINE__ + 1);
  check_refused<TypeError>([&] { random_uniform(real, {2}); }, {"random_uniform", "int64", line});
  check_refused<ShapeError>([&] { random_normal(keys, {2}); }, {"random_normal", "()", "(2,)"});
  check_refused<TypeError>([&] { random_rademacher(g, Key{1}, {2}, int32); }, {"int32", "cast"});
  check_refused<ValueError>([&] { random_uniform(g, Key{1}, {2}, 1, 0); }, {"low <= high"});
  check_refused<ValueError>([&] { random_uniform(g, Key{1}, {2}, 0, 1e39); }, {"float32"});
  check_refused<ValueError>([&] { random_normal(g, Key{1}, {2}, 0, -1); }, {"stddev"});
  check_refused<TypeError>([&] { fold_key(g.constant(Key{1}.to_tensor()), real); }, {"fold_key"});
}

TEST_CASE("draws and keys pass the checks of operators without derivative") {
  check_derivatives({"random_uniform", "random_normal", "random_rademacher", "fold_key"});
}
