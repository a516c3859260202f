// What a run promises: values, parameters, allocations, threads.
#include <doctest/doctest.h>

#include <cfenv>
#include <cstdint>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <dualtape/core/program.hpp>
#include <dualtape/modes/estimators.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

#include "tests/allocations.hpp"
#include "tests/errors.hpp"

using namespace dualtape;
using testing::error_of;
using testing::has;

TEST_CASE("a program computes its outputs, as often as it is run") {
  Graph g;
  const Var x = g.input("x", {2});
  const Var y = x * x + 1.0;
  Program program = compile({y, x});
  const Outputs out = program.run({{x, Tensor{2.0, 3.0}}});
  CHECK(all_close(out[y], Tensor{5.0, 10.0}));
  CHECK(all_close(out[x], Tensor{2.0, 3.0}));
  const Outputs next = program.run({{x, Tensor{0.0, 1.0}}});
  CHECK(all_close(next[y], Tensor{1.0, 2.0}));
  CHECK(all_close(out[y], Tensor{5.0, 10.0}));  // those of the first run stay
}

TEST_CASE("outputs have memory of their own") {
  Graph g;
  const Var x = g.input("x", {4});
  const Var y = exp(x);
  const Var same = reshape(y, {2, 2});
  const Var input_again = reshape(x, {2, 2});
  Program program = compile({y, same, input_again, y});
  const Tensor fed{1.0, 2.0, 3.0, 4.0};
  const Outputs out = program.run({{x, fed}});
  CHECK_FALSE(out[same].shares_memory_with(out[y]));
  CHECK_FALSE(out[input_again].shares_memory_with(fed));
  CHECK(identical(out[same].reshape({4}), out[y]));
}

TEST_CASE("reads see the start of the run, assignments commit at its end") {
  Parameter a("a", Tensor{1.0});
  Parameter b("b", Tensor{2.0});
  Graph g;
  const Var va = g.read(a);
  const Var vb = g.read(b);
  const Var both = va + vb;
  // A swap, and an output that reads what is assigned.
  Program swap = compile({both, va}, {assign(a, vb), assign(b, va)});
  const Outputs out = swap.run();
  CHECK(a.value().item() == 2.0);
  CHECK(b.value().item() == 1.0);
  CHECK(out[both].item() == 3.0);
  CHECK(out[va].item() == 1.0);
  Graph h;
  Program increment = compile({}, {assign(a, h.read(a) + 1.0)});
  for (int i = 0; i < 3; ++i) increment.run();
  CHECK(a.value().item() == 5.0);
}

TEST_CASE("a run that fails changes no parameter") {
  Parameter w("w", Tensor{{1.0, 2.0}, {3.0, 4.0}});
  Graph g;
  const Var labels = g.input("labels", {2}, int64);
  const Var loss = cross_entropy(g.read(w), labels);
  Program program = compile({loss}, {assign(w, w * loss)});
  const Tensor before = w.value().copy();
  CHECK_THROWS_AS(program.run({{labels, Tensor::of({0, 5})}}), ValueError);
  CHECK(identical(w.value(), before));
  program.run({{labels, Tensor::of({0, 1})}});  // and the program can be run again
  CHECK_FALSE(identical(w.value(), before));
}

