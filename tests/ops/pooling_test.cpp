// Pooling against plain loops, in both layouts; ties, NaN, padding, threads and errors.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <dualtape/core/registry.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/pooling.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>

#include "known.hpp"
#include "moving.hpp"
#include "torch_cases.hpp"

using namespace known;
using moving::check_refused;

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

// Whole numbers 0 ... 6, so with many ties.
dt::Tensor tied(const dt::Shape& shape, dt::DType dtype) {
  dt::Tensor values(shape, dt::float64);
  std::int64_t i = 0;
  for (double& value : values.data<double>()) value = static_cast<double>((i++ * 11 + 3) % 37 % 7);
  return values.to(dtype);
}
dt::Tensor waves(const dt::Shape& shape, dt::DType dtype) {
  dt::Tensor values(shape, dt::float64);
  double i = 0;
  for (double& value : values.data<double>()) value = std::sin(1.3 * i++);
  return values.to(dtype);
}

// One way to pool: what is asked for, and the same window by window.
struct Way {
  dt::Shape x;
  dt::Size2d window;
  dt::PoolOptions options = {};
};
std::vector<Way> ways() {
  dt::PoolOptions dense;
  dense.stride = 1;
  dt::PoolOptions padded;
  padded.stride = {2, 3};
  padded.padding = {1, 2};
  dt::PoolOptions uncounted = padded;
  uncounted.count_include_pad = false;
  dt::PoolOptions rounded_up;
  rounded_up.ceil_mode = true;
  dt::PoolOptions padded_up = padded;
  padded_up.ceil_mode = true;
  dt::PoolOptions uncounted_up = uncounted;
  uncounted_up.ceil_mode = true;
  dt::PoolOptions padded_up_by_one = rounded_up;
  padded_up_by_one.padding = 1;
  padded_up_by_one.stride = 3;
  dt::PoolOptions apart;
  apart.stride = 5;
  return {{{2, 3, 28, 28}, 2},
          {{1, 2, 7, 9}, 2},
          {{1, 1, 4, 70}, 2},
          {{1, 2, 64, 46}, 2},
          {{1, 1, 3, 2100}, 2},
          {{2, 20, 5, 6}, {3, 2}, dense},
          {{1, 33, 7, 8}, {3, 4}, padded},
          {{2, 2, 7, 8}, {2, 5}, uncounted},
          {{1, 3, 11, 12}, {2, 3}, apart},
          {{2, 17, 3, 4}, {3, 4}},
          {{1, 2, 7, 9}, 2, rounded_up},
          {{1, 2, 1, 3}, 2, rounded_up},
          {{2, 17, 6, 10}, {3, 4}, padded_up},
          {{1, 2, 4, 4}, 2, padded_up_by_one},
          {{1, 2, 7, 8}, {2, 5}, uncounted_up}};
}

// Windows along an axis: one fits, or begins at 0; more while some of the padded axis is unseen and
// the next begins before the padding behind.
std::int64_t windows_of(std::int64_t in, std::int64_t window, std::int64_t stride,
                        std::int64_t padding, bool round_up) {
  std::int64_t count = 1;
  while (round_up
             ? (count - 1) * stride + window < in + 2 * padding && count * stride < in + padding
             : count * stride + window <= in + 2 * padding)
    ++count;
  return count;
}

