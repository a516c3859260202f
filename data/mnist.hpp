// MNIST and the sets made to stand in its place: KMNIST and Fashion-MNIST. Any thread may call.
// They are not part of dualtape: ./run fetch downloads them.
#pragma once

#include <cstdint>

#include <dualtape/data/dataset.hpp>

namespace dualtape {

enum class Part : std::uint8_t { train, test };

// float32 inputs (60000 or 10000, 1, 28, 28) from 0 to 1; int64 labels (60000,) or (10000,) in
// 0..9, in the files' order. Read from mnist/, kmnist/ and fashion-mnist/ (see find_data) with the
// usual names, such as train-images-idx3-ubyte.gz, with or without the .gz. DataError where a file
// is missing, broken or not of these sizes; parts of a set are read by load_idx_images, which takes
// the files by name.

// Handwritten digits (Y. LeCun, C. Cortes, C. J. C. Burges).
Dataset load_mnist(Part part, Location here = Location::current());
// Cursive Japanese characters: o, ki, su, tsu, na, ha, ma, ya, re, wo (T. Clanuwat et al., "Deep
// Learning for Classical Japanese Literature", 2018; CC BY-SA 4.0).
Dataset load_kmnist(Part part, Location here = Location::current());
// Articles of clothing (H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST", 2017). Debian's package
// dataset-fashion-mnist is found where it lies.
Dataset load_fashion_mnist(Part part, Location here = Location::current());

}  // namespace dualtape
