// What the library says of typical mistakes, word for word: the reviewed texts are in
// error_texts.txt. There `errors_test.cpp:@` stands for the line at fault, `errors_test.cpp:#` for
// another one of this file.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <thread>

#include <dualtape/core/kinds.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/modes/estimators.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/extremes.hpp>
#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/linalg.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/slice.hpp>

namespace dt = dualtape;

namespace {

std::map<std::string, std::string> read_texts() {
  std::ifstream file(DUALTAPE_SOURCE "/tests/core/error_texts.txt");
  REQUIRE(file.good());
  std::map<std::string, std::string> texts;
  std::string name;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("## ")) {
      name = line.substr(3);
      texts[name] = "";
    } else if (!name.empty() && !line.empty()) {
      texts[name] += (texts[name].empty() ? "" : "\n") + line;
    }
  }
  return texts;
}

// Folder and number of a line of this file out, marks in.
std::string marked(const std::string& text, unsigned at_fault) {
  const std::string file = std::string(__FILE__) + ":";
  std::string result;
  std::size_t from = 0;
  for (std::size_t at = text.find(file); at != std::string::npos; at = text.find(file, from)) {
    const std::size_t number = at + file.size();
    const std::size_t end = std::min(text.find_first_not_of("0123456789", number), text.size());
    const bool here = std::stoul(text.substr(number, end - number)) == at_fault;
    result += text.substr(from, at - from) + "errors_test.cpp:" + (here ? "@" : "#");
    from = end;
  }
  return result + text.substr(from);
}

// A mistake notes its own line before it happens.
using Mistake = std::function<void(unsigned& line)>;

template <class E>
void expect(const std::string& name, const Mistake& mistake) {
  static const std::map<std::string, std::string> texts = read_texts();
  CAPTURE(name);
  const auto wanted = texts.find(name);
  REQUIRE(wanted != texts.end());
  unsigned line = 0;
  try {
    mistake(line);
    FAIL("no error was thrown");
  } catch (const E& error) {
    const std::string got = marked(error.what(), line);
    INFO("error_texts.txt:\n" << wanted->second << "\nthrown:\n" << got);
    CHECK(got == wanted->second);
  }
}

// An operator that nobody can differentiate.
struct Median {
  static constexpr auto name = "median";
  static constexpr auto doc = "for tests";
  static constexpr auto reason = "the median's derivative is not implemented";
  static void infer(dt::Inference& inference) { inference.out = {{{}, inference.dtype(0)}}; }
  static void apply(std::span<const dt::Tensor>, std::span<dt::Tensor>, const dt::Attributes&) {}
  static std::vector<dt::Case> cases() { return {}; }
};
constexpr dt::NotDifferentiable<Median> median;

// Waits inside a run until told to go on, so that another program can get in its way.
struct Gate {
  std::atomic<bool> entered{false};
  std::atomic<bool> open{false};
};
Gate gate;
struct Wait {
  static constexpr auto name = "wait";
  static constexpr auto doc = "for tests";
  static constexpr auto reason = "it only waits";
  static void infer(dt::Inference& inference) { inference.out = {inference.in[0]}; }
  static void apply(std::span<const dt::Tensor> in, std::span<dt::Tensor> out,
                    const dt::Attributes&) {
    gate.entered = true;
    while (!gate.open) std::this_thread::yield();
    out[0].assign(in[0]);
  }
  static std::vector<dt::Case> cases() { return {}; }
};
constexpr dt::NotDifferentiable<Wait> wait_op;

struct Fixture {
  dt::Graph g;
  dt::Var images = g.input("images", {64, 784});
  dt::Var labels = g.input("labels", {64}, dt::int64);
  dt::Var hidden = g.input("hidden", {64, 10});
  dt::Var vector = g.input("vector", {3});
  dt::Parameter w{"w", dt::zeros({3})};
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "texts: shapes and axes") {
  expect<dt::ShapeError>("add of shapes that do not broadcast", [&](unsigned& line) {
    line = __LINE__ + 1;
    images + hidden;
  });
  expect<dt::ShapeError>("matmul of inner sizes that differ", [&](unsigned& line) {
    line = __LINE__ + 1;
    dt::matmul(images, hidden);
  });
  expect<dt::ShapeError>("axis out of range", [&](unsigned& line) {
    line = __LINE__ + 1;
    dt::sum(hidden, {2});
  });
  expect<dt::ShapeError>("reshape to another count", [&](unsigned& line) {
    line = __LINE__ + 1;
    dt::reshape(hidden, {64, 11});
  });
  expect<dt::ShapeError>("concat of sizes that differ", [&](unsigned& line) {
    line = __LINE__ + 1;
    dt::concat({images, vector}, 0);
  });
  expect<dt::ShapeError>("split into sizes that do not add up", [&](unsigned& line) {
    line = __LINE__ + 1;
    dt::split(hidden, {3, 4}, 1);
  });
  expect<dt::ValueError>("slice with a step of zero", [&](unsigned& line) {
    line = __LINE__ + 1;
    dt::slice(hidden, 1, 4, 12, 0);
  });
  expect<dt::ShapeError>("maximum of nothing", [&](unsigned& line) {
    const dt::Var empty = g.constant(dt::zeros({0, 3}));
    line = __LINE__ + 1;
    dt::max(empty, {0});
  });
  expect<dt::ShapeError>("inverse of a matrix that is not square", [&](unsigned& line) {
    line = __LINE__ + 1;
    dt::inverse(hidden);
  });
  expect<dt::ShapeError>("labels that do not match the logits", [&](unsigned& line) {
    const dt::Var few = g.input("few", {32}, dt::int64);
    line = __LINE__ + 1;
    dt::cross_entropy(hidden, few);
  });
}

