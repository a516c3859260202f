// Scaling: laws, edge cases, and scikit-learn's figures for Iris.
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <dualtape/data/iris.hpp>
#include <dualtape/data/scale.hpp>

#include <tests/errors.hpp>

#include "temporary.hpp"

using namespace dualtape;
using namespace dualtape::testing;

namespace {

void check_row(const Tensor& inputs, std::int64_t row, const std::array<double, 4>& expected) {
  for (std::int64_t i = 0; i < 4; ++i) {
    CHECK(std::abs(inputs.at({row, i}) - expected[static_cast<std::size_t>(i)]) < 1e-6);
  }
}

Tensor float64_of(const std::vector<double>& values, Shape shape) {
  return Tensor::from(values, std::move(shape));
}

}  // namespace

TEST_CASE("scikit-learn's figures for Iris") {
  const Tensor iris = load_iris().inputs;
  check_row(normalise_rows(iris), 0, {0.803772773, 0.551608766, 0.220643506, 0.0315205009});
  check_row(normalise_rows(iris), 149, {0.690259159, 0.350979233, 0.596664696, 0.21058754});
  check_row(min_max(iris), 0, {0.222222222, 0.625, 0.0677966102, 0.0416666667});
  check_row(min_max(iris), 149, {0.444444444, 0.416666667, 0.694915254, 0.708333333});
  check_row(standardise(iris), 0, {-0.90068117, 1.01900435, -1.34022653, -1.3154443});
  check_row(standardise(iris), 149, {0.0686617933, -0.131979479, 0.762758269, 0.790670654});
  const Tensor train = iris.rows(0, 100);  // the last class unseen: values beyond 1
  check_row(MinMax::fit(train).apply(iris), 149, {0.592592593, 0.416666667, 1, 1});
  check_row(Standardise::fit(train).apply(iris), 149,
            {0.671906395, -0.207835104, 1.55240038, 1.80324308});
}

TEST_CASE("rows get length one; zero rows stay; huge and tiny ones survive") {
  const Tensor in = float64_of({3, 4, 0, 0, 1e200, -1e200, 3e-200, 4e-200}, Shape{4, 2});
  const Tensor out = normalise_rows(in);
  CHECK(all_close(
      out, float64_of({0.6, 0.8, 0, 0, std::sqrt(0.5), -std::sqrt(0.5), 0.6, 0.8}, Shape{4, 2}),
      1e-15, 0.0));
  CHECK(normalise_rows(Tensor(Shape{2, 2, 2})).shape() == Shape{2, 2, 2});
  CHECK(all_close(normalise_rows(ones(Shape{1, 2, 2})), full(Shape{1, 2, 2}, 0.5)));
  CHECK(normalise_rows(Tensor(Shape{0, 3})).count() == 0);
  CHECK(normalise_rows(Tensor(Shape{3, 0})).count() == 0);
}

TEST_CASE("a row with NaN is NaN, and only that row") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Tensor out = normalise_rows(float64_of({1, nan, 3, 4}, Shape{2, 2}));
  CHECK(std::isnan(out.at({0, 0})));
  CHECK(std::isnan(out.at({0, 1})));
  CHECK(out.at({1, 1}) == doctest::Approx(0.8));
  const Tensor zero = normalise_rows(float64_of({0, nan}, Shape{1, 2}));
  CHECK(std::isnan(zero.at({0, 0})));
  CHECK(std::isnan(zero.at({0, 1})));
}

TEST_CASE("min and max go to exactly 0 and 1") {
  const Tensor iris = load_iris().inputs;
  const Tensor out = min_max(iris);
  for (std::int64_t column = 0; column < 4; ++column) {
    double low = 2.0;
    double high = -1.0;
    for (std::int64_t row = 0; row < 150; ++row) {
      low = std::min(low, out.at({row, column}));
      high = std::max(high, out.at({row, column}));
    }
    CHECK(low == 0.0);
    CHECK(high == 1.0);
  }
}

TEST_CASE("standardised columns have mean 0 and deviation 1") {
  const Tensor out = standardise(load_iris().inputs.to(float64));
  CHECK(out.dtype() == float64);
  for (std::int64_t column = 0; column < 4; ++column) {
    double sum = 0.0;
    double squares = 0.0;
    for (std::int64_t row = 0; row < 150; ++row) {
      sum += out.at({row, column});
      squares += std::pow(out.at({row, column}), 2);
    }
    CHECK(std::abs(sum / 150) < 1e-13);
    CHECK(std::abs(squares / 150 - 1.0) < 1e-13);
  }
}

