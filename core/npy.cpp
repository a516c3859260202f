// NumPy's .npy files. What a header claims is held against the size of the file before any memory
// is taken for it.
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <dualtape/core/detail/npy.hpp>
#include <fstream>
#include <optional>
#include <random>

namespace dualtape {
namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, "the elements are read as they stand");

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::size_t longest_header =
    65535;                                // what version 1 can say; NumPy itself stops at 10000
constexpr std::size_t highest_rank = 64;  // as in NumPy

struct Descr {
  std::string_view code;
  DType dtype;
};
constexpr std::array<Descr, 5> known_types{{{"|b1", DType::boolean},
                                            {"<i4", DType::int32},
                                            {"<i8", DType::int64},
                                            {"<f4", DType::float32},
                                            {"<f8", DType::float64}}};

// Where in which file, for the error texts.
struct Place {
  std::string_view op;
  std::string name;

  [[noreturn]] void fail_at(std::uint64_t offset, const std::string& what,
                            std::string help = {}) const {
    fail<DataError>({.op = op,
                     .what = name + ", offset " + std::to_string(offset) + ": " + what,
                     .help = std::move(help)});
  }
};

struct Header {
  Type type;
  bool fortran = false;
};

// Bytes of a broken file may be anything; an error text shows only what prints.
std::string quoted(std::string_view text) {
  std::string shown(text);
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return "'" + shown + "'";
}

// "float16 ('<f2')" and the like, for the refusal.
std::string describe(std::string_view descr) {
  static constexpr std::array<std::array<std::string_view, 2>, 10> names{{{"f2", "float16"},
                                                                          {"f16", "long double"},
                                                                          {"i1", "int8"},
                                                                          {"i2", "int16"},
                                                                          {"u1", "uint8"},
                                                                          {"u2", "uint16"},
                                                                          {"u4", "uint32"},
                                                                          {"u8", "uint64"},
                                                                          {"c8", "complex64"},
                                                                          {"c16", "complex128"}}};
  if (descr.empty()) return quoted(descr);
  for (const auto& [code, name] : names) {
    if (descr.substr(1) == code) return std::string(name) + " (" + quoted(descr) + ")";
  }
  if (descr.front() == '>') return "big endian " + quoted(descr);
  return quoted(descr);
}

// Reads the one Python dictionary of a header: its three keys in any order, nothing else.
class HeaderParser {
 public:
  HeaderParser(const Place& place, std::string_view text, std::uint64_t offset)
      : place_(place), text_(text), offset_(offset) {}

