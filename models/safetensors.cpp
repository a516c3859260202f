#include <dualtape/models/safetensors.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <set>
#include <span>

#include <dualtape/models/detail/atomic_file.hpp>
#include <dualtape/models/detail/json.hpp>

namespace dualtape {
namespace {

namespace fs = std::filesystem;
using detail::TensorsHeader;

static_assert(std::endian::native == std::endian::little, "the elements are read as they stand");

constexpr std::uint64_t longest_header = 100'000'000;  // as in the format's own library
constexpr std::size_t alignment = 64;                  // of the elements' beginning, as we write it

struct Name {
  std::string_view code;
  DType dtype;
};
constexpr std::array<Name, 5> dtypes{{{"BOOL", DType::boolean},
                                      {"I32", DType::int32},
                                      {"I64", DType::int64},
                                      {"F32", DType::float32},
                                      {"F64", DType::float64}}};

std::string code_of(DType dtype) {
  return std::string(std::ranges::find(dtypes, dtype, &Name::dtype)->code);
}

class Reader {
 public:
  explicit Reader(const fs::path& path) : path_(path) {
    std::error_code error;
    if (!fs::is_regular_file(path, error))
      refuse(0, error ? "cannot be opened: " + error.message() : "is not a regular file");
    size_ = fs::file_size(path, error);
    if (!error) in_.open(path, std::ios::binary);
    if (error || !in_) refuse(0, "cannot be opened");
  }

  TensorFile read() {
    const std::uint64_t length = read_length();
    std::string text(length, '\0');
    read_bytes(8, text.data(), length);
    TensorsHeader header;
    try {
      header = detail::parse_header(text);
    } catch (const detail::JsonFault& fault) {
      refuse(8 + fault.offset, fault.what);
    }
    const std::uint64_t data = 8 + length;
    const std::vector<Type> types = check(header, data);
    TensorFile file;
    file.metadata = std::move(header.metadata);
    for (std::size_t i = 0; i < types.size(); ++i)
      file.tensors.push_back(
          {header.entries[i].name, read_tensor(types[i], data + header.entries[i].begin)});
    return file;
  }

 private:
  [[noreturn]] void refuse(std::uint64_t offset, const std::string& what,
                           const std::string& help = {}) const {
    fail<DataError>({.op = "load_safetensors",
                     .what = path_.string() + ", offset " + std::to_string(offset) + ": " + what,
                     .help = help});
  }

  void read_bytes(std::uint64_t offset, void* to, std::uint64_t bytes) {
    in_.seekg(static_cast<std::streamoff>(offset));
    in_.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes));
    if (!in_) refuse(offset, "cannot be read");
  }

  std::uint64_t read_length() {
    std::uint64_t length = 0;
    if (size_ < sizeof length)
      refuse(0,
             "expected the 8 bytes of the header's length, the file has " + std::to_string(size_));
    read_bytes(0, &length, sizeof length);
    if (length > longest_header)
      refuse(0,
             "expected a header of at most " + std::to_string(longest_header) + " bytes, found " +
                 std::to_string(length),
             "is it a .safetensors file?");
    if (length > size_ - sizeof length)
      refuse(8, "the file ends too early: the header takes " + std::to_string(length) + " bytes, " +
                    std::to_string(size_ - sizeof length) + " are left");
    return length;
  }

  // The types of the entries, which are put in the order of their bytes. These must fill the rest
  // of the file, each tensor behind the other.
  std::vector<Type> check(TensorsHeader& header, std::uint64_t data) const {
    std::ranges::sort(header.entries, [](const auto& a, const auto& b) {
      return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
    });
    std::vector<Type> types;
    std::uint64_t at = 0;
    for (const TensorsHeader::Entry& entry : header.entries) {
      types.push_back(type_of(entry, data));
      const std::uint64_t bytes = bytes_of(types.back());
      if (entry.begin != at)
        refuse(data + at, "expected tensor '" + entry.name + "' to begin here, behind the one " +
                              "before it, but it claims offset " +
                              std::to_string(data + entry.begin));
      if (entry.end < entry.begin || entry.end - entry.begin != bytes)
        refuse(data + at, "expected " + std::to_string(bytes) + " bytes for " +
                              to_string(types.back()) + " '" + entry.name +
                              "', its data_offsets say " + std::to_string(entry.begin) + " to " +
                              std::to_string(entry.end));
      at = entry.end;
      if (at > size_ - data)
        refuse(size_, "the file ends too early: tensor '" + entry.name + "' ends at offset " +
                          std::to_string(data + at));
    }
    if (at != size_ - data)
      refuse(data + at, "expected the end of the file, found " + std::to_string(size_ - data - at) +
                            " bytes more");
    return types;
  }

