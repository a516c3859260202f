#include <dualtape/data/idx.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include <dualtape/core/files/stored.hpp>
#include <dualtape/core/tensor/memory_for.hpp>
#include <dualtape/data/readers/bytes.hpp>

namespace dualtape {
namespace {

using detail::ByteReader;
using detail::Stored;

struct Kind {
  IdxType type;
  std::string_view name;
  Stored stored;

  std::uint64_t width() const { return detail::width_of(stored); }
  DType natural() const { return detail::widened(stored); }  // which holds all values
};
constexpr std::array<Kind, 6> kinds{{{IdxType::u8, "uint8", Stored::u8},
                                     {IdxType::i8, "int8", Stored::i8},
                                     {IdxType::i16, "int16", Stored::i16},
                                     {IdxType::i32, "int32", Stored::i32},
                                     {IdxType::f32, "float32", Stored::f32},
                                     {IdxType::f64, "float64", Stored::f64}}};

const Kind& kind_of(IdxType type) {
  return *std::find_if(kinds.begin(), kinds.end(),
                       [&](const Kind& kind) { return kind.type == type; });
}

std::uint32_t big_endian(const unsigned char* bytes) {
  return std::uint32_t{bytes[0]} << 24U | std::uint32_t{bytes[1]} << 16U |
         std::uint32_t{bytes[2]} << 8U | std::uint32_t{bytes[3]};
}

// "0x00000803", as such files are told apart.
std::string magic_text(const std::array<unsigned char, 4>& bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text = "0x";
  for (const unsigned char byte : bytes) {
    text += digits[byte >> 4U];
    text += digits[byte & 15U];
  }
  return text;
}

IdxHeader read_header(ByteReader& in) {
  std::array<unsigned char, 4> magic{};
  in.read(magic.data(), magic.size(), "the magic number of an IDX file");
  if (magic[0] != 0 || magic[1] != 0) {
    in.fail_at(0, "expected two zero bytes, a type and a rank, as IDX files begin, found " +
                      magic_text(magic));
  }
  const auto* kind = std::find_if(kinds.begin(), kinds.end(), [&](const Kind& known) {
    return static_cast<unsigned char>(known.type) == magic[2];
  });
  if (kind == kinds.end()) {
    in.fail_at(2,
               "expected a type of 0x08 (uint8), 09 (int8), 0b (int16), 0c (int32), 0d "
               "(float32) or 0e (float64), found " +
                   std::to_string(magic[2]) + " in " + magic_text(magic));
  }
  std::vector<std::int64_t> sizes;
  for (unsigned axis = 0; axis < magic[3]; ++axis) {
    std::array<unsigned char, 4> size{};
    in.read(size.data(), size.size(),
            "size " + std::to_string(axis + 1) + " of " + std::to_string(magic[3]));
    sizes.push_back(big_endian(size.data()));
  }
  try {
    return {kind->type, Shape(sizes)};
  } catch (const ShapeError& error) {
    in.fail_at(4, error.what());
  }
}

// The elements as they stand; `made` is the width of what becomes of each.
std::vector<std::byte> read_elements(ByteReader& in, const IdxHeader& header, std::size_t made) {
  const std::uint64_t width = kind_of(header.type).width();
  const auto count = static_cast<std::uint64_t>(header.shape.count());
  const std::string what =
      std::string(name_of(header.type)) + " " + to_string(header.shape) + " after the header";
  in.check_claim(count * width, what);
  in.expect_room(count * (width + made), what);
  std::vector<std::byte> elements = in.take(count * width, what);
  in.expect_end(what);
  return elements;
}

Tensor load(const std::filesystem::path& path, std::optional<DType> wanted,
            const ReadLimits& limits, Location here) {
  ByteReader in("load_idx", path, here, detail::Packing::gzip_or_plain, limits);
  const IdxHeader header = read_header(in);
  const Kind& kind = kind_of(header.type);
  const DType made = kind.natural();
  const DType dtype = wanted.value_or(made);
  const std::size_t converted = dtype == made ? 0 : size_of(dtype);
  const std::vector<std::byte> bytes = read_elements(in, header, size_of(made) + converted);
  Tensor result = Tensor::uninitialised({header.shape, made});
  detail::widen(kind.stored, detail::ByteOrder::big, bytes, static_cast<std::byte*>(result.raw()));
  return dtype == made ? result : result.to(dtype);
}

// The header of a file that must hold uint8 of the given rank; `what` says of what.
IdxHeader read_header_of(ByteReader& in, std::size_t rank, const std::string& what) {
  IdxHeader header = read_header(in);
  if (header.type == IdxType::u8 && header.shape.rank() == rank) return header;
  in.fail_at(2,
             "expected " + what + ", which are uint8 of rank " + std::to_string(rank) + ", found " +
                 std::string(name_of(header.type)) + " of rank " +
                 std::to_string(header.shape.rank()),
             "are the files of images and labels mixed up?");
}

Tensor read_images(ByteReader& in, const IdxHeader& header) {
  const Shape& shape = header.shape;
  const std::vector<std::byte> bytes = read_elements(in, header, sizeof(float));
  Tensor images = Tensor::uninitialised({Shape{shape[0], 1, shape[1], shape[2]}, DType::float32});
  const std::span<float> values = images.data<float>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(std::to_integer<unsigned>(bytes[i])) / 255.0F;
  }
  return images;
}

Tensor read_labels(ByteReader& in, const IdxHeader& header, std::size_t classes) {
  const std::uint64_t start = in.offset();
  const std::vector<std::byte> bytes = read_elements(in, header, sizeof(std::int64_t));
  Tensor labels = Tensor::uninitialised({header.shape, DType::int64});
  const std::span<std::int64_t> values = labels.data<std::int64_t>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = std::to_integer<std::int64_t>(bytes[i]);
    if (static_cast<std::size_t>(values[i]) >= classes) {
      in.fail_at(start + i, "expected a label below " + std::to_string(classes) + ", found " +
                                std::to_string(values[i]));
    }
  }
  return labels;
}

}  // namespace

