#include <dualtape/models/safetensors.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <span>

#include <dualtape/core/base/shown.hpp>
#include <dualtape/core/files/atomic_file.hpp>
#include <dualtape/core/files/crc32c.hpp>
#include <dualtape/core/files/input_file.hpp>
#include <dualtape/core/files/stored.hpp>
#include <dualtape/core/tensor/memory_for.hpp>
#include <dualtape/models/files/json.hpp>
#include <dualtape/models/files/safetensors_marks.hpp>
#include <dualtape/models/files/tensor_file.hpp>

namespace dualtape {
namespace {

namespace fs = std::filesystem;
using detail::JsonFault;
using detail::Stored;
using detail::TensorsHeader;

static_assert(std::endian::native == std::endian::little, "the elements are read as they stand");

constexpr std::uint64_t longest_header = 100'000'000;  // as in the format's own library
constexpr std::size_t alignment = 64;                  // of the elements' beginning, as we write it
constexpr std::size_t length_bytes = 8;

struct Name {
  std::string_view code;
  Stored stored;
};
// The first of those that are read into a dtype is the dtype itself.
constexpr std::array<Name, 12> dtypes{{{"BOOL", Stored::boolean},
                                       {"I32", Stored::i32},
                                       {"I64", Stored::i64},
                                       {"F32", Stored::f32},
                                       {"F64", Stored::f64},
                                       {"U8", Stored::u8},
                                       {"I8", Stored::i8},
                                       {"U16", Stored::u16},
                                       {"I16", Stored::i16},
                                       {"U32", Stored::u32},
                                       {"F16", Stored::f16},
                                       {"BF16", Stored::bf16}}};

std::string code_of(DType dtype) {
  return std::string(std::ranges::find(dtypes, dtype, [](const Name& name) {
                       return detail::widened(name.stored);
                     })->code);
}

// What the header says of one tensor, looked through.
struct Claim {
  std::string name;
  std::uint64_t begin = 0;  // in the file
  std::uint64_t bytes = 0;
  std::optional<Stored> stored = {};
  Type type = {};          // it is read into
  std::uint32_t sum = 0;   // of its bytes
  std::string fault = {};  // why it cannot be read
  std::uint64_t fault_at = 0;
  std::string help = {};
};

class Reader {
 public:
  Reader(std::string_view op, const fs::path& path, const SafetensorsOptions& options,
         Location here)
      : op_(op),
        path_(path),
        options_(options),
        here_(here),
        file_(path, [this](auto at, const auto& what) { refuse(at, what); }) {
    wanted_.insert(options.names.begin(), options.names.end());
  }

  TensorFile read() {
    TensorsHeader header = read_header();
    detail::Marks marks;
    try {
      marks = detail::take_marks(header, text_);
    } catch (const JsonFault& fault) {
      refuse(length_bytes, fault.what,
             "take an older copy; if a program changed the file, have it drop the metadata that "
             "begin with 'dualtape.'");
    }
    checked_ = marks.checked;
    TensorFile file;
    file.metadata = std::move(header.metadata);
    if (!wanted_.empty()) check_wanted(header);
    std::vector<Claim> claims = claims_of(header, marks);
    std::erase_if(claims, [&](const Claim& claim) { return !wanted(claim.name); });
    check_limits(claims);
    for (Claim& claim : claims) {
      std::optional<Tensor> tensor;
      if (claim.fault.empty()) tensor = read_tensor(claim);
      if (tensor) {
        file.tensors.push_back({std::move(claim.name), std::move(*tensor)});
      } else if (options_.skip_unreadable) {
        file.unread.push_back({std::move(claim.name), std::move(claim.fault)});
      } else {
        refuse(claim.fault_at, claim.fault, claim.help);
      }
    }
    return file;
  }

 private:
  [[noreturn]] void refuse(std::uint64_t offset, const std::string& what,
                           const std::string& help = {}) const {
    fail<DataError>({.op = op_,
                     .what = path_.string() + ", offset " + std::to_string(offset) + ": " + what,
                     .where = here_,
                     .help = help});
  }

  void read_bytes(std::uint64_t offset, void* to, std::uint64_t bytes) const {
    if (file_.read(offset, to, bytes) < bytes)
      refuse(offset, "the file has shrunk while it was read");
  }

  std::uint64_t read_length() const {
    std::uint64_t length = 0;
    if (file_.size() < sizeof length)
      refuse(0, "expected the 8 bytes of the header's length, the file has " +
                    std::to_string(file_.size()));
    read_bytes(0, &length, sizeof length);
    if (length > longest_header)
      refuse(0,
             "expected a header of at most " + std::to_string(longest_header) + " bytes, found " +
                 std::to_string(length),
             "is it a .safetensors file?");
    if (length > file_.size() - sizeof length)
      refuse(length_bytes, "the file ends too early: the header takes " + std::to_string(length) +
                               " bytes, " + std::to_string(file_.size() - sizeof length) +
                               " are left");
    return length;
  }

