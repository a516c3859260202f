#include <dualtape/data/readers/gunzip.hpp>

#include <algorithm>
#include <array>
#include <cassert>
#include <limits>
#include <utility>

#ifdef DUALTAPE_ZLIB
#include <zlib.h>
#endif

namespace dualtape::detail {

#ifdef DUALTAPE_ZLIB

bool has_zlib() { return true; }

struct Gunzip::Impl {
  const InputFile& packed;
  Complain complain;
  z_stream stream{};
  std::array<unsigned char, 65536> input{};
  std::uint64_t fetched = 0;  // bytes of the packed file taken so far
  bool between = true;        // no member is open: at the start, and after each one's end
  bool first = true;

  Impl(const InputFile& from, Complain say) : packed(from), complain(std::move(say)) {
    constexpr int gzip_only = 15 + 16;  // window bits, and the gzip form alone
    if (inflateInit2(&stream, gzip_only) != Z_OK) throw std::bad_alloc();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { inflateEnd(&stream); }

  std::uint64_t at() const { return fetched - stream.avail_in; }

  // False at the end of the packed file.
  bool fetch() {
    if (stream.avail_in > 0) return true;
    stream.next_in = input.data();
    stream.avail_in = static_cast<uInt>(packed.read(fetched, input.data(), input.size()));
    fetched += stream.avail_in;
    return stream.avail_in > 0;
  }

  // A file may hold several members, one after the other; nothing else may follow.
  bool next_member() {
    if (!fetch()) return false;
    if (!first) {
      if (stream.next_in[0] != 0x1f) complain(at(), "trailing data after the end of the gzip data");
      inflateReset(&stream);
    }
    first = false;
    between = false;
    return true;
  }

  std::size_t read_some(unsigned char* to, std::size_t bytes) {
    std::size_t done = 0;
    while (done < bytes) {
      if (between && !next_member()) break;
      if (!fetch()) complain(at(), "the file ends too early: within its gzip data");
      const std::size_t room =
          std::min<std::size_t>(bytes - done, std::numeric_limits<uInt>::max());
      stream.next_out = to + done;
      stream.avail_out = static_cast<uInt>(room);
      const int code = inflate(&stream, Z_NO_FLUSH);
      done += room - stream.avail_out;
      if (code == Z_STREAM_END) {
        between = true;
      } else if (code == Z_MEM_ERROR) {
        throw std::bad_alloc();
      } else if (code != Z_OK) {
        const std::string why = stream.msg == nullptr ? "unknown fault" : stream.msg;
        complain(at(), "broken gzip data: " + why);
      }
    }
    return done;
  }
};

Gunzip::Gunzip(const InputFile& packed, Complain complain)
    : impl_(std::make_unique<Impl>(packed, std::move(complain))) {}

std::size_t Gunzip::read_some(void* to, std::size_t bytes) {
  return impl_->read_some(static_cast<unsigned char*>(to), bytes);
}

#else

bool has_zlib() { return false; }

struct Gunzip::Impl {};

Gunzip::Gunzip(const InputFile& /*packed*/, Complain /*complain*/) {
  assert(false && "asked before: has_zlib()");
}

std::size_t Gunzip::read_some(void* /*to*/, std::size_t /*bytes*/) { return 0; }

#endif

Gunzip::~Gunzip() = default;

}  // namespace dualtape::detail