TEST_CASE("an update is written over its parameter where nobody can tell") {
  const auto in_place = [](const Program& program) {
    std::vector<bool> flags;
    for (const PlanAssign& a : program.plan().assigns) flags.push_back(a.in_place);
    return flags;
  };
  Parameter w("w", Tensor{{1.0, 2.0}});
  Parameter u("u", Tensor{{10.0, 20.0}});
  Graph g;
  const Var x = g.input("x", {1, 2});
  const Var labels = g.input("labels", {1}, int64);
  const Var vw = g.read(w);
  const Var vu = g.read(u);

  SUBCASE("the usual step") {
    Program program = compile({}, {assign(w, vw - 0.5 * x), assign(u, vu * x)});
    CHECK(in_place(program) == std::vector<bool>{true, true});
    program.run({{x, Tensor{{2.0, 4.0}}}});
    CHECK(identical(w.value(), Tensor{{0.0, 0.0}}));
    CHECK(identical(u.value(), Tensor{{20.0, 80.0}}));
  }
  SUBCASE("the old value is read by a later update") {
    bool as_written = false;
    SUBCASE("in the order written") { as_written = true; }
    SUBCASE("in the order planned") {}
    Program program = compile({}, {assign(w, vw + 1.0), assign(u, vu + vw)},
                              as_written ? CompileOptions{{"fuse", "hasten"}} : CompileOptions{});
    if (as_written) CHECK(in_place(program) == std::vector<bool>{false, true});
    program.run();
    CHECK(identical(w.value(), Tensor{{2.0, 3.0}}));
    CHECK(identical(u.value(), Tensor{{11.0, 22.0}}));
  }
  SUBCASE("the old or the new value is an output") {
    const Var next = vw + 1.0;
    Program program = compile({next, vu}, {assign(w, next), assign(u, vu + 1.0)});
    CHECK(in_place(program)[0] == false);
    const Outputs out = program.run();
    CHECK(identical(out[vu], Tensor{{10.0, 20.0}}));
    CHECK(identical(u.value(), Tensor{{11.0, 21.0}}));
    CHECK_FALSE(out[next].shares_memory_with(w.value()));
    CHECK(identical(out[next], w.value()));
  }
  SUBCASE("a kernel behind it may fail") {
    const Var next = vw + 1.0;
    const Var loss = cross_entropy(x, labels);
    bool fused = false;
    SUBCASE("node by node, in the order written") {}
    SUBCASE("fused: the updates are one step, behind the kernel that may fail") { fused = true; }
    Program program = compile({loss}, {assign(w, next), assign(u, vu + loss)},
                              fused ? CompileOptions{} : CompileOptions{{"fuse", "hasten"}});
    if (!fused) CHECK(in_place(program) == std::vector<bool>{false, true});
    CHECK_THROWS_AS(program.run({{x, Tensor{{0.0, 0.0}}}, {labels, Tensor::of({7})}}), ValueError);
    CHECK(identical(w.value(), Tensor{{1.0, 2.0}}));
    CHECK(identical(u.value(), Tensor{{10.0, 20.0}}));
  }
  SUBCASE("it reads the parameter under another shape") {
    Program program = compile({}, {assign(w, vw + reshape(vw, {2}))});
    CHECK(in_place(program) == std::vector<bool>{false});
    program.run();
    CHECK(identical(w.value(), Tensor{{2.0, 4.0}}));
  }
  SUBCASE("one value for two parameters") {
    const Var next = vw + x;
    Program program = compile({}, {assign(w, next), assign(u, next)});
    CHECK(in_place(program) == std::vector<bool>{true, false});
    program.run({{x, Tensor{{2.0, 4.0}}}});
    CHECK(identical(w.value(), Tensor{{3.0, 6.0}}));
    CHECK(identical(u.value(), Tensor{{3.0, 6.0}}));
  }
  SUBCASE("one parameter takes what another one's update is made from") {
    const Var next = vw + x;
    Program program = compile({}, {assign(w, next), assign(u, vu + reshape(next, {2}))});
    program.run({{x, Tensor{{2.0, 4.0}}}});
    CHECK(identical(w.value(), Tensor{{3.0, 6.0}}));
    CHECK(identical(u.value(), Tensor{{13.0, 26.0}}));
  }
  SUBCASE("the parameter itself is fed") {
    Program program = compile({}, {assign(w, vw + 1.0), assign(u, vu + x)});
    program.run({{x, w.value()}});
    CHECK(identical(w.value(), Tensor{{2.0, 3.0}}));
    CHECK(identical(u.value(), Tensor{{11.0, 22.0}}));
  }
  SUBCASE("the parameter has no place in the arena then") {
    Program plain = compile({vw + 1.0});
    Program step = compile({}, {assign(w, vw + 1.0)});
    CHECK(plain.memory().result_bytes > 0);
    CHECK(step.memory().arena_bytes == 0);
  }
}

