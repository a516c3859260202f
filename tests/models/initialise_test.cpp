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
      const Tensor w = Initialiser(rule, scale).weight(Key{3}, shape);
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
    const Tensor w = Initialiser(rule, 0.5).weight(Key{3}, shape);
    CHECK(second_moment(w) == doctest::Approx(variance / 4).epsilon(0.03));
    CHECK(largest(w) > 3 * std::sqrt(variance / 4));
  }
}

TEST_CASE("biases are zero except by PyTorch's default, which takes the weight's inputs") {
  const Shape weight{100, 5000};
  CHECK(identical(Initialiser(Rule::he_normal).bias(Key{1}, weight), zeros({5000})));
  const Tensor b = Initialiser(Rule::torch_default).bias(Key{1}, weight);
  CHECK(b.shape() == Shape{5000});
  CHECK(largest(b) <= 0.1);
  CHECK(largest(b) >= 0.099);
}

TEST_CASE("the same key gives the same bits, another key others") {
  CHECK(identical(he_normal(Key{9}, {7, 5}), he_normal(Key{9}, {7, 5})));
  CHECK(!identical(he_normal(Key{9}, {7, 5}), he_normal(Key{10}, {7, 5})));
  CHECK(glorot_uniform(Key{9}, {7, 5}, float64).dtype() == float64);
  CHECK(identical(Initialiser(Rule::zeros).weight(Key{1}, {2, 3}), zeros({2, 3})));
}

TEST_CASE("shapes and scales that make no weight are refused") {
  CHECK_THROWS_AS(glorot_uniform(Key{1}, {3}), ShapeError);
  CHECK_THROWS_AS(he_normal(Key{1}, {0, 3}), ShapeError);
  CHECK_THROWS_AS(he_normal(Key{1}, {2, 3}, int64), TypeError);
  CHECK_THROWS_AS(Initialiser(Rule::normal, -1).weight(Key{1}, {2, 3}), ValueError);
  CHECK_THROWS_AS(Initialiser(Rule::normal, NAN).weight(Key{1}, {2, 3}), ValueError);
}
