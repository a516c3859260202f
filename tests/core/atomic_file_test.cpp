#include <dualtape/core/files/atomic_file.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <iostream>
#include <iterator>
#include <sstream>
#include <string>

#include "tests/data/temporary.hpp"
#include "tests/io_faults.hpp"

using namespace dualtape;
using namespace dualtape::testing;
namespace fs = std::filesystem;

namespace {

void save(const fs::path& path, const std::string& text) {
  const auto half = static_cast<std::ptrdiff_t>(text.size() / 2);
  const std::string first(text.begin(), text.begin() + half);
  const std::string rest(text.begin() + half, text.end());
  const std::array<std::span<const std::byte>, 2> pieces{std::as_bytes(std::span(first)),
                                                         std::as_bytes(std::span(rest))};
  detail::write_atomically("save", path, pieces, Location::current());
}

std::string refusal(const fs::path& path) {
  const std::string text = error_of<DataError>([&] { save(path, "new"); });
  CHECK(has(text, "[save] "));
  CHECK(has(text, path.string()));
  CHECK(has(text, "atomic_file_test.cpp:"));
  return text;
}

mode_t mode_of(const fs::path& path) {
  struct stat found {};
  REQUIRE(::stat(path.c_str(), &found) == 0);
  return found.st_mode & 07777;
}

std::ptrdiff_t files_in(const fs::path& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator{});
}

class Umask {
 public:
  explicit Umask(mode_t mask) : before_(::umask(mask)) {}
  ~Umask() { ::umask(before_); }
  Umask(const Umask&) = delete;
  Umask& operator=(const Umask&) = delete;

 private:
  mode_t before_;
};

// What the program says on its standard error while it lives.
class Said {
 public:
  Said() : before_(std::cerr.rdbuf(text_.rdbuf())) {}
  ~Said() { std::cerr.rdbuf(before_); }
  Said(const Said&) = delete;
  Said& operator=(const Said&) = delete;
  std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
  std::streambuf* before_;
};

}  // namespace

TEST_CASE("a file is written whole, and replaced whole, with nothing left beside") {
  const TemporaryFolder folder;
  save(folder / "a", "first");
  CHECK(bytes_of_file(folder / "a") == "first");
  save(folder / "a", "");
  CHECK(bytes_of_file(folder / "a").empty());
  const std::string large(3'000'000, 'x');
  save(folder / "a", large);
  CHECK(bytes_of_file(folder / "a") == large);
  // As long as names get.
  const std::string name(255, 'n');
  save(folder / name, "long");
  CHECK(bytes_of_file(folder / name) == "long");
  CHECK(files_in(folder.path()) == 2);
}

TEST_CASE("a user's own files beside are left alone, whatever their names") {
  const TemporaryFolder folder;
  for (const char* name : {"a.part", "a.tmp", ".a.part", "a~", ".dualtape-.part"})
    folder.write(name, "mine");
  fs::create_symlink(folder / "victim", folder / "a.part-1");
  save(folder / "a", "saved");
  for (const char* name : {"a.part", "a.tmp", ".a.part", "a~", ".dualtape-.part"})
    CHECK(bytes_of_file(folder / name) == "mine");
  CHECK(!fs::exists(folder / "victim"));
}

TEST_CASE("only regular files are replaced") {
  const TemporaryFolder folder;
  REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
  CHECK(has(refusal(folder / "fifo"), "is a FIFO"));
  fs::create_directory(folder / "folder");
  CHECK(has(refusal(folder / "folder"), "is a folder"));
  CHECK(has(refusal("/dev/null"), "is a device"));
  const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (folder / "socket").string().copy(address.sun_path, sizeof address.sun_path - 1);
  REQUIRE(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  CHECK(has(refusal(folder / "socket"), "is a socket"));
  ::close(socket);
  fs::create_symlink(folder / "fifo", folder / "to_fifo");
  CHECK(has(refusal(folder / "to_fifo"), "is a FIFO"));
  CHECK(has(refusal(""), "empty"));
  CHECK(fs::is_character_file("/dev/null"));
  CHECK(fs::is_fifo(folder / "fifo"));
  CHECK(files_in(folder.path()) == 4);
}

TEST_CASE("a symbolic link stays, and what it leads to is written") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "real");
  folder.write("real/target", "old");
  fs::create_symlink("real/target", folder / "relative");
  fs::create_symlink(folder / "relative", folder / "twice");
  save(folder / "twice", "new");
  CHECK(fs::is_symlink(folder / "relative"));
  CHECK(fs::is_symlink(folder / "twice"));
  CHECK(bytes_of_file(folder / "real" / "target") == "new");
  CHECK(files_in(folder / "real") == 1);
  // To a file that is not there yet.
  fs::create_symlink("real/fresh", folder / "dangling");
  save(folder / "dangling", "made");
  CHECK(bytes_of_file(folder / "real" / "fresh") == "made");
  CHECK(fs::is_symlink(folder / "dangling"));
  fs::create_symlink("circle", folder / "circle");
  CHECK(has(refusal(folder / "circle"), "circle"));
}

