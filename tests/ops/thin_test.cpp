// The passes on products: what they leave in the plan, and that results stay what they were.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <dualtape/core/program.hpp>
#include <dualtape/modes/estimators.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/convolution.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/random.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

using namespace dualtape;

namespace {

std::ptrdiff_t count_of(const Plan& plan, std::string_view op) {
  return std::ranges::count_if(plan.nodes, [&](const PlanNode& n) { return n.op->name() == op; });
}
const CompileOptions plain{{"thin", "stack_products", "accumulate", "hasten"}};

// Leaves of one graph with values, in float64 unless told otherwise.
struct Leaves {
  Graph graph;
  std::vector<Feed> feeds;
  DType dtype = float64;

  Var add(const Shape& shape) {
    const std::string name = "x" + std::to_string(feeds.size());
    const Var var = graph.input(name, shape, dtype);
    feeds.emplace_back(var, normal(Key{9}.fold(name), shape, 0, 1, dtype));
    return var;
  }
};

double tolerance(DType dtype) { return dtype == float64 ? 1e-12 : 1e-4; }

// Runs with and without the passes on products, which must agree; returns the plan with them.
Plan checked(const Leaves& leaves, const std::vector<Var>& outputs) {
  Program with = compile(outputs, {}, {.reassociate = true});
  Program without = compile(outputs, {}, plain);
  CHECK(count_of(without.plan(), "matmul_add") == 0);
  const Outputs got = with.run(leaves.feeds);
  const Outputs wanted = without.run(leaves.feeds);
  for (const Var out : outputs) {
    double size = 1;
    const Tensor wide = wanted[out].to(float64);
    for (const double x : wide.data<double>()) size = std::max(size, std::abs(x));
    CHECK(all_close(got[out].to(float64), wide, 0, size * tolerance(leaves.dtype)));
  }
  return with.plan();
}

// The largest number of multiplications of one product.
std::int64_t largest_product(const Plan& plan) {
  std::int64_t largest = 0;
  for (const PlanNode& node : plan.nodes) {
    const bool is_add = node.op->name() == "matmul_add";
    if (!is_add && node.op->name() != "matmul") continue;
    const Shape& a = plan.values[plan.operands_of(node)[is_add ? 1 : 0]].shape;
    const std::int64_t k = a[node.attributes.get<bool>("transpose_a") ? 0 : 1];
    largest = std::max(largest, plan.values[node.first_value].shape.count() * k);
  }
  return largest;
}

}  // namespace

TEST_CASE("a sum or difference with a product is written by the product") {
  for (const DType dtype : {float32, float64})
    for (const bool ta : {false, true})
      for (const bool tb : {false, true}) {
        Leaves leaves;
        leaves.dtype = dtype;
        const Var c = leaves.add({5, 7});
        const Var s = leaves.add({});
        const Var t = leaves.add({});
        const Var a = leaves.add(ta ? Shape{3, 5} : Shape{5, 3});
        const Var b = leaves.add(tb ? Shape{7, 3} : Shape{3, 7});
        const auto product = [&] { return matmul(a, b, {ta, tb}); };
        for (const Var sum :
             {c + product(), product() + c, c - product(), c - s * product(), c + product() * s,
              c - s * (t * product()), c - -(product() * s), exp(c) - s * product()}) {
          CAPTURE(to_string(compile({sum}).plan()));
          const Plan plan = checked(leaves, {sum});
          CHECK(count_of(plan, "matmul_add") == 1);
          CHECK(count_of(plan, "matmul") == 0);
          CHECK(count_of(plan, "sub") == 0);
        }
      }
}

TEST_CASE("of two products one is added to the other") {
  Leaves leaves;
  const Var sum = matmul(leaves.add({4, 5}), leaves.add({5, 6})) +
                  matmul(leaves.add({4, 3}), leaves.add({3, 6}));
  const Plan plan = checked(leaves, {sum});
  CHECK(count_of(plan, "matmul") == 1);
  CHECK(count_of(plan, "matmul_add") == 1);
}

TEST_CASE("a product that is read elsewhere, stretched, batched or subtracted from stays") {
  Leaves leaves;
  const Var a = leaves.add({4, 5});
  const Var b = leaves.add({5, 6});
  const Var row = leaves.add({6});
  const Var c = leaves.add({4, 6});
  const Var shared = matmul(a, b);
  CHECK(count_of(checked(leaves, {c + shared, exp(shared)}), "matmul_add") == 0);
  CHECK(count_of(checked(leaves, {matmul(a, b) + row}), "matmul_add") == 0);
  CHECK(count_of(checked(leaves, {matmul(a, b) - c}), "matmul_add") == 0);
  CHECK(count_of(checked(leaves, {shared + shared}), "matmul_add") == 0);
  const Var batched = matmul(leaves.add({2, 4, 5}), b) + leaves.add({2, 4, 6});
  CHECK(count_of(checked(leaves, {batched}), "matmul_add") == 0);
}

