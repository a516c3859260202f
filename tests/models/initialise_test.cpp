#include <dualtape/models/initialise.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

using namespace dualtape;

namespace {

using Rule = Initialiser::Rule;

double second_moment(const Tensor& tensor) {
  double sum = 0;
  for (const float x : tensor.data<float>()) sum += static_cast<double>(x) * x;
  return sum / static_cast<double>(tensor.count());
}

double largest(const Tensor& tensor) {
  double most = 0;
  for (const float x : tensor.data<float>()) most = std::max(most, std::abs(double{x}));
  return most;
}

}  // namespace

TEST_CASE("uniform rules fill their interval and have its variance") {
  const Shape shape{200, 300};
  const struct {
    Rule rule;
    double bound;
  } rules[] = {{Rule::uniform, 1},
               {Rule::glorot_uniform, std::sqrt(6.0 / 500)},
               {Rule::he_uniform, std::sqrt(6.0 / 200)},
               {Rule::torch_default, 1 / std::sqrt(200.0)}};
  for (const auto& wanted : rules) {
    const Rule rule = wanted.rule;
    const double bound = wanted.bound;
    for (const double scale : {1.0, 0.25}) {
      CAPTURE(name_of(rule));
      const Tensor w = Initialiser(rule, scale).weight(shape, Key{3});
      CHECK(largest(w) <= bound * scale * (1 + 1e-6));
      CHECK(largest(w) >= bound * scale * 0.999);
      // 60000 draws: the estimate's standard deviation is 0.4 %.
      CHECK(second_moment(w) == doctest::Approx(bound * bound * scale * scale / 3).epsilon(0.02));
    }
  }
}

TEST_CASE("normal rules have their variance and go beyond uniform bounds") {
  const Shape shape{200, 300};
  const struct {
    Rule rule;
    double variance;
  } rules[] = {{Rule::normal, 1}, {Rule::glorot_normal, 2.0 / 500}, {Rule::he_normal, 2.0 / 200}};
  for (const auto& wanted : rules) {
    const Rule rule = wanted.rule;
    const double variance = wanted.variance;
    CAPTURE(name_of(rule));
    const Tensor w = Initialiser(rule, 0.5).weight(shape, Key{3});
    CHECK(second_moment(w) == doctest::Approx(variance / 4).epsilon(0.03));
    CHECK(largest(w) > 3 * std::sqrt(variance / 4));
  }
}

TEST_CASE("biases are zero except by PyTorch's default, which takes the weight's inputs") {
  const Shape weight{100, 5000};
  CHECK(identical(Initialiser(Rule::he_normal).bias(weight, Key{1}), zeros({5000})));
  const Tensor b = Initialiser(Rule::torch_default).bias(weight, Key{1});
  CHECK(b.shape() == Shape{5000});
  CHECK(largest(b) <= 0.1);
  CHECK(largest(b) >= 0.099);
}

TEST_CASE("the same key gives the same bits, another key others") {
  CHECK(identical(he_normal({7, 5}, Key{9}), he_normal({7, 5}, Key{9})));
  CHECK(!identical(he_normal({7, 5}, Key{9}), he_normal({7, 5}, Key{10})));
  CHECK(glorot_uniform({7, 5}, Key{9}, float64).dtype() == float64);
  CHECK(identical(Initialiser(Rule::zeros).weight({2, 3}, Key{1}), zeros({2, 3})));
}

TEST_CASE("shapes and scales that make no weight are refused") {
  CHECK_THROWS_AS(glorot_uniform({3}, Key{1}), ShapeError);
  CHECK_THROWS_AS(he_normal({0, 3}, Key{1}), ShapeError);
  CHECK_THROWS_AS(he_normal({2, 3}, Key{1}, int64), TypeError);
  CHECK_THROWS_AS(Initialiser(Rule::normal, -1).weight({2, 3}, Key{1}), ValueError);
  CHECK_THROWS_AS(Initialiser(Rule::normal, NAN).weight({2, 3}, Key{1}), ValueError);
}