TEST_CASE("the old file's mode stays, and a new one's is what the umask leaves") {
  const TemporaryFolder folder;
  const Umask umask(027);
  save(folder / "new", "x");
  CHECK(mode_of(folder / "new") == 0640);
  for (const mode_t mode : {mode_t{0600}, mode_t{0644}, mode_t{0666}, mode_t{0755}}) {
    CAPTURE(mode);
    folder.write("old", "x");
    REQUIRE(::chmod((folder / "old").c_str(), mode) == 0);
    save(folder / "old", "y");
    CHECK(mode_of(folder / "old") == mode);
    CHECK(bytes_of_file(folder / "old") == "y");
  }
}

TEST_CASE("a read-only file is not replaced") {
  if (::geteuid() == 0) {
    MESSAGE("[skipped] the superuser may write to any file");
    return;
  }
  const TemporaryFolder folder;
  folder.write("kept", "old");
  REQUIRE(::chmod((folder / "kept").c_str(), 0400) == 0);
  CHECK(has(refusal(folder / "kept"), "read-only"));
  CHECK(bytes_of_file(folder / "kept") == "old");
}

TEST_CASE("what a killed process left is removed, what a living one writes is not touched") {
  const TemporaryFolder folder;
  save(folder / "a", "1");
  // The name of a part of "a", taken from one that cannot be put in place.
  std::string part;
  {
    const IoFault fault(Call::rename, EIO);
    const std::string text = error_of<DataError>([&] { save(folder / "a", "2"); });
    CHECK(has(text, "cannot be put in place"));
    CHECK(files_in(folder.path()) == 1);
  }
  // CRC-32C of "a" is c1d04330.
  part = ".dualtape-c1d04330-0123456789abcdef.part";
  folder.write(part, "left by a killed process");
  save(folder / "a", "3");
  CHECK(!fs::exists(folder / part));
  // Of another file, and of another kind.
  folder.write(".dualtape-00000000-0123456789abcdef.part", "another's");
  fs::create_symlink(folder / "a", folder / part);
  save(folder / "a", "4");
  CHECK(files_in(folder.path()) == 3);
  fs::remove(folder / part);
  folder.write(part, "being written");
  const int other = ::open((folder / part).c_str(), O_RDWR | O_CLOEXEC);
  REQUIRE(::flock(other, LOCK_EX | LOCK_NB) == 0);
  CHECK(has(refusal(folder / "a"), "another writer"));
  CHECK(bytes_of_file(folder / part) == "being written");
  CHECK(bytes_of_file(folder / "a") == "4");
  ::close(other);
}

TEST_CASE("a call that fails at any place leaves the old file and nothing beside, and says why") {
  const TemporaryFolder folder;
  for (const Call call : {Call::write, Call::fsync, Call::rename, Call::fchmod}) {
    for (int number = 0; number < 4; ++number) {
      CAPTURE(number);
      folder.write("a", "old");
      std::string text;
      bool failed = false;
      {
        const IoFault fault(call, ENOSPC, number);
        text = text_thrown<DataError>([&] { save(folder / "a", "new bytes"); });
        failed = fault.hits() > 0;
      }
      CHECK(files_in(folder.path()) == 1);
      if (!failed) {  // there are no more calls of this kind
        CHECK(text.empty());
        break;
      }
      CHECK(has(text, "No space left"));
      // Behind the renaming, only the folder's flushing is left to fail.
      const bool placed = call == Call::fsync && number == 1;
      CHECK(bytes_of_file(folder / "a") == (placed ? "new bytes" : "old"));
    }
  }
}

TEST_CASE("signals in between and writes by half change nothing") {
  const TemporaryFolder folder;
  const std::string text(100'000, 'q');
  for (const Call call : {Call::write, Call::fsync, Call::flock}) {
    const IoFault fault(call, EINTR, 0, 3);
    save(folder / "a", text);
    CHECK(fault.hits() >= 3);
    CHECK(bytes_of_file(folder / "a") == text);
  }
  const IoFault fault(Call::write, 0, 0, 9);
  save(folder / "b", text);
  CHECK(fault.hits() == 9);
  CHECK(bytes_of_file(folder / "b") == text);
}

TEST_CASE("where nothing can be locked files are saved all the same, and it is said once") {
  const TemporaryFolder folder;
  const Said said;
  for (const int error : {ENOLCK, ENOSYS, EOPNOTSUPP}) {
    const IoFault fault(Call::flock, error, 0, 1000);
    save(folder / "a", "x" + std::to_string(error));
    CHECK(fault.hits() > 0);
    CHECK(bytes_of_file(folder / "a") == "x" + std::to_string(error));
  }
  const std::string text = said.text();
  CHECK(has(text, "without locks"));
  CHECK(text.find("without locks") == text.rfind("without locks"));
  // File systems that cannot flush folders say EINVAL.
  const IoFault fault(Call::fsync, EINVAL, 1);
  save(folder / "a", "y");
  CHECK(fault.hits() == 1);
}
