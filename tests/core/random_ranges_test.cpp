// Random graphs over the whole range of their dtype: what a program computes is what its nodes
// compute one by one, each in a program of its own that is fed what came before, bit for bit.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <dualtape/core/leaves.hpp>
#include <dualtape/core/pass.hpp>
#include <dualtape/dualtape.hpp>

#include "random_graphs.hpp"
#include "tests/sanitizers.hpp"
#include "wild_numbers.hpp"

using namespace dualtape;
using namespace dualtape::testing;

namespace {

std::vector<std::string> all_optional_passes() {
  std::vector<std::string> names;
  for (const Pass& pass : passes())
    if (pass.optional) names.emplace_back(pass.name);
  return names;
}

// The values of a plan without passes, each node alone.
class OneByOne {
 public:
  explicit OneByOne(const std::vector<Feed>& feeds) : feeds_(feeds) {}

  std::vector<Tensor> run(const Plan& plan) {
    std::vector<Tensor> values(plan.values.size());
    for (const PlanNode& node : plan.nodes) {
      std::vector<Tensor> in;
      for (const ValueId v : plan.operands_of(node)) in.push_back(values[v]);
      const std::vector<Tensor> out = is_leaf(*node.op) ? leaf(node) : alone(node, in);
      std::ranges::copy(out, values.begin() + node.first_value);
    }
    return values;
  }

 private:
  std::vector<Tensor> leaf(const PlanNode& node) const {
    if (node.op == &constant_op()) return {node.attributes.get<Tensor>("value")};
    if (node.op == &parameter_op())
      return {node.attributes.get<Parameter>("parameter").value().copy()};
    for (const Feed& feed : feeds_)
      if (feed.input.id() == node.source) return {feed.value};
    return {};
  }
  static std::vector<Tensor> alone(const PlanNode& node, const std::vector<Tensor>& in) {
    static const std::vector<std::string> nothing = all_optional_passes();
    Graph g;
    std::vector<In> operands;
    std::vector<Feed> feeds;
    for (std::size_t i = 0; i < in.size(); ++i) {
      feeds.emplace_back(g.input(std::to_string(i), in[i].shape(), in[i].dtype()), in[i]);
      operands.emplace_back(feeds.back().input);
    }
    const std::vector<Var> out =
        apply_all(*node.op, std::span<const In>(operands), node.attributes);
    Program program = compile(out, {}, CompileOptions{nothing});
    const Outputs results = program.run(feeds);
    std::vector<Tensor> values;
    for (const Var y : out) values.push_back(results[y].copy());
    return values;
  }

  const std::vector<Feed>& feeds_;
};

bool multiplies_matrices(const Plan& plan) {
  return std::ranges::any_of(plan.nodes,
                             [](const PlanNode& node) { return node.op->name() == "matmul"; });
}

struct Tally {
  int compared = 0;
  int with_products = 0;
};

// What is wrong with the graph; "" if nothing is.
std::string failure(RandomGraph& graph, Tally& tally) {
  const auto start = [&] {
    for (std::size_t i = 0; i < graph.parameters.size(); ++i)
      graph.parameters[i].set(graph.starts[i]);
  };
  start();
  const Plan plan = make_plan(graph.outputs, graph.assigns);
  // Those that add up in another order are for graphs without products; a user's own are never
  // gathered.
  CompileOptions options;
  if (multiplies_matrices(plan)) {
    options.without = {"thin", "stack_products", "accumulate"};
    if (graph.mode != GraphMode::plain)
      options.without.insert(options.without.end(), {"sum_products", "collapse"});
    ++tally.with_products;
  }
  ++tally.compared;
  const std::vector<Tensor> wanted = OneByOne(graph.feeds).run(plan);
  start();
  Program program = compile(graph.outputs, graph.assigns, options);
  const Outputs got = program.run(graph.feeds);
  const auto differs = [&](const std::string& what, const Tensor& is, const Tensor& was) {
    return what + ": in one program " + to_string(is.reshape({-1})) + ", one by one " +
           to_string(was.reshape({-1})) + " (" + graph.story + ")\n" + to_string(plan) + "after\n" +
           to_string(program.plan());
  };
  for (std::size_t i = 0; i < graph.outputs.size(); ++i) {
    const Tensor& is = got[graph.outputs[i]];
    const Tensor& was = wanted[plan.outputs[i]];
    if (!same_elements(is, was)) return differs("output " + std::to_string(i), is, was);
  }
  for (const PlanAssign& a : plan.assigns) {
    const Tensor& is = a.parameter.value();
    if (!same_elements(is, wanted[a.value]))
      return differs(a.parameter.name(), is, wanted[a.value]);
  }
  return {};
}

std::uint64_t count_of(std::uint64_t count) {
  return address_sanitizer || thread_sanitizer ? count / 5 : count;
}

}  // namespace

