// IDX files, the format of MNIST and its relatives, plain or packed with gzip.
// Plain functions; any thread may call. Every error is a DataError naming file, offset and what was
// expected there; nothing is allocated for elements that the file does not hold, nor beyond the
// limits.
//
// Format (Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits"): two
// zero bytes, a byte for the type, a byte for the rank; that many sizes as big endian uint32; the
// elements, row-major and big endian.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <dualtape/core/read_limits.hpp>
#include <dualtape/core/tensor.hpp>
#include <dualtape/data/dataset.hpp>

namespace dualtape {

enum class IdxType : std::uint8_t {
  u8 = 0x08,
  i8 = 0x09,
  i16 = 0x0B,
  i32 = 0x0C,
  f32 = 0x0D,
  f64 = 0x0E
};
std::string_view name_of(IdxType type);  // "uint8", ...

struct IdxHeader {
  IdxType type;
  Shape shape;
};

// What the file says of itself, whether or not the elements are there.
IdxHeader read_idx_header(const std::filesystem::path& path, Location here = Location::current());

// Any type and rank. The integer types become int32, which holds them all; float32 and float64 stay
// what they are. With a dtype, converted to it as Tensor::to() does.
Tensor load_idx(const std::filesystem::path& path, const ReadLimits& limits = {},
                Location here = Location::current());
Tensor load_idx(const std::filesystem::path& path, DType dtype, const ReadLimits& limits = {},
                Location here = Location::current());

// Images with their labels: inputs float32 (n, 1, rows, columns) from 0 to 1, the file's uint8
// divided by 255; labels int64 (n,), each below class_names.size(). Both files are named, so parts
// of a data set are as good as the whole. DataError where images are no uint8 of rank 3, labels no
// uint8 of rank 1, or there are not as many labels as images.
Dataset load_idx_images(const std::filesystem::path& images, const std::filesystem::path& labels,
                        std::vector<std::string> class_names, std::string name,
                        const ReadLimits& limits = {}, Location here = Location::current());

}  // namespace dualtape