TEST_CASE("after the first run a run allocates nothing") {
  const Parameter w("w", normal(Key{1}, {8, 4}, 0, 0.5));
  const Parameter b("b", zeros({4}));
  Graph g;
  const Var x = g.input("x", {16, 8});
  const Var labels = g.input("labels", {16}, int64);
  const Var rate = g.input("rate", {});
  const Var key = g.input("key", {}, int64);
  const Var loss = cross_entropy(softplus(matmul(x, w) + b), labels);
  const Gradients exact = reverse(loss, {w, b});
  const ForwardGradient estimate =
      forward_gradient(loss, {w, b}, key, {.perturbation = Perturbation::sphere, .count = 2});
  Program program = compile({loss, exact[w], estimate.gradients[w]},
                            {assign(w, w - rate * exact[w]), assign(b, b - rate * exact[b])});
  const Tensor inputs = normal(Key{2}, {16, 8});
  const Tensor classes = zeros({16}, int64);
  const Tensor lr = 0.1f;
  const Tensor key_value = Key{3}.to_tensor();
  const std::vector<Feed> feeds{{x, inputs}, {labels, classes}, {rate, lr}, {key, key_value}};
  program.run(feeds);
  CHECK(allocations_in([&] { program.run(feeds); }) == 0);
  CHECK(allocations_in([&] {
          program.run({{x, inputs}, {labels, classes}, {rate, lr}, {key, key_value}});
        }) == 0);
}

TEST_CASE("the error of a feed of another type says what can be fed instead") {
  Graph g;
  const Var x = g.input("x", {});
  const Var n = g.input("n", {}, int64);
  const Var ids = g.input("ids", {2}, int64);
  const Var seen = g.input("seen", {2}, boolean);
  Program one = compile({x});
  Program whole = compile({n});
  Program list = compile({ids});
  Program truth = compile({seen});
  const std::string vector = error_of<ShapeError>([&] { one.run({{x, Tensor{1}}}); });
  CHECK(has(vector, "[run 'x'] the input is float32 (), the feed is float32 (1,)"));
  CHECK(has(vector, "feed the number itself, 1.0 or dt::Tensor(1.0), or tensor.reshape({})"));
  CHECK(has(vector, "program_test.cpp:"));
  const Tensor vector_of_one{1};
  for (const Tensor& fed : {Tensor(1.0), vector_of_one.reshape({})})
    CHECK(one.run({{x, fed}})[x].item() == 1);
  CHECK(one.run({{x, 1.0}})[x].item() == 1);
  const std::string half = error_of<TypeError>([&] { whole.run({{n, 1.5}}); });
  CHECK(has(half, "program_test.cpp:"));
  CHECK(has(half, "feed a whole number, such as 2"));
  CHECK(!testing::contains(half, ".to("));  // which would cut it off
  CHECK(whole.run({{n, 2}})[n].item() == 2);
  const std::string halves = error_of<TypeError>([&] { list.run({{ids, Tensor{0.5, 1}}}); });
  CHECK(has(halves, "feed whole numbers: Tensor::of({1, 2})"));
  CHECK(has(halves, "graph.input(name, shape, dt::float32)"));
  CHECK(has(error_of<TypeError>([&] {
              truth.run({{seen, Tensor{0, 1}}});
            }),
            "tensor.to(dt::boolean)"));
}

TEST_CASE("equal feeds give equal bits") {
  Graph g;
  const Var x = g.input("x", {33, 65});
  const Var y = sum(tanh(matmul(x, transpose(x)) * 0.1), {1});
  Program first = compile({y});
  Program second = compile({y});
  const Tensor fed = normal(Key{9}, {33, 65});
  const Tensor once = first.run({{x, fed}})[y].copy();
  for (int i = 0; i < 3; ++i) CHECK(identical(first.run({{x, fed}})[y], once));
  CHECK(identical(second.run({{x, fed}})[y], once));
}

TEST_CASE("programs of their own run in threads of their own") {
  const Parameter w("w", ones({32, 32}));
  std::vector<double> results(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < results.size(); ++t)
    threads.emplace_back([&, t] {
      Graph g;
      const Var x = g.input("x", {32, 32});
      const Var y = sum(matmul(x, w));
      Program program = compile({y});
      for (int i = 0; i < 50; ++i)
        results[t] = program.run({{x, full({32, 32}, static_cast<double>(t))}})[y].item();
    });
  for (std::thread& thread : threads) thread.join();
  for (std::size_t t = 0; t < results.size(); ++t)
    CHECK(results[t] == 32.0 * 32.0 * 32.0 * static_cast<double>(t));
}

TEST_CASE("a parameter that somebody is writing cannot be written by another program") {
  const Parameter w("w", Tensor{1.0});
  Graph g;
  Program program = compile({}, {assign(w, g.read(w) * 2.0)});
  REQUIRE(w.claim());
  CHECK_THROWS_WITH_AS(program.run(), doctest::Contains("writes the same parameter"), GraphError);
  w.release();
  program.run();
  CHECK(w.value().item() == 2.0);
}