TEST_CASE("columns that are constant become 0, in data unseen too") {
  // The mean of ten 0.1 is not 0.1 in float64: noise must not be blown up to +-1.
  const Tensor train = full(Shape{10, 1}, 0.1, float64);
  const Tensor test = float64_of({0.1, 5.0}, Shape{2, 1});
  CHECK(identical(MinMax::fit(train).apply(train), zeros(Shape{10, 1}, float64)));
  CHECK(identical(Standardise::fit(train).apply(train), zeros(Shape{10, 1}, float64)));
  CHECK(identical(MinMax::fit(train).apply(test), zeros(Shape{2, 1}, float64)));
  CHECK(identical(Standardise::fit(train).apply(test), zeros(Shape{2, 1}, float64)));
}

TEST_CASE("what was fitted on train is what test gets") {
  const Tensor train{{0, 10}, {4, 20}};
  const Tensor test{{2, 30}, {8, 10}};
  CHECK(identical(MinMax::fit(train).apply(test), Tensor{{0.5, 2}, {2, 0}}));
  CHECK(identical(Standardise::fit(train).apply(test), Tensor{{0, 3}, {3, -1}}));
}

TEST_CASE("images are scaled pixel by pixel") {
  const Tensor in = Tensor{{1, 5, 3, 3}, {2, 1, 3, 4}}.reshape(Shape{2, 2, 2});
  const Tensor out = min_max(in);
  CHECK(out.shape() == Shape{2, 2, 2});
  CHECK(identical(out.reshape(Shape{2, 4}), Tensor{{0, 1, 0, 0}, {1, 0, 0, 1}}));
}

TEST_CASE("inputs that cannot be scaled") {
  CHECK_THROWS_AS(normalise_rows(Tensor{1, 2}), ShapeError);
  CHECK(contains(text_thrown<TypeError>([] { min_max(Tensor::of({1, 2})); }), "int64"));
  CHECK_THROWS_AS(standardise(Tensor(1.0)), ShapeError);
  CHECK_THROWS_AS(MinMax::fit(Tensor(Shape{0, 3})), ValueError);
  const MinMax fitted = MinMax::fit(Tensor{{0, 10}, {4, 20}});
  CHECK(contains(text_thrown<ShapeError>([&] { fitted.apply(Tensor{{1, 2, 3}}); }), "(2,)"));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(contains(text_thrown<ValueError>([&] {
                   standardise(Tensor{{1, 2}, {3, nan}});
                 }),
                 "row 1, column 1"));
}

TEST_CASE("a scaling is undone, and what was constant becomes its value again") {
  for (const DType dtype : {float32, float64}) {
    const Tensor train = float64_of({1, 7, -2, 3, 7, 4e5, -8, 7, 1e5}, Shape{3, 3}).to(dtype);
    const double tolerance = dtype == float32 ? 1e-6 : 1e-15;
    for (const Scaling& scaling :
         std::vector<Scaling>{MinMax::fit(train), Standardise::fit(train)}) {
      const Tensor back = scaling.invert(scaling.apply(train));
      CHECK(back.type() == train.type());
      CHECK(all_close(back, train, tolerance, 4e5 * tolerance));
      CHECK(back.at({1, 1}) == 7);
      // Predictions have no constant columns of their own.
      CHECK(scaling.invert(full(Shape{1, 3}, 3.0, dtype)).at({0, 1}) == 7);
    }
    // The ends of the range, exactly.
    const Tensor ends = MinMax::fit(train).invert(float64_of({0, 0, 0, 1, 1, 1}, Shape{2, 3}));
    CHECK(identical(ends, float64_of({-8, 7, -2, 3, 7, 4e5}, Shape{2, 3})));
  }
  CHECK_THROWS_AS(MinMax::fit(ones(Shape{2, 3})).invert(ones(Shape{2, 4})), ShapeError);
}

TEST_CASE("a scaling is kept as named tensors, beside those of others") {
  const Tensor train = float64_of({1, 2, 5, 3, 9, 4}, Shape{3, 2});
  const Scaling inputs = Standardise::fit(train);
  std::vector<NamedTensor> kept = inputs.state("inputs");
  for (const NamedTensor& one : MinMax::fit(train).state()) kept.push_back(one);
  const Scaling again = Scaling::from_state(kept, "inputs");
  CHECK(identical(again.apply(train), inputs.apply(train)));
  CHECK(identical(again.invert(train), inputs.invert(train)));
  CHECK(identical(Scaling::from_state(kept).apply(train), min_max(train)));
  CHECK(has(error_of<ValueError>([&] { Scaling::from_state(kept, "labels"); }),
            "no 'labels.shift' (it has 'inputs.shift', 'inputs.width', 'scaling.shift', "
            "'scaling.width')"));
  CHECK(has(error_of<ValueError>([] { Scaling::from_state({}, "labels"); }), "(it has nothing)"));
  std::vector<NamedTensor> twice = kept;
  twice.push_back(kept.front());
  CHECK(has(error_of<ValueError>([&] { Scaling::from_state(twice, "inputs"); }),
            "'inputs.shift' more than once"));
  kept.front().tensor = kept.front().tensor.to(float32);
  CHECK_THROWS_AS(Scaling::from_state(kept, "inputs"), ValueError);
  kept.front().tensor = ones(Shape{3}, float64);
  CHECK_THROWS_AS(Scaling::from_state(kept, "inputs"), ValueError);
}