struct Pooled {
  dt::Shape shape;
  Numbers max;
  Numbers average;
  Numbers select;   // of t
  Numbers scatter;  // of the results' cotangent c
  Numbers spread;
};
// By definition, from x, t of its shape and c of the result's (counted on in order).
Pooled pooled(const Way& way, const Numbers& x, const Numbers& t, const Numbers& c) {
  const dt::Size2d stride = way.options.stride.rows == 0 ? way.window : way.options.stride;
  const dt::Size2d padding = way.options.padding;
  const std::int64_t rows = way.x[2];
  const std::int64_t columns = way.x[3];
  const bool up = way.options.ceil_mode;
  const std::int64_t out_rows = windows_of(rows, way.window.rows, stride.rows, padding.rows, up);
  const std::int64_t out_columns =
      windows_of(columns, way.window.columns, stride.columns, padding.columns, up);
  Pooled result;
  result.shape = {way.x[0], way.x[1], out_rows, out_columns};
  result.scatter.resize(x.size());
  result.spread.resize(x.size());
  for (std::int64_t image = 0; image < way.x[0] * way.x[1]; ++image)
    for (std::int64_t r = 0; r < out_rows; ++r)
      for (std::int64_t k = 0; k < out_columns; ++k) {
        std::vector<std::size_t> places;
        for (std::int64_t i = 0; i < way.window.rows; ++i)
          for (std::int64_t j = 0; j < way.window.columns; ++j) {
            const std::int64_t row = r * stride.rows + i - padding.rows;
            const std::int64_t column = k * stride.columns + j - padding.columns;
            if (row < 0 || row >= rows || column < 0 || column >= columns) continue;
            places.push_back(static_cast<std::size_t>((image * rows + row) * columns + column));
          }
        std::size_t best = places[0];
        double total = 0;
        for (const std::size_t at : places) {
          total += x[at];
          if (x[at] > x[best] || std::isnan(x[at])) best = at;
        }
        // Padding counts, but not what lies beyond it.
        const std::int64_t high =
            std::min(way.window.rows, rows + 2 * padding.rows - r * stride.rows);
        const std::int64_t wide =
            std::min(way.window.columns, columns + 2 * padding.columns - k * stride.columns);
        const double count = way.options.count_include_pad ? static_cast<double>(high * wide)
                                                           : static_cast<double>(places.size());
        const double cotangent = c[result.max.size()];
        result.max.push_back(x[best]);
        result.select.push_back(t[best]);
        result.average.push_back(total / count);
        result.scatter[best] += cotangent;
        for (const std::size_t at : places) result.spread[at] += cotangent / count;
      }
  return result;
}

dt::Var channels_last(dt::Var x) { return dt::permute(x, {0, 2, 3, 1}); }
dt::Var channels_first(dt::Var x) { return dt::permute(x, {0, 3, 1, 2}); }
// The node of `like` again, on values that are kept channels last.
dt::Var again(dt::Var like, std::initializer_list<dt::In> inputs) {
  dt::Attributes kept{{"channels_last", true}};
  for (const auto& [key, value] : like.node().attributes.entries()) {
    if (key != "shape") {
      kept = kept.with(key, value);
      continue;
    }
    const auto& shape = std::get<dt::Shape>(value);
    kept = kept.with(key, dt::Shape{shape[0], shape[2], shape[3], shape[1]});
  }
  return channels_first(dt::apply(*like.node().op, inputs, kept));
}

TEST_CASE("pooling is what plain loops give, in both layouts") {
  for (const dt::DType dtype : {dt::float64, dt::float32})
    for (const bool ties : {false, true})
      for (const Way& way : ways()) {
        CAPTURE(way.x);
        CAPTURE(way.window.rows);
        CAPTURE(ties);
        dt::Graph graph;
        const dt::Tensor values = ties ? tied(way.x, dtype) : waves(way.x, dtype);
        const dt::Var x = graph.constant(values);
        const dt::Var t = graph.constant(waves(way.x, dtype)) * 0.5;
        const dt::Var max = dt::max_pool2d(x, way.window, way.options);
        const dt::Var average = dt::avg_pool2d(x, way.window, way.options);
        const dt::Var c = graph.constant(waves(max.shape(), dtype)) + 2;
        const dt::Var select = dt::max_pool2d_select(x, t, way.window, way.options);
        const dt::Var scatter = dt::max_pool2d_scatter(x, c, way.window, way.options);
        const dt::Var spread =
            dt::avg_pool2d_spread(c, {way.x[2], way.x[3]}, way.window, way.options);
        const Pooled wanted =
            pooled(way, numbers(values), numbers(dt::eval(t)), numbers(dt::eval(c)));
        REQUIRE(max.shape() == wanted.shape);
        REQUIRE(average.shape() == wanted.shape);
        CHECK(max.dtype() == dtype);
        const double tolerance = dtype == dt::float64 ? 1e-14 : 1e-5;
        const dt::Var x_last = channels_last(x), t_last = channels_last(t),
                      c_last = channels_last(c);
        const auto check = [&](dt::Var got, const Numbers& value, double within) {
          check_close(numbers(dt::eval(got)), value, within);
        };
        check(max, wanted.max, 0);
        check(select, wanted.select, 0);
        check(scatter, wanted.scatter, tolerance);
        check(average, wanted.average, tolerance);
        check(spread, wanted.spread, tolerance);
        check(again(max, {x_last}), wanted.max, 0);
        check(again(select, {x_last, t_last}), wanted.select, 0);
        check(again(scatter, {x_last, c_last}), wanted.scatter, tolerance);
        check(again(average, {x_last}), wanted.average, tolerance);
        check(again(spread, {c_last}), wanted.spread, tolerance);
        // Both modes go through them.
        check(dt::forward_all({max}, {x}, {t})[0].value(), wanted.select, 0);
        check(dt::vjp({max}, {x}, {c})[x], wanted.scatter, tolerance);
        check(dt::vjp({average}, {x}, {c})[x], wanted.spread, tolerance);
      }
}