TEST_CASE("a parameter cannot be set while a program that assigns it runs") {
  Parameter w("w", Tensor{1.0});
  REQUIRE(w.claim());  // as a run does
  CHECK_THROWS_WITH_AS(w.set(Tensor{2.0}), doctest::Contains("program_test.cpp:"), GraphError);
  CHECK(w.value().item() == 1.0);
  w.release();
  const std::uint64_t version = w.version();
  w.set(Tensor{2.0});
  CHECK(w.value().item() == 2.0);
  CHECK(w.version() > version);
}

TEST_CASE("a program refuses a Var of another graph at the address of its own") {
  std::optional<Program> program;
  std::optional<Graph> g(std::in_place);
  Var y = g->input("x", {}) * 2.0;
  program.emplace(compile({y}));
  g.emplace();  // the same memory
  const Var x = g->input("x", {});
  const Var z = x * 3.0;
  CHECK_THROWS_WITH_AS(program->run({{x, 1.0f}}), doctest::Contains("does not belong"), GraphError);
  CHECK_FALSE(y.alive());
  CHECK(y.id() == z.id());
  CHECK_FALSE(y == z);
  CHECK_THROWS_AS(compile({y, z}), GraphError);
}

TEST_CASE("a program whose graph has ended runs as before") {
  std::optional<Graph> g(std::in_place);
  const Var x = g->input("x", {2});
  const Var scale = g->input("scale", {}, float64);
  const Var count = g->input("count", {}, int64);
  const Var unneeded = g->input("unneeded", {2});
  const Var y = cast(x, float64) * scale + cast(count, float64);
  Program program = compile({y});
  Program fresh = compile({y});  // not run before
  const Tensor t{1.0, 2.0};
  const Tensor wanted = program.run({{x, t}, {scale, 0.1}, {count, 3}, {unneeded, t}})[y].copy();
  g.reset();
  Graph in_its_place;  // may lie at the same address
  const Var foreign = in_its_place.input("x", {2});
  for (Program* p : {&program, &fresh}) {
    for (int i = 0; i < 2; ++i)
      CHECK(identical(p->run({{x, t}, {scale, 0.1}, {count, 3}})[y], wanted));
    CHECK(identical(p->run({{count, 3}, {x, t}, {scale, Tensor::scalar(0.1)}})[y], wanted));
    const auto refused = [&](std::initializer_list<Feed> feeds, const char* what) {
      const std::string text = error_of<Error>([&] { p->run(feeds); });
      CHECK(has(text, what));
      CHECK(has(text, "program_test.cpp:"));
    };
    refused({{x, t}, {scale, 0.1}}, "[run 'count'] the input, int64 ()");
    refused({{x, t}, {x, t}, {scale, 0.1}, {count, 3}}, "[run 'x'] the input is fed twice");
    refused({{x, Tensor{1.0}}, {scale, 0.1}, {count, 3}}, "[run 'x'] the input is float32 (2,)");
    refused({{x, t}, {scale, 0.1}, {count, 0.5}}, "[run 'count'] the input is int64 ()");
    refused({{x, t}, {scale, 0.1}, {count, 3}, {unneeded, t}}, "whose graph has ended");
    refused({{x, t}, {scale, 0.1}, {count, 3}, {foreign, t}}, "does not belong to the graph");
    CHECK(identical(p->run({{x, t}, {scale, 0.1}, {count, 3}})[y], wanted));
  }
}

// What is looked up one by one would take a second for each of these.
TEST_CASE("a program may have 100 000 feeds and 100 000 outputs") {
  constexpr std::size_t many = 100'000;
  Graph g;
  std::vector<Feed> feeds;
  std::vector<Var> outputs;
  for (std::size_t i = 0; i < many; ++i) {
    const Var x = g.input("x" + std::to_string(i), {}, float64);
    feeds.emplace_back(x, Tensor::scalar(static_cast<double>(i)));
    outputs.push_back(x + 1.0);
  }
  Program program = compile(outputs, {}, CompileOptions{{"fuse"}});
  for (int run = 0; run < 2; ++run) {
    const Outputs out = program.run(feeds);
    std::size_t right = 0;
    for (std::size_t i = 0; i < many; ++i)
      if (out[outputs[i]].item() == static_cast<double>(i) + 1.0) ++right;
    CHECK(right == many);
  }
}

