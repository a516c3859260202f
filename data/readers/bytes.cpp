#include <dualtape/data/readers/bytes.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include <dualtape/data/readers/gunzip.hpp>

namespace dualtape::detail {
namespace {

bool is_gzip(const InputFile& file) {
  std::array<char, 2> start{};
  return file.read(0, start.data(), start.size()) == 2 && start[0] == '\x1f' && start[1] == '\x8b';
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

ByteReader::ByteReader(std::string_view op, const std::filesystem::path& path, Location where,
                       Packing packing, const ReadLimits& limits)
    : op_(op),
      path_(path),
      where_(where),
      limits_(limits),
      file_(path, [this](std::uint64_t at, const std::string& what) { fail_at(at, what); }) {
  if (packing == Packing::plain || !is_gzip(file_)) return;
  if (!has_zlib()) {
    fail_at(0, "is a gzip file, and dualtape was built without zlib",
            "unpack it with gunzip, or install zlib1g-dev and build again");
  }
  gunzip_ = std::make_unique<Gunzip>(file_, [this](std::uint64_t at, const std::string& what) {
    fail<DataError>(
        {.op = op_,
         .what = path_.string() + ", offset " + std::to_string(at) + " of the packed file: " + what,
         .where = where_});
  });
}

ByteReader::~ByteReader() = default;

std::optional<std::uint64_t> ByteReader::left() const {
  if (gunzip_) return std::nullopt;
  return file_.size() - std::min(file_.size(), offset_);
}

std::size_t ByteReader::read_some(void* to, std::size_t bytes) {
  const std::size_t got = gunzip_ ? gunzip_->read_some(to, bytes) : file_.read(offset_, to, bytes);
  offset_ += got;
  return got;
}

void ByteReader::read(void* to, std::size_t bytes, const std::string& what) {
  const std::size_t got = read_some(to, bytes);
  if (got < bytes) ends_early(bytes, what, std::to_string(got) + " are there");
}

// A claim that the file cannot hold, whatever its bytes, is refused before one of them is read.
void ByteReader::check_claim(std::uint64_t bytes, const std::string& what) const {
  const std::uint64_t most = gunzip_ ? most_inflated(file_.size()) : *left();
  if (bytes <= most) return;
  ends_early(bytes, what,
             gunzip_ ? "gzip of this size holds at most " + std::to_string(most)
                     : std::to_string(most) + " are left");
}

void ByteReader::expect_room(std::uint64_t bytes, const std::string& what) const {
  const std::uint64_t most = limits_.bytes_for(file_.size());
  if (bytes <= most) return;
  fail_at(offset_,
          what + " would take " + std::to_string(bytes) + " bytes of memory, but a file of " +
              std::to_string(file_.size()) + " bytes may take " + std::to_string(most),
          "if you trust the file, give ReadLimits that allow more, or ReadLimits::none()");
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
                   .where = where_,
                   .help = std::move(help)});
}

}  // namespace dualtape::detail