TEST_CASE("a small update of a large value is rounded once, by products with vectors too") {
  constexpr std::int64_t terms = 1024;
  for (const Shape& shape : {Shape{16, 1}, Shape{1, 16}, Shape{4, 4}}) {
    Graph g;
    const Var a = g.input("a", {shape[0], terms});
    const Var b = g.input("b", {terms, shape[1]});
    const Var c = g.input("c", shape);
    const Var out = c - 0x1p-20 * matmul(a, b);
    const Tensor a_is = uniform(Key{1}, a.shape());
    const Tensor b_is = uniform(Key{2}, b.shape());
    const Tensor c_is = uniform(Key{3}, c.shape(), 1.25, 1.75);
    const Tensor got = eval(out, {{a, a_is}, {b, b_is}, {c, c_is}}).to(float64);
    const auto row = a_is.to(float64);
    const auto column = b_is.to(float64);
    const auto before = c_is.to(float64);
    for (std::int64_t i = 0; i < shape[0]; ++i)
      for (std::int64_t j = 0; j < shape[1]; ++j) {
        double sum = 0;
        for (std::int64_t k = 0; k < terms; ++k)
          sum += row.data<double>()[static_cast<std::size_t>(i * terms + k)] *
                 column.data<double>()[static_cast<std::size_t>(k * shape[1] + j)];
        const auto place = static_cast<std::size_t>(i * shape[1] + j);
        const double exact = before.data<double>()[place] - 0x1p-20 * sum;
        // Half of the last digit of numbers in [1, 2), and a little for the product itself.
        CHECK(std::abs(got.data<double>()[place] - exact) < 0.75 * 0x1p-23);
      }
  }
}

TEST_CASE("a product added to its own factor does not run over it") {
  Leaves leaves;
  const Var h = exp(leaves.add({6, 6}));
  const Var w = leaves.add({6, 6});
  CHECK(count_of(checked(leaves, {h + matmul(h, w)}), "matmul_add") == 1);
  CHECK(count_of(checked(leaves, {h - matmul(w, h)}), "matmul_add") == 1);
}

TEST_CASE("a step of gradient descent writes every update over its parameter") {
  for (const DType dtype : {float32, float64}) {
    std::vector<std::vector<Tensor>> results;
    for (const CompileOptions& options : {CompileOptions{}, plain}) {
      Graph g;
      std::vector<Parameter> parameters;
      std::vector<Wrt> wrt;
      Var h = g.input("x", {8, 5}, dtype);
      const Var y = g.input("y", {8}, int64);
      const Var lr = g.input("lr", {}, dtype);
      const std::vector<Feed> feeds{{h, normal(Key{1}, {8, 5}, 0, 1, dtype)},
                                    {y, Tensor::of({0, 1, 2, 3, 0, 1, 2, 3})},
                                    {lr, Tensor(0.1).to(dtype)}};
      const std::vector<std::int64_t> sizes{5, 7, 6, 4};
      for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
        const std::string number = std::to_string(i);
        const Parameter w("w" + number,
                          normal(Key{2}.fold(number), {sizes[i], sizes[i + 1]}, 0, 0.5, dtype));
        const Parameter b("b" + number, zeros({sizes[i + 1]}, dtype));
        h = matmul(h, w) + b;
        if (i + 2 < sizes.size()) h = relu(h);
        for (const Parameter& p : {w, b}) {
          parameters.push_back(p);
          wrt.emplace_back(p);
        }
      }
      const Var loss = cross_entropy(h, y);
      const Gradients gradients = reverse(loss, wrt);
      std::vector<Assign> assigns;
      for (const Parameter& p : parameters)
        assigns.push_back(assign(p, g.read(p) - lr * gradients[p]));
      Program step = compile({loss}, assigns, options);
      if (options.without.empty()) {
        CAPTURE(to_string(step.plan()));
        CHECK(count_of(step.plan(), "matmul_add") == 3);
        for (const PlanAssign& a : step.plan().assigns) CHECK(a.in_place);
        CHECK(step.memory().peak_update_bytes <= 7 * sizeof(double) * 2 * 64);
      }
      for (int i = 0; i < 5; ++i) step.run(feeds);
      std::vector<Tensor> values;
      for (const Parameter& p : parameters) values.push_back(p.value().to(float64).copy());
      results.push_back(values);
    }
    for (std::size_t i = 0; i < results[0].size(); ++i)
      CHECK(all_close(results[0][i], results[1][i], 0, dtype == float64 ? 1e-13 : 1e-5));
  }
}

