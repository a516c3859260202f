#include <dualtape/data/cifar.hpp>

#include <array>
#include <string>
#include <vector>

#include <dualtape/core/base/enumeration.hpp>
#include <dualtape/core/tensor/memory_for.hpp>
#include <dualtape/data/paths.hpp>
#include <dualtape/data/readers/bytes.hpp>

namespace dualtape {
namespace {

using detail::ByteReader;

constexpr std::size_t pixels = std::size_t{3} * 32 * 32;
constexpr std::size_t record = pixels + 1;
constexpr unsigned classes = 10;
const std::vector<std::string> names = {"airplane", "automobile", "bird",  "cat",  "deer",
                                        "dog",      "frog",       "horse", "ship", "truck"};

// The number of records, by the file's length.
std::int64_t count_records(const ByteReader& in) {
  const std::uint64_t bytes = *in.left();
  if (bytes > 0 && bytes % record == 0) return static_cast<std::int64_t>(bytes / record);
  in.fail_at(bytes - bytes % record,
             "expected whole records of " + std::to_string(record) + " bytes, found " +
                 (bytes == 0 ? "an empty file" : std::to_string(bytes % record) + " bytes over"),
             "is this one of the .bin files of the binary version, unpacked?");
}

void read_records(ByteReader& in, std::int64_t count, float* images, std::int64_t* labels) {
  std::array<unsigned char, record> bytes{};
  for (std::int64_t i = 0; i < count; ++i, images += pixels, ++labels) {
    const std::uint64_t start = in.offset();
    in.read(bytes.data(), record, "a record");
    if (bytes[0] >= classes) {
      in.fail_at(start, "expected a label below 10, found " + std::to_string(bytes[0]));
    }
    *labels = bytes[0];
    for (std::size_t pixel = 0; pixel < pixels; ++pixel) {
      images[pixel] = static_cast<float>(bytes[pixel + 1]) / 255.0F;
    }
  }
}

}  // namespace

Dataset load_cifar10(std::span<const std::filesystem::path> files, Location here) {
  if (files.empty()) {
    fail<ValueError>({.op = "load_cifar10", .what = "there are no files to load", .where = here});
  }
  std::int64_t total = 0;
  for (const auto& file : files) {
    total += count_records(ByteReader("load_cifar10", file, here, detail::Packing::plain));
  }
  Dataset result;
  detail::memory_for("load_cifar10", files.front(), here, [&] {
    result.inputs = Tensor::uninitialised({Shape{total, 3, 32, 32}, DType::float32});
    result.labels = Tensor::uninitialised({Shape{total}, DType::int64});
  });
  result.class_names = names;
  result.name = "cifar-10";
  std::int64_t done = 0;
  for (const auto& file : files) {
    ByteReader in("load_cifar10", file, here, detail::Packing::plain);
    const std::int64_t count = count_records(in);
    if (count > total - done) in.fail_at(0, "the file has grown while it was read");
    read_records(in, count,
                 result.inputs.data<float>().data() + static_cast<std::size_t>(done) * pixels,
                 result.labels.data<std::int64_t>().data() + done);
    done += count;
  }
  if (done < total) {
    fail<DataError>({.op = "load_cifar10",
                     .what = files.back().string() + ": a file has shrunk while it was read",
                     .where = here});
  }
  return result;
}

Dataset load_cifar10(Part part, Location here) {
  detail::require_listed("load_cifar10", "Part", part, 2, "Part::train or Part::test", here);
  const std::string folder = "cifar-10-batches-bin/";
  std::vector<std::filesystem::path> files;
  if (part == Part::test) {
    files.push_back(find_data(folder + "test_batch.bin", here));
  } else {
    for (int i = 1; i <= 5; ++i) {
      files.push_back(find_data(folder + "data_batch_" + std::to_string(i) + ".bin", here));
    }
  }
  for (const auto& file : files) {
    const ByteReader in("load_cifar10", file, here, detail::Packing::plain);
    if (const std::int64_t count = count_records(in); count != 10000) {
      in.fail_at(0, "expected 10000 images, found " + std::to_string(count),
                 "for other files of this format, name them to load_cifar10");
    }
  }
  return load_cifar10(files, here);
}

}  // namespace dualtape
