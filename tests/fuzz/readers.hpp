// What the fuzzers and the replay of their corpora do with a file: read it by every function of
// that reader and use what comes out. Anything but a result or a DataError is a defect.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include <dualtape/data/cifar.hpp>
#include <dualtape/data/csv.hpp>
#include <dualtape/data/idx.hpp>
#include <dualtape/data/npz.hpp>

namespace dualtape::fuzz {

// True where `read` gave something, false for a DataError; every other exception goes on.
template <class F>
bool accepts(F&& read) {
  try {
    read();
    return true;
  } catch (const DataError&) {
    return false;
  }
}

// Every element is looked at, so that a sanitizer sees memory that was not written.
inline void use(const Tensor& tensor) {
  const auto* bytes = static_cast<const volatile unsigned char*>(tensor.raw());
  for (std::size_t i = 0; i < tensor.bytes(); ++i) static_cast<void>(bytes[i]);
}

inline bool read_idx(const std::filesystem::path& file) {
  accepts([&] { read_idx_header(file); });
  accepts([&] { use(load_idx_images(file, file, {"a", "b"}, "x").inputs); });
  return accepts([&] { use(load_idx(file)); });
}

inline bool read_cifar(const std::filesystem::path& file) {
  const std::vector<std::filesystem::path> files = {file};
  return accepts([&] { use(load_cifar10(files).inputs); });
}

inline bool read_csv_file(const std::filesystem::path& file) {
  accepts([&] { read_csv(file, {.separator = ';', .header = false, .longest_row = 40}); });
  return accepts([&] {
    const Table table = read_csv(file);
    std::vector<std::int64_t> all;
    for (std::int64_t column = 0; column < table.columns(); ++column) all.push_back(column);
    accepts([&] { use(table.numbers(all, float64, Missing::as_nan)); });
    accepts([&] { use(table.numbers(all, int32)); });
    accepts([&] { use(table.without_missing(all).numbers(all)); });
    std::vector<std::string> classes;
    accepts([&] { use(table.categories(0, classes)); });
    accepts([&] { use(to_dataset(table, all, 0, {"a", "b"}, "x").inputs); });
  });
}

inline bool read_npy(const std::filesystem::path& file) {
  return accepts([&] { use(load_npy(file)); });
}

inline bool read_npz(const std::filesystem::path& file) {
  accepts([&] { use(load_npz(file, "f4")); });
  return accepts([&] {
    for (const auto& [name, tensor] : load_npz(file)) use(tensor);
  });
}

struct Reader {
  std::string_view corpus;  // its folder in tests/fuzz/corpus
  bool (*read)(const std::filesystem::path&);
};
inline constexpr std::array<Reader, 6> readers{{{"idx", read_idx},
                                                {"idx_gz", read_idx},
                                                {"cifar", read_cifar},
                                                {"csv", read_csv_file},
                                                {"npy", read_npy},
                                                {"npz", read_npz}}};

}  // namespace dualtape::fuzz
