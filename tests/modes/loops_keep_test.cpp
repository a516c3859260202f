#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <dualtape/dualtape.hpp>
#include <tests/modes/loops.hpp>

namespace dt = dualtape;
using namespace loops;

namespace {

// Of steps sin(h w) + x, whatever is kept.
std::vector<dt::Tensor> gradients(const dt::Keep& keep, std::int64_t steps) {
  const auto f = [&](std::span<const dt::Var> in) {
    return dt::sum(dt::scan([&](dt::Var h, dt::Var x) { return dt::sin(h * in[2]) + x; }, in[0],
                            in[1], {.keep = keep}));
  };
  return dt::grad(f)(std::vector<dt::Tensor>{drawn(3, {4}), drawn(4, {steps, 4}), drawn(5, {4})});
}

}  // namespace

TEST_CASE("gradients are the same whatever states are kept") {
  for (const std::int64_t steps : {1, 2, 3, 7, 30}) {
    const std::vector<dt::Tensor> all = gradients({}, steps);
    for (const std::int64_t states : {1, 2, 3, 5, 40})
      check_close(gradients({.states = states}, steps), all, 1e-13);
    for (const std::int64_t every : {1, 2, 7, 50})
      check_close(gradients({.every = every}, steps), all, 1e-13);
    check_close(gradients({.bytes = 200}, steps), all, 1e-13);
  }
}

TEST_CASE("schedules hold in every nesting of modes") {
  const auto scheduled = [](std::span<const dt::Var> in) {
    const auto [last, out] = dt::scan([&](dt::Var h, dt::Var x) { return cell(h, x, in[2]); },
                                      in[0], in[1], {.keep = {.states = 2}});
    return dt::sum(last * last) + dt::sum(dt::sin(out));
  };
  const auto x = point();
  check_close(dt::grad(scheduled)(x), dt::grad(unrolled)(x));
  const auto slope = [](auto f) {
    return [f](std::span<const dt::Var> in) {
      const dt::Var y = f(in);
      dt::Var total;
      for (std::size_t i = 0; i < in.size(); ++i) {
        const dt::Var part = dt::sum(dt::sin(dt::reverse(y, {in[i]})[in[i]]));
        total = i == 0 ? part : total + part;
      }
      return total;
    };
  };
  check_close(dt::grad(slope(scheduled))(x), dt::grad(slope(unrolled))(x), 1e-10);
  std::vector<dt::Tensor> v;
  for (const dt::Tensor& t : x) v.push_back(drawn(20 + v.size(), t.shape()));
  CHECK(dt::all_close(dt::jvp(slope(scheduled), x, v).tangent,
                      dt::jvp(slope(unrolled), x, v).tangent, 1e-10));
  check_close(dt::grad(slope(slope(scheduled)))(x), dt::grad(slope(slope(unrolled)))(x), 1e-8);
  // Each node's own rules, too: no schedule was lost on the way.
  dt::Graph g;
  std::vector<dt::Var> in;
  for (const dt::Tensor& t : x)
    in.push_back(g.input("x" + std::to_string(in.size()), t.shape(), t.dtype()));
  const dt::Program program = dt::compile({dt::reverse(slope(scheduled)(in), {in[0]})[in[0]]});
  CHECK(program.explain().find("states kept") != std::string::npos);
  std::vector<dt::Tensor> many;
  for (const dt::Tensor& t : x) many.push_back(three(t));
  const auto by_w = [](auto f) {
    return [f](std::span<const dt::Var> in2) { return dt::reverse(f(in2), {in2[2]})[in2[2]]; };
  };
  CHECK(dt::all_close(dt::vmap(by_w(scheduled))(many), dt::vmap(by_w(unrolled))(many), 1e-12));
}

TEST_CASE("a while loop that keeps a few states has the same derivatives") {
  const auto loop = [](const dt::Keep& keep) {
    return [keep](dt::Var a) {
      return dt::while_loop([&](dt::Var x) { return x < 50.0; },
                            [&](dt::Var x) { return x + dt::sin(x * a) * 0.1 + a; }, a * 0.5,
                            {.most = 500, .keep = keep})
          .state;
    };
  };
  const dt::Tensor at = dt::Tensor::of({0.7}, dt::float64).reshape({});
  const dt::Tensor slope = dt::grad(loop({}))(at);
  const dt::Tensor second = dt::grad(dt::grad(loop({})))(at);
  for (const std::int64_t states : {1, 3, 8, 200}) {
    CHECK(dt::all_close(dt::grad(loop({.states = states}))(at), slope, 1e-12));
    CHECK(dt::all_close(dt::grad(dt::grad(loop({.states = states})))(at), second, 1e-10));
  }
}

