#include <dualtape/core/files/atomic_file.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <system_error>

#include <dualtape/core/files/crc32c.hpp>
#include <dualtape/core/files/input_file.hpp>

namespace dualtape::detail {
namespace {

namespace fs = std::filesystem;

constexpr mode_t all_modes = 07777;

// What is being written, for the error texts.
struct Job {
  std::string_view op;
  const fs::path& path;
  Location where;

  [[noreturn]] void refuse(const std::string& what, const std::string& help = {}) const {
    fail<DataError>({.op = op, .what = path.string() + ": " + what, .where = where, .help = help});
  }
  [[noreturn]] void fail_with(const std::string& what, int error,
                              const std::string& help = {}) const {
    refuse(what + ": " + std::generic_category().message(error), help);
  }
};

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// Repeats a call that a signal interrupted.
template <class F>
int uninterrupted(F&& call) {
  while (true) {
    const int result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

// In a folder where anybody may make links, as /tmp, one of somebody else's is not followed: Linux
// has the same rule for opening files (protected_symlinks).
bool is_planted(const fs::path& link, const struct stat& of_link) {
  struct stat folder {};
  if (::stat(folder_of(link).c_str(), &folder) != 0) return false;
  const bool anybody = (folder.st_mode & S_ISVTX) != 0 && (folder.st_mode & S_IWOTH) != 0;
  return anybody && of_link.st_uid != ::geteuid() && of_link.st_uid != folder.st_uid;
}

// Where the user's symbolic links lead, whether or not there is a file yet.
fs::path target_of(const Job& job) {
  constexpr int most_links = 40;  // as the kernel's own
  fs::path target = job.path;
  for (int links = 0; links < most_links; ++links) {
    struct stat found {};
    if (::lstat(target.c_str(), &found) != 0 || !S_ISLNK(found.st_mode)) return target;
    if (is_planted(target, found))
      job.refuse("is a symbolic link of another user's in a folder that anybody may write to",
                 "remove the link, or save in a folder of your own");
    std::error_code error;
    const fs::path next = fs::read_symlink(target, error);
    if (error) job.fail_with("the symbolic link cannot be followed", error.value());
    target = next.is_absolute() ? next : target.parent_path() / next;
  }
  job.refuse("its symbolic links lead in a circle");
}

// The mode of the file that is to be replaced; none where there is no file. Refuses what a saved
// file may not take the place of.
std::optional<mode_t> mode_of_old(const Job& job, const fs::path& target) {
  if (target.empty()) job.refuse("the path is empty", "name the file to be written");
  struct stat found {};
  if (::stat(target.c_str(), &found) != 0) {
    if (errno == ENOENT) return std::nullopt;
    job.fail_with("cannot be written", errno);
  }
  const std::string kind = kind_of_file(found.st_mode);
  if (!kind.empty())
    job.refuse("is " + kind + ", and only a regular file is replaced", "name another file");
  if (::faccessat(AT_FDCWD, target.c_str(), W_OK, AT_EACCESS) != 0)
    job.fail_with("cannot be written", errno,
                  errno == EROFS ? "name a file on a file system that may be written to"
                                 : "the file is there and read-only: chmod u+w it");
  return found.st_mode & all_modes;
}

bool same_file(int descriptor, const fs::path& path) {
  struct stat of_descriptor {};
  struct stat of_path {};
  return ::fstat(descriptor, &of_descriptor) == 0 && ::lstat(path.c_str(), &of_path) == 0 &&
         of_descriptor.st_dev == of_path.st_dev && of_descriptor.st_ino == of_path.st_ino;
}

enum class Lock { held, taken_by_another, unknown_here };

Lock lock(int file) {
  if (uninterrupted([&] { return ::flock(file, LOCK_EX | LOCK_NB); }) == 0) return Lock::held;
  return errno == EWOULDBLOCK ? Lock::taken_by_another : Lock::unknown_here;
}

void tell_once_of_no_locks(const Job& job, int error) {
  static std::once_flag told;
  std::call_once(told, [&] {
    std::cerr << "dualtape: " << folder_of(job.path).string() << " is on a file system without "
              << "locks (" << std::generic_category().message(error)
              << "): files are saved all the same, but two programs that write one file at the "
                 "same time go unnoticed\n";
  });
}

// What the names of parts of this target begin with. Not with the target's own name, which may be
// as long as names get.
std::string part_prefix(const fs::path& target) {
  return ".dualtape-" + hex8(crc32c(target.filename().string())) + "-";
}
constexpr std::string_view part_suffix = ".part";

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

// A part that nobody has locked is a killed process's.
void remove_leftover(const Job& job, const fs::path& path) {
  const Descriptor part = open_file(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
  struct stat found {};
  if (!part.open() || ::fstat(part.number(), &found) != 0 || !S_ISREG(found.st_mode)) return;
  const Lock locked = lock(part.number());
  if (locked == Lock::taken_by_another)
    job.refuse("another writer is at work on it", "give each run a file of its own");
  if (locked == Lock::held && same_file(part.number(), path)) ::unlink(path.c_str());
}

// By readdir: the standard's iterators end the program where there is no memory.
void remove_leftovers(const Job& job, const fs::path& target) {
  const std::string prefix = part_prefix(target);
  const std::size_t length = prefix.size() + 16 + part_suffix.size();
  const fs::path place = folder_of(target);
  const std::unique_ptr<DIR, CloseFolder> folder(::opendir(place.c_str()));
  if (folder == nullptr) return;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): safe for a DIR that is one thread's
  while (const dirent* entry = ::readdir(folder.get())) {
    const std::string_view name = entry->d_name;
    if (name.size() == length && name.starts_with(prefix) && name.ends_with(part_suffix))
      remove_leftover(job, place / name);
  }
}

// A file beside the target that is this call's alone, and removed again unless it is put in place.
class Part {
 public:
  Part(const Job& job, const fs::path& target, std::optional<mode_t> old) : job_(job) {
    std::random_device random;
    do {  // between opening and locking another writer may have taken it for a leftover
      path_ = folder_of(target) / (part_prefix(target) + hex8(random()) + hex8(random()));
      path_ += part_suffix;
      // Nobody reads on the way what nobody may read in the end.
      file_ = open_file(path_, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, old ? 0600 : 0666);
      if (!file_.open() && errno != EEXIST)
        job_.fail_with("cannot be written", errno,
                       "the folder must be there, with room, and may be written to");
    } while (!file_.open() || !locked_as_own());
  }
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;
  ~Part() {
    if (!placed_) ::unlink(path_.c_str());
  }

  void write(std::span<const std::byte> bytes) const {
    while (!bytes.empty()) {
      const ssize_t done = ::write(file_.number(), bytes.data(), bytes.size());
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) job_.fail_with("cannot be written", done < 0 ? errno : EIO);
      bytes = bytes.subspan(static_cast<std::size_t>(done));
    }
  }

  void put_in_place(const fs::path& target, std::optional<mode_t> mode) {
    if (mode && ::fchmod(file_.number(), *mode) != 0)
      job_.fail_with("the old file's mode cannot be kept", errno);
    if (uninterrupted([&] { return ::fsync(file_.number()); }) != 0)
      job_.fail_with("cannot be flushed", errno);
    if (::rename(path_.c_str(), target.c_str()) != 0)
      job_.fail_with("cannot be put in place", errno);
    placed_ = true;
  }

 private:
  bool locked_as_own() const {
    const Lock locked = lock(file_.number());
    if (locked == Lock::unknown_here) {
      tell_once_of_no_locks(job_, errno);
      return true;
    }
    return locked == Lock::held && same_file(file_.number(), path_);
  }

  const Job& job_;
  fs::path path_;
  Descriptor file_;
  bool placed_ = false;
};

// Without this a crash of the machine may undo the rename.
void flush_folder(const Job& job, const fs::path& folder) {
  const Descriptor directory = open_file(folder, O_RDONLY | O_DIRECTORY);
  // A folder that may be written to but not listed cannot be opened, hence not flushed.
  if (!directory.open() && errno == EACCES) return;
  if (directory.open()) {
    if (uninterrupted([&] { return ::fsync(directory.number()); }) == 0) return;
    // Some file systems know no flushing of folders.
    if (errno == EINVAL || errno == ENOTSUP) return;
  }
  job.fail_with("is written, but its folder cannot be flushed", errno);
}

}  // namespace

void write_atomically(std::string_view op, const fs::path& path,
                      std::span<const std::span<const std::byte>> pieces, Location where) {
  const Job job{op, path, where};
  if (holds_zero_byte(path))
    job.refuse("cannot be written: the path holds a zero byte", "name another file");
  const fs::path target = target_of(job);
  const std::optional<mode_t> old = mode_of_old(job, target);
  remove_leftovers(job, target);
  Part part(job, target, old);
  for (const auto& piece : pieces) part.write(piece);
  part.put_in_place(target, old);
  flush_folder(job, folder_of(target));
}

}  // namespace dualtape::detail