TEST_CASE("values and gradients are PyTorch's") {
  using torch_cases::Vars;
  dt::PoolOptions options;
  options.padding = 1;
  options.stride = 2;
  torch_cases::check("layers.csv", "max_pool2d", {{2, 3, 7, 6}},
                     [&](Vars x) { return dt::max_pool2d(x[0], 3, options); });
  options.stride = {2, 1};
  torch_cases::check("layers.csv", "avg_pool2d", {{2, 2, 6, 5}}, [&](Vars x) {
    return dt::avg_pool2d(x[0], {3, 2}, options);
  });
  options.count_include_pad = false;
  torch_cases::check("layers.csv", "avg_pool2d inside", {{2, 2, 6, 5}}, [&](Vars x) {
    return dt::avg_pool2d(x[0], {3, 2}, options);
  });
  dt::PoolOptions flat;
  flat.stride = 3;
  flat.padding = 2;
  torch_cases::check("layers.csv", "max_pool1d", {{2, 2, 11}},
                     [&](Vars x) { return dt::max_pool1d(x[0], 4, flat); });
  torch_cases::check("layers.csv", "adaptive_avg_pool2d", {{2, 2, 7, 5}}, [](Vars x) {
    return dt::adaptive_avg_pool2d(x[0], {3, 4});
  });
  torch_cases::check("layers.csv", "adaptive_max_pool2d", {{2, 2, 7, 5}}, [](Vars x) {
    return dt::adaptive_max_pool2d(x[0], {3, 4});
  });
}

TEST_CASE("the first of equal largest elements has the whole derivative") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({2, 5, 5, 5}).reshape({1, 1, 2, 2}));
  const dt::Var y = dt::max_pool2d(x, 2);
  CHECK(numbers(dt::eval(dt::reverse(dt::sum(y), {x})[x])) == Numbers{0, 1, 0, 0});
  const dt::Var t = graph.constant(tensor({1, 2, 3, 4}).reshape({1, 1, 2, 2}));
  CHECK(dt::eval(dt::forward(dt::sum(y), {x}, {t})).item() == 2);
}

TEST_CASE("windows rounded up see the last entries") {
  dt::PoolOptions up;
  up.ceil_mode = true;
  dt::Graph graph;
  const dt::Var five = graph.constant(tensor({1, 2, 3, 4, 5}).reshape({1, 1, 5}));
  CHECK(numbers(dt::eval(dt::avg_pool1d(five, 2, up))) == Numbers{1.5, 3.5, 5});
  CHECK(numbers(dt::eval(dt::max_pool1d(five, 2, up))) == Numbers{2, 4, 5});
  up.stride = 2;
  up.padding = 1;
  const dt::Var four = graph.constant(tensor({1, 2, 3, 4}).reshape({1, 1, 4}));
  CHECK(numbers(dt::eval(dt::avg_pool1d(four, 3, up))) == Numbers{1, 3, 2});
  // A window that would begin in the padding behind is left out.
  const dt::Var one = graph.constant(tensor({7}).reshape({1, 1, 1}));
  CHECK(numbers(dt::eval(dt::max_pool1d(one, 2, up))) == Numbers{7});
  CHECK(dt::max_pool1d(graph.constant(dt::ones({1, 1, 3})), 2, up).shape() == dt::Shape{1, 1, 2});
}

// 2^24 and then ones: a serial float32 sum stays where it is.
TEST_CASE("means of large windows lose no entries") {
  dt::Tensor values = dt::ones({1, 1, 1, 4096});
  values.data<float>()[0] = 16777216;
  dt::Graph graph;
  const dt::Var x = graph.constant(values);
  const double wanted = (16777216.0 + 4095) / 4096;
  for (const dt::Var y : {dt::adaptive_avg_pool2d(x, 1), dt::avg_pool2d(x, {1, 4096})})
    CHECK(std::abs(dt::eval(y).item() - wanted) <= 64 * 0x1p-24 * wanted);
}

