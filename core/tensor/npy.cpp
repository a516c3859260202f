// NumPy's .npy files. What a header claims is held against the size of the file before any memory
// is taken for it.
#include <algorithm>
#include <array>
#include <cstring>
#include <dualtape/core/files/atomic_file.hpp>
#include <dualtape/core/files/input_file.hpp>
#include <dualtape/core/files/stored.hpp>
#include <dualtape/core/tensor/memory_for.hpp>
#include <dualtape/core/tensor/npy.hpp>
#include <optional>

namespace dualtape {
namespace {

namespace fs = std::filesystem;

using detail::ByteOrder;
using detail::Stored;

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::size_t longest_header =
    65535;                                // what version 1 can say; NumPy itself stops at 10000
constexpr std::size_t highest_rank = 64;  // as in NumPy

// As NumPy names them after the byte order; the names are for error texts.
struct Descr {
  std::string_view code;
  Stored stored;
};
constexpr std::array<Descr, 11> known_types{{{"b1", Stored::boolean},
                                             {"i4", Stored::i32},
                                             {"i8", Stored::i64},
                                             {"f4", Stored::f32},
                                             {"f8", Stored::f64},
                                             {"u1", Stored::u8},
                                             {"i1", Stored::i8},
                                             {"u2", Stored::u16},
                                             {"i2", Stored::i16},
                                             {"u4", Stored::u32},
                                             {"f2", Stored::f16}}};

// Where in which file, for the error texts.
struct Place {
  std::string_view op;
  std::string name;
  Location where;

  [[noreturn]] void fail_at(std::uint64_t offset, const std::string& what,
                            std::string help = {}) const {
    fail<DataError>({.op = op,
                     .what = name + ", offset " + std::to_string(offset) + ": " + what,
                     .where = where,
                     .help = std::move(help)});
  }
};

struct Elements {
  Stored stored;
  ByteOrder order;
};

struct Header {
  Shape shape;
  Elements elements;
  bool fortran = false;

  Type type() const { return {shape, detail::widened(elements.stored)}; }
  // In the file.
  std::uint64_t bytes() const {
    return static_cast<std::uint64_t>(shape.count()) * detail::width_of(elements.stored);
  }
};

// Bytes of a broken file may be anything; an error text shows only what prints.
std::string in_quotes(std::string_view text) {
  std::string shown(text);
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return "'" + shown + "'";
}

// "uint64 ('<u8')" and the like, for the refusal.
std::string describe(std::string_view descr) {
  static constexpr std::array<std::array<std::string_view, 2>, 4> names{
      {{"f16", "long double"}, {"u8", "uint64"}, {"c8", "complex64"}, {"c16", "complex128"}}};
  if (descr.empty()) return in_quotes(descr);
  for (const auto& [code, name] : names) {
    if (descr.substr(1) == code) return std::string(name) + " (" + in_quotes(descr) + ")";
  }
  return in_quotes(descr);
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
    if (!elements_) refuse("a key 'descr'");
    if (!fortran_) refuse("a key 'fortran_order'");
    if (!shape_) refuse("a key 'shape'");
    return {std::move(*shape_), *elements_, *fortran_};
  }