TEST_CASE("a scaling that was not fitted says so, and one that was how a row must look") {
  const Tensor rows = ones(Shape{3, 2});
  for (const std::string& text : {error_of<ValueError>([&] { Scaling().apply(rows); }),
                                  error_of<ValueError>([&] { Scaling().invert(rows); }),
                                  error_of<ValueError>([&] { Standardise().apply(rows); })}) {
    CHECK(has(text, "this Scaling was not fitted"));
    CHECK(has(text, "Standardise::fit(train)"));
  }
  const MinMax fitted = MinMax::fit(rows);
  CHECK(has(error_of<ShapeError>([&] {
              fitted.apply(ones(Shape{3, 4}));
            }),
            "try: give rows with the columns of the data it was fitted to"));
  CHECK(has(error_of<ShapeError>([&] { fitted.apply(Tensor(1.0)); }), "try: rows come first"));
  CHECK(has(error_of<ValueError>([] { MinMax::fit(ones(Shape{0, 2})); }), "at least one row"));
}

TEST_CASE("errors of scalings name the user's line") {
  const Tensor train = ones(Shape{3, 2});
  const auto text = [](const auto& call) -> std::string {
    try {
      call();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  for (const std::string& error : {text([&] {
                                     MinMax::fit(train).apply(ones(Shape{3, 4}));
                                   }),
                                   text([&] {
                                     MinMax::fit(train).invert(ones(Shape{3, 4}));
                                   }),
                                   text([&] {
                                     standardise(ones(Shape{0, 4}));
                                   }),
                                   text([&] { normalise_rows(ones(Shape{3})); }), text([&] {
                                     min_max(ones(Shape{3, 4}, int64));
                                   }),
                                   text([&] { Scaling::from_state({}); })})
    CHECK(error.find("scale_test.cpp:") != std::string::npos);
}

TEST_CASE("columns at the ends of float64's range are scaled like others") {
  for (const double size : {1e154, 1e200, 8e307, 1e-162, 1e-200, 4e-308, 5e-324}) {
    CAPTURE(size);
    const Tensor in = float64_of({-size, 0, size, 0}, Shape{4, 1});
    const double one = std::sqrt(2.0);
    const double rough = size < 1e-300 ? 1e-1 : 1e-14;  // where a denormal deviation is rounded
    const Tensor wanted = float64_of({-one, 0, one, 0}, Shape{4, 1});
    const Tensor found = standardise(in);
    if (size > 1e-320) CHECK(all_close(found, wanted, rough, 0.0));
    for (const double value : std::as_const(found).data<double>()) CHECK(std::isfinite(value));
    CHECK(all_close(min_max(in), float64_of({0, 0.5, 1, 0.5}, Shape{4, 1}), 1e-15, 0.0));
  }
  const Tensor far = float64_of({0, -1e308, 0, 1e308}, Shape{2, 2});
  const std::string text = error_of<ValueError>([&] { min_max(far); });
  CHECK(has(text, "column 1 (from 0) goes from -1e+308 to 1e+308"));
  CHECK(has(text, "scale_test.cpp:"));
  CHECK(identical(standardise(far), float64_of({0, -1, 0, 1}, Shape{2, 2})));
}

TEST_CASE("a scaling that no fit() gives is not restored") {
  const Scaling good = MinMax::fit(float64_of({1, 2, 5, 3}, Shape{2, 2}));
  for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL, -1.0}) {
    CAPTURE(bad);
    for (std::size_t which = 0; which < 2; ++which) {
      std::vector<NamedTensor> state = good.state();
      state[which].tensor = float64_of({1, bad}, Shape{2});
      if (which == 0 && bad == -1.0) {
        CHECK(Scaling::from_state(state).apply(ones(Shape{1, 2})).count() == 2);
        continue;
      }
      const std::string text = error_of<ValueError>([&] { Scaling::from_state(state); });
      CHECK(has(text, "element 1 of '" + state[which].name + "'"));
      CHECK(has(text, "scale_test.cpp:"));
    }
  }
}
