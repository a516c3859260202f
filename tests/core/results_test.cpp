// Results are their holders': fed back, kept, outliving their program.
#include <doctest/doctest.h>

#include <optional>
#include <thread>
#include <vector>

#include <dualtape/core/program.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/slice.hpp>

#include "tests/allocations.hpp"

using namespace dualtape;

TEST_CASE("a result is fed to its own program: y = flip(x)") {
  Graph g;
  const Var x = g.input("x", {3});
  const Var y = flip(x, {0});
  Program p = compile({y});
  Tensor s{1.0, 2.0, 3.0};
  for (int i = 0; i < 5; ++i) {
    s = p.run({{x, s}})[y];
    CHECK(identical(s, i % 2 == 0 ? Tensor{3.0, 2.0, 1.0} : Tensor{1.0, 2.0, 3.0}));
  }
}

TEST_CASE("a result is fed to its own program: y = A x") {
  Graph g;
  const Var x = g.input("x", {2, 1});
  const Var y = matmul(g.constant(Tensor{{0.0, 1.0}, {-1.0, 0.0}}), x);  // a quarter turn
  Program p = compile({y});
  Tensor s{{1.0}, {2.0}};
  const Tensor turned[]{{{2.0}, {-1.0}}, {{-1.0}, {-2.0}}, {{-2.0}, {1.0}}, {{1.0}, {2.0}}};
  for (int i = 0; i < 12; ++i) {
    s = p.run({{x, s}})[y];
    CHECK(identical(s, turned[i % 4]));
  }
}

TEST_CASE("a result that later steps read, and that is an alias, is fed back") {
  Graph g;
  const Var x = g.input("x", {2, 3});
  const Var moved = flip(x, {0, 1});
  const Var flat = reshape(moved, {6});
  const Var total = sum(moved * moved);
  for (const CompileOptions& options : {CompileOptions{}, CompileOptions{{"fuse", "hasten"}}}) {
    Program p = compile({flat, total, moved}, {}, options);
    Tensor s{{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}};
    for (int i = 0; i < 6; ++i) {
      const Outputs out = p.run({{x, s}});
      CHECK(identical(out[flat], i % 2 == 0 ? Tensor{6.0, 5.0, 4.0, 3.0, 2.0, 1.0}
                                            : Tensor{1.0, 2.0, 3.0, 4.0, 5.0, 6.0}));
      CHECK(out[total].item() == 91);
      CHECK(identical(out[moved].reshape({6}), out[flat]));
      s = i % 3 == 0 ? out[flat].reshape({2, 3}) : out[moved];
    }
  }
}

TEST_CASE("two programs feed each other") {
  Graph g;
  const Var x = g.input("x", {3});
  const Var turned = flip(x, {0});
  const Var next = x + Tensor{1.0, 10.0, 100.0};
  Program flips = compile({turned});
  Program adds = compile({next});
  Tensor s{0.0, 0.0, 0.0};
  Tensor expected = s.copy();
  for (int i = 0; i < 8; ++i) {
    s = adds.run({{x, flips.run({{x, s}})[turned]}})[next];
    const Tensor before = expected.copy();
    for (std::size_t k = 0; k < 3; ++k)
      expected.data<float>()[k] = before.data<float>()[2 - k] + (k == 0 ? 1 : k == 1 ? 10 : 100);
    CHECK(identical(s, expected));
  }
}

TEST_CASE("results that are kept keep their numbers, however many") {
  Graph g;
  const Var x = g.input("x", {2});
  const Var y = x * 2.0;
  const Var z = x + 1.0;
  std::vector<Outputs> kept;
  std::vector<Tensor> taken;
  {
    Program p = compile({y, z});
    for (int i = 0; i < 20; ++i) {
      kept.push_back(p.run({{x, full({2}, i)}}));
      taken.push_back(p.run({{x, full({2}, -i)}})[z].rows(1, 2));
    }
  }  // the program has ended
  for (int i = 0; i < 20; ++i) {
    const auto n = static_cast<std::size_t>(i);
    CHECK(identical(kept[n][y], full({2}, 2 * i)));
    CHECK(identical(kept[n][z], full({2}, i + 1)));
    CHECK(identical(taken[n], full({1}, 1 - i)));
  }
}

TEST_CASE("a run that fails leaves the results of the last one") {
  Graph g;
  const Var x = g.input("x", {2});
  const Var y = x * 2.0;
  Program p = compile({y});
  const Outputs out = p.run({{x, Tensor{1.0, 2.0}}});
  CHECK_THROWS_AS(p.run({}), GraphError);
  CHECK(identical(out[y], Tensor{2.0, 4.0}));
}

TEST_CASE("loops that feed results back allocate nothing after their first runs") {
  Graph g;
  const Var x = g.input("x", {64});
  const Var v = g.input("v", {64});
  const Var next_v = v - 0.1 * sin(x);
  const Var next_x = x + 0.1 * next_v;
  const Var energy = sum(square(next_v));
  Program p = compile({next_x, next_v, energy});
  Tensor at = normal(Key{1}, {64});
  Tensor speed = normal(Key{2}, {64});

  SUBCASE("from Outputs that end with the step") {
    const auto step = [&] {
      const Outputs out = p.run({{x, at}, {v, speed}});
      at = out[next_x];
      speed = out[next_v];
    };
    for (int i = 0; i < 3; ++i) step();
    CHECK(allocations_in([&] {
            for (int i = 0; i < 10; ++i) step();
          }) == 0);
  }
  SUBCASE("from Outputs that are kept until the next ones are there") {
    std::optional<Outputs> last;
    const auto step = [&] {
      last =
          last ? p.run({{x, (*last)[next_x]}, {v, (*last)[next_v]}}) : p.run({{x, at}, {v, speed}});
    };
    for (int i = 0; i < 4; ++i) step();
    CHECK(allocations_in([&] {
            for (int i = 0; i < 10; ++i) step();
          }) == 0);
  }
  SUBCASE("with the last four states kept, as multistep methods do") {
    std::vector<Tensor> states(4, at);
    std::size_t oldest = 0;
    const auto step = [&] {
      const Tensor& newest = states[(oldest + 3) % 4];
      states[oldest] = p.run({{x, newest}, {v, speed}})[next_x];
      oldest = (oldest + 1) % 4;
    };
    for (int i = 0; i < 8; ++i) step();
    CHECK(allocations_in([&] {
            for (int i = 0; i < 10; ++i) step();
          }) == 0);
  }
}

TEST_CASE("results are kept and dropped in another thread while the program runs on") {
  Graph g;
  const Var x = g.input("x", {1000});
  const Var y = x + 1.0;
  Program p = compile({y});
  for (int i = 0; i < 50; ++i) {
    std::jthread reader([out = p.run({{x, full({1000}, i)}}), y, i] {
      CHECK(identical(out[y], full({1000}, i + 1)));
    });
    p.run({{x, full({1000}, -1)}});
  }
}

TEST_CASE("the results' memory is told apart from the arena's") {
  Graph g;
  const Var x = g.input("x", {100});
  const Var y = flip(exp(x), {0});
  const MemoryUse use = compile({y}).memory();
  CHECK(use.result_bytes == 400);
  CHECK(use.arena_bytes == 448);  // of exp, in lines of 64 bytes
}
