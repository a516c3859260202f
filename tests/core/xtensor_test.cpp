// First, and alone, so that the order of includes that the header asks for is the one tested.
#include <dualtape/core/xtensor.hpp>

#if __has_include(<xtensor/containers/xadapt.hpp>)
#include <xtensor/core/xmath.hpp>
#include <xtensor/generators/xbuilder.hpp>
#include <xtensor/views/xview.hpp>
#else
#include <xtensor/xbuilder.hpp>
#include <xtensor/xmath.hpp>
#include <xtensor/xview.hpp>
#endif

#include <doctest/doctest.h>

#include <cstdint>
#include <type_traits>
#include <vector>

using namespace dualtape;

TEST_CASE("temporaries of expressions of any rank are arrays of that rank") {
  const xt::xarray<float> a{{1, 2, 3}, {4, 5, 6}};
  const auto sum = xt::eval(a + a);
  CHECK(sum.dimension() == 2);
  CHECK(sum.shape()[0] == 2);
  CHECK(sum(1, 2) == 12.0F);
  static_assert(std::is_same_v<std::remove_cvref_t<decltype(xt::eval(a + a))>, xt::xarray<float>>);
}

TEST_CASE("immediate reducers of arrays of any rank are right") {
  const xt::xarray<double> a{{1, 2, 3}, {4, 5, 6}};
  const auto over_rows = xt::sum(a, {0}, xt::evaluation_strategy::immediate);
  REQUIRE(over_rows.dimension() == 1);
  CHECK(over_rows(0) == 5.0);
  CHECK(over_rows(2) == 9.0);
  const auto largest = xt::amax(a, {1}, xt::evaluation_strategy::immediate);
  REQUIRE(largest.dimension() == 1);
  CHECK(largest(0) == 3.0);
  CHECK(largest(1) == 6.0);
  const auto mean = xt::mean(a, {0, 1}, xt::evaluation_strategy::immediate);
  CHECK(mean.dimension() == 0);
  CHECK(mean() == doctest::Approx(3.5));
  // Views of tensors go through the same types.
  Tensor t{{1, 2}, {3, 4}};
  const auto columns = xt::sum(as_xarray<float>(t), {0}, xt::evaluation_strategy::immediate);
  REQUIRE(columns.dimension() == 1);
  CHECK(columns(1) == 6.0F);
}

TEST_CASE("a view reads and writes the tensor's own memory") {
  Tensor t{{1, 2, 3}, {4, 5, 6}};
  auto view = as_xarray<float>(t);
  CHECK(view.dimension() == 2);
  CHECK(view(1, 0) == 4.0F);
  CHECK(view.data() == t.data<float>().data());
  view(0, 1) = -2;
  CHECK(t.at({0, 1}) == -2.0);
  view *= 10.0F;
  CHECK(t.at({1, 2}) == 60.0);
  xt::view(view, 0, xt::all()) = 7.0F;
  CHECK(identical(t, Tensor{{7, 7, 7}, {40, 50, 60}}));

  const Tensor& fixed = t;
  const auto seen = as_xarray<float>(fixed);
  static_assert(std::is_const_v<std::remove_reference_t<decltype(seen(0, 0))>>);
  CHECK(seen(1, 1) == 50.0F);
}

TEST_CASE("a view of the wrong dtype is a TypeError") {
  Tensor t{1, 2};
  const Tensor& fixed = t;
  CHECK_THROWS_AS(as_xarray<double>(t), TypeError);
  CHECK_THROWS_AS(as_xarray<std::int64_t>(fixed), TypeError);
}

TEST_CASE("views of rank 0, of rank 6 and of nothing") {
  Tensor scalar(2.0F);
  auto zero = as_xarray<float>(scalar);
  CHECK(zero.dimension() == 0);
  zero() = 5.0F;
  CHECK(scalar.item() == 5.0);

  Tensor six = zeros({2, 1, 3, 1, 2, 2}, float64);
  auto view = as_xarray<double>(six);
  CHECK(view.dimension() == 6);
  view(1, 0, 2, 0, 1, 0) = 9.0;
  CHECK(six.at({1, 0, 2, 0, 1, 0}) == 9.0);
  CHECK(identical(from_xtensor(view), six));

  Tensor none = zeros({3, 0, 2});
  CHECK(as_xarray<float>(none).size() == 0);
  CHECK(from_xtensor(as_xarray<float>(none)).shape() == Shape{3, 0, 2});
}

TEST_CASE("expressions become tensors of their shape and dtype") {
  const xt::xarray<double> a{{1, 2}, {3, 4}};
  CHECK(identical(from_xtensor(a), Tensor{{1, 2}, {3, 4}}.to(float64)));
  CHECK(identical(from_xtensor(xt::cast<float>(a) * 2.0F), Tensor{{2, 4}, {6, 8}}));
  CHECK(from_xtensor(a > 2.0).type() == Type{{2, 2}, boolean});
  CHECK(from_xtensor(a > 2.0).at({1, 0}) == 1.0);
  CHECK(identical(from_xtensor(xt::arange<std::int64_t>(3)), Tensor::of({0, 1, 2})));
  CHECK(from_xtensor(xt::xarray<std::int32_t>{1, 2}).dtype() == int32);
  CHECK(from_xtensor(xt::xarray<long long>{1, 2}).dtype() == int64);
  CHECK(identical(from_xtensor(xt::sum(a)), Tensor(10).to(float64)));  // a lazy reducer, rank 0
  const xt::xtensor<float, 2> ranked{{1, 2, 3}};
  CHECK(from_xtensor(ranked).shape() == Shape{1, 3});
}

TEST_CASE("the logical order of column-major and strided expressions stays") {
  const xt::xarray<float, xt::layout_type::column_major> columns{{1, 2, 3}, {4, 5, 6}};
  REQUIRE(columns.data()[1] == 4.0F);  // so the memory is in another order than the tensor's
  CHECK(identical(from_xtensor(columns), Tensor{{1, 2, 3}, {4, 5, 6}}));
  CHECK(identical(from_xtensor(xt::transpose(columns)), Tensor{{1, 4}, {2, 5}, {3, 6}}));
  CHECK(identical(from_xtensor(xt::view(columns, xt::all(), xt::range(1, 3))),
                  Tensor{{2, 3}, {5, 6}}));
}

TEST_CASE("the tensor made is a copy") {
  xt::xarray<float> a{1, 2};
  const Tensor made = from_xtensor(a);
  a(0) = 100;
  CHECK(made.at({0}) == 1.0);
}