TEST_CASE_FIXTURE(Fixture, "texts: dtypes") {
  expect<dt::TypeError>("logic on numbers", [&](unsigned& line) {
    line = __LINE__ + 1;
    dt::logical_and(hidden > 0, hidden);
  });
  expect<dt::TypeError>("labels that are no integers", [&](unsigned& line) {
    const dt::Var real = g.input("real", {64});
    line = __LINE__ + 1;
    dt::cross_entropy(hidden, real);
  });
  expect<dt::TypeError>("gradient by integers", [&](unsigned& line) {
    const dt::Var loss = dt::sum(hidden * dt::unsqueeze(labels, 1));
    line = __LINE__ + 1;
    dt::reverse(loss, {labels});
  });
  expect<dt::TypeError>("index that is no integer", [&](unsigned& line) {
    line = __LINE__ + 1;
    dt::take(hidden, vector);
  });
}

TEST_CASE_FIXTURE(Fixture, "texts: graphs") {
  expect<dt::GraphError>("operands of two graphs", [&](unsigned& line) {
    dt::Graph other;
    const dt::Var foreign = other.input("foreign", {3});
    line = __LINE__ + 1;
    vector + foreign;
  });
  expect<dt::GraphError>("empty Var", [&](unsigned& line) {
    const dt::Var nothing;
    line = __LINE__ + 1;
    vector + nothing;
  });
  expect<dt::GraphError>("two inputs of one name", [&](unsigned& line) {
    line = __LINE__ + 1;
    g.input("vector", {4});
  });
  expect<dt::GraphError>("operands without a graph", [&](unsigned& line) {
    line = __LINE__ + 1;
    dt::exp(w);
  });
  expect<dt::GraphError>("two assignments to one parameter", [&](unsigned& line) {
    const dt::Var value = g.read(w);
    const dt::Assign first = dt::assign(w, value * 2.0);
    line = __LINE__ + 1;
    const dt::Assign second = dt::assign(w, value * 3.0);
    dt::compile({}, {first, second});
  });
  expect<dt::ShapeError>("assignment of another shape", [&](unsigned& line) {
    const dt::Var value = dt::sum(g.read(w));
    line = __LINE__ + 1;
    dt::assign(w, value);
  });
  expect<dt::TypeError>("assignment of another dtype", [&](unsigned& line) {
    const dt::Var value = dt::cast(g.read(w), dt::float64);
    line = __LINE__ + 1;
    dt::assign(w, value);
  });
  expect<dt::GraphError>("outputs of two graphs", [&](unsigned& line) {
    dt::Graph other;
    const dt::Var foreign = other.input("foreign", {3});
    line = __LINE__ + 1;
    dt::compile({vector, foreign});
  });
}