  Header parse() {
    expect('{');
    while (!accept('}')) {
      entry();
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_spaces();
    if (at_ != text_.size()) refuse("the end of the header");
    if (!dtype_) refuse("a key 'descr'");
    if (!fortran_) refuse("a key 'fortran_order'");
    if (!shape_) refuse("a key 'shape'");
    return {{std::move(*shape_), *dtype_}, *fortran_};
  }

 private:
  [[noreturn]] void refuse(const std::string& expected) const {
    const std::string found =
        at_ < text_.size() ? quoted(text_.substr(at_, 12)) : std::string("the header's end");
    place_.fail_at(offset_ + at_, "expected " + expected + ", found " + found);
  }
  void skip_spaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool accept(char wanted) {
    skip_spaces();
    if (at_ >= text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }
  void expect(char wanted) {
    if (!accept(wanted)) refuse(quoted({&wanted, 1}));
  }
  bool accept_word(std::string_view word) {
    skip_spaces();
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  void entry() {
    skip_spaces();
    const std::size_t start = at_;
    const std::string_view key = string();
    expect(':');
    if (key == "descr" && !dtype_) {
      dtype_ = descr();
    } else if (key == "fortran_order" && !fortran_) {
      fortran_ = truth();
    } else if (key == "shape" && !shape_) {
      shape_ = shape();
    } else {
      at_ = start;
      refuse("'descr', 'fortran_order' and 'shape', once each");
    }
  }

  std::string_view string() {
    skip_spaces();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    const std::size_t close =
        quote == '\'' || quote == '"' ? text_.find(quote, at_ + 1) : std::string_view::npos;
    if (close == std::string_view::npos) refuse("a string in quotes");
    const std::string_view inside = text_.substr(at_ + 1, close - at_ - 1);
    at_ = close + 1;
    return inside;
  }

  DType descr() {
    skip_spaces();
    const std::size_t start = at_;
    if (at_ < text_.size() && text_[at_] == '[') refuse("a plain dtype, not a structured one");
    const std::string_view code = string();
    const auto* found = std::find_if(known_types.begin(), known_types.end(),
                                     [&](const Descr& known) { return known.code == code; });
    if (found == known_types.end()) {
      place_.fail_at(offset_ + start, "dtype " + describe(code) + " is not supported",
                     "convert in Python, as array.astype('<f4'), to bool, int32, int64, float32 or "
                     "float64, little endian");
    }
    return found->dtype;
  }

  bool truth() {
    if (accept_word("True")) return true;
    if (!accept_word("False")) refuse("True or False");
    return false;
  }

  Shape shape() {
    expect('(');
    const std::size_t start = at_;
    std::vector<std::int64_t> sizes;
    while (!accept(')')) {
      if (sizes.size() == highest_rank) refuse("at most 64 sizes");
      sizes.push_back(size());
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    try {
      return Shape(sizes);
    } catch (const ShapeError& error) {
      place_.fail_at(offset_ + start, error.what());
    }
  }

  std::int64_t size() {
    skip_spaces();
    const std::size_t start = at_;
    std::int64_t value = 0;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
      if (at_ - start == 18) refuse("a size of at most 18 digits");
      value = value * 10 + (text_[at_++] - '0');
    }
    if (at_ == start) refuse("a size");
    if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // Python 2 wrote 3L
    return value;
  }

  const Place& place_;
  std::string_view text_;
  std::uint64_t offset_;  // of text_ in the file
  std::size_t at_ = 0;
  std::optional<DType> dtype_;
  std::optional<bool> fortran_;
  std::optional<Shape> shape_;
};

// A file or its bytes in memory, read from the start on, with the count of bytes there are.
class Source {
 public:
  explicit Source(const fs::path& path) : place_{"load_npy", path.string()} {
    std::error_code error;
    if (!fs::is_regular_file(path, error)) {
      place_.fail_at(0, error ? "cannot be opened: " + error.message() : "is not a regular file");
    }
    size_ = fs::file_size(path, error);
    if (!error) in_.open(path, std::ios::binary);
    if (error || !in_) place_.fail_at(0, "cannot be opened");
  }

  Source(std::string_view op, const std::string& name, std::span<const std::byte> memory)
      : place_{op, name}, memory_(memory), size_(memory.size()) {}

  const Place& place() const { return place_; }
  std::uint64_t offset() const { return offset_; }
  std::uint64_t left() const { return size_ - offset_; }

  void read(void* to, std::uint64_t bytes, const std::string& what) {
    if (bytes > left()) {
      place_.fail_at(offset_, "the file ends too early: " + what + " takes " +
                                  std::to_string(bytes) + " bytes, " + std::to_string(left()) +
                                  " are left");
    }
    if (!in_.is_open()) {
      std::copy_n(memory_.data() + offset_, bytes, static_cast<std::byte*>(to));
    } else if (!in_.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes))) {
      place_.fail_at(offset_, "cannot be read: " + what);
    }
    offset_ += bytes;
  }

 private:
  Place place_;
  std::ifstream in_;  // closed where the bytes are in memory_
  std::span<const std::byte> memory_;
  std::uint64_t size_ = 0;
  std::uint64_t offset_ = 0;
};

std::size_t read_header_size(Source& source) {
  std::array<char, 8> start{};
  source.read(start.data(), start.size(), "the magic string and version");
  if (std::string_view(start.data(), magic.size()) != magic) {
    source.place().fail_at(0, "expected the magic string \\x93NUMPY of a .npy file",
                           "is it an .npz archive? load_npz reads those");
  }
  const auto major = static_cast<unsigned char>(start[6]);
  const auto minor = static_cast<unsigned char>(start[7]);
  if (major < 1 || major > 3 || minor != 0) {
    source.place().fail_at(6, "expected format version 1.0, 2.0 or 3.0, found " +
                                  std::to_string(major) + "." + std::to_string(minor));
  }
  const std::uint64_t field = source.offset();
  std::uint32_t size = 0;
  source.read(&size, major == 1 ? 2 : 4, "the header's length");
  if (size > longest_header) {
    source.place().fail_at(field, "expected a header of at most " + std::to_string(longest_header) +
                                      " bytes, found " + std::to_string(size));
  }
  return size;
}

Header read_header(Source& source) {
  const std::size_t size = read_header_size(source);
  const std::uint64_t start = source.offset();
  if (size > source.left()) {
    source.place().fail_at(start, "the file ends too early: the header takes " +
                                      std::to_string(size) + " bytes, " +
                                      std::to_string(source.left()) + " are left");
  }
  std::string text(size, '\0');
  source.read(text.data(), size, "the header");
  return HeaderParser(source.place(), text, start).parse();
}

// A byte other than 0 or 1 is no bool to C++.
void check_bools(const Source& source, const Tensor& tensor) {
  const auto* bytes = static_cast<const unsigned char*>(tensor.raw());
  const auto* bad = std::find_if(bytes, bytes + tensor.bytes(), [](auto byte) { return byte > 1; });
  if (bad == bytes + tensor.bytes()) return;
  source.place().fail_at(source.offset() - tensor.bytes() + static_cast<std::uint64_t>(bad - bytes),
                         "expected 0 or 1 for a bool, found " + std::to_string(*bad));
}

// Column-major elements put in row-major order: the index counts up along the last axis first.
void from_fortran_order(const Tensor& in, Tensor& out) {
  const Shape& shape = out.shape();
  const std::size_t width = size_of(out.dtype());
  const auto* from = static_cast<const std::byte*>(in.raw());
  auto* to = static_cast<std::byte*>(out.raw());
  std::vector<std::size_t> stride(shape.rank());
  std::vector<std::int64_t> index(shape.rank(), 0);
  std::size_t step = width;
  for (std::size_t axis = 0; axis < shape.rank(); ++axis) {
    stride[axis] = step;
    step *= static_cast<std::size_t>(shape[axis]);
  }
  std::size_t offset = 0;
  for (std::int64_t done = 0; done < shape.count(); ++done, to += width) {
    std::memcpy(to, from + offset, width);
    for (std::size_t axis = shape.rank(); axis-- > 0;) {
      offset += stride[axis];
      if (++index[axis] < shape[axis]) break;
      offset -= stride[axis] * static_cast<std::size_t>(shape[axis]);
      index[axis] = 0;
    }
  }
}

// Version 1.0, filled up with spaces so that the elements begin at a multiple of 64 bytes.
std::string header_of(const Tensor& tensor) {
  const auto* known = std::find_if(known_types.begin(), known_types.end(), [&](const Descr& entry) {
    return entry.dtype == tensor.dtype();
  });
  std::string dict = "{'descr': " + quoted(known->code) +
                     ", 'fortran_order': False, 'shape': " + to_string(tensor.shape()) + ", }";
  const std::size_t fixed = magic.size() + 4;
  const std::size_t total = (fixed + dict.size() + 1 + 63) / 64 * 64;
  const std::size_t size = total - fixed;
  dict.resize(size - 1, ' ');
  const std::array<char, 4> numbers{1, 0, static_cast<char>(size & 0xff),
                                    static_cast<char>(size >> 8)};
  return std::string(magic) + std::string(numbers.begin(), numbers.end()) + dict + '\n';
}

// A name beside `path` that no other writer has, in this process or another.
fs::path temporary_beside(const fs::path& path) {
  static std::atomic<unsigned> counter{std::random_device{}()};
  fs::path name = path;
  name += ".part-" + std::to_string(counter++);
  return name;
}

Tensor read_npy(Source& source) {
  Header header = read_header(source);
  const std::uint64_t bytes = bytes_of(header.type);
  if (bytes != source.left()) {
    const bool more = source.left() > bytes;
    source.place().fail_at(more ? source.offset() + bytes : source.offset() + source.left(),
                           std::string(more ? "trailing data" : "the file ends too early") + ": " +
                               to_string(header.type) + " takes " + std::to_string(bytes) +
                               " bytes after the header, the file has " +
                               std::to_string(source.left()));
  }
  Tensor read = Tensor::uninitialised(header.type);
  source.read(read.raw(), bytes, "the elements");
  if (read.dtype() == DType::boolean) check_bools(source, read);
  if (!header.fortran || read.rank() < 2) return read;
  Tensor turned = Tensor::uninitialised(std::move(header.type));
  from_fortran_order(read, turned);
  return turned;
}

}  // namespace

