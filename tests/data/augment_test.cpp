// Augmentation: which windows, mirrors and values come out, and that draws belong to rows alone.
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <dualtape/data/augment.hpp>
#include <dualtape/data/dataset.hpp>

#include "temporary.hpp"
#include "tests/allocations.hpp"

using namespace dualtape;
using namespace dualtape::testing;

namespace {

// n images whose pixels are all different and none 0: 1, 2, 3 ...
Tensor counting_images(std::int64_t n, std::int64_t channels, std::int64_t height,
                       std::int64_t width) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < n * channels * height * width; ++i) {
    values.push_back(static_cast<float>(i + 1));
  }
  return Tensor::from(values, Shape{n, channels, height, width});
}

// The image moved and mirrored, pixel by pixel from the definition.
double expected_pixel(const Tensor& images, std::int64_t n, std::int64_t c, std::int64_t y,
                      std::int64_t x, std::int64_t down, std::int64_t right, bool mirrored) {
  const std::int64_t width = images.size(3);
  const std::int64_t from_y = y + down;
  const std::int64_t from_x = (mirrored ? width - 1 - x : x) + right;
  if (from_y < 0 || from_y >= images.size(2) || from_x < 0 || from_x >= width) return 0.0;
  return images.at({n, c, from_y, from_x});
}

struct Found {
  int matches = 0;
  std::int64_t down = 0, right = 0;
  bool mirrored = false;
};

// Which crop and mirror makes `result` of image n.
Found find_draw(const Tensor& images, const Tensor& result, std::int64_t n, std::int64_t padding) {
  Found found;
  for (std::int64_t down = -padding; down <= padding; ++down) {
    for (std::int64_t right = -padding; right <= padding; ++right) {
      for (const bool mirrored : {false, true}) {
        bool same = true;
        for (std::int64_t c = 0; same && c < images.size(1); ++c)
          for (std::int64_t y = 0; same && y < images.size(2); ++y)
            for (std::int64_t x = 0; same && x < images.size(3); ++x)
              same = result.at({n, c, y, x}) ==
                     expected_pixel(images, n, c, y, x, down, right, mirrored);
        if (same) found = {found.matches + 1, down, right, mirrored};
      }
    }
  }
  return found;
}

}  // namespace

TEST_CASE("every image is one window of its padded self, mirrored or not, all equally likely") {
  constexpr std::int64_t n = 1800;
  const Tensor images = counting_images(n, 2, 4, 3);
  const Tensor result = augment(images, {.crop_padding = 1, .flip = 0.5}, Key{5});
  std::map<std::pair<std::int64_t, std::int64_t>, int> windows;
  int mirrored = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const Found found = find_draw(images, result, i, 1);
    REQUIRE(found.matches == 1);
    ++windows[{found.down, found.right}];
    mirrored += found.mirrored ? 1 : 0;
  }
  // 200 expected each, deviation 13.3; 900 expected, deviation 21.2; five deviations allowed.
  CHECK(windows.size() == 9);
  for (const auto& [window, times] : windows) CHECK(std::abs(times - 200) < 67);
  CHECK(std::abs(mirrored - 900) < 106);
}

TEST_CASE("probabilities of 0 and 1 are never and always") {
  const Tensor images = counting_images(50, 1, 2, 3);
  const Tensor always = augment(images, {.flip = 1.0}, Key{1});
  for (std::int64_t i = 0; i < 50; ++i) CHECK(find_draw(images, always, i, 0).mirrored);
  CHECK(identical(augment(images, {.mean = {0.0F}, .deviation = {1.0F}}, Key{1}), images));
  CHECK(identical(augment(images, {}, Key{1}), images));
}

TEST_CASE("normalisation by channel and for all; padding is a black pixel, normalised") {
  const Tensor images = counting_images(1, 2, 1, 2);  // channels {1, 2} and {3, 4}
  const Tensor each = augment(images, {.mean = {1, 2}, .deviation = {2, 4}}, Key{1});
  CHECK(identical(each.reshape({4}),
                  Tensor::from(std::vector<float>{0.0F, 0.5F, 0.25F, 0.5F}, Shape{4})));
  const Tensor one = augment(images, {.mean = {1}, .deviation = {2}}, Key{1});
  CHECK(identical(one.reshape({4}),
                  Tensor::from(std::vector<float>{0.0F, 0.5F, 1.0F, 1.5F}, Shape{4})));
  // Padding so wide that some windows show none of the image at all.
  const Tensor wide = augment(counting_images(200, 1, 1, 1),
                              {.crop_padding = 3, .mean = {1}, .deviation = {2}}, Key{1});
  int black = 0;
  for (const float value : wide.data<float>()) black += value == -0.5F ? 1 : 0;
  CHECK(black > 170);  // 48 of 49 windows
}