TEST_CASE("at every magnitude a program computes what its nodes compute one by one") {
  std::uint64_t first = 0;
  std::uint64_t count = count_of(600);
  if (const char* text = std::getenv("DUALTAPE_GRAPHS")) {  // first:count, as of random_graphs_test
    char* end = nullptr;
    first = std::strtoull(text, &end, 10);
    count = *end == ':' ? std::strtoull(end + 1, nullptr, 10) : 1;
  }
  Tally tally;
  int failures = 0;
  for (std::uint64_t seed = first; seed < first + count && failures < 3; ++seed) {
    CAPTURE(seed);
    RandomGraph whole = wild_graph(seed);
    std::string text = failure(whole, tally);
    if (text.empty()) continue;
    ++failures;
    Tally ignored;
    for (int steps = 0; steps < 40; ++steps) {  // the first after which it is wrong
      RandomGraph part = wild_graph(seed, steps);
      const std::string smaller = failure(part, ignored);
      if (smaller.empty()) continue;
      text = smaller;
      break;
    }
    FAIL_CHECK(text);
  }
  MESSAGE(tally.compared << " graphs, " << tally.with_products << " with products of matrices");
  CHECK(tally.compared - tally.with_products >= tally.compared / 8);
}

namespace {

// Integers of every size, inputs and constants, through what takes integers.
RandomGraph integer_graph(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto pick = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  RandomGraph result;
  result.graph = std::make_unique<Graph>();
  result.dtype = pick(2) == 0 ? int32 : int64;
  result.story = "seed " + std::to_string(seed);
  const std::vector<Shape> shapes{{}, {3}, {2, 3}};
  std::vector<Var> values;
  for (int i = 0; i < 4; ++i) {
    const Tensor numbers = wild_numbers(random, shapes[pick(3)], result.dtype);
    if (i > 0 && pick(2) == 0) {
      values.push_back(result.graph->constant(numbers));
      continue;
    }
    const Var x = result.graph->input("x" + std::to_string(i), numbers.shape(), numbers.dtype());
    result.feeds.emplace_back(x, numbers);
    values.push_back(x);
  }
  const auto literal = [&] { return static_cast<std::int64_t>(random() >> pick(60)); };
  for (std::size_t steps = 4 + pick(12); steps > 0; --steps) {
    const Var x = values[pick(values.size())];
    const Var y = values[pick(values.size())];
    const std::int64_t n = literal();
    switch (pick(14)) {
      case 0: values.push_back(x + y); break;
      case 1: values.push_back(x - y); break;
      case 2: values.push_back(x * y); break;
      case 3: values.push_back(x + n); break;
      case 4: values.push_back(n - x); break;
      case 5: values.push_back(x * n); break;
      case 6: values.push_back(x * 1); break;
      case 7: values.push_back(-(-x)); break;
      case 8: values.push_back(maximum(x, y)); break;
      case 9: values.push_back(clamp(x, -n, n)); break;
      case 10: values.push_back(where(x < y, x, y)); break;
      case 11: values.push_back(where(x > n, x, n)); break;
      case 12: values.push_back(abs(x)); break;
      default: values.push_back(sum(x, {}, true)); break;
    }
  }
  for (int i = 0; i < 3; ++i) result.outputs.push_back(values[values.size() - 1 - pick(4)]);
  return result;
}

}  // namespace

TEST_CASE("programs of integers compute what their nodes compute one by one") {
  Tally tally;
  for (std::uint64_t seed = 0; seed < count_of(600); ++seed) {
    CAPTURE(seed);
    RandomGraph graph = integer_graph(seed);
    const std::string text = failure(graph, tally);
    CHECK_MESSAGE(text.empty(), text);
    if (!text.empty()) return;
  }
}

TEST_CASE("what is computed of constants is what is computed of feeds, at every magnitude") {
  std::mt19937_64 random(1);
  for (const DType dtype : {float32, float64})
    for (int round = 0; round < 200; ++round) {
      const Tensor a = wild_numbers(random, {6}, dtype);
      const Tensor b = wild_numbers(random, {6}, dtype);
      Graph g;
      const Var x = g.input("x", {6}, dtype);
      const Var y = g.input("y", {6}, dtype);
      const Var k = g.constant(a);
      const Var l = g.constant(b);
      const auto of = [](Var p, Var q) {
        return std::vector<Var>{p + q,        p - q,         p * q,
                                p / q,        p * q + p,     sqrt(p),
                                square(p),    reciprocal(p), exp(p),
                                tanh(p),      maximum(p, q), p * 1.0,
                                -(-p),        sum(p * q),    logsumexp(p),
                                abs(p) * 2.0, log1p(p),      where(p < q, p, q * 0.5)};
      };
      const std::vector<Var> fed = of(x, y);
      const std::vector<Var> folded = of(k, l);
      Program one = compile(fed);
      Program other = compile(folded);
      const Outputs got = one.run({{x, a}, {y, b}});
      const Outputs wanted = other.run();
      for (std::size_t i = 0; i < fed.size(); ++i) {
        CAPTURE(i);
        CAPTURE(a);
        CAPTURE(b);
        CHECK(same_elements(got[fed[i]], wanted[folded[i]]));
      }
    }
}