TEST_CASE("an update runs behind the last reader of its parameter") {
  Leaves leaves;
  const Parameter w("w", ones({4, 4}, float64));
  const Var read = leaves.graph.read(w);
  const Var x = leaves.add({4, 4});
  const Var next = read - matmul(x, x);
  const Var late = sum(exp(sin(exp(x))) * read);
  Program program = compile({late}, {assign(w, next)});
  CHECK(program.plan().assigns[0].in_place);
  const double first = program.run(leaves.feeds)[late].item();
  const Tensor weights = leaves.feeds[0].value;
  double expected = 0;  // with w still ones
  for (const double v : weights.data<double>()) expected += std::exp(std::sin(std::exp(v)));
  CHECK(first == doctest::Approx(expected).epsilon(1e-12));
  double corner = 1;
  for (std::int64_t k = 0; k < 4; ++k) corner -= weights.at({0, k}) * weights.at({k, 0});
  CHECK(w.value().at({0, 0}) == doctest::Approx(corner).epsilon(1e-12));
}

TEST_CASE("gradients and what is drawn for an update do not wait for each other") {
  constexpr std::int64_t width = 64;
  constexpr int layers = 12;
  const auto use = [](bool drawn, const CompileOptions& options) {
    Graph g;
    Var h = g.input("x", {4, width});
    std::vector<Parameter> parameters;
    std::vector<Wrt> wrt;
    for (int i = 0; i < layers; ++i) {
      const Parameter w("w" + std::to_string(i),
                        normal(Key{1}.fold(std::to_string(i)), {width, width}, 0, 0.1));
      parameters.push_back(w);
      wrt.emplace_back(w);
      h = tanh(matmul(h, w));
    }
    const Var loss = sum(square(h));
    const Gradients gradients = reverse(loss, wrt);
    const Var key = g.input("key", {}, int64);
    std::vector<Assign> assigns;
    for (int i = 0; i < layers; ++i) {
      const Parameter& p = parameters[static_cast<std::size_t>(i)];
      const Var v = random_normal(fold_key(key, i), p.shape());
      const Var step = drawn ? loss * v : square(gradients[p]) + gradients[p];
      assigns.push_back(assign(p, g.read(p) - step));
    }
    const Program program = compile({loss}, assigns, options);
    for (const PlanAssign& a : program.plan().assigns) CHECK(a.in_place);
    const MemoryUse memory = program.memory();
    return memory.peak_update_bytes + memory.peak_direction_bytes;
  };
  const std::size_t one = width * width * sizeof(float);
  CHECK(use(false, {}) <= 4 * one);
  CHECK(use(false, {{"hasten"}}) >= layers * one);
  CHECK(use(true, {}) <= 2 * one);
}

TEST_CASE("x (a b) is (x a) b, from either side and with every flag") {
  constexpr std::int64_t m = 6;
  constexpr std::int64_t k = 20;
  constexpr std::int64_t n = 16;
  for (const std::int64_t r : {1, 2})
    for (const bool tx : {false, true})
      for (const bool tv : {false, true})
        for (const bool ta : {false, true})
          for (const bool tb : {false, true}) {
            Leaves leaves;
            // V = op(a) op(b) is k x n, or n x k where the product transposes it.
            const std::int64_t v_rows = tv ? n : k;
            const std::int64_t v_columns = tv ? k : n;
            const Var a = leaves.add(ta ? Shape{r, v_rows} : Shape{v_rows, r});
            const Var b = leaves.add(tb ? Shape{v_columns, r} : Shape{r, v_columns});
            const Var v = matmul(a, b, {ta, tb});
            const Var x = leaves.add(tx ? Shape{k, m} : Shape{m, k});
            const Var y = leaves.add(tx ? Shape{m, n} : Shape{n, m});
            const Plan right = checked(leaves, {matmul(x, v, {tx, tv})});
            CHECK(count_of(right, "matmul") == 2);
            CHECK(largest_product(right) <= m * k * r);
            const Plan left = checked(leaves, {matmul(v, y, {tv, tx})});
            CHECK(count_of(left, "matmul") == 2);
            CHECK(largest_product(left) <= m * k * r);
            // Two users are each rewritten, and the product is never made.
            const Plan both = checked(leaves, {matmul(x, v, {tx, tv}), matmul(v, y, {tv, tx})});
            CHECK(count_of(both, "matmul") == 4);
            CHECK(largest_product(both) <= m * k * r);
          }
}

