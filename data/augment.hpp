// Augmentation of images: random crop, random flip, normalisation. Plain functions; any thread may
// call. What is drawn for an image depends on the key and the image's row alone, so batches are the
// same bits whatever their size, their order and the thread that makes them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <dualtape/core/random.hpp>
#include <dualtape/core/tensor.hpp>

namespace dualtape {

struct Augmentation {
  // Zeros around the image on each side, of which a window of the image's own size is cut at random
  // (all (2 padding + 1)^2 places equally likely); 0: no crop.
  std::int64_t crop_padding = 0;
  // How likely an image is mirrored, left to right; 0 to 1.
  double flip = 0.0;
  // Then (x - mean) / deviation, one of each for every channel or for all; empty: as they are.
  std::vector<float> mean = {};
  std::vector<float> deviation = {};

  bool draws() const { return crop_padding > 0 || flip > 0.0; }
  bool does_nothing() const { return crop_padding == 0 && flip == 0.0 && mean.empty(); }
};

// ShapeError or TypeError unless images are float32 (n, channels, rows, columns); ValueError for a
// padding below 0, a probability outside 0 to 1, other counts of mean and deviation than above or a
// deviation that is not above 0. Augmentations that do nothing suit everything.
void check_augmentation(const Augmentation& augmentation, const Type& images,
                        Location here = Location::current());

// The Augmentation that brings each channel of these images to mean 0 and deviation 1: made from
// what is trained on, for all images. Sums are in float64, deviations divide by the number of
// pixels. ShapeError or TypeError as above or for no pixels; ValueError for a channel in which all
// pixels are equal.
Augmentation normalisation_of(const Tensor& images, Location here = Location::current());

// The given rows of `images`, augmented, into target (rows.size(), channels, rows, columns). Row r
// draws from key.fold(r). Throws what check_augmentation() does, and ShapeError for a row that is
// not there and a target that does not fit, ValueError for one that shares elements with the
// images; allocates nothing.
void augment_rows_into(const Tensor& images, std::span<const std::int64_t> rows,
                       const Augmentation& augmentation, Key key, Tensor& target,
                       Location here = Location::current());

// The same into a new tensor, after checking.
Tensor augment(const Tensor& images, const Augmentation& augmentation, Key key,
               Location here = Location::current());

}  // namespace dualtape
