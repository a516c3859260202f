#include <dualtape/data/idx.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include <dualtape/data/detail/bytes.hpp>

namespace dualtape {
namespace {

using detail::ByteReader;

struct Kind {
  IdxType type;
  std::string_view name;
  std::size_t width;
  DType natural;  // which holds all values
};
constexpr std::array<Kind, 6> kinds{{{IdxType::u8, "uint8", 1, DType::int32},
                                     {IdxType::i8, "int8", 1, DType::int32},
                                     {IdxType::i16, "int16", 2, DType::int32},
                                     {IdxType::i32, "int32", 4, DType::int32},
                                     {IdxType::f32, "float32", 4, DType::float32},
                                     {IdxType::f64, "float64", 8, DType::float64}}};

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

template <class Unsigned, class Value>
Value element(const std::byte* bytes) {
  Unsigned bits = 0;
  for (std::size_t i = 0; i < sizeof(Unsigned); ++i) {
    bits = static_cast<Unsigned>(bits << (sizeof(Unsigned) > 1 ? 8U : 0U)) |
           std::to_integer<Unsigned>(bytes[i]);
  }
  return std::bit_cast<Value>(bits);
}

template <class Unsigned, class Value, Element To>
void decode(const std::vector<std::byte>& bytes, std::span<To> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    // NOLINTNEXTLINE(bugprone-signed-char-misuse): the type of element 0x09 is signed
    out[i] = static_cast<To>(element<Unsigned, Value>(bytes.data() + i * sizeof(Value)));
  }
}

Tensor decode(IdxType type, const std::vector<std::byte>& bytes, Shape shape) {
  Tensor result = Tensor::uninitialised({std::move(shape), kind_of(type).natural});
  switch (type) {
    case IdxType::u8: decode<std::uint8_t, std::uint8_t>(bytes, result.data<std::int32_t>()); break;
    case IdxType::i8: decode<std::uint8_t, std::int8_t>(bytes, result.data<std::int32_t>()); break;
    case IdxType::i16:
      decode<std::uint16_t, std::int16_t>(bytes, result.data<std::int32_t>());
      break;
    case IdxType::i32:
      decode<std::uint32_t, std::int32_t>(bytes, result.data<std::int32_t>());
      break;
    case IdxType::f32: decode<std::uint32_t, float>(bytes, result.data<float>()); break;
    case IdxType::f64: decode<std::uint64_t, double>(bytes, result.data<double>()); break;
  }
  return result;
}

std::vector<std::byte> read_elements(ByteReader& in, const IdxHeader& header) {
  const std::uint64_t bytes =
      static_cast<std::uint64_t>(header.shape.count()) * kind_of(header.type).width;
  const std::string what =
      std::string(name_of(header.type)) + " " + to_string(header.shape) + " after the header";
  std::vector<std::byte> elements = in.take(bytes, what);
  in.expect_end(what);
  return elements;
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
  const std::vector<std::byte> bytes = read_elements(in, header);
  Tensor images = Tensor::uninitialised({Shape{shape[0], 1, shape[1], shape[2]}, DType::float32});
  const std::span<float> values = images.data<float>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(std::to_integer<unsigned>(bytes[i])) / 255.0F;
  }
  return images;
}

Tensor read_labels(ByteReader& in, const IdxHeader& header, std::size_t classes) {
  const std::uint64_t start = in.offset();
  const std::vector<std::byte> bytes = read_elements(in, header);
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

IdxHeader read_idx_header(const std::filesystem::path& path) {
  ByteReader in("read_idx_header", path);
  return read_header(in);
}

Tensor load_idx(const std::filesystem::path& path) {
  ByteReader in("load_idx", path);
  const IdxHeader header = read_header(in);
  return decode(header.type, read_elements(in, header), header.shape);
}

Tensor load_idx(const std::filesystem::path& path, DType dtype) { return load_idx(path).to(dtype); }

Dataset load_idx_images(const std::filesystem::path& images, const std::filesystem::path& labels,
                        std::vector<std::string> class_names, std::string name) {
  constexpr std::string_view op = "load_idx_images";
  ByteReader image_file(op, images);
  ByteReader label_file(op, labels);
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
  result.labels = read_labels(label_file, label_header, class_names.size());
  result.inputs = read_images(image_file, image_header);
  result.class_names = std::move(class_names);
  result.name = std::move(name);
  return result;
}

}  // namespace dualtape