std::string_view name_of(IdxType type) { return kind_of(type).name; }

IdxHeader read_idx_header(const std::filesystem::path& path, Location here) {
  ByteReader in("read_idx_header", path, here);
  return read_header(in);
}

Tensor load_idx(const std::filesystem::path& path, const ReadLimits& limits, Location here) {
  return detail::memory_for("load_idx", path, here,
                            [&] { return load(path, std::nullopt, limits, here); });
}

Tensor load_idx(const std::filesystem::path& path, DType dtype, const ReadLimits& limits,
                Location here) {
  detail::check_dtype("load_idx", dtype, here);
  return detail::memory_for("load_idx", path, here,
                            [&] { return load(path, dtype, limits, here); });
}

Dataset load_idx_images(const std::filesystem::path& images, const std::filesystem::path& labels,
                        std::vector<std::string> class_names, std::string name,
                        const ReadLimits& limits, Location here) {
  constexpr std::string_view op = "load_idx_images";
  ByteReader image_file(op, images, here, detail::Packing::gzip_or_plain, limits);
  ByteReader label_file(op, labels, here, detail::Packing::gzip_or_plain, limits);
  const IdxHeader image_header = read_header_of(image_file, 3, "images");
  const IdxHeader label_header = read_header_of(label_file, 1, "labels");
  if (image_header.shape[0] != label_header.shape[0]) {
    label_file.fail_at(4,
                       "expected " + std::to_string(image_header.shape[0]) +
                           " labels, one for each image of " + images.string() + ", found " +
                           std::to_string(label_header.shape[0]),
                       "name the label file that belongs to these images");
  }
  Dataset result;
  result.labels = detail::memory_for(
      op, labels, here, [&] { return read_labels(label_file, label_header, class_names.size()); });
  result.inputs =
      detail::memory_for(op, images, here, [&] { return read_images(image_file, image_header); });
  result.class_names = std::move(class_names);
  result.name = std::move(name);
  return result;
}

}  // namespace dualtape
