#include <dualtape/core/files/input_file.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace dualtape::detail {

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  Descriptor old(std::exchange(number_, other.release()));
  return *this;
}

Descriptor::~Descriptor() {
  if (number_ >= 0) ::close(number_);
}

int Descriptor::release() noexcept { return std::exchange(number_, -1); }

Descriptor open_file(const std::filesystem::path& path, int flags, unsigned mode) {
  while (true) {
    const int number = ::open(path.c_str(), flags | O_CLOEXEC, mode);
    if (number >= 0 || errno != EINTR) return Descriptor(number);
  }
}

std::string kind_of_file(mode_t mode) {
  if (S_ISREG(mode)) return "";
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  return "of an unknown kind";
}

InputFile::InputFile(const std::filesystem::path& path, Complain complain)
    : complain_(std::move(complain)) {
  if (holds_zero_byte(path)) complain_(0, "cannot be opened: the path holds a zero byte");
  const auto look = [&](int error, const struct stat& found) {
    if (error != 0) complain_(0, "cannot be opened: " + std::generic_category().message(error));
    const std::string kind = kind_of_file(found.st_mode);
    if (!kind.empty()) complain_(0, "is not a regular file, but " + kind);
  };
  struct stat found {};
  // Looked at before as well: to open a device may already do something.
  look(::stat(path.c_str(), &found) == 0 ? 0 : errno, found);
  file_ = open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  look(file_.open() && ::fstat(file_.number(), &found) == 0 ? 0 : errno, found);
  size_ = static_cast<std::uint64_t>(found.st_size);
}

std::size_t InputFile::read(std::uint64_t offset, void* to, std::size_t bytes) const {
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t got = ::pread(file_.number(), static_cast<std::byte*>(to) + done, bytes - done,
                                static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      complain_(offset + done, "cannot be read: " + std::generic_category().message(errno));
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

}  // namespace dualtape::detail