 private:
  [[noreturn]] void refuse(const std::string& expected) const {
    const std::string found =
        at_ < text_.size() ? in_quotes(text_.substr(at_, 12)) : std::string("the header's end");
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
    if (!accept(wanted)) refuse(in_quotes({&wanted, 1}));
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
    if (key == "descr" && !elements_) {
      elements_ = descr();
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

  Elements descr() {
    skip_spaces();
    const std::size_t start = at_;
    if (at_ < text_.size() && text_[at_] == '[') refuse("a plain dtype, not a structured one");
    const std::string_view code = string();
    const auto* found = known_types.end();
    if (!code.empty() && std::string_view("<>|=").find(code.front()) != std::string_view::npos)
      found = std::find_if(known_types.begin(), known_types.end(),
                           [&](const Descr& known) { return known.code == code.substr(1); });
    // "|" says that there is no order, so it fits single bytes alone.
    const bool fits =
        found != known_types.end() && (code.front() != '|' || detail::width_of(found->stored) == 1);
    if (!fits) {
      place_.fail_at(offset_ + start, "dtype " + describe(code) + " is not supported",
                     "convert in Python, as array.astype('<f4'): bool, integers up to 64 bits but "
                     "uint64, float16, float32 and float64 are read");
    }
    return {found->stored, code.front() == '>' ? ByteOrder::big : ByteOrder::little};
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
  std::optional<Elements> elements_;
  std::optional<bool> fortran_;
  std::optional<Shape> shape_;
};

// A file or its bytes in memory, read from the start on, with the count of bytes there are.
class Source {
 public:
  Source(const fs::path& path, Location where) : place_{"load_npy", path.string(), where} {
    file_.emplace(path, [this](std::uint64_t offset, const std::string& what) {
      place_.fail_at(offset, what);
    });
    size_ = file_->size();
  }

  Source(std::string_view op, const std::string& name, std::span<const std::byte> memory,
         Location where)
      : place_{op, name, where}, memory_(memory), size_(memory.size()) {}
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  const Place& place() const { return place_; }
  std::uint64_t offset() const { return offset_; }
  std::uint64_t left() const { return size_ - offset_; }

  void read(void* to, std::uint64_t bytes, const std::string& what) {
    if (bytes > left()) {
      place_.fail_at(offset_, "the file ends too early: " + what + " takes " +
                                  std::to_string(bytes) + " bytes, " + std::to_string(left()) +
                                  " are left");
    }
    if (!file_) {
      std::copy_n(memory_.data() + offset_, bytes, static_cast<std::byte*>(to));
    } else if (file_->read(offset_, to, bytes) < bytes) {
      place_.fail_at(offset_, "the file has shrunk while it was read: " + what);
    }
    offset_ += bytes;
  }

 private:
  Place place_;
  std::optional<detail::InputFile> file_;  // none where the bytes are in memory_
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
  // The first of those that are read into this dtype is the dtype itself.
  const auto* known = std::find_if(known_types.begin(), known_types.end(), [&](const Descr& entry) {
    return detail::widened(entry.stored) == tensor.dtype();
  });
  std::string code = detail::width_of(known->stored) == 1 ? "|" : "<";
  code += known->code;
  std::string dict = "{'descr': " + in_quotes(code) +
                     ", 'fortran_order': False, 'shape': " + to_string(tensor.shape()) + ", }";
  const std::size_t fixed = magic.size() + 4;
  const std::size_t total = (fixed + dict.size() + 1 + 63) / 64 * 64;
  const std::size_t size = total - fixed;
  dict.resize(size - 1, ' ');
  const std::array<char, 4> numbers{1, 0, static_cast<char>(size & 0xff),
                                    static_cast<char>(size >> 8)};
  return std::string(magic) + std::string(numbers.begin(), numbers.end()) + dict + '\n';
}

// The elements in the file's order. What is converted passes through a small buffer.
Tensor read_elements(Source& source, const Header& header) {
  const auto& [stored, order] = header.elements;
  Tensor read = Tensor::uninitialised(header.type());
  auto* to = static_cast<std::byte*>(read.raw());
  if (order == ByteOrder::little && read.bytes() == header.bytes()) {
    source.read(to, read.bytes(), "the elements");
  } else {
    std::array<std::byte, 65536> some{};
    const std::size_t growth = size_of(read.dtype()) / detail::width_of(stored);
    for (std::uint64_t left = header.bytes(); left > 0;) {
      const std::size_t now = static_cast<std::size_t>(std::min<std::uint64_t>(left, some.size()));
      source.read(some.data(), now, "the elements");
      detail::widen(stored, order, std::span(some).first(now), to);
      to += now * growth;
      left -= now;
    }
  }
  if (read.dtype() == DType::boolean) check_bools(source, read);
  return read;
}

// `expect_room` as for parse_npy().
Tensor read_npy(Source& source, const std::function<void(std::uint64_t)>& expect_room = {}) {
  const Header header = read_header(source);
  const std::uint64_t bytes = header.bytes();
  if (bytes != source.left()) {
    const bool more = source.left() > bytes;
    source.place().fail_at(more ? source.offset() + bytes : source.offset() + source.left(),
                           std::string(more ? "trailing data" : "the file ends too early") + ": " +
                               to_string(header.type()) + " takes " + std::to_string(bytes) +
                               " bytes after the header, the file has " +
                               std::to_string(source.left()));
  }
  const bool turns = header.fortran && header.shape.rank() >= 2;
  if (expect_room) {
    const auto count = static_cast<std::uint64_t>(header.shape.count());
    expect_room(count * size_of(header.type().dtype) * (turns ? 2 : 1));
  }
  Tensor read = read_elements(source, header);
  if (!turns) return read;
  Tensor turned = Tensor::uninitialised(header.type());
  from_fortran_order(read, turned);
  return turned;
}

}  // namespace

namespace detail {

Tensor parse_npy(std::string_view op, const std::string& name, std::span<const std::byte> file,
                 Location where, const std::function<void(std::uint64_t bytes)>& expect_room) {
  Source source(op, name, file, where);
  return read_npy(source, expect_room);
}

std::string npy_header(std::string_view op, const fs::path& path, const Tensor& tensor,
                       Location where) {
  if (tensor.rank() > highest_rank) {
    fail<DataError>({.op = op,
                     .what = path.string() + ": a tensor of rank " + std::to_string(tensor.rank()) +
                             " does not fit the format, which stops at 64",
                     .where = where,
                     .help = "reshape it to fewer axes"});
  }
  return header_of(tensor);
}

}  // namespace detail

Tensor load_npy(const fs::path& path, Location here) {
  return detail::memory_for("load_npy", path, here, [&] {
    Source source(path, here);
    return read_npy(source);
  });
}

void save_npy(const fs::path& path, const Tensor& tensor, Location here) {
  const std::string header = detail::npy_header("save_npy", path, tensor, here);
  const std::array<std::span<const std::byte>, 2> pieces{
      std::as_bytes(std::span(header)),
      std::span(static_cast<const std::byte*>(tensor.raw()), tensor.bytes())};
  detail::write_atomically("save_npy", path, pieces, here);
}

}  // namespace dualtape
