// Memory that runs out: whatever allocation fails, an error is thrown, nothing is half done, and
// the second try gives the numbers of the first.
#include <doctest/doctest.h>

#include <cstdint>
#include <new>
#include <string>
#include <vector>

#include <dualtape/core/kinds.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/modes/call.hpp>
#include <dualtape/modes/estimators.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/scan.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/sort.hpp>

#include "tests/allocations.hpp"
#include "tests/errors.hpp"
#include "tests/sanitizers.hpp"

using namespace dualtape;

namespace {

// Calls act() with its first, second, third ... allocation failing, and check() after each, until
// act() needs no more. How often it failed.
template <class Act, class Check>
std::uint64_t fail_each_allocation(Act&& act, Check&& check) {
  for (std::uint64_t n = 1;; ++n) {
    bool refused = false;
    bool failed = false;
    {
      const FailingAllocation failing(n);
      try {
        act();
      } catch (const std::bad_alloc&) {
        failed = true;
      } catch (const MemoryError&) {
        failed = true;
      }
      refused = failing.happened();
    }
    CAPTURE(n);
    check();
    if (!refused) {
      CHECK_FALSE(failed);
      return n - 1;
    }
  }
}

struct Net {
  Graph g;
  Parameter w{"w", Tensor{{0.5, -0.25}, {1.0, 0.75}, {-0.5, 0.25}}};
  Var x = g.input("x", {2, 3});
  Var labels = g.input("labels", {2}, int64);
  Var key = g.input("key", {}, int64);
  std::vector<Feed> feeds{{x, Tensor{{1.0, 2.0, 3.0}, {-1.0, 0.5, 2.0}}},
                          {labels, Tensor::of({1, 0})},
                          {key, Key{3}.to_tensor()}};

  // The loss, its gradient and an estimate of that, from building to running.
  std::vector<Tensor> values() {
    const Scope scope = g.scope("net");
    const Var h = tanh(matmul(x, w)).named("hidden");
    const Var again = checkpoint([](auto in) { return std::vector{exp(in[0])}; }, {h})[0];
    const Var both = concat({h, again}, 1);
    const Var loss = cross_entropy(both, labels) + mean(stack({h, h * 2.0}));
    const Gradients exact = reverse(loss, {w});
    const ForwardGradient estimate = forward_gradient(loss, {w}, key);
    Program program = compile({loss, exact[w], estimate.gradients[w]});
    const Outputs out = program.run(feeds);
    return {out[loss], out[exact[w]], out[estimate.gradients[w]]};
  }
};

void check_same(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(identical(a[i], b[i]));
}

}  // namespace

TEST_CASE("building, differentiating, compiling and running fail whole") {
  const std::vector<Tensor> wanted = Net().values();
  CHECK(fail_each_allocation([] { Net().values(); }, [] {}) > 100);
  // On one graph, whose nodes are as good after each failure.
  Net net;
  std::uint64_t n = 1;
  for (bool refused = true; refused; n += 13) {
    {
      const FailingAllocation failing(n);
      try {
        net.values();
      } catch (const std::bad_alloc&) {
      } catch (const MemoryError&) {
      }
      refused = failing.happened();
    }
    CAPTURE(n);
    if (n % 5 == 0) check_same(net.values(), wanted);
  }
  check_same(net.values(), wanted);
}

TEST_CASE("a run that finds no memory for its results changes nothing and can be run again") {
  const Parameter w("w", Tensor{1.0, 2.0});
  Graph g;
  const Var x = g.input("x", {2});
  const Var next = g.read(w) + x;
  Program program = compile({next}, {assign(w, next)});
  const Tensor one{1.0, 1.0};
  std::vector<Outputs> kept;
  kept.reserve(3);
  for (int i = 0; i < 2; ++i) kept.push_back(program.run({{x, one}}));  // memory of all there is
  double expected = 3;
  const std::uint64_t failures = fail_each_allocation(
      [&] {
        kept.push_back(program.run({{x, one}}));
        expected += 1;
      },
      [&] { CHECK(w.value().at({0}) == expected); });
  CHECK(failures > 0);
  for (std::size_t i = 0; i < kept.size(); ++i)
    CHECK(identical(kept[i][next],
                    Tensor{2.0 + static_cast<double>(i), 3.0 + static_cast<double>(i)}));
}

