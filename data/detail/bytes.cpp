#include <dualtape/data/detail/bytes.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <system_error>
#include <utility>

#include <dualtape/data/detail/gunzip.hpp>

namespace dualtape::detail {
namespace {

bool is_gzip(std::istream& file) {
  std::array<char, 2> start{};
  file.read(start.data(), start.size());
  const bool result = file.gcount() == 2 && start[0] == '\x1f' && start[1] == '\x8b';
  file.clear();
  file.seekg(0);
  return result;
}

}  // namespace

// Deflate spends at least 2 bits on 258 bytes.
std::uint64_t most_inflated(std::uint64_t packed) {
  constexpr std::uint64_t factor = 1032;
  return packed > std::numeric_limits<std::uint64_t>::max() / factor
             ? std::numeric_limits<std::uint64_t>::max()
             : packed * factor;
}

std::vector<std::byte> read_growing(
    std::uint64_t bytes, const std::function<std::size_t(void* to, std::size_t bytes)>& read_some) {
  constexpr std::uint64_t piece = std::uint64_t{1} << 16U;
  std::vector<std::byte> result;
  while (result.size() < bytes) {
    const std::size_t had = result.size();
    const std::uint64_t grown = std::max<std::uint64_t>(piece, 2 * std::uint64_t{had});
    result.resize(static_cast<std::size_t>(std::min(bytes, grown)));
    const std::size_t got = read_some(result.data() + had, result.size() - had);
    if (had + got == result.size()) continue;
    result.resize(had + got);
    break;
  }
  return result;
}

ByteReader::ByteReader(std::string_view op, const std::filesystem::path& path, Packing packing)
    : op_(op), path_(path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    fail_at(0, error ? "cannot be opened: " + error.message() : "is not a regular file");
  }
  size_ = std::filesystem::file_size(path, error);
  if (!error) file_.open(path, std::ios::binary);
  if (error || !file_) fail_at(0, "cannot be opened for reading");
  if (packing == Packing::plain || !is_gzip(file_)) return;
  if (!has_zlib()) {
    fail_at(0, "is a gzip file, and dualtape was built without zlib",
            "unpack it with gunzip, or install zlib1g-dev and build again");
  }
  gunzip_ = std::make_unique<Gunzip>(file_, [this](std::uint64_t at, const std::string& what) {
    fail<DataError>({.op = op_,
                     .what = path_.string() + ", offset " + std::to_string(at) +
                             " of the packed file: " + what});
  });
}

ByteReader::~ByteReader() = default;

std::optional<std::uint64_t> ByteReader::left() const {
  if (gunzip_) return std::nullopt;
  return size_ - std::min(size_, offset_);
}

std::size_t ByteReader::read_some(void* to, std::size_t bytes) {
  std::size_t got = 0;
  if (gunzip_) {
    got = gunzip_->read_some(to, bytes);
  } else {
    file_.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes));
    if (file_.bad()) fail_at(offset_, "cannot be read");
    got = static_cast<std::size_t>(file_.gcount());
  }
  offset_ += got;
  return got;
}

void ByteReader::read(void* to, std::size_t bytes, const std::string& what) {
  const std::size_t got = read_some(to, bytes);
  if (got < bytes) ends_early(bytes, what, std::to_string(got) + " are there");
}

// A claim that the file cannot hold, whatever its bytes, is refused before one of them is read.
void ByteReader::check_claim(std::uint64_t bytes, const std::string& what) const {
  const std::uint64_t most = gunzip_ ? most_inflated(size_) : *left();
  if (bytes <= most) return;
  ends_early(bytes, what,
             gunzip_ ? "gzip of this size holds at most " + std::to_string(most)
                     : std::to_string(most) + " are left");
}

std::vector<std::byte> ByteReader::take(std::uint64_t bytes, const std::string& what) {
  check_claim(bytes, what);
  if (!gunzip_) {
    std::vector<std::byte> result(static_cast<std::size_t>(bytes));
    read(result.data(), result.size(), what);
    return result;
  }
  std::vector<std::byte> result =
      read_growing(bytes, [this](void* to, std::size_t some) { return read_some(to, some); });
  if (result.size() < bytes) {
    ends_early(bytes, what, std::to_string(result.size()) + " are there");
  }
  return result;
}

void ByteReader::ends_early(std::uint64_t bytes, const std::string& what,
                            const std::string& instead) const {
  fail_at(offset_, "the file ends too early: " + what + " takes " + std::to_string(bytes) +
                       " bytes, " + instead);
}

void ByteReader::expect_end(const std::string& what) {
  std::byte more{};
  const std::uint64_t end = offset_;
  if (read_some(&more, 1) == 0) return;
  fail_at(end, "trailing data: " + what + " ends here, and the file goes on");
}

void ByteReader::fail_at(std::uint64_t offset, const std::string& what, std::string help) const {
  fail<DataError>({.op = op_,
                   .what = path_.string() + ", offset " + std::to_string(offset) +
                           (gunzip_ ? " of the unpacked data: " : ": ") + what,
                   .help = std::move(help)});
}

}  // namespace dualtape::detail