TEST_CASE("a NaN wins its window and no other") {
  for (const bool last : {false, true}) {
    dt::Graph graph;
    dt::Tensor values = waves({1, 16, 4, 4}, dt::float32);
    values.data<float>()[5] = static_cast<float>(nan);  // row 1, column 1 of channel 0
    const dt::Var x = graph.constant(values);
    dt::Var y = dt::max_pool2d(x, 2);
    if (last) y = again(y, {channels_last(x)});
    const Numbers got = numbers(dt::eval(y));
    CHECK(std::isnan(got[0]));
    CHECK(std::count_if(got.begin(), got.end(), [](double v) { return std::isnan(v); }) == 1);
  }
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({nan, 1, 2, 3}).reshape({1, 1, 2, 2}));
  CHECK(std::isnan(dt::eval(dt::max_pool2d(x, 2)).item()));
  CHECK(numbers(dt::eval(dt::reverse(dt::sum(dt::max_pool2d(x, 2)), {x})[x])) ==
        Numbers{1, 0, 0, 0});
}

TEST_CASE("padding never wins and infinities are no padding") {
  dt::Graph graph;
  const double low = -std::numeric_limits<double>::infinity();
  dt::PoolOptions options;
  options.padding = 1;
  const dt::Var x = graph.constant(tensor({-3, -1, low, -2}).reshape({1, 1, 2, 2}));
  CHECK(numbers(dt::eval(dt::max_pool2d(x, 2, options))) == Numbers{-3, -1, low, -2});
  const dt::Var ones = graph.constant(dt::ones({1, 1, 2, 2}));
  CHECK(numbers(dt::eval(dt::avg_pool2d(ones, 2, options))) == Numbers{0.25, 0.25, 0.25, 0.25});
  options.count_include_pad = false;
  CHECK(numbers(dt::eval(dt::avg_pool2d(ones, 2, options))) == Numbers{1, 1, 1, 1});
}

TEST_CASE("an empty channel of only -inf stays -inf and its derivative goes to the first") {
  dt::Graph graph;
  const double low = -std::numeric_limits<double>::infinity();
  const dt::Var x = graph.constant(tensor({low, low, low, low}).reshape({1, 1, 2, 2}));
  const dt::Var y = dt::max_pool2d(x, 2);
  CHECK(dt::eval(y).item() == low);
  CHECK(numbers(dt::eval(dt::reverse(dt::sum(y), {x})[x])) == Numbers{1, 0, 0, 0});
}

TEST_CASE("adaptive windows reach from floor to ceil") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({1, 2, 4, 8, 16, 32, 64}).reshape({1, 1, 1, 7}));
  // 7 to 3: 0..2, 2..4, 4..6
  check_close(numbers(dt::eval(dt::adaptive_avg_pool2d(x, {1, 3}))), {7.0 / 3, 28.0 / 3, 112.0 / 3},
              1e-15);
  CHECK(numbers(dt::eval(dt::adaptive_max_pool2d(x, {1, 3}))) == Numbers{4, 16, 64});
  // 2 to 3 rows: 0, 0..1, 1
  const dt::Var tall = graph.constant(tensor({1, 3}).reshape({1, 1, 2, 1}));
  CHECK(numbers(dt::eval(dt::adaptive_avg_pool2d(tall, {3, 1}))) == Numbers{1, 2, 3});
  CHECK(dt::adaptive_avg_pool2d(x, 1).shape() == dt::Shape{1, 1, 1, 1});
  const dt::Var images = graph.constant(waves({2, 3, 8, 6}, dt::float64));
  CHECK(numbers(dt::eval(dt::adaptive_avg_pool2d(images, {4, 3}))) ==
        numbers(dt::eval(dt::avg_pool2d(images, 2))));
  // Overlapping windows, with channels last and first.
  for (const dt::Var y :
       {dt::adaptive_avg_pool2d(images, {5, 4}), dt::adaptive_max_pool2d(images, {5, 4})})
    CHECK(numbers(dt::eval(again(y, {channels_last(images)}))) == numbers(dt::eval(y)));
}

TEST_CASE("global pooling leaves one number a channel") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({1, 2, 3, 6, 9, 9, 0, 0}).reshape({1, 2, 2, 2}));
  CHECK(dt::global_avg_pool(x).shape() == dt::Shape{1, 2});
  CHECK(numbers(dt::eval(dt::global_avg_pool(x))) == Numbers{3, 4.5});
  CHECK(numbers(dt::eval(dt::global_max_pool(x))) == Numbers{6, 9});
  CHECK(numbers(dt::eval(dt::reverse(dt::sum(dt::global_max_pool(x)), {x})[x])) ==
        Numbers{0, 0, 0, 1, 1, 0, 0, 0});
}

