// A program of core alone, with an operator of its own: built, planned and run without any of ops.
#include <cstdio>
#include <cstdlib>

#include <dualtape/core/kinds.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/core/registry.hpp>

namespace {

struct Softsign {
  static constexpr auto name = "softsign";
  static constexpr auto doc = "x / (1 + |x|)";
  static auto formula(auto x) { return x / (1 + abs(x)); }
  static dualtape::Factor partial(std::size_t, std::span<const dualtape::Var>, dualtape::Var) {
    return 0;  // nothing differentiates here
  }
  static auto sample() { return dualtape::domain(-3, 3); }
};
constexpr dualtape::Elementwise<Softsign> softsign;

void require(bool held, const char* what) {
  if (held) return;
  std::fprintf(stderr, "%s\n", what);
  std::exit(1);
}

}  // namespace

int main() {
  using namespace dualtape;
  require(find_op("add") == nullptr, "core knows an operator of ops");
  require(passes().size() == 6, "core has not its own passes alone");
  Graph graph;
  const Var x = graph.input("x", {3});
  const Var y = softsign(softsign(x));
  Parameter last("last", Tensor{0, 0, 0});
  Program program = compile({y}, {assign(last, y)});
  const Tensor found = program.run({{x, Tensor{-1, 0, 3}}})[y];
  require(found.at<float>({0}) == -0.5F / 1.5F && found.at<float>({1}) == 0 &&
              found.at<float>({2}) == 0.75F / 1.75F,
          "softsign is wrong");
  require(last.value().at<float>({2}) == 0.75F / 1.75F, "the parameter was not assigned");
  require(find_op("softsign") != nullptr, "an operator of one's own is not registered");
}
