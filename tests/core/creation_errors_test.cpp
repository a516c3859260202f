// What makes tensors names itself and the user's line where it cannot.
#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include <dualtape/core/graph.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/core/random.hpp>
#include <dualtape/core/tensor.hpp>
#include <tests/errors.hpp>
#include <tests/sanitizers.hpp>

using namespace dualtape;

namespace {

constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
constexpr auto strange = static_cast<DType>(99);

// `act` throws an E that has `part` and a line of this file.
template <class E, class F>
void told(const char* part, const F& act) {
  CAPTURE(part);
  const std::string text = testing::error_of<E>(act);
  CHECK(testing::has(text, part));
  CHECK(testing::has(text, "creation_errors_test.cpp:"));
}

}  // namespace

TEST_CASE("a wrong Shape names the line where it is written") {
  told<ShapeError>("[Shape] negative size -1 in (-1,)", [] { Shape{-1}; });
  told<ShapeError>("[Shape] negative size -2", [] { Shape(std::vector<std::int64_t>{3, -2}); });
  told<SizeError>("[Shape] too many elements", [] { Shape{most, 2}; });
  told<ShapeError>("negative size -3", [] { zeros({-3}); });
  told<ShapeError>("negative size -3", [] { uniform(Key{1}, {2, -3}); });
  told<ShapeError>("negative size -3", [] { Graph().input("x", {-3}); });
}

TEST_CASE("what is no dtype is refused wherever one is taken") {
  told<TypeError>("[zeros] there is no dtype of the number 99", [] { zeros({2}, strange); });
  told<TypeError>("[ones] there is no dtype", [] { ones({2}, strange); });
  told<TypeError>("[full] there is no dtype", [] { full({2}, 1, strange); });
  told<TypeError>("[Tensor] there is no dtype", [] { Tensor({2}, strange); });
  told<TypeError>("[Tensor] there is no dtype", [] { Tensor(Type{{2}, strange}); });
  told<TypeError>("[Tensor::of] there is no dtype", [] { Tensor::of({1, 2}, strange); });
  told<TypeError>("[Tensor::of] there is no dtype", [] { Tensor::of({{1, 2}, {3, 4}}, strange); });
  told<TypeError>("[to] there is no dtype", [] { Tensor{1, 2}.to(strange); });
  told<TypeError>("[uniform] there is no dtype", [] { uniform(Key{1}, {2}, 0, 1, strange); });
  told<TypeError>("[normal] there is no dtype", [] { normal(Key{1}, {2}, 0, 1, strange); });
  told<TypeError>("[rademacher] there is no dtype", [] { rademacher(Key{1}, {2}, strange); });
  CHECK_THROWS_AS(size_of(strange), TypeError);
  CHECK_THROWS_AS(Tensor::uninitialised({{2}, strange}), TypeError);
  Graph g;
  told<TypeError>("[input] there is no dtype", [&] { g.input("x", {2}, strange); });
  told<TypeError>("[constant] there is no dtype", [&] { g.constant(1, strange); });
  CHECK(g.size() == 0);
  CHECK(g.input("x", {2}).dtype() == float32);
}

TEST_CASE("random tensors that cannot be are told at the user's line") {
  told<ValueError>("[uniform]", [] { uniform(Key{1}, {2}, 1, 0); });
  told<TypeError>("[uniform]", [] { uniform(Key{1}, {2}, 0, 1, int64); });
  told<ValueError>("[normal]", [] { normal(Key{1}, {2}, 0, -1); });
  told<TypeError>("[rademacher]", [] { rademacher(Key{1}, {2}, boolean); });
  told<ValueError>("[permutation]", [] { permutation(Key{1}, -1); });
  told<MemoryError>("[permutation]", [] { permutation(Key{1}, most); });
  told<TypeError>("[Key::from_tensor]", [] { Key::from_tensor(Tensor(1.0)); });
}

TEST_CASE("tensors that memory does not hold are told at the user's line") {
  if (testing::address_sanitizer || testing::thread_sanitizer) {
    MESSAGE("[skipped] the sanitizers end the process where memory cannot be had");
    return;
  }
  const std::int64_t large = std::int64_t{1} << 54U;
  told<MemoryError>("[zeros] there is no memory for float32", [&] { zeros({large}); });
  told<MemoryError>("[ones] there is no memory for float64", [&] { ones({large}, float64); });
  told<MemoryError>("[full] there is no memory", [&] { full({large}, 3); });
  told<MemoryError>("[uniform] there is no memory", [&] { uniform(Key{1}, {large}); });
}

TEST_CASE("a feed is for what an input is, and nothing else") {
  Graph g;
  const Var x = g.input("x", {2});
  const Var unused = g.input("unused", {2});
  const Var y = g.constant(Tensor{1, 2});
  Program program = compile({x, y});
  const auto refused = [&](const char* part, const Var& of) {
    told<GraphError>(part, [&] { program.run({{x, Tensor{1, 2}}, {of, Tensor{1, 2}}}); });
    told<GraphError>(part, [&] { program.run({{of, Tensor{1, 2}}}); });
  };
  refused("output 1", Var(g, x.id(), 1));
  refused("output 7", Var(g, unused.id(), 7));
  refused("there is no node 1000", Var(g, 1000, 0));
  refused("no input but 'constant'", y);
  told<GraphError>("output 1", [&] { program.run({{Var(g, x.id(), 1), 2.0}}); });
  CHECK(identical(program.run({{x, Tensor{3, 4}}})[x], Tensor{3, 4}));
  refused("output 1", Var(g, x.id(), 1));  // after a run with feeds that are known
}