TEST_CASE("results are rounded to nearest whatever mode the caller's thread is in") {
  Graph g;
  const Var x = g.input("x", {300'000});
  const Var y = x * 0.1 + 1.0;
  const Var total = sum(y);
  const Tensor fed = normal(Key{4}, {300'000});
  std::vector<Outputs> seen;
  for (const int mode : {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO})
    for (const int threads : {1, 2}) {
      Program program = compile({y, total}, {}, CompileOptions{{}, threads});
      std::fesetround(mode);
      seen.push_back(program.run({{x, fed}}));
      CHECK(std::fegetround() == mode);
      std::fesetround(FE_TONEAREST);
    }
  for (const Outputs& out : seen) {
    CHECK(identical(out[y], seen[0][y]));
    CHECK(identical(out[total], seen[0][total]));
  }
}

TEST_CASE("denormal numbers are zero in a run, fed and as constants alike") {
  for (const double tiny : {5e-324, 2e-308}) {
    Graph g;
    const Var fed = g.input("x", {1}, float64);
    const Tensor value = full({1}, tiny, float64);
    const Var constant = g.constant(value);
    const Var of_fed = sqrt(fed);
    const Var of_constant = sqrt(constant);
    Program program = compile({of_fed, of_constant});
    const Outputs out = program.run({{fed, value}});
    CHECK(out[of_fed].item() == 0);
    CHECK(out[of_constant].item() == 0);
    const Outputs plain = compile({of_constant}, {}, CompileOptions{{"precompute"}}).run();
    CHECK(identical(plain[of_constant], out[of_constant]));
  }
}

TEST_CASE("explain and the drawings name operators, labels and categories") {
  Graph g;
  const Var x = g.input("x", {3});
  const Var loss = sum(exp(sin(x))).named("loss");
  // Without fusion, since what is fused has one role.
  Program program = compile({reverse(loss, {x})[x], loss}, {}, CompileOptions{{"fuse"}});
  const std::string text = program.explain();
  CHECK(text.find("'loss'") != std::string::npos);
  CHECK(text.find("cotangent") != std::string::npos);
  CHECK(text.find("program_test.cpp:") != std::string::npos);
  for (const std::string& dot : {program.to_dot(), to_dot(g)}) {
    CHECK(dot.starts_with("digraph"));
    CHECK(dot.find("loss") != std::string::npos);
    CHECK(dot.find(" -> ") != std::string::npos);
  }
}

TEST_CASE("outputs stay valid when their program is moved") {
  Graph g;
  const Var x = g.input("x", {2});
  const Var y = x * 2.0;
  Program program = compile({y});
  const Outputs out = program.run({{x, Tensor{1.0, 2.0}}});
  const Program moved = std::move(program);
  CHECK(all_close(out[y], Tensor{2.0, 4.0}));
}

TEST_CASE("an assignment made by hand is checked as those of assign() are") {
  Graph g;
  const Var x = g.input("x", {3});
  const Parameter wide("wide", zeros({1000000}));
  const Parameter one("one", zeros({1}));
  const Parameter same("same", zeros({3}));
  CHECK_THROWS_AS(compile({x}, {Assign{wide, sum(x), {}}}), ShapeError);
  CHECK_THROWS_AS(compile({x}, {Assign{one, g.read(wide), {}}}), ShapeError);
  CHECK_THROWS_AS(compile({x}, {Assign{same, g.input("wider", {3}, float64), {}}}), TypeError);
  CHECK_THROWS_AS(compile({}, {Assign{same, Var(), {}}}), GraphError);
  CHECK_THROWS_WITH_AS(compile({x}, {Assign{one, x, {}}}), doctest::Contains("program_test.cpp:"),
                       ShapeError);
}

TEST_CASE("a node or an output that is not there is an error wherever it is named") {
  Graph g;
  const Var x = g.input("x", {3});
  const Var no_output(g, x.id(), 5);
  const Var nowhere(g, 9999, 0);
  for (const Var& none : {no_output, nowhere}) {
    CHECK_THROWS_AS(compile({none}), GraphError);
    CHECK_THROWS_AS(reverse(sum(x), {none}), GraphError);
    CHECK_THROWS_AS(reverse(none, {x}), GraphError);
    CHECK_THROWS_AS(none + 1.0, GraphError);
  }
  CHECK_THROWS_AS(g.label(9999), GraphError);
  CHECK_THROWS_AS(g.set_label(9999, "a"), GraphError);
}
