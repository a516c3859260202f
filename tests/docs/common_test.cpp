// What the tutorials share: pages held to programs, statistics, figures.
#include <doctest/doctest.h>

#include <cmath>
#include <dualtape/core/error.hpp>
#include <filesystem>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../docs/common/declarations.hpp"
#include "../../docs/common/figure.hpp"
#include "../../docs/common/files.hpp"
#include "../../docs/common/page.hpp"
#include "../../docs/common/statistics.hpp"
#include "tests/data/temporary.hpp"

namespace fs = std::filesystem;
using namespace dualtape::docs;  // NOLINT(google-build-using-namespace)
using dualtape::ValueError;

namespace {

const std::string program =
    "int main() {\n  // [outer]\n\n  int a;\n    // [inner]\n    int b;\n    // [/inner]\n"
    "  // [/outer]\n}\n";

Sources sources() {
  Sources result;
  result.program = [](const std::string& path) -> std::string {
    if (path != "main.cpp") throw dualtape::DataError("no file");
    return program;
  };
  result.sections = {{"sum", "3\n"}};
  result.has_output = true;
  return result;
}

}  // namespace

TEST_CASE("pages: regions nest and lose markers, indentation and blank ends") {
  const auto regions = regions_of(program);
  CHECK(regions.at("outer") == "int a;\n  int b;\n");
  CHECK(regions.at("inner") == "int b;\n");
  CHECK_THROWS_AS(regions_of("// [a]\n"), ValueError);
  CHECK_THROWS_AS(regions_of("// [/a]\n"), ValueError);
  CHECK_THROWS_AS(regions_of("// [a]\n// [/a]\n// [a]\n// [/a]\n"), ValueError);
}

TEST_CASE("pages: sections of output end at the next heading or at a rule") {
  const auto sections = sections_of("x\n--- one ---\n1\n\n2\n\n--- two ---\n3\n---\nlater\n");
  CHECK(sections.size() == 2);
  CHECK(sections.at("one") == "1\n\n2\n");
  CHECK(sections.at("two") == "3\n");
}

TEST_CASE("pages: a page that shows what the programs hold is left alone") {
  const std::string page =
      "# T\n<!-- region: inner -->\n```cpp\nint b;\n```\ntext\n<!-- output: sum -->\n```text\n3\n"
      "```\n```sh\nls\n```\n";
  const Rewritten got = rewrite(page, sources());
  CHECK(got.problems.empty());
  CHECK(got.page == page);
}

TEST_CASE("pages: what differs is found and mended") {
  const std::string page =
      "<!-- region: inner -->\n```cpp\nint c;\n```\n<!-- output: sum -->\ntext\n";
  const Rewritten got = rewrite(page, sources());
  CHECK(got.problems.size() == 2);
  CHECK(got.mended);
  CHECK(got.page ==
        "<!-- region: inner -->\n```cpp\nint b;\n```\n<!-- output: sum -->\n```text\n3\n```\n"
        "text\n");
  CHECK(rewrite(got.page, sources()).problems.empty());
}

TEST_CASE("pages: what cannot be mended is said") {
  for (const char* page :
       {"<!-- region: none -->\n```cpp\nx\n```\n", "<!-- output: none -->\n```text\nx\n```\n",
        "<!-- region: inner from other.cpp -->\n```cpp\nx\n```\n", "```cpp\nx\n```\n",
        "<!-- region: inner -->\n```cpp\nint b;\n", "<!-- region: Inner! now -->\n"}) {
    CAPTURE(page);
    const Rewritten got = rewrite(page, sources());
    CHECK(got.problems.size() >= 1);
    CHECK_FALSE(got.mended);
    // Nothing of the page is lost.
    CHECK(got.page.find(std::string(page).substr(0, 10)) == 0);
  }
}

TEST_CASE("pages: output of full runs is not held to a reduced one") {
  const std::string page = "<!-- output: sum full -->\n```text\n4\n```\n";
  Sources reduced = sources();
  CHECK(rewrite(page, reduced).problems.empty());
  reduced.full = true;
  CHECK(rewrite(page, reduced).problems.size() == 1);
  reduced.has_output = false;
  CHECK(rewrite(page, reduced).problems.empty());
}

TEST_CASE("pages: pictures are those with a path") {
  CHECK(pictures_of("![a](x.svg) [link](y.md)\n![b](d/z.svg) ![w](https://e.org/i.png)") ==
        std::vector<std::string>{"x.svg", "d/z.svg"});
}

TEST_CASE("statistics: quantiles lie between neighbours in proportion") {
  CHECK(quantile({3, 1, 2}, 0) == 1);
  CHECK(quantile({3, 1, 2}, 1) == 3);
  CHECK(median({4, 1, 3, 2}) == 2.5);
  CHECK(quantile({0, 10}, 0.05) == doctest::Approx(0.5));
  CHECK(median({1, std::nan(""), 2}) == 2);
  CHECK(std::isinf(quantile({1, std::nan("")}, 1)));
  CHECK_THROWS_AS(median({}), ValueError);
}