  TensorsHeader read_header() {
    text_.resize(read_length());
    read_bytes(length_bytes, text_.data(), text_.size());
    data_ = length_bytes + text_.size();
    try {
      return detail::parse_header(text_);
    } catch (const JsonFault& fault) {
      refuse(length_bytes + fault.offset, "in the header: " + fault.what);
    }
  }

  bool wanted(const std::string& name) const { return wanted_.empty() || wanted_.contains(name); }
  void check_wanted(const TensorsHeader& header) const {
    std::set<std::string_view> there;
    for (const auto& entry : header.entries) there.insert(entry.name);
    for (const std::string_view name : wanted_) {
      if (there.contains(name)) continue;
      std::vector<std::string_view> all;
      for (const auto& entry : header.entries) all.push_back(entry.name);
      refuse(length_bytes, "no tensor " + detail::in_quotes(name) + " in the header",
             all.empty() ? "the file holds none" : "it holds " + detail::names_listed(all));
    }
  }

  void check_limits(const std::vector<Claim>& claims) const {
    const std::uint64_t most = options_.limits.bytes_for(file_.size());
    std::uint64_t taken = text_.size();
    for (const Claim& claim : claims)
      if (claim.fault.empty()) taken += bytes_of(claim.type);
    if (taken > most)
      refuse(data_,
             "the tensors of the header take " + std::to_string(taken) +
                 " bytes of memory, but a file of " + std::to_string(file_.size()) +
                 " bytes may take " + std::to_string(most),
             "give ReadLimits that allow more");
  }

  // In the order of the bytes. These must fill the rest of the file, one tensor after the other.
  std::vector<Claim> claims_of(TensorsHeader& header, const detail::Marks& marks) const {
    std::ranges::stable_sort(header.entries, [](const auto& a, const auto& b) {
      return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
    });
    const std::uint64_t room = file_.size() - data_;
    std::vector<Claim> claims;
    std::uint64_t at = 0;
    for (TensorsHeader::Entry& entry : header.entries) {
      if (entry.begin != at)
        refuse(data_ + at, "expected tensor " + detail::in_quotes(entry.name) +
                               " to begin here, after the one before it, but it claims offset " +
                               std::to_string(data_ + entry.begin));
      claims.push_back(claim_of(entry));
      Claim& claim = claims.back();
      if (marks.checked) claim.sum = marks.sums[claims.size() - 1];
      at = entry.end;
      if (at > room && claim.fault.empty()) {
        claim.fault = "the file ends too early: tensor " + detail::in_quotes(claim.name) +
                      " ends at offset " + std::to_string(data_ + at);
        claim.fault_at = file_.size();
      }
    }
    if (at < room)
      refuse(data_ + at, "expected the end of the file by the header, found " +
                             std::to_string(room - at) + " bytes more");
    return claims;
  }

  Claim claim_of(TensorsHeader::Entry& entry) const {
    Claim claim{.name = std::move(entry.name),
                .begin = data_ + entry.begin,
                .fault_at = data_ + entry.begin};
    const std::string tensor = "tensor " + detail::in_quotes(claim.name);
    const auto offsets = [&] {
      return "its data_offsets say " + std::to_string(entry.begin) + " to " +
             std::to_string(entry.end);
    };
    if (entry.end < entry.begin)
      refuse(claim.begin, "expected " + tensor + " to end after it begins: " + offsets());
    claim.bytes = entry.end - entry.begin;
    const auto* known = std::ranges::find(dtypes, entry.dtype, &Name::code);
    if (known == dtypes.end()) {
      claim.fault =
          tensor + " has dtype " + detail::shortened(entry.dtype, 20) + ", which is not supported";
      claim.fault_at = length_bytes;
      claim.help =
          "convert it to F32, F64, I32, I64 or BOOL, or read the others with "
          "SafetensorsOptions::skip_unreadable";
      return claim;
    }
    claim.stored = known->stored;
    try {
      claim.type = {Shape(entry.shape), detail::widened(known->stored)};
    } catch (const ShapeError& error) {
      refuse(data_, tensor + " has no shape: " + error.what());
    }
    const std::uint64_t bytes =
        static_cast<std::uint64_t>(claim.type.shape.count()) * detail::width_of(known->stored);
    if (claim.bytes != bytes)
      refuse(claim.begin, "expected " + std::to_string(bytes) + " bytes for " + entry.dtype + " " +
                              to_string(claim.type.shape) + ", " + tensor + ", " + offsets());
    return claim;
  }