namespace {

// sin(x), which counts its runs. Its derivative does not run it.
std::int64_t runs = 0;
struct Watched {
  static constexpr auto name = "test_watched";
  static constexpr auto doc = "sin(x), counted";
  static void infer(dt::Inference& inference) { inference.out = {inference.in[0]}; }
  static void apply(std::span<const dt::Tensor> in, std::span<dt::Tensor> out,
                    const dt::Attributes&) {
    ++runs;
    const auto x = in[0].data<double>();
    const auto y = out[0].data<double>();
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = std::sin(x[i]);
  }
  static std::vector<dt::MaybeVar> jvp(const dt::NodeView& node,
                                       std::span<const dt::MaybeVar> tangents) {
    return {dt::cos(node.in[0]) * *tangents[0]};
  }
  static std::vector<dt::Case> cases() { return {}; }
};
constexpr dt::General<Watched> watched;

// Of a gradient alone, whose value nobody asks for.
std::int64_t runs_of_gradient(const std::function<dt::Var(dt::Var)>& f) {
  dt::Graph g;
  const dt::Var x = g.input("x", {2}, dt::float64);
  dt::Program program = dt::compile({dt::reverse(dt::sum(f(x)), {x})[x]});
  runs = 0;
  program.run({{x, dt::Tensor::of({0.5, 1.0}, dt::float64)}});
  return runs;
}

}  // namespace

TEST_CASE("reverse mode from few states runs as few steps again as can be") {
  const auto loop = [](std::int64_t steps, const dt::Keep& keep) {
    return runs_of_gradient([&](dt::Var x) {
      return dt::fori(
          0, steps, x, [](dt::Var, dt::Var s) { return watched(s); }, keep);
    });
  };
  CHECK(loop(256, {.states = 10}) == 690);
  CHECK(loop(256, {.states = 16}) == 597);
  CHECK(loop(256, {.states = 24}) == 486);
  CHECK(loop(100, {.states = 5}) == 316);
  CHECK(loop(256, {}) == 256);  // the recording loop runs each once
  CHECK(loop(256, {.every = 16}) == 15 * 16 + 256 - 16);
  const auto open = [](std::int64_t steps, std::int64_t states) {
    return runs_of_gradient([&](dt::Var x) {
      return dt::while_loop([&](std::span<const dt::Var> s) { return s[0] < steps; },
                            [](std::span<const dt::Var> s) {
                              return std::vector<dt::Var>{s[0] + 1, watched(s[1])};
                            },
                            {x.graph().constant(dt::Tensor(std::int64_t{0})), x},
                            {.most = 100000, .keep = {.states = states}})
          .state[1];
    });
  };
  // Only the end of the loop tells that there is no other step: the last is run for that, too.
  for (const std::int64_t states : {2, 3, 5, 8})
    for (std::int64_t steps = 1; steps <= (states + 1) * (states + 2) / 2; ++steps)
      CHECK(open(steps, states) == loop(steps, {.states = states}) + 1);
}

TEST_CASE("a chain of layers keeps what it is told to") {
  const auto f = [](std::int64_t layers, const dt::Keep& keep) {
    return [layers, keep](dt::Var x) {
      const std::vector<dt::Layer> all(
          static_cast<std::size_t>(layers),
          [&](std::span<const dt::Var> h) { return std::vector<dt::Var>{watched(h[0]) * 1.1}; });
      return dt::chain(all, {x}, keep)[0];
    };
  };
  const dt::Tensor at = dt::Tensor::of({0.5, 1.0}, dt::float64);
  const auto slope = [&](const dt::Keep& keep) {
    return dt::grad([&](dt::Var x) { return dt::sum(f(20, keep)(x)); })(at);
  };
  for (const dt::Keep& keep : std::vector<dt::Keep>{{.states = 1}, {.states = 4}, {.every = 3}})
    CHECK(dt::all_close(slope(keep), slope({}), 1e-14));
  CHECK(runs_of_gradient(f(20, {})) == 19);  // nobody asks for the value of the last
  for (const std::int64_t states : {1, 2, 4, 6})
    CHECK(runs_of_gradient(f(20, {.states = states})) == runs_of_gradient([&](dt::Var x) {
            return dt::fori(0, 20, x, [](dt::Var, dt::Var s) { return watched(s) * 1.1; },
                            {.states = states});
          }));
}

TEST_CASE("several threads may compile and run what they keep states in") {
  dt::Graph g;
  const dt::Var x = g.input("x", {4}, dt::float64);
  const dt::Var y =
      dt::fori(0, 20, x, [](dt::Var, dt::Var s) { return dt::sin(s) * 1.2; }, {.states = 3});
  const dt::Var slope = dt::reverse(dt::sum(y), {x})[x];
  std::vector<dt::Tensor> found(4);
  std::vector<std::thread> threads;
  for (dt::Tensor& one : found)
    threads.emplace_back([&] { one = dt::eval(slope, {{x, drawn(6, {4})}}); });
  for (std::thread& thread : threads) thread.join();
  for (const dt::Tensor& one : found) CHECK(dt::identical(one, found[0]));
}