TEST_CASE("statistics: bands go step by step") {
  const Bands got = bands({{1, 10}, {2, 20}, {3, 60}}, 0, 1);
  CHECK(got.low == std::vector<double>{1, 10});
  CHECK(got.mid == std::vector<double>{2, 20});
  CHECK(got.high == std::vector<double>{3, 60});
  CHECK_THROWS_AS(bands({{1, 2}, {1}}), ValueError);
  CHECK_THROWS_AS(bands({}), ValueError);
}

TEST_CASE("statistics: seeds come back in order, and exceptions come out") {
  const auto squares =
      over_seeds(5, 40, [] { return [](std::uint64_t seed) { return seed * seed; }; });
  REQUIRE(squares.size() == 40);
  for (std::size_t i = 0; i < squares.size(); ++i) CHECK(squares[i] == (i + 5) * (i + 5));
  CHECK(over_seeds(0, 0, [] { return [](std::uint64_t) { return 1; }; }).empty());
  const auto failing = [] {
    return [](std::uint64_t seed) {
      if (seed == 3) throw std::runtime_error("three");
      return 0;
    };
  };
  CHECK_THROWS_WITH_AS(over_seeds(0, 10, failing), "three", std::runtime_error);
}

TEST_CASE("figures: scripts hold their data and gnuplot takes them") {
  const dualtape::testing::TemporaryFolder own("figure test ");
  const fs::path& folder = own.path();
  Figure figure("all", "Everything");
  figure.labels("it's x", "y").x_range(-1, 2).y_range(-1, 2).square().size(400, 300);
  figure.contours([](double x, double y) { return x * x + y * y; }, {0.5, 1})
      .band({0, 1}, {0, 0}, {1, 1}, 0)
      .line("a line", {0, 1, 2}, {0, std::numeric_limits<double>::quiet_NaN(), 1}, {.dashed = true})
      .points("points", {0.5}, {0.5}, Mark::star)
      .arrows("", {0}, {0}, {1}, {1}, {.colour = ink})
      .text(1, 1, "here");
  const std::string problem = figure.draw(folder);
  const std::string script = read_file(folder / "all.gp");
  CHECK(script.find("it''s x") != std::string::npos);
  CHECK(script.find("1 NaN\n") != std::string::npos);
  if (problem == "gnuplot is not installed") {
    MESSAGE("[skipped] the drawing: gnuplot is not installed");
  } else {
    CHECK(problem == "");
    CHECK(read_file(folder / "all.svg").find("a line") != std::string::npos);
  }
  CHECK_THROWS_AS(Figure("f", "f").line("", {1, 2}, {1}), ValueError);
  CHECK_THROWS_AS(Figure("f", "f").contours([](double, double) { return 0.0; }, {1}), ValueError);
  write_csv(folder / "c.csv", {{"a", {1, 2}}, {"b", {0.5}}});
  CHECK(read_file(folder / "c.csv") == "a,b\n1,0.5\n2,\n");
}

TEST_CASE("the functions of a header are found with their defaults") {
  const std::string header = R"(// Text of f(x).
#pragma once
#define g(x) x
namespace dualtape {
class Var { public: int member(int x) const { return x; } };
struct Options { int (*call)(int) = nullptr; };
Var sum(In x, const Axes& axes = {},
        bool keepdims = false);
template <class T>
requires std::is_arithmetic_v<T> Tensor full_like(const Tensor& x, T value) {
  return full(x.shape(), value);
}
inline Var operator+(In a, In b) { return add(a, b); }
[[noreturn]] void refuse(Location where);
constexpr int limit = most(3);
std::vector<Var> forward_all(const std::vector<Var>& outputs, Location where = Location::current());
namespace detail { void hidden(); }
namespace nets { Sequential lenet5(Key key, std::int64_t classes = 10); }
using Body = std::function<Var(Var)>;
}  // namespace dualtape
void elsewhere();
)";
  std::vector<std::string> names;
  std::vector<std::string> texts;
  for (const Declaration& one : functions_of(header)) {
    names.push_back(one.name);
    texts.push_back(one.text);
  }
  CHECK(names ==
        std::vector<std::string>{"sum", "full_like", "refuse", "forward_all", "nets::lenet5"});
  REQUIRE(texts.size() == 5);
  CHECK(texts[0] == "Var sum(In x, const Axes& axes = {}, bool keepdims = false)");
  CHECK(texts[3] == "std::vector<Var> forward_all(const std::vector<Var>& outputs)");
  CHECK(texts[4] == "Sequential lenet5(Key key, std::int64_t classes = 10)");
  CHECK(functions_of("").empty());
  CHECK(functions_of("namespace dualtape { void unfinished(").empty());
}

TEST_CASE("structs of options are read with their comments, others not") {
  const std::string header =
      "// What to keep.\nstruct Keep {\n  int states = 0;  // at most\n};\n\n"
      "struct Pair {\n  int sum() const { return a; }\n  int a;\n};\n"
      "template <class T>\nstruct Csr {\n  T values;\n};\n"
      "namespace detail {\nstruct Hidden {\n  int a;\n};\n}  // namespace detail\n";
  const std::vector<Declaration> found = structs_of(header);
  REQUIRE(found.size() == 1);
  CHECK(found[0].name == "Keep");
  CHECK(found[0].text == "// What to keep.\nstruct Keep {\n  int states = 0;  // at most\n};\n");
}
