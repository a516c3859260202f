// What compile() is asked for reaches the kernels of the program with their request, also those of
// functions that it calls and of constants that are folded.
#include <doctest/doctest.h>

#include <vector>

#include <dualtape/dualtape.hpp>

using namespace dualtape;

namespace {

std::vector<CompileOptions> asked;

// A copy that remembers what its kernels were asked for.
struct Remember {
  static constexpr auto name = "remember_compile_options";
  static constexpr auto doc = "y = x";
  static constexpr auto reason = "only for this test";
  static void infer(Inference& inference) { inference.out = {inference.in[0]}; }
  static Kernel kernel(const KernelRequest& request) {
    asked.push_back(request.options);
    return {[bytes = bytes_of(request.out[0])](const KernelArgs& args) {
      const auto* const from = args.input<char>(0);
      std::copy(from, from + bytes, args.output<char>());
    }};
  }
  static std::vector<Case> cases() {
    return {
        {"a vector", {Arg{{3}}}, [](std::span<const Var> in) { return std::vector<Var>{in[0]}; }}};
  }
};
constexpr NotDifferentiable<Remember> remember;

CompileOptions unusual() {
  CompileOptions options;
  options.tune_file = "choices";
  options.threads = 2;
  options.keep_weights = true;
  options.reassociate = true;
  options.without = {"fuse"};
  return options;
}

}  // namespace

TEST_CASE("kernels are asked for what their program is") {
  Graph graph;
  const Var x = graph.input("x", {3});
  asked.clear();
  compile({remember(x)}, {}, unusual());
  REQUIRE(asked.size() == 1);
  CHECK(asked[0].tune_file == "choices");
  CHECK(asked[0].threads == 2);
  CHECK(asked[0].keep_weights);
  CHECK(asked[0].reassociate);
  CHECK(asked[0].without == std::vector<std::string>{"fuse"});
  asked.clear();
  compile({remember(x)});
  REQUIRE(asked.size() == 1);
  CHECK(asked[0].tune_file.empty());
  CHECK(asked[0].threads == num_threads());
  CHECK(!asked[0].keep_weights);
}

TEST_CASE(
    "functions that a program calls are compiled as it is, passes and products' order apart") {
  Graph graph;
  const Var x = graph.input("x", {3});
  const auto body = [](std::span<const Var> in) { return std::vector<Var>{remember(in[0])}; };
  const auto function = Function::make("body", {x.type()}, body);
  asked.clear();
  compile(call(function, {x}), {}, unusual());
  REQUIRE(asked.size() == 1);
  CHECK(asked[0].tune_file == "choices");
  CHECK(asked[0].threads == 2);
  CHECK(asked[0].keep_weights);
  CHECK(!asked[0].reassociate);
  CHECK(asked[0].without.empty());
}

TEST_CASE("constants are folded by kernels of the same request") {
  Graph graph;
  asked.clear();
  compile({remember(graph.constant(Tensor{1, 2, 3}))}, {}, unusual());
  REQUIRE(!asked.empty());
  for (const CompileOptions& options : asked) CHECK(options.tune_file == "choices");
}