TEST_CASE("a row's draw is its own: other rows, their order and their number do not matter") {
  const Tensor images = counting_images(20, 3, 5, 5);
  const Augmentation both = {.crop_padding = 2, .flip = 0.5};
  const Tensor whole = augment(images, both, Key{9});
  const std::vector<std::int64_t> rows = {7, 0, 19, 7};
  Tensor some = rows_like(images, 4);
  CHECK(allocations_in([&] { augment_rows_into(images, rows, both, Key{9}, some); }) == 0);
  CHECK(identical(some, take_rows(whole, rows)));
  CHECK_FALSE(identical(augment(images, both, Key{10}), whole));
}

TEST_CASE("channels are brought to mean 0 and deviation 1 by their own numbers") {
  // Channel 0 holds 1, 3, 5, 7 (mean 4, variance 5), channel 1 ten times that behind 1000.
  const Tensor images =
      Tensor::from(std::vector<float>{1, 3, 1010, 1030, 5, 7, 1050, 1070}, Shape{2, 2, 1, 2});
  const Augmentation found = normalisation_of(images);
  REQUIRE(found.mean.size() == 2);
  CHECK(found.mean[0] == 4);
  CHECK(found.mean[1] == 1040);
  const float root = std::sqrt(5.0F);
  CHECK(static_cast<double>(found.deviation[0]) ==
        doctest::Approx(static_cast<double>(root)).epsilon(1e-7));
  CHECK(static_cast<double>(found.deviation[1]) ==
        doctest::Approx(static_cast<double>(10 * root)).epsilon(1e-7));
  CHECK(!found.draws());
  const Tensor scaled = augment(images, found, Key{1});
  CHECK(all_close(scaled,
                  Tensor::from(std::vector<float>{-3 / root, -1 / root, -3 / root, -1 / root,
                                                  1 / root, 3 / root, 1 / root, 3 / root},
                               Shape{2, 2, 1, 2}),
                  1e-6));
  CHECK_THROWS_AS(normalisation_of(zeros({2, 3, 4})), ShapeError);
  CHECK_THROWS_AS(normalisation_of(zeros({0, 1, 4, 4})), ShapeError);
  CHECK_THROWS_AS(normalisation_of(zeros({1, 1, 4, 4}, float64)), TypeError);
  CHECK(contains(text_thrown<ValueError>([&] {
                   normalisation_of(ones({2, 1, 4, 4}));
                 }),
                 "channel 0 has mean 1"));
}

TEST_CASE("augmentations that make no sense") {
  const Tensor images = counting_images(2, 3, 4, 4);
  const auto refusal = [&](const Augmentation& a) {
    return text_thrown<ValueError>([&] { augment(images, a, Key{1}); });
  };
  CHECK(contains(refusal({.crop_padding = -1}), "crop_padding is -1"));
  CHECK(contains(refusal({.flip = 1.5}), "flip is 1.5"));
  CHECK(contains(refusal({.flip = std::nan("")}), "probability"));
  CHECK(contains(refusal({.mean = {1}, .deviation = {}}), "mean has 1 entries and deviation 0"));
  CHECK(contains(refusal({.mean = {1, 2}, .deviation = {1, 1}}), "have 3 channels"));
  CHECK(contains(refusal({.mean = {1}, .deviation = {0}}), "not above 0"));
  CHECK_THROWS_AS(augment(zeros({2, 3}), {.flip = 0.5}, Key{1}), ShapeError);
  CHECK_THROWS_AS(augment(zeros({2, 3, 4, 4}, int32), {.flip = 0.5}, Key{1}), TypeError);
}

TEST_CASE("rows are not written over those that are still to be read") {
  Tensor images = counting_images(3, 1, 4, 4);
  const std::vector<std::int64_t> rows{2, 1, 0};
  const auto over = [&] { augment_rows_into(images, rows, {.flip = 1}, Key{1}, images); };
  CHECK(has(error_of<ValueError>(over), "shares elements"));
  CHECK_THROWS_AS(take_rows_into(images, rows, images), ValueError);
  Tensor part = images.rows(1, 3);
  const std::vector<std::int64_t> two{0, 1};
  CHECK_THROWS_AS(take_rows_into(images, two, part), ValueError);
  CHECK(identical(images, counting_images(3, 1, 4, 4)));
  Tensor first = images.rows(0, 1);
  const std::vector<std::int64_t> zero{0};
  take_rows_into(images.rows(2, 3), zero, first);  // beside each other they may lie
  CHECK(identical(images.rows(0, 1), images.rows(2, 3)));
}