  // Nothing, and the fault, where the bytes are not what was written.
  std::optional<Tensor> read_tensor(Claim& claim) const {
    Tensor tensor = Tensor::uninitialised(claim.type);
    auto* to = static_cast<std::byte*>(tensor.raw());
    const std::size_t growth = size_of(tensor.dtype()) / detail::width_of(*claim.stored);
    std::uint32_t sum = 0;
    if (growth == 1) {
      read_bytes(claim.begin, to, claim.bytes);
      if (checked_) sum = detail::crc32c(std::span(to, claim.bytes));
    } else {
      std::array<std::byte, 65536> some{};
      for (std::uint64_t done = 0; done < claim.bytes;) {
        const auto now = std::span(some).first(
            static_cast<std::size_t>(std::min<std::uint64_t>(claim.bytes - done, some.size())));
        read_bytes(claim.begin + done, now.data(), now.size());
        if (checked_) sum = detail::crc32c(now, sum);
        detail::widen(*claim.stored, detail::ByteOrder::little, now, to);
        to += now.size() * growth;
        done += now.size();
      }
    }
    if (checked_ && sum != claim.sum) {
      claim.fault = "tensor " + detail::in_quotes(claim.name) + " is damaged: its checksum is " +
                    detail::hex8(sum) + ", but " + detail::hex8(claim.sum) + " was written";
      claim.help = "take an older copy; SafetensorsOptions::skip_unreadable reads the others";
      return std::nullopt;
    }
    if (tensor.dtype() == DType::boolean && !are_bools(tensor, claim)) return std::nullopt;
    return tensor;
  }

  // A byte other than 0 or 1 is no bool to C++.
  static bool are_bools(const Tensor& tensor, Claim& claim) {
    const std::span bytes(static_cast<const unsigned char*>(tensor.raw()), tensor.bytes());
    const auto bad = std::ranges::find_if(bytes, [](unsigned char byte) { return byte > 1; });
    if (bad == bytes.end()) return true;
    claim.fault_at = claim.begin + static_cast<std::uint64_t>(bad - bytes.begin());
    claim.fault = "tensor " + detail::in_quotes(claim.name) +
                  ": expected 0 or 1 for a bool, found " + std::to_string(*bad);
    return false;
  }

  std::string op_;
  const fs::path& path_;
  const SafetensorsOptions& options_;
  Location here_;
  detail::InputFile file_;
  std::set<std::string_view> wanted_ = {};  // all, where there are none
  std::string text_;                        // of the header
  std::uint64_t data_ = 0;                  // where the elements begin
  bool checked_ = false;                    // the file has checksums
};

void check_names(std::string_view op, const fs::path& path, const TensorFile& file, Location here) {
  std::set<std::string_view> names{"__metadata__"};
  for (const NamedTensor& named : file.tensors)
    if (!names.insert(named.name).second)
      fail<ValueError>({.op = op,
                        .label = named.name,
                        .what = path.string() + ": two tensors have the name '" + named.name + "'",
                        .where = here,
                        .help = "give parameters names of their own"});
}

std::span<const std::byte> elements_of(const Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.raw()), tensor.bytes()};
}

}  // namespace

const Tensor* TensorFile::find(std::string_view name) const {
  const auto found = std::ranges::find(tensors, name, &NamedTensor::name);
  return found == tensors.end() ? nullptr : &found->tensor;
}

void detail::save_tensors(std::string_view op, const fs::path& path, const TensorFile& file,
                          Location here) {
  check_names(op, path, file, here);
  std::vector<const NamedTensor*> order;
  for (const NamedTensor& named : file.tensors) order.push_back(&named);
  // Wide elements first, so that all are aligned.
  std::ranges::stable_sort(order, [](const NamedTensor* a, const NamedTensor* b) {
    return size_of(a->tensor.dtype()) > size_of(b->tensor.dtype());
  });
  TensorsHeader header;
  header.metadata = file.metadata;
  std::vector<std::uint32_t> sums;
  std::uint64_t at = 0;
  for (const NamedTensor* named : order) {
    const Shape& shape = named->tensor.shape();
    header.entries.push_back({named->name,
                              code_of(named->tensor.dtype()),
                              {shape.begin(), shape.end()},
                              at,
                              at + named->tensor.bytes()});
    sums.push_back(detail::crc32c(elements_of(named->tensor)));
    at += named->tensor.bytes();
  }
  const std::string text =
      detail::marked_header(std::move(header), sums, alignment, length_bytes, here);
  if (text.size() > longest_header)
    fail<DataError>({.op = op,
                     .what = path.string() + ": the header would take " +
                             std::to_string(text.size()) +
                             " bytes, but files of this format have "
                             "at most " +
                             std::to_string(longest_header),
                     .where = here,
                     .help = "save fewer tensors, or shorter names, in a file"});
  const std::uint64_t length = text.size();
  std::vector<std::span<const std::byte>> pieces{std::as_bytes(std::span(&length, 1)),
                                                 std::as_bytes(std::span(text))};
  for (const NamedTensor* named : order) pieces.push_back(elements_of(named->tensor));
  detail::write_atomically(op, path, pieces, here);
}

TensorFile detail::load_tensors(std::string_view op, const fs::path& path,
                                const SafetensorsOptions& options, Location here) {
  return memory_for(op, path, here, [&] { return Reader(op, path, options, here).read(); });
}

void save_safetensors(const fs::path& path, const TensorFile& file, Location here) {
  detail::save_tensors("save_safetensors", path, file, here);
}

TensorFile load_safetensors(const fs::path& path, const SafetensorsOptions& options,
                            Location here) {
  return detail::load_tensors("load_safetensors", path, options, here);
}

}  // namespace dualtape