TEST_CASE("a program of a function and a key fails whole, too") {
  Graph g;
  const Var x = g.input("x", {2});
  const auto f = Function::make("f", {x.type()}, [](auto in) { return std::vector{sin(in[0])}; });
  const Tensor fed{0.5, 1.0};
  const Var y = sum(call(f, {x})[0]);
  const Tensor wanted = eval(reverse(y, {x})[x], {{x, fed}});
  Tensor got;
  CHECK(fail_each_allocation([&] { got = eval(reverse(y, {x})[x], {{x, fed}}); }, [] {}) > 100);
  CHECK(identical(got, wanted));
}

TEST_CASE("memory that cannot be had says how much, and for what") {
  if (testing::address_sanitizer || testing::thread_sanitizer) {
    MESSAGE("[skipped] the sanitizers end the process where memory cannot be had");
    return;
  }
  const std::string tensor = testing::error_of<MemoryError>([] {
    zeros({1 << 30, 1 << 24}, float64);
  });
  CHECK(testing::has(tensor, "float64 (1073741824, 16777216), 144115188075855872 bytes"));
  Graph g;
  const Var x = g.input("x", {1 << 30, 1});
  const Var huge = exp(matmul(x, broadcast_to(x, {1 << 30, 1 << 24}), {.transpose_a = true}));
  static_cast<void>(huge);
  const Var wide = broadcast_to(x, {1 << 30, 1 << 26}) * 2.0;
  const std::string program =
      testing::error_of<MemoryError>([&] { compile({sum(cumsum(wide, 0))}); });
  CHECK(testing::has(program, "memory_test.cpp:"));
  CHECK(testing::has(program, "(1073741824, 67108864)"));
  CHECK(testing::has(program, "bytes"));
  // Of a node with two outputs the one that is large, with its own type.
  const Chosen sorted = sort(wide, 0);
  const std::string second =
      testing::error_of<MemoryError>([&] { compile({sum(sorted.indices)}); });
  CHECK(testing::has(second, "sort int64 (1073741824, 67108864) made at "));
  // A result has memory of its own.
  const Var result = cumsum(wide, 0).named("total");
  const std::string own = testing::error_of<MemoryError>([&] { compile({result}); });
  CHECK(testing::has(own, "[compile] there is no memory for the program's results"));
  CHECK(testing::has(own, "cumsum 'total' float32 (1073741824, 67108864) made at "));
  CHECK(testing::has(own, "memory_test.cpp:"));
}

TEST_CASE("results that a run finds no memory for are named, and the run's line") {
  Graph g;
  const Var x = g.input("x", {2});
  const Var y = exp(x).named("grown");
  Program program = compile({y});
  std::vector<Outputs> kept;
  kept.reserve(2);
  kept.push_back(program.run({{x, Tensor{1.0, 2.0}}}));
  std::string text;
  for (std::uint64_t n = 1; text.empty() && n < 100; ++n) {
    const FailingAllocation failing(n);
    try {
      kept.push_back(program.run({{x, Tensor{1.0, 2.0}}}));
      break;
    } catch (const std::bad_alloc&) {
    } catch (const MemoryError& error) {
      if (testing::contains(error.what(), "results")) text = error.what();
    }
  }
  CHECK(testing::has(text, "[run] there is no memory for the program's results of 8 bytes"));
  CHECK(testing::has(text, "exp 'grown' float32 (2,) made at "));
  CHECK(testing::has(text, "\n  at "));
}

namespace {
struct Hungry {
  static constexpr auto name = "test_hungry";
  static constexpr auto doc = "a kernel that finds no memory";
  static constexpr auto reason = "for tests";
  static void infer(Inference& inference) { inference.out = {inference.in[0]}; }
  static void apply(std::span<const Tensor>, std::span<Tensor>, const Attributes&) {
    throw MemoryError("nothing left");
  }
  static std::vector<Case> cases() { return {}; }
};
constexpr NotDifferentiable<Hungry> hungry;
}  // namespace

TEST_CASE("a kernel that finds no memory is named with its line") {
  Graph g;
  const Var x = g.input("x", {2});
  const Var y = hungry(x).named("meal");
  Program program = compile({y});
  const std::string text = testing::error_of<MemoryError>([&] {
    program.run({{x, Tensor{1.0, 2.0}}});
  });
  CHECK(testing::has(text, "[test_hungry 'meal'] nothing left"));
  CHECK(testing::has(text, "memory_test.cpp:"));
}