TEST_CASE("thin products in sums and behind factors are found, dear ones are left") {
  Leaves leaves;
  const Var x = leaves.add({6, 20});
  const Var s = leaves.add({});
  const auto thin = [&] { return matmul(leaves.add({20, 1}), leaves.add({1, 16})); };
  CHECK(largest_product(checked(leaves, {matmul(x, s * thin())})) <= 6 * 20);
  CHECK(largest_product(checked(leaves, {matmul(x, thin() - s * thin())})) <= 6 * 20);
  CHECK(largest_product(checked(leaves, {matmul(x, -thin() + thin() * s * s)})) <= 6 * 20);
  // With r = 12 the product from the left costs more, and so does a sum with a whole matrix.
  const Var thick = matmul(leaves.add({20, 12}), leaves.add({12, 16}));
  CHECK(largest_product(checked(leaves, {matmul(x, thick), exp(thick)})) == 20 * 16 * 12);
  CHECK(count_of(checked(leaves, {matmul(x, thin() + leaves.add({20, 16}))}), "matmul") == 1);
}

TEST_CASE("the thin direction of an update is not formed") {
  Leaves leaves;
  const Parameter w("w", normal(Key{3}, {20, 16}, 0, 1, float64));
  const Var a = leaves.add({20, 1});
  const Var b = leaves.add({1, 16});
  const Var x = leaves.add({6, 20});
  const Var v = matmul(a, b);
  const Var slope = forward(sum(square(matmul(x, w))), {w}, std::vector<Var>{v});
  const Var lr = leaves.add({});
  Program step =
      compile({slope}, {assign(w, leaves.graph.read(w) - lr * slope * v)}, {.reassociate = true});
  CAPTURE(to_string(step.plan()));
  for (const PlanNode& node : step.plan().nodes)
    if (node.op->name() != "matmul_add" && node.operand_count > 0)
      for (std::uint32_t i = 0; i < node.value_count; ++i)
        CHECK(step.plan().values[node.first_value + i].shape.count() < 20 * 16);
  CHECK(step.plan().assigns[0].in_place);
  const Tensor before = w.value().copy();
  const double along = step.run(leaves.feeds)[slope].item();
  const double rate = leaves.feeds[3].value.item();
  const double moved = before.at({4, 5}) - rate * along * leaves.feeds[0].value.at({4, 0}) *
                                               leaves.feeds[1].value.at({0, 5});
  CHECK(w.value().at({4, 5}) == doctest::Approx(moved).epsilon(1e-12));
}

namespace {

// All of them written as they are multiplied, at magnitudes where no other order would do.
struct Extremes {
  Graph graph;
  std::vector<Feed> feeds;
  Var add(const Shape& shape, double value) {
    const Var x = graph.input("x" + std::to_string(feeds.size()), shape);
    feeds.emplace_back(x, full(shape, value));
    return x;
  }
  void check(Var y, double wanted) {
    Program program = compile({y});
    CAPTURE(to_string(program.plan()));
    const Tensor got = program.run(feeds)[y].copy();
    for (const float value : got.data<float>())
      CHECK(static_cast<double>(value) == doctest::Approx(wanted).scale(0).epsilon(1e-6));
  }
};

}  // namespace

TEST_CASE("a user's products are multiplied in the user's order, at every magnitude") {
  Extremes e;
  const Var huge = e.add({4, 20}, 1e30);
  const Var column = e.add({20, 1}, 1e30);
  const Var row = e.add({1, 16}, 1e-30);
  e.check(matmul(huge, matmul(column, row)), 20e30);  // not (huge column) row
  e.check(matmul(matmul(transpose(row), transpose(column)), transpose(huge)), 20e30);
  e.check(matmul(huge, -matmul(column, row)), -20e30);
  const Var s = e.add({}, 1e-25);
  const Var t = e.add({}, 1e-25);
  const Var wide = e.add({20, 16}, 1e30);
  e.check(matmul(huge, s * wide), 20e35);  // not s (huge wide)
  const Var c = e.add({20, 16}, 0);
  e.check(c + t * (s * matmul(column, e.add({1, 16}, 1))), 1e-20);  // not (t s) (...)
  const Var scale = e.add({}, 1e20);
  e.check(c + scale * matmul(column, row), 1e20);  // not (scale column) row
  e.check(scale * matmul(column, row) + scale * matmul(column, row), 2e20);  // the same
  const Var filters = reshape(matmul(e.add({8, 1}, 1e-30), e.add({1, 27}, 1e30)), {8, 3, 3, 3});
  e.check(conv2d(e.add({1, 3, 3, 3}, 1e30), filters), 27e30);  // not (x b) a
}

