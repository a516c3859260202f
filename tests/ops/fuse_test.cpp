// Fusion must not change a bit, must leave fewer steps, and must never write over what it still
// reads.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <dualtape/core/program.hpp>
#include <dualtape/core/random.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/extremes.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/random.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

using namespace dualtape;

namespace {

const CompileOptions unfused{{"fuse"}};

std::ptrdiff_t fused_count(const Program& program) {
  return std::ranges::count_if(program.plan().nodes,
                               [](const PlanNode& n) { return n.op->name() == "fused"; });
}
// Nodes that run beside products and the like.
std::ptrdiff_t count_of(const Program& program, std::string_view op) {
  return std::ranges::count_if(program.plan().nodes,
                               [&](const PlanNode& n) { return n.op->name() == op; });
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.type() == b.type() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

// Runs the outputs with and without fusion and compares bits; returns the fused program.
Program check(const std::vector<Var>& outputs, const std::vector<Feed>& feeds) {
  Program fused = compile(outputs);
  Program plain = compile(outputs, {}, unfused);
  CHECK(fused.steps() < plain.steps());
  CHECK(fused_count(plain) == 0);
  const Outputs a = fused.run(feeds);
  const Outputs b = plain.run(feeds);
  for (const Var& output : outputs) {
    CAPTURE(to_string(fused.plan()));
    CHECK(same_bits(a[output], b[output]));
  }
  return fused;
}

}  // namespace

TEST_CASE("a chain of elementwise operators is one step, whatever the shape") {
  for (const DType dtype : {float32, float64})
    for (const Shape& shape : {Shape{}, Shape{3}, Shape{7, 5}, Shape{64, 300}, Shape{3, 2, 1000}}) {
      const std::string text = to_string(shape);
      CAPTURE(text);
      Graph g;
      const Var x = g.input("x", shape, dtype);
      const Var y = tanh(x * 2.0 + 1.0) / (1.0 + exp(-x)) - relu(x);
      const Program program = check({y}, {{x, normal(Key{1}, shape, 0, 1, dtype)}});
      CHECK(program.steps() == 1);
    }
}

TEST_CASE("operands broadcast inside the fused loop") {
  Graph g;
  const Var x = g.input("x", {40, 130});
  const Var row = g.input("row", {130});
  const Var column = g.input("column", {40, 1});
  const Var scalar = g.input("scalar", {});
  const Var spread = broadcast_to(row, {40, 130});
  const Var y = relu(x + row) * column - scalar * spread;
  const Program program = check({y, y * scalar}, {{x, normal(Key{1}, {40, 130})},
                                                  {row, normal(Key{2}, {130})},
                                                  {column, normal(Key{3}, {40, 1})},
                                                  {scalar, Tensor(0.5)}});
  CHECK(program.steps() == 1);
}

TEST_CASE("truth values may be inside, go in and come out") {
  Graph g;
  const Var x = g.input("x", {9, 30});
  const Var keep = g.input("keep", {9, 30}, boolean);
  const Var positive = x > 0;
  const Var both = logical_and(positive, keep);
  const Var y = where(both, exp(x), cast(positive, float32) * x);
  Tensor mask({9, 30}, boolean);
  for (std::size_t i = 0; i < 270; ++i) mask.data<bool>()[i] = i % 3 == 0;
  const Program program = check({both, y}, {{x, normal(Key{4}, {9, 30})}, {keep, mask}});
  CHECK(program.steps() == 1);
}

TEST_CASE("a layer's primal and tangent run in one loop") {
  Graph g;
  const Var x = g.input("x", {64, 20});
  const Var w = g.input("w", {20, 32});
  const Var b = g.input("b", {32});
  const Var dw = g.input("dw", {20, 32});
  const Var db = g.input("db", {32});
  const Var h = relu(matmul(x, w) + b);
  const Var dh = forward(h, {w, b}, std::vector<Var>{dw, db});
  const Program program = check({h, dh}, {{x, normal(Key{1}, {64, 20})},
                                          {w, normal(Key{2}, {20, 32})},
                                          {b, normal(Key{3}, {32})},
                                          {dw, normal(Key{4}, {20, 32})},
                                          {db, normal(Key{5}, {32})}});
  CHECK(fused_count(program) == 1);
}

TEST_CASE("what a kernel in between reads is not held back") {
  Graph g;
  const Var x = g.input("x", {16, 16});
  const Var a = exp(x) * 0.1;      // read by the product
  const Var b = matmul(a, x) + a;  // after it
  const Var y = b * a + sum(tanh(b));
  const Program program = check({y}, {{x, normal(Key{7}, {16, 16})}});
  CHECK(count_of(program, "exp") == 0);
  CHECK(fused_count(program) >= 2);
}

TEST_CASE("updates of two parameters in one loop see the old values") {
  const auto make = [](const char* name, std::uint64_t key) {
    return Parameter(name, normal(Key{key}, {33}));
  };
  const auto run = [&](const CompileOptions& options) {
    const Parameter p = make("p", 1);
    const Parameter q = make("q", 2);
    Graph g;
    const Var a = g.read(p);
    const Var b = g.read(q);
    // Each reads the other: neither may be written before both were read.
    Program program = compile({}, {assign(p, a - 0.1 * b), assign(q, b + 0.1 * a * a)}, options);
    for (int i = 0; i < 5; ++i) program.run();
    return std::pair{p.value().copy(), q.value().copy()};
  };
  const auto [p, q] = run({});
  const auto [plain_p, plain_q] = run(unfused);
  const auto [careful_p, careful_q] = run(CompileOptions{{"fuse", "overwrite"}});
  CHECK(same_bits(p, careful_p));
  CHECK(same_bits(q, careful_q));
  CHECK(same_bits(plain_p, careful_p));
  CHECK(same_bits(plain_q, careful_q));
}

TEST_CASE("a momentum update is one step, written in place") {
  const auto run = [](const CompileOptions& options) {
    const Parameter p("p", normal(Key{1}, {5000}));
    const Parameter v("v", zeros({5000}));
    Graph g;
    const Var gradient = g.input("gradient", {5000});
    const Var velocity = 0.9 * g.read(v) + gradient;
    Program program =
        compile({}, {assign(v, velocity), assign(p, g.read(p) - 0.1 * velocity)}, options);
    for (std::uint64_t i = 0; i < 3; ++i) program.run({{gradient, normal(Key{i}, {5000})}});
    return std::tuple{p.value().copy(), v.value().copy(), program.steps(),
                      program.memory().arena_bytes};
  };
  const auto [p, v, steps, bytes] = run({});
  const auto [plain_p, plain_v, plain_steps, plain_bytes] =
      run(CompileOptions{{"fuse", "overwrite"}});
  CHECK(same_bits(p, plain_p));
  CHECK(same_bits(v, plain_v));
  CHECK(steps == 1);
  CHECK(bytes == 0);
  CHECK(plain_bytes > 0);
}

TEST_CASE("long chains become several steps, and the result is the same") {
  Graph g;
  const Var x = g.input("x", {100});
  Var y = x;
  for (int i = 0; i < 1000; ++i) y = sin(y) + 0.5;
  const Program program = check({y}, {{x, normal(Key{1}, {100})}});
  CHECK(program.steps() < 20);
}

TEST_CASE("reductions join the loop that computes what they reduce") {
  struct Sample {
    Shape shape;
    std::vector<std::int64_t> axes;
  };
  const std::vector<Sample> samples{{{7}, {0}},
                                    {{5000}, {0}},
                                    {{200, 301}, {0, 1}},
                                    {{1, 70001}, {1}},
                                    {{1000, 3}, {1}},
                                    {{30, 200, 4}, {1, 2}},
                                    {{9, 5000}, {1}},
                                    {{17, 9000}, {-1}},
                                    {{5, 1, 4}, {0}},
                                    {{300, 7}, {0}},
                                    {{64, 1024}, {0}},
                                    {{1000, 130}, {0}},
                                    {{37, 3, 40}, {0, 1}},
                                    {{40, 1, 1}, {0, 2}}};
  for (const DType dtype : {float32, float64})
    for (const auto& [shape, axes] : samples) {
      const std::string text = to_string(shape);
      CAPTURE(text);
      Graph g;
      const Var x = g.input("x", shape, dtype);
      const Var last = g.input("last", {shape[shape.rank() - 1]}, dtype);
      const Var y = x * last + 0.5;
      const Program program =
          check({sum(y, axes), mean(sin(y), axes, true), max(y, axes), min(y * 2.0, axes),
                 any(y > 3.0, axes), all(y > -3.0, axes), sum(y > 0.0, axes)},
                {{x, normal(Key{1}, shape, 0, 1, dtype)},
                 {last, normal(Key{2}, {shape[shape.rank() - 1]}, 0, 1, dtype)}});
      CHECK(program.steps() == 1);
      CHECK(program.plan().nodes.back().op->info().doc.find("sum x2") != std::string_view::npos);
    }
}

TEST_CASE("a mean in a loop is right where its sum overflows") {
  for (const Shape& shape : {Shape{4}, Shape{3, 50}, Shape{1000, 70}, Shape{1, 6, 1}}) {
    CAPTURE(to_string(shape));
    for (const DType dtype : {float32, float64}) {
      Graph g;
      const Var x = g.input("x", shape, dtype);
      const Var y = mean(x * 0.5 + x * 0.25, {-1});
      const double huge = dtype == float32 ? 0x1p127 : 0x1p1023;
      const std::vector<double> values(static_cast<std::size_t>(shape.count()), huge);
      const Tensor fed = Tensor::from(values, shape).to(dtype);
      const Program program = check({y}, {{x, fed}});
      CHECK(fused_count(program) == 1);
      const Tensor means = compile({y}).run({{x, fed}})[y].to(float64).copy();
      for (const double value : std::as_const(means).data<double>()) CHECK(value == 0.75 * huge);
    }
  }
}

TEST_CASE("a mean over chunks of a loop is right where their sums overflow") {
  struct Sample {
    Shape shape;
    Ints axes;
  };
  const Sample samples[] = {{{2049}, {0}},       {{3, 3000}, {1}},       {{100000}, {0}},
                            {{5000, 8}, {0}},    {{70000, 2}, {0}},      {{3000000}, {0}},
                            {{1, 9000, 1}, {1}}, {{20000, 3, 5}, {0, 1}}};
  for (const auto& [shape, axes] : samples)
    for (const DType dtype : {float32, float64})
      for (const double share : {1.0, 0x1p-11}) {  // of chunks that overflow, or only together
        const std::string text = to_string(shape);
        CAPTURE(text);
        Graph g;
        const Var x = g.input("x", shape, dtype);
        const Var y = mean(abs(x), axes);
        const double each = share * (dtype == float32 ? 0x1p127 : 0x1p1023);
        const std::vector<double> values(static_cast<std::size_t>(shape.count()), -each);
        Program program = compile({y});
        CHECK(fused_count(program) == 1);
        const Tensor fed = Tensor::from(values, shape).to(dtype);
        const Tensor means = program.run({{x, fed}})[y].to(float64).copy();
        for (const double value : std::as_const(means).data<double>()) CHECK(value == each);
      }
}

TEST_CASE("a mean over chunks of a loop keeps infinities and NaN") {
  Graph g;
  const Var x = g.input("x", {5000, 8});
  const Var y = mean(x * 1.0 + 0.0, {0});
  std::vector<double> values(5000 * 8, 1.0);
  values[4000 * 8 + 1] = infinity;
  values[1] = 0x1p127;
  values[9] = 0x1p127;
  values[10] = not_a_number;
  values[2000 * 8 + 3] = infinity;
  values[3] = -infinity;
  for (std::size_t i = 0; i < 5000; ++i) values[i * 8 + 4] = i % 2 == 0 ? 0x1p127 : -0x1p127;
  const Tensor fed = Tensor::from(values, {5000, 8}).to(float32);
  const Tensor found = compile({y}).run({{x, fed}})[y].to(float64).copy();
  const auto means = std::as_const(found).data<double>();
  CHECK(means[0] == 1);
  CHECK(means[1] == infinity);
  CHECK(std::isnan(means[2]));
  CHECK(std::isnan(means[3]));
  CHECK(means[4] == 0);
  CHECK(means[5] == 1);
}

TEST_CASE("what is reduced may be a result too, and is no larger than it must be") {
  Graph g;
  const Var x = g.input("x", {300, 200});
  const Var y = exp(x) + 1.0;
  const Feed feed{x, normal(Key{1}, {300, 200})};
  Program both = check({y, sum(y), sum(y * x)}, {feed});
  CHECK(both.steps() == 1);
  CHECK(both.memory().arena_bytes < 300 * 200 * 4 + 1000);
  CHECK(check({sum(y * x)}, {feed}).memory().arena_bytes < 1000);
  // The quotient waits for the sum: two loops.
  CHECK(check({y / sum(y, {1}, true)}, {feed}).steps() == 2);
  // Other axes than those of the first: by itself.
  CHECK(check({sum(y), sum(y, {1})}, {feed}).steps() == 2);
  // Axes in the middle: not in chunks that lie together.
  const Var z = reshape(x, {30, 10, 200}) * 2.0;
  CHECK(fused_count(check({sum(z + 1.0, {1}), sum(z, {0, 2})}, {feed})) == 1);
}

TEST_CASE("random numbers are drawn inside a loop that reduces") {
  for (const Shape& shape : {Shape{70, 1000}, Shape{20000}, Shape{5, 10}}) {
    const std::string text = to_string(shape);
    CAPTURE(text);
    Graph g;
    const Var x = g.input("x", shape);
    const Var key = g.input("key", {}, int64);
    const Var noise = random_normal(key, shape) + random_rademacher(fold_key(key, 1), shape);
    const Program program = check({sum(x * noise), sum(noise, {-1}), max(x * noise)},
                                  {{x, normal(Key{1}, shape)}, {key, Key{5}.to_tensor()}});
    CHECK(count_of(program, "random_normal") == 0);
  }
}

TEST_CASE("reductions in loops have the same bits on any number of threads") {
  struct Sample {
    Shape shape;
    std::vector<std::int64_t> axes;
  };
  for (const auto& [shape, axes] :
       {Sample{{700001}, {0}}, Sample{{900, 401}, {1}}, Sample{{40, 20001}, {1}},
        Sample{{3001, 100}, {0}}, Sample{{20, 9, 3000}, {0, 1}}}) {
    const std::string text = to_string(shape);
    CAPTURE(text);
    Graph g;
    const Var x = g.input("x", shape);
    const Var y = g.input("y", {shape[shape.rank() - 1]});
    const Var z = x * y;
    const std::vector<Var> outputs{sum(z, axes), max(sin(z), axes), exp(z)};
    const std::vector<Feed> feeds{{x, normal(Key{1}, shape)},
                                  {y, normal(Key{2}, {shape[shape.rank() - 1]})}};
    Program plain = compile(outputs, {}, unfused);
    const Outputs expected = plain.run(feeds);
    for (const int threads : {1, 2, 3, 8})
      for (const auto& without : {std::vector<std::string>{}, {"fuse"}}) {
        Program program = compile(outputs, {}, CompileOptions{without, threads});
        const Outputs results = program.run(feeds);
        for (const Var& output : outputs) CHECK(same_bits(results[output], expected[output]));
      }
  }
}

TEST_CASE("a fold is not written over what its loop still reads") {
  const auto run = [](const CompileOptions& options) {
    const Parameter p("p", normal(Key{1}, {300}));
    Graph g;
    const Var x = g.input("x", {400, 300});
    const Var b = g.read(p);
    Program program = compile({}, {assign(p, sum(tanh(x + b), {0}))}, options);
    for (std::uint64_t i = 0; i < 3; ++i) program.run({{x, normal(Key{i}, {400, 300})}});
    return p.value().copy();
  };
  CHECK(same_bits(run({}), run(unfused)));
}

TEST_CASE("a loss and its slope are one loop") {
  Graph g;
  const Var x = g.input("x", {64, 10});
  const Var y = g.input("y", {64, 10});
  const Var dx = g.input("dx", {64, 10});
  const Var loss = mean(square(x - y));
  const Var slope = forward(loss, {x}, std::vector<Var>{dx});
  const Program program = check({loss, slope}, {{x, normal(Key{1}, {64, 10})},
                                                {y, normal(Key{2}, {64, 10})},
                                                {dx, normal(Key{3}, {64, 10})}});
  CHECK(program.steps() == 1);
}
