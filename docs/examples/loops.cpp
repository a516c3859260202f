// The programs in docs/loops.md; a test holds the page equal.
#include <cmath>
#include <iostream>
#include <utility>
#include <vector>

#include <dualtape/dualtape.hpp>
namespace dt = dualtape;

namespace {

void scans() {
  // [scan]
  // A leaky sum: each step keeps nine tenths of the last and adds what comes.
  const auto leaky = [](dt::Var xs, dt::Var keep) {
    return dt::scan(
        [&](dt::Var sum, dt::Var x) {
          const dt::Var next = keep * sum + x;
          return std::pair{next, next};
        },
        0, xs);
  };
  const auto last = [&](dt::Var xs, dt::Var keep) { return leaky(xs, keep).state; };
  const auto all = [&](dt::Var xs, dt::Var keep) { return leaky(xs, keep).out; };
  const std::vector<dt::Tensor> x{dt::Tensor{1, 2, 3}, dt::Tensor(0.9)};
  std::cout << dt::eval(all, x) << ' ' << dt::grad(last)(x)[1] << '\n';
  // [/scan]
}

void several() {
  // [several]
  // Two carried values, nothing sliced: Fibonacci's numbers.
  dt::Graph g;
  const dt::Var one = g.constant(1, dt::int64);
  const dt::Scanned numbers = dt::scan(
      [](std::span<const dt::Var> s, std::span<const dt::Var> /*slice*/) -> dt::Step {
        return {.state = {s[1], s[0] + s[1]}, .out = {s[0]}};
      },
      {one, one}, {}, {.length = 8});
  std::cout << dt::eval(numbers.out[0]) << '\n';
  // [/several]
}

void fors() {
  // [fori]
  // Ten steps of gradient descent, and how their end depends on the rate.
  const auto f = [](dt::Var x) { return dt::sum(dt::square(x) * dt::Tensor{1, 5}); };
  const auto end = [&](dt::Var rate) {
    const dt::Var start = rate.graph().constant(dt::Tensor{1, 1});
    return f(dt::fori(0, 10, start, [&](dt::Var /*i*/, dt::Var x) {
      return x - rate * dt::reverse(f(x), {x})[x];
    }));
  };
  const auto [loss, slope] = dt::value_and_grad(end)(dt::Tensor(0.05));
  std::cout << loss << ' ' << slope << '\n';
  // [/fori]
}

void whiles() {
  // [while]
  const auto root = [](dt::Var a) {
    return dt::while_loop([&](dt::Var x) { return dt::abs(x * x - a) > 1e-5 * a; },
                          [&](dt::Var x) { return (x + a / x) / 2; }, a, {.most = 60});
  };
  const auto steps = [&](dt::Var a) { return root(a).steps; };
  const dt::Tensor a{4, 100, 1e6};
  std::cout << dt::vmap([&](dt::Var x) { return root(x).state; })(a) << ' ' << dt::vmap(steps)(a)
            << '\n';
  std::cout << dt::vmap(dt::grad([&](dt::Var x) { return root(x).state; }))(a) << '\n';
  // [/while]
}

void branches() {
  // [cond]
  const auto f = [](dt::Var x) {
    return dt::cond(
        x > 0, [&] { return dt::log(x); }, [&] { return x - 1; });
  };
  std::cout << dt::grad(f)(dt::Tensor(2.0)) << ' ' << dt::grad(f)(dt::Tensor(-2.0)) << '\n';
  // [/cond]
}

void keeping() {
  // [keep]
  const auto bytes = [](const dt::Keep& keep) {
    dt::Graph g;
    const dt::Var x = g.input("x", {1000});
    const dt::Var y = dt::fori(
        0, 256, x, [](dt::Var, dt::Var s) { return dt::sin(s); }, keep);
    const dt::MemoryUse memory = dt::compile({dt::reverse(dt::sum(y), {x})[x]}).memory();
    return memory.arena_bytes + memory.workspace_bytes;
  };
  std::cout << bytes({}) << " bytes, or " << bytes({.states = 10}) << '\n';
  // [/keep]
}

}  // namespace

int main() {
  scans();
  several();
  fors();
  whiles();
  branches();
  keeping();
  return 0;
}
