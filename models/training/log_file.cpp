#include <dualtape/models/training/log_file.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace dualtape::detail {

LogFile::LogFile(std::string_view op, std::filesystem::path path, Begin begin, Location where)
    : op_(op), path_(std::move(path)), where_(where) {
  if (holds_zero_byte(path_))
    fail<DataError>({.op = op_,
                     .what = path_.string() + ": cannot be opened: the path holds a zero byte",
                     .where = where_,
                     .help = "name another file"});
  struct stat found {};
  const auto check_kind = [&] {
    const std::string kind = kind_of_file(found.st_mode);
    if (!kind.empty())
      fail<DataError>({.op = op_,
                       .what = path_.string() + ": is not a regular file, but " + kind,
                       .where = where_,
                       .help = "name another file"});
  };
  // Looked at before as well: to open a device may already do something.
  if (::stat(path_.c_str(), &found) == 0) check_kind();
  const int how = begin == Begin::anew ? O_EXCL : 0;
  file_ = open_file(path_, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | how, 0666);
  if (!file_.open() || ::fstat(file_.number(), &found) != 0) refuse("cannot be opened", errno);
  check_kind();
}

void LogFile::append(std::string_view bytes) const {
  const off_t before = ::lseek(file_.number(), 0, SEEK_END);
  for (std::string_view left = bytes; !left.empty();) {
    const ssize_t done = ::write(file_.number(), left.data(), left.size());
    if (done < 0 && errno == EINTR) continue;
    if (done > 0) {
      left.remove_prefix(static_cast<std::size_t>(done));
      continue;
    }
    const int error = done < 0 ? errno : EIO;
    // A part of a line would spoil the next one.
    if (left.size() < bytes.size() && before >= 0 && ::ftruncate(file_.number(), before) != 0)
      refuse("a part of a line cannot be taken back", errno);
    refuse("cannot be written", error);
  }
}

void LogFile::refuse(const char* what, int error) const {
  fail<DataError>(
      {.op = op_,
       .what = path_.string() + ": " + what + ": " + std::generic_category().message(error),
       .where = where_,
       .help = "the folder must be there, with room, and may be written to"});
}

}  // namespace dualtape::detail