TEST_CASE("a factor of 0 leaves no trace of numbers, but of NaN and infinities") {
  for (const std::int64_t inner : {1, 3, 70}) {
    Parameter w("w", ones({2, 2}));
    Graph g;
    const Var x = g.input("x", {inner, 2});
    const Var rate = g.input("rate", {});
    const Gradients gradient =
        reverse(sum(square(matmul(g.read(w), transpose(x)))), std::vector<Wrt>{w});
    Program step = compile({}, {assign(w, g.read(w) - rate * gradient[w])});
    CAPTURE(to_string(step.plan()));
    step.run({{x, ones({inner, 2})}, {rate, 0}});
    CHECK(identical(w.value(), ones({2, 2})));
    Tensor bad = ones({inner, 2});
    bad.data<float>()[1] = INFINITY;
    step.run({{x, bad}, {rate, 0}});
    for (const float value : w.value().data<float>()) CHECK(std::isnan(value));
  }
}

TEST_CASE("transposed operands become flags, and factors leave the larger matrix") {
  Leaves leaves;
  const Var x = leaves.add({20, 6});
  const Var w = leaves.add({16, 20});
  const Plan flags = checked(leaves, {matmul(transpose(x), transpose(w))});
  CHECK(count_of(flags, "permute") == 0);
  CHECK(count_of(flags, "matmul") == 1);
  const Plan batched =
      checked(leaves, {matmul(permute(leaves.add({2, 3, 4}), {0, 2, 1}), leaves.add({2, 3, 5}))});
  CHECK(count_of(batched, "permute") == 0);
  const Plan other_axes =
      checked(leaves, {matmul(permute(leaves.add({2, 3, 4}), {1, 0, 2}), leaves.add({4, 5}))});
  CHECK(count_of(other_axes, "permute") == 1);

  const Plan scaled = checked(leaves, {matmul(w * leaves.add({}), x)});
  const auto mul = std::ranges::find(scaled.nodes, std::string_view("mul"),
                                     [](const PlanNode& n) { return n.op->name(); });
  REQUIRE(mul != scaled.nodes.end());
  CHECK(scaled.values[mul->first_value].shape == Shape{16, 6});
}

namespace {

struct Deep {
  Leaves leaves;
  Var loss;
  Var slope;

  Deep(int layers, std::int64_t width, std::int64_t batch, DType dtype) {
    leaves.dtype = dtype;
    Var h = leaves.add({batch, width});
    std::vector<Wrt> wrt;
    std::vector<Var> directions;
    for (int i = 0; i < layers; ++i) {
      const Var w = leaves.add({width, width});
      wrt.emplace_back(w);
      directions.push_back(leaves.add({width, width}));
      h = tanh(matmul(h, w * 0.05));
    }
    loss = sum(square(h));
    slope = forward(loss, wrt, directions);
  }
};

}  // namespace

TEST_CASE("primal and tangent share one product with a large weight") {
  for (const DType dtype : {float32, float64}) {
    Deep deep(3, 128, 4, dtype);
    const Plan plan = checked(deep.leaves, {deep.loss, deep.slope});
    CAPTURE(to_string(plan));
    CHECK(count_of(plan, "stacked_matmul") == 2);  // the first layer's input has no tangent
    CHECK(plan.adjacent.size() == 4);
    const Placement placement = place(plan);
    for (const auto& [first, second] : plan.adjacent)
      CHECK(placement.values[second].offset ==
            placement.values[first].offset + bytes_of(plan.values[first]));
  }
  const Deep narrow(3, 16, 4, float32);
  CHECK(count_of(compile({narrow.loss, narrow.slope}).plan(), "stacked_matmul") == 0);
}

TEST_CASE("stacked products leave forward mode's memory flat in depth") {
  const auto use = [](int layers) {
    const Deep deep(layers, 128, 4, float32);
    const Program program = compile({deep.loss, deep.slope});
    CHECK(count_of(program.plan(), "stacked_matmul") == layers - 1);
    return program.memory();
  };
  const MemoryUse at_4 = use(4);
  const MemoryUse at_24 = use(24);
  CHECK(at_24.peak_activation_bytes == at_4.peak_activation_bytes);
  CHECK(at_24.arena_bytes == at_4.arena_bytes);
}
