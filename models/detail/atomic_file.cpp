#include <dualtape/models/detail/atomic_file.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include <dualtape/core/error.hpp>

namespace dualtape::detail {
namespace {

namespace fs = std::filesystem;

// What is being written, for the error texts.
struct Job {
  std::string_view op;
  const fs::path& path;

  [[noreturn]] void fail_with(const std::string& what, int error) const {
    fail<DataError>(
        {.op = op,
         .what = path.string() + ": " + what + ": " + std::generic_category().message(error)});
  }
};

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int number() const { return number_; }

 private:
  int number_;
};

bool same_file(int descriptor, const fs::path& path) {
  struct stat of_descriptor {};
  struct stat of_path {};
  return ::fstat(descriptor, &of_descriptor) == 0 && ::stat(path.c_str(), &of_path) == 0 &&
         of_descriptor.st_dev == of_path.st_dev && of_descriptor.st_ino == of_path.st_ino;
}

// An empty file that is this process's alone. Between opening and locking another writer may have
// renamed it into place; what is at hand then is the finished file, which must not be touched.
Descriptor open_part(const Job& job, const fs::path& part) {
  while (true) {
    Descriptor file(::open(part.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    if (file.number() < 0) job.fail_with("cannot be written", errno);
    if (::flock(file.number(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK)
        fail<DataError>({.op = job.op,
                         .what = job.path.string() + ": another writer is at work on it",
                         .help = "give each run a file of its own"});
      job.fail_with("cannot be locked", errno);
    }
    if (!same_file(file.number(), part)) continue;
    if (::ftruncate(file.number(), 0) != 0) job.fail_with("cannot be written", errno);
    return file;
  }
}

void write_all(const Job& job, int file, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::write(file, bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) job.fail_with("cannot be written", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
}

// Without this the machine's stop may undo the renaming.
void flush_folder(const Job& job) {
  const fs::path folder = job.path.has_parent_path() ? job.path.parent_path() : fs::path(".");
  const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Some file systems know no flushing of folders; they say EINVAL.
  if (directory.number() < 0 || (::fsync(directory.number()) != 0 && errno != EINVAL))
    job.fail_with("its folder cannot be flushed", errno);
}

}  // namespace

void write_atomically(std::string_view op, const fs::path& path,
                      std::span<const std::span<const std::byte>> pieces) {
  const Job job{op, path};
  fs::path part = path;
  part += ".part";
  const Descriptor file = open_part(job, part);
  try {
    for (const auto& piece : pieces) write_all(job, file.number(), piece);
    if (::fsync(file.number()) != 0) job.fail_with("cannot be flushed", errno);
    if (::rename(part.c_str(), path.c_str()) != 0) job.fail_with("cannot be put in place", errno);
  } catch (...) {
    ::unlink(part.c_str());
    throw;
  }
  flush_folder(job);
}

}  // namespace dualtape::detail