namespace detail {

Tensor parse_npy(std::string_view op, const std::string& name, std::span<const std::byte> file) {
  Source source(op, name, file);
  return read_npy(source);
}

std::string npy_header(std::string_view op, const fs::path& path, const Tensor& tensor) {
  if (tensor.rank() > highest_rank) {
    fail<DataError>({.op = op,
                     .what = path.string() + ": a tensor of rank " + std::to_string(tensor.rank()) +
                             " does not fit the format, which stops at 64"});
  }
  return header_of(tensor);
}

}  // namespace detail

Tensor load_npy(const fs::path& path) {
  Source source(path);
  return read_npy(source);
}

void save_npy(const fs::path& path, const Tensor& tensor) {
  const std::string header = detail::npy_header("save_npy", path, tensor);
  const fs::path part = temporary_beside(path);
  std::error_code error;
  std::ofstream out(part, std::ios::binary | std::ios::trunc);
  out.write(header.data(), static_cast<std::streamsize>(header.size()));
  out.write(static_cast<const char*>(tensor.raw()), static_cast<std::streamsize>(tensor.bytes()));
  out.close();
  const bool written = static_cast<bool>(out);
  if (written) fs::rename(part, path, error);
  if (written && !error) return;
  std::error_code ignored;
  fs::remove(part, ignored);
  fail<DataError>({.op = "save_npy",
                   .what = path.string() + ": cannot be written" +
                           (error ? ": " + error.message() : std::string())});
}

}  // namespace dualtape
