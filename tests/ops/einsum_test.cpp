// einsum against a loop over every value of every letter, and against PyTorch; errors.
#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include <dualtape/ops/einsum.hpp>
#include <dualtape/ops/matmul.hpp>

#include "moving.hpp"
#include "torch_cases.hpp"

using namespace known;
using moving::check_refused;
using torch_cases::Vars;
using torch_cases::waves;

namespace {

// Terms of single letters (no dots) and the result's, by definition.
Numbers by_loops(const std::vector<std::string>& terms, const std::string& result,
                 const std::vector<dt::Tensor>& operands) {
  std::map<char, std::int64_t> sizes;
  for (std::size_t k = 0; k < terms.size(); ++k)
    for (std::size_t axis = 0; axis < terms[k].size(); ++axis)
      sizes[terms[k][axis]] = operands[k].shape()[axis];
  // All letters, the result's first: the sums of one element follow one another.
  std::string letters = result;
  for (const auto& [letter, size] : sizes)
    if (letters.find(letter) == std::string::npos) letters += letter;
  std::int64_t summed = 1, kept = 1;
  for (const char letter : letters)
    (result.find(letter) == std::string::npos ? summed : kept) *= sizes[letter];
  Numbers y(static_cast<std::size_t>(kept));
  for (std::int64_t flat = 0; flat < kept * summed; ++flat) {
    std::map<char, std::int64_t> at;
    std::int64_t rest = flat;
    for (std::size_t i = letters.size(); i-- > 0;) {
      at[letters[i]] = rest % sizes[letters[i]];
      rest /= sizes[letters[i]];
    }
    double product = 1;
    for (std::size_t k = 0; k < terms.size(); ++k) {
      std::int64_t place = 0;
      for (const char letter : terms[k]) place = place * sizes[letter] + at[letter];
      product *= operands[k].data<double>()[static_cast<std::size_t>(place)];
    }
    y[static_cast<std::size_t>(flat / summed)] += product;
  }
  return y;
}

struct Rule {
  std::string text;
  std::vector<std::string> terms;
  std::string result;
  std::vector<dt::Shape> shapes;
};
const std::vector<Rule> rules = {
    {"ij,jk->ik", {"ij", "jk"}, "ik", {{3, 4}, {4, 2}}},
    {"ji, kj -> ki", {"ji", "kj"}, "ki", {{3, 4}, {2, 3}}},
    {"ij,jk", {"ij", "jk"}, "ik", {{3, 4}, {4, 2}}},
    {"ba", {"ba"}, "ab", {{2, 3}}},
    {"bA", {"bA"}, "Ab", {{2, 3}}},
    {"ii", {"ii"}, "", {{4, 4}}},
    {"ii->i", {"ii"}, "i", {{4, 4}}},
    {"iii->i", {"iii"}, "i", {{3, 3, 3}}},
    {"ijij->ji", {"ijij"}, "ji", {{2, 3, 2, 3}}},
    {"ijk->j", {"ijk"}, "j", {{2, 3, 4}}},
    {"i,i", {"i", "i"}, "", {{5}, {5}}},
    {"i,j->ji", {"i", "j"}, "ji", {{3}, {4}}},
    {"ij,ij->ij", {"ij", "ij"}, "ij", {{2, 3}, {2, 3}}},
    {"ij,ji->", {"ij", "ji"}, "", {{2, 3}, {3, 2}}},
    {"bij,bjk->bik", {"bij", "bjk"}, "bik", {{2, 3, 4}, {2, 4, 5}}},
    {"bij,bkj->kbi", {"bij", "bkj"}, "kbi", {{2, 3, 4}, {2, 5, 4}}},
    {"ibj,jkb->ik", {"ibj", "jkb"}, "ik", {{3, 2, 4}, {4, 5, 2}}},
    {"bhqd,bhkd->bhqk", {"bhqd", "bhkd"}, "bhqk", {{2, 3, 2, 4}, {2, 3, 5, 4}}},
    {"ij,k->i", {"ij", "k"}, "i", {{3, 2}, {4}}},
    {"ab,bc,cd,de->ae", {"ab", "bc", "cd", "de"}, "ae", {{2, 3}, {3, 4}, {4, 2}, {2, 3}}},
    {"i,ij,ijk->k", {"i", "ij", "ijk"}, "k", {{2}, {2, 3}, {2, 3, 4}}},
    {"i,i,i->i", {"i", "i", "i"}, "i", {{3}, {3}, {3}}},
    {"iij,jkk->ik", {"iij", "jkk"}, "ik", {{2, 2, 3}, {3, 4, 4}}},
    {",i->i", {"", "i"}, "i", {{}, {3}}},
    {"->", {""}, "", {{}}},
    {"ij,jk->ik", {"ij", "jk"}, "ik", {{2, 1}, {1, 3}}},
    {"ij,jk->ik", {"ij", "jk"}, "ik", {{2, 0}, {0, 3}}},
};

TEST_CASE("einsum is the sum over all letters of the products") {
  for (const Rule& rule : rules) {
    CAPTURE(rule.text);
    dt::Graph graph;
    std::vector<dt::Tensor> operands;
    std::vector<dt::In> in;
    dt::Ints sizes;
    for (std::size_t k = 0; k < rule.shapes.size(); ++k) {
      operands.push_back(waves(static_cast<int>(k), rule.shapes[k]));
      in.emplace_back(graph.constant(operands.back()));
    }
    for (const char letter : rule.result)
      for (std::size_t k = rule.terms.size(); k-- > 0;)
        if (const auto at = rule.terms[k].find(letter); at != std::string::npos) {
          sizes.push_back(rule.shapes[k][at]);
          break;
        }
    const dt::Var y = dt::einsum(rule.text, in);
    CHECK(y.shape() == dt::Shape(sizes));
    check_close(numbers(dt::eval(y)), by_loops(rule.terms, rule.result, operands), 1e-13);
  }
}

TEST_CASE("dots stand for any axes, which broadcast") {
  dt::Graph graph;
  const dt::Tensor a = waves(0, {2, 1, 3, 4}), b = waves(1, {5, 4, 2});
  const dt::Var x = graph.constant(a), y = graph.constant(b);
  const dt::Var product = dt::einsum("...ij,...jk->...ik", {x, y});
  CHECK(product.shape() == dt::Shape{2, 5, 3, 2});
  check_close(numbers(dt::eval(product)), numbers(dt::eval(dt::matmul(x, y))), 1e-14);
  CHECK(numbers(dt::eval(dt::einsum("...ij,...jk", {x, y}))) == numbers(dt::eval(product)));
  const dt::Var last = dt::einsum("i...->...i", {x});
  CHECK(last.shape() == dt::Shape{1, 3, 4, 2});
  CHECK(dt::einsum("...", {x}).shape() == x.shape());
  CHECK(dt::einsum("...ij,...jk->ik...", {x, y}).shape() == dt::Shape{3, 2, 2, 5});
  check_close(numbers(dt::eval(dt::einsum("...->...", {x}))), numbers(a), 0);
}

TEST_CASE("values and gradients are PyTorch's") {
  const auto check = [](const std::string& name, const std::string& rule,
                        const std::vector<dt::Shape>& shapes) {
    torch_cases::check("layers.csv", "einsum " + name, shapes, [&rule](Vars x) {
      return dt::einsum(rule, {x.begin(), x.end()});
    });
  };
  check("bij;bjk->bik", "bij,bjk->bik", {{2, 3, 4}, {2, 4, 2}});
  check("iij;jk->k", "iij,jk->k", {{3, 3, 2}, {2, 4}});
  check("...ij;...kj->...ik", "...ij,...kj->...ik", {{2, 1, 2, 3}, {3, 4, 3}});
  check("ab;bcd;da->cb", "ab,bcd,da->cb", {{2, 3}, {3, 2, 4}, {4, 2}});
  check("i;jk", "i,jk", {{2}, {3, 2}});
}

TEST_CASE("integers become float32 and parameters are read") {
  dt::Graph graph;
  const dt::Parameter weights("w", dt::Tensor{{1, 2}, {3, 4}});
  const dt::Var x = graph.constant(dt::Tensor::of({1, 10}));
  const dt::Var y = dt::einsum("i,ij", {x, weights});
  CHECK(y.dtype() == dt::float32);
  CHECK(numbers(dt::eval(y)) == Numbers{31, 42});
  CHECK(dt::einsum("i->", {x}).dtype() == dt::float32);
}

TEST_CASE("what is no rule, or does not fit, is refused with letters and sizes") {
  dt::Graph graph;
  const dt::Var a = graph.input("a", {2, 3});
  const dt::Var b = graph.input("b", {4, 5});
  check_refused<dt::ShapeError>(
      [&] {
        dt::einsum("ij,jk->ik", {a, b});
      },
      {"einsum", "'j'", "size 3", "size 4", "(4, 5)"});
  check_refused<dt::ShapeError>([&] { dt::einsum("ii", {a}); }, {"'i'", "size 2", "size 3"});
  check_refused<dt::ShapeError>([&] { dt::einsum("ijk", {a}); }, {"operand 0", "(2, 3)", "3 axes"});
  check_refused<dt::ShapeError>([&] { dt::einsum("i", {a}); }, {"1 axes"});
  check_refused<dt::ShapeError>(
      [&] {
        dt::einsum("...,...", {a, b});
      },
      {"'...', axis -2", "2", "(4, 5)", "4"});
  check_refused<dt::ShapeError>([&] { dt::einsum("...j->j", {a}); },
                                {"'...'", "not in the result"});
  check_refused<dt::ValueError>([&] { dt::einsum("ij,jk", {a}); }, {"2 terms", "1 operands"});
  check_refused<dt::ValueError>([&] { dt::einsum("ij->ik", {a}); }, {"'k'", "no operand"});
  check_refused<dt::ValueError>([&] { dt::einsum("ij->ii", {a}); }, {"'i'", "twice"});
  check_refused<dt::ValueError>([&] { dt::einsum("i1", {a}); }, {"'1'"});
  check_refused<dt::ValueError>([&] { dt::einsum("ij->i->j", {a}); }, {"'-'"});
  check_refused<dt::ValueError>([&] { dt::einsum("......", {a}); }, {"twice"});
  check_refused<dt::ValueError>([&] { dt::einsum("i", {}); }, {"no operands"});
}

TEST_CASE("the derivatives hold in every mode") { moving::check_derivatives({"einsum"}); }

}  // namespace
