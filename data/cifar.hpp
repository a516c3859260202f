// CIFAR-10, 60000 small colour photographs in 10 classes. Any thread may call.
// A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009). It is not part of
// dualtape: ./run fetch cifar-10 downloads it.
#pragma once

#include <filesystem>
#include <span>

#include <dualtape/data/dataset.hpp>
#include <dualtape/data/mnist.hpp>

namespace dualtape {

// float32 inputs (50000 or 10000, 3, 32, 32) from 0 to 1, planes red, green, blue; int64 labels in
// 0..9. Reads data_batch_1.bin ... data_batch_5.bin or test_batch.bin in cifar-10-batches-bin/, see
// find_data. DataError where one is missing, broken or not of 10000 images.
Dataset load_cifar10(Part part, Location here = Location::current());

// The same from any files of that format, one after the other: records of 3073 bytes, a label and
// 3 x 32 x 32 pixels. DataError naming file and offset for a file that is missing or empty, whose
// length is no multiple of 3073, or that holds a label above 9; ValueError without files.
Dataset load_cifar10(std::span<const std::filesystem::path> files,
                     Location here = Location::current());

}  // namespace dualtape