TEST_CASE_FIXTURE(Fixture, "texts: running") {
  const dt::Var total = dt::sum(vector).named("total");
  dt::Program program = dt::compile({total});
  expect<dt::GraphError>("input that was not fed", [&](unsigned& line) {
    line = __LINE__ + 1;
    program.run({});
  });
  expect<dt::ShapeError>("feed of another shape", [&](unsigned& line) {
    line = __LINE__ + 1;
    program.run({{vector, dt::zeros({4})}});
  });
  expect<dt::TypeError>("feed of another dtype", [&](unsigned& line) {
    line = __LINE__ + 1;
    program.run({{vector, dt::zeros({3}, dt::float64)}});
  });
  expect<dt::GraphError>("feed for what is no input", [&](unsigned& line) {
    line = __LINE__ + 1;
    program.run({{total, dt::zeros({})}});
  });
  expect<dt::GraphError>("feed of another graph", [&](unsigned& line) {
    dt::Graph other;
    const dt::Var foreign = other.input("foreign", {3});
    line = __LINE__ + 1;
    program.run({{foreign, dt::zeros({3})}});
  });
  expect<dt::GraphError>("output that was not compiled", [&](unsigned& line) {
    const dt::Var twice = total * 2.0;
    line = __LINE__ + 1;
    static_cast<void>(program.run({{vector, dt::zeros({3})}})[twice]);
  });
  expect<dt::ValueError>("label out of range", [&](unsigned& line) {
    const dt::Var targets = g.input("targets", {2}, dt::int64);
    const dt::Var logits = g.input("logits", {2, 10});
    line = __LINE__ + 1;
    const dt::Var loss = dt::cross_entropy(logits, targets);
    dt::eval(loss,
             {{logits, dt::zeros({2, 10})}, {targets, dt::Tensor::of({3, 10}).to(dt::int64)}});
  });
  expect<dt::ValueError>("singular matrix", [&](unsigned& line) {
    const dt::Var matrix = g.input("matrix", {2, 2});
    line = __LINE__ + 1;
    const dt::Var inverse = dt::inverse(matrix).named("covariance inverse");
    dt::eval(inverse, {{matrix, dt::Tensor{{1, 2}, {2, 4}}}});
  });
  expect<dt::GraphError>("parameter that another running program writes", [&](unsigned& line) {
    gate.entered = gate.open = false;
    dt::Program slow = dt::compile({}, {dt::assign(w, wait_op(g.read(w)))});
    dt::Program quick = dt::compile({}, {dt::assign(w, g.read(w) * 2.0)});
    std::jthread runner([&] { slow.run(); });
    while (!gate.entered) std::this_thread::yield();
    struct Open {
      ~Open() { gate.open = true; }
    } const open_at_end;
    line = __LINE__ + 1;
    quick.run();
  });
}

TEST_CASE_FIXTURE(Fixture, "texts: derivatives") {
  const dt::Var loss = dt::sum(dt::square(hidden)).named("loss");
  expect<dt::ShapeError>("loss that is no number", [&](unsigned& line) {
    line = __LINE__ + 1;
    dt::reverse(hidden, {hidden});
  });
  expect<dt::DerivativeError>("input the loss does not depend on", [&](unsigned& line) {
    line = __LINE__ + 1;
    dt::reverse(loss, {vector});
  });
  expect<dt::DerivativeError>("input no output depends on, forward", [&](unsigned& line) {
    const dt::Var direction = g.constant(dt::ones({3}));
    line = __LINE__ + 1;
    dt::forward(loss, {vector}, {direction});
  });
  expect<dt::GraphError>("parameter the graph never reads", [&](unsigned& line) {
    line = __LINE__ + 1;
    dt::reverse(loss, {w});
  });
  expect<dt::DerivativeError>("operator without derivative", [&](unsigned& line) {
    line = __LINE__ + 1;
    const dt::Var middle = median(hidden).named("middle");
    dt::reverse(middle, {hidden});
  });
  expect<dt::ShapeError>("tangent of another shape", [&](unsigned& line) {
    line = __LINE__ + 1;
    dt::forward(loss, {hidden}, {vector});
  });
  expect<dt::GraphError>("gradient that was not asked for", [&](unsigned& line) {
    const dt::Gradients gradients = dt::reverse(loss, {hidden});
    line = __LINE__ + 1;
    static_cast<void>(gradients[vector]);
  });
  expect<dt::ValueError>("forward gradient without directions", [&](unsigned& line) {
    const dt::Var key = g.constant(dt::Key{1}.to_tensor());
    line = __LINE__ + 1;
    dt::forward_gradient(loss, {hidden}, key, {.count = 0});
  });
}

TEST_CASE_FIXTURE(Fixture, "texts: parameters and random keys") {
  expect<dt::ShapeError>("parameter set to another shape", [&](unsigned& line) {
    line = __LINE__ + 1;
    w.set(dt::zeros({4}));
  });
}

TEST_CASE("no reviewed text is left without its mistake") {
  std::ifstream self(DUALTAPE_SOURCE "/tests/core/errors_test.cpp");
  const std::string source{std::istreambuf_iterator<char>(self), {}};
  const std::map<std::string, std::string> texts = read_texts();
  CHECK(texts.size() >= 20);
  for (const auto& text : texts) {
    CAPTURE(text.first);
    CHECK(!text.second.empty());
    CHECK(source.find('"' + text.first + '"') != std::string::npos);
  }
}
