#include <dualtape/data/augment.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string>

#include <dualtape/data/dataset.hpp>

namespace dualtape {
namespace {

struct Size {
  std::int64_t channels, height, width;
  std::int64_t count() const { return channels * height * width; }
};

// What one image is given: its window moved by (down, right), mirrored or not.
struct Draw {
  std::int64_t down = 0;
  std::int64_t right = 0;
  bool mirrored = false;
};

Draw draw(const Augmentation& augmentation, Key key) {
  std::array<float, 3> u{};
  fill_uniform(std::span<float>(u), key);
  const std::int64_t padding = augmentation.crop_padding;
  const auto place = [padding](float uniform) {
    const double scaled = static_cast<double>(uniform) * static_cast<double>(2 * padding + 1);
    return static_cast<std::int64_t>(scaled) - padding;
  };
  return {place(u[0]), place(u[1]), static_cast<double>(u[2]) < augmentation.flip};
}

struct Normal {
  float mean = 0.0F;
  float deviation = 1.0F;
  float operator()(float value) const { return (value - mean) / deviation; }
};

Normal normal_of(const Augmentation& augmentation, std::int64_t channel) {
  if (augmentation.mean.empty()) return {};
  const std::size_t at = augmentation.mean.size() == 1 ? 0 : static_cast<std::size_t>(channel);
  return {augmentation.mean[at], augmentation.deviation[at]};
}

// One line of a channel: padding, then the pixels in view, then padding.
void copy_line(const float* from, std::int64_t width, const Draw& draw, Normal normal, float* to) {
  const std::int64_t begin = std::clamp<std::int64_t>(-draw.right, 0, width);
  const std::int64_t end = std::clamp<std::int64_t>(width - draw.right, 0, width);
  const float padding = normal(0.0F);
  std::fill(to, to + begin, padding);
  for (std::int64_t x = begin; x < end; ++x) to[x] = normal(from[x + draw.right]);
  std::fill(to + end, to + width, padding);
  if (draw.mirrored) std::reverse(to, to + width);
}

void copy_image(const float* from, Size size, const Augmentation& augmentation, const Draw& draw,
                float* to) {
  for (std::int64_t channel = 0; channel < size.channels; ++channel) {
    const Normal normal = normal_of(augmentation, channel);
    for (std::int64_t y = 0; y < size.height; ++y, to += size.width) {
      const std::int64_t line = y + draw.down;
      if (line < 0 || line >= size.height) {
        std::fill(to, to + size.width, normal(0.0F));
      } else {
        copy_line(from + (channel * size.height + line) * size.width, size.width, draw, normal, to);
      }
    }
  }
}

[[noreturn]] void refuse(const std::string& what, Location here) {
  fail<ValueError>({.op = "Augmentation",
                    .what = what,
                    .where = here,
                    .help = "mend the Augmentation; see data/augment.hpp"});
}

void check_images(const Type& images, Location here) {
  if (images.shape.rank() != 4) {
    fail<ShapeError>(
        {.op = "Augmentation",
         .what = "images must be (n, channels, rows, columns), but are " + to_string(images),
         .where = here,
         .help = "reshape them, as inputs.reshape({-1, 1, 28, 28})"});
  }
  if (images.dtype != DType::float32) {
    fail<TypeError>({.op = "Augmentation",
                     .what = "images must be float32, but are " + to_string(images),
                     .where = here,
                     .help = "convert them with inputs.to(dualtape::float32)"});
  }
}

void check_target(const Type& images, std::span<const std::int64_t> rows, const Type& target,
                  Location here) {
  for (const std::int64_t row : rows) {
    if (row >= 0 && row < images.shape[0]) continue;
    fail<ShapeError>({.op = "augment_rows_into",
                      .what = "row " + std::to_string(row) + " is not one of the " +
                              std::to_string(images.shape[0]) + " rows",
                      .where = here,
                      .help = "rows count from 0"});
  }
  const bool fits =
      target.dtype == images.dtype && target.shape.rank() == 4 &&
      target.shape[0] == static_cast<std::int64_t>(rows.size()) &&
      std::equal(images.shape.begin() + 1, images.shape.end(), target.shape.begin() + 1);
  if (fits) return;
  fail<ShapeError>({.op = "augment_rows_into",
                    .what = std::to_string(rows.size()) + " rows of " + to_string(images) +
                            " do not fit into " + to_string(target),
                    .where = here,
                    .help = "rows_like() makes a target that fits"});
}

}  // namespace

void check_augmentation(const Augmentation& augmentation, const Type& images, Location here) {
  constexpr std::int64_t most_padding = std::int64_t{1} << 30U;  // places of windows are counted
  const auto& [padding, flip, mean, deviation] = augmentation;
  if (padding < 0 || padding > most_padding) {
    refuse("crop_padding is " + std::to_string(padding) + ", but must be 0 to " +
               std::to_string(most_padding),
           here);
  }
  if (!(flip >= 0.0 && flip <= 1.0)) {
    refuse("flip is " + std::to_string(flip) + ", but must be a probability, 0 to 1", here);
  }
  if (mean.size() != deviation.size()) {
    refuse("mean has " + std::to_string(mean.size()) + " entries and deviation " +
               std::to_string(deviation.size()),
           here);
  }
  for (const float value : mean) {
    if (!std::isfinite(value)) refuse("a mean is " + std::to_string(value), here);
  }
  for (const float value : deviation) {
    if (!(value > 0.0F && std::isfinite(value)))
      refuse("a deviation is " + std::to_string(value) + ", not above 0 and finite", here);
  }
  if (augmentation.does_nothing()) return;
  check_images(images, here);
  if (mean.size() > 1 && static_cast<std::int64_t>(mean.size()) != images.shape[1]) {
    refuse("mean has " + std::to_string(mean.size()) + " entries, but the images " +
               to_string(images) + " have " + std::to_string(images.shape[1]) + " channels",
           here);
  }
}

Augmentation normalisation_of(const Tensor& images, Location here) {
  check_images(images.type(), here);
  const Size size{images.shape()[1], images.shape()[2], images.shape()[3]};
  const std::int64_t area = size.height * size.width;
  const auto count = static_cast<double>(images.size(0) * area);
  if (images.count() == 0) {
    fail<ShapeError>({.op = "normalisation_of",
                      .what = "images " + to_string(images.type()) + " have no pixels",
                      .where = here,
                      .help = "give the images that are trained on"});
  }
  Augmentation result;
  for (std::int64_t channel = 0; channel < size.channels; ++channel) {
    const auto each_pixel = [&](auto&& visit) {
      const float* image = images.data<float>().data() + channel * area;
      for (std::int64_t n = 0; n < images.size(0); ++n, image += size.count())
        for (std::int64_t i = 0; i < area; ++i) visit(static_cast<double>(image[i]));
    };
    double sum = 0;
    each_pixel([&](double pixel) { sum += pixel; });
    const double mean = sum / count;
    double squares = 0;
    each_pixel([&](double pixel) { squares += (pixel - mean) * (pixel - mean); });
    result.mean.push_back(static_cast<float>(mean));
    result.deviation.push_back(static_cast<float>(std::sqrt(squares / count)));
    if (!(result.deviation.back() > 0.0F)) {
      fail<ValueError>({.op = "normalisation_of",
                        .what = "channel " + std::to_string(channel) + " has mean " +
                                std::to_string(mean) + " and deviation " +
                                std::to_string(result.deviation.back()),
                        .where = here,
                        .help = "leave such a channel out, or set its deviation to 1 by hand"});
    }
  }
  return result;
}

void augment_rows_into(const Tensor& images, std::span<const std::int64_t> rows,
                       const Augmentation& augmentation, Key key, Tensor& target, Location here) {
  check_augmentation(augmentation, images.type(), here);
  check_images(images.type(), here);
  check_target(images.type(), rows, target.type(), here);
  if (target.overlaps(images)) {
    fail<ValueError>({.op = "augment_rows_into",
                      .what = "the target shares elements with the images, which would be written "
                              "over before they are read",
                      .where = here,
                      .help = "rows_like() makes a target of its own"});
  }
  const Size size{images.shape()[1], images.shape()[2], images.shape()[3]};
  const bool random = augmentation.draws();
  const float* from = images.data<float>().data();
  float* to = target.data<float>().data();
  for (const std::int64_t row : rows) {
    const Draw drawn =
        random ? draw(augmentation, key.fold(static_cast<std::uint64_t>(row))) : Draw{};
    copy_image(from + row * size.count(), size, augmentation, drawn, to);
    to += size.count();
  }
}

Tensor augment(const Tensor& images, const Augmentation& augmentation, Key key, Location here) {
  check_augmentation(augmentation, images.type(), here);
  if (augmentation.does_nothing()) return images.copy();
  std::vector<std::int64_t> rows(static_cast<std::size_t>(images.size(0)));
  std::iota(rows.begin(), rows.end(), std::int64_t{0});
  Tensor result = rows_like(images, images.size(0), here);
  augment_rows_into(images, rows, augmentation, key, result, here);
  return result;
}

}  // namespace dualtape