TEST_CASE("sequences are pooled as images of one row") {
  dt::Graph graph;
  const dt::Var x = graph.constant(tensor({1, 5, 2, 4, 3, 0}).reshape({1, 2, 3}));
  dt::PoolOptions options;
  options.stride = 1;
  CHECK(dt::max_pool1d(x, 2, options).shape() == dt::Shape{1, 2, 2});
  CHECK(numbers(dt::eval(dt::max_pool1d(x, 2, options))) == Numbers{5, 5, 4, 3});
  CHECK(numbers(dt::eval(dt::avg_pool1d(x, 2, options))) == Numbers{3, 3.5, 3.5, 1.5});
  CHECK(numbers(dt::eval(dt::max_pool1d(x, 2))) == Numbers{5, 4});
}

TEST_CASE("threads do not change a bit") {
  dt::Graph graph;
  const dt::Tensor values = waves({16, 16, 30, 31}, dt::float32);
  const dt::Var x = graph.constant(values);
  dt::PoolOptions overlapping;
  overlapping.stride = 2;
  std::vector<dt::Var> wanted;
  for (const dt::Var y : {dt::max_pool2d(x, 2), dt::avg_pool2d(x, 3, overlapping)}) {
    wanted.push_back(y);
    wanted.push_back(dt::vjp({y}, {x}, {y * y})[x]);
  }
  dt::CompileOptions several;
  several.threads = 3;
  dt::Program alone = dt::compile(wanted);
  dt::Program together = dt::compile(wanted, {}, several);
  const auto one = alone.run();
  const auto three = together.run();
  for (const dt::Var y : wanted) CHECK(numbers(one[y]) == numbers(three[y]));
}

TEST_CASE("what cannot be pooled is refused with its sizes") {
  dt::Graph graph;
  const dt::Var x = graph.input("x", {2, 3, 8, 6});
  const dt::Var image = graph.input("image", {3, 8, 6});
  dt::PoolOptions options;
  check_refused<dt::ShapeError>([&] { dt::max_pool2d(image, 2); },
                                {"max_pool2d", "(3, 8, 6)", "unsqueeze"});
  check_refused<dt::ShapeError>([&] { dt::avg_pool2d(x, {9, 2}); }, {"9 x 2", "(2, 3, 8, 6)"});
  check_refused<dt::ShapeError>([&] { dt::avg_pool2d(x, 0); }, {"0 x 0"});
  options.padding = {0, 2};
  check_refused<dt::ShapeError>([&] { dt::max_pool2d(x, 3, options); },
                                {"padding of columns is 2", "3 x 3"});
  options.padding = 0;
  options.stride = {2, -1};
  check_refused<dt::ShapeError>([&] { dt::max_pool2d(x, 2, options); }, {"stride", "-1"});
  check_refused<dt::ShapeError>([&] { dt::max_pool1d(x, 2); }, {"max_pool1d", "(N, C, L)"});
  check_refused<dt::ShapeError>([&] { dt::adaptive_avg_pool2d(image, 2); },
                                {"adaptive_avg_pool2d", "(3, 8, 6)"});
  check_refused<dt::ShapeError>([&] { dt::adaptive_max_pool2d(x, 0); }, {"0 x 0"});
  check_refused<dt::ShapeError>([&] { dt::global_avg_pool(image); }, {"global_avg_pool"});
  check_refused<dt::ShapeError>([&] { dt::max_pool2d_select(x, image, 2); }, {"shape of x"});
  check_refused<dt::ShapeError>([&] { dt::max_pool2d_scatter(x, x, 2); },
                                {"(2, 3, 4, 3)", "(2, 3, 8, 6)"});
  check_refused<dt::ShapeError>([&] { dt::avg_pool2d_spread(x, 8, 2); }, {"(2, 3, 4, 4)"});
  check_refused<dt::ShapeError>(
      [&] {
        dt::avg_pool2d_spread(x, {-8, 6}, 2);
      },
      {"[avg_pool2d_spread]", "-8 x 6", "(2, 3, 8, 6)"});
  check_refused<dt::ShapeError>(
      [&] {
        dt::avg_pool2d_spread(x, {std::int64_t{1} << 62, 8}, 2);
      },
      {"[avg_pool2d_spread]", "too large"});
}

TEST_CASE("the derivatives hold in every mode") {
  moving::check_derivatives({"max_pool2d", "max_pool2d_select", "max_pool2d_scatter", "avg_pool2d",
                             "avg_pool2d_spread", "max_pool1d", "avg_pool1d", "adaptive_avg_pool2d",
                             "adaptive_max_pool2d", "global_avg_pool", "global_max_pool"});
}

}  // namespace