  Type type_of(const TensorsHeader::Entry& entry, std::uint64_t data) const {
    const auto* known = std::ranges::find(dtypes, entry.dtype, &Name::code);
    if (known == dtypes.end())
      refuse(8, "tensor '" + entry.name + "' has dtype " + entry.dtype + ", which is not supported",
             "convert it to BOOL, I32, I64, F32 or F64");
    try {
      return {Shape(entry.shape), known->dtype};
    } catch (const ShapeError& error) {
      refuse(data, "tensor '" + entry.name + "' has no shape: " + error.what());
    }
  }

  Tensor read_tensor(const Type& type, std::uint64_t offset) {
    Tensor tensor = Tensor::uninitialised(type);
    if (tensor.bytes() > 0) read_bytes(offset, tensor.raw(), tensor.bytes());
    if (type.dtype == DType::boolean) {
      const std::span bytes(static_cast<const unsigned char*>(tensor.raw()), tensor.bytes());
      const auto bad = std::ranges::find_if(bytes, [](unsigned char byte) { return byte > 1; });
      if (bad != bytes.end())
        refuse(offset + static_cast<std::uint64_t>(bad - bytes.begin()),
               "expected 0 or 1 for a bool, found " + std::to_string(*bad));
    }
    return tensor;
  }

  const fs::path& path_;
  std::ifstream in_;
  std::uint64_t size_ = 0;
};

void check_names(const fs::path& path, const TensorFile& file) {
  std::set<std::string_view> names{"__metadata__"};
  for (const NamedTensor& named : file.tensors)
    if (!names.insert(named.name).second)
      fail<ValueError>({.op = "save_safetensors",
                        .label = named.name,
                        .what = path.string() + ": two tensors have the name '" + named.name + "'",
                        .help = "give parameters names of their own"});
}

}  // namespace

const Tensor* TensorFile::find(std::string_view name) const {
  const auto found = std::ranges::find(tensors, name, &NamedTensor::name);
  return found == tensors.end() ? nullptr : &found->tensor;
}

void save_safetensors(const fs::path& path, const TensorFile& file) {
  check_names(path, file);
  std::vector<const NamedTensor*> order;
  for (const NamedTensor& named : file.tensors) order.push_back(&named);
  // Wide elements first, so that all are aligned.
  std::ranges::stable_sort(order, [](const NamedTensor* a, const NamedTensor* b) {
    return size_of(a->tensor.dtype()) > size_of(b->tensor.dtype());
  });
  TensorsHeader header;
  header.metadata = file.metadata;
  std::uint64_t at = 0;
  for (const NamedTensor* named : order) {
    const Shape& shape = named->tensor.shape();
    header.entries.push_back({named->name,
                              code_of(named->tensor.dtype()),
                              {shape.begin(), shape.end()},
                              at,
                              at + named->tensor.bytes()});
    at += named->tensor.bytes();
  }
  std::string text = detail::to_json(header);
  text.resize((8 + text.size() + alignment - 1) / alignment * alignment - 8, ' ');
  const std::uint64_t length = text.size();
  std::vector<std::span<const std::byte>> pieces{std::as_bytes(std::span(&length, 1)),
                                                 std::as_bytes(std::span(text))};
  for (const NamedTensor* named : order)
    pieces.emplace_back(static_cast<const std::byte*>(named->tensor.raw()), named->tensor.bytes());
  detail::write_atomically("save_safetensors", path, pieces);
}

TensorFile load_safetensors(const fs::path& path) { return Reader(path).read(); }

}  // namespace dualtape
