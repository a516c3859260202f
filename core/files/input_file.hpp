// What readers of files share: the file itself, opened so that no kind of file makes them wait, and
// the descriptor that closes itself. One thread at a time for one object.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace dualtape::detail {

class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();
  int number() const { return number_; }
  bool open() const { return number_ >= 0; }
  int release() noexcept;  // now the caller's to close

 private:
  int number_;
};

// open(2), once more where a signal came in between.
Descriptor open_file(const std::filesystem::path& path, int flags, unsigned mode = 0);

// "a folder", "a FIFO" and so on; "" for a regular file.
std::string kind_of_file(mode_t mode);
// Whether the system would take only a part of the path, up to a zero byte in it.
inline bool holds_zero_byte(const std::filesystem::path& path) {
  return path.native().find('\0') != std::string::npos;
}

// A regular file to read from. FIFOs, devices, sockets and folders are refused without being
// waited for.
class InputFile {
 public:
  // Throws, given the offset and what is wrong there.
  using Complain = std::function<void(std::uint64_t offset, const std::string& what)>;

  // `complain` is kept.
  InputFile(const std::filesystem::path& path, Complain complain);

  std::uint64_t size() const { return size_; }  // when it was opened
  // Up to `bytes` bytes from `offset` on, fewer only at the end of the file.
  std::size_t read(std::uint64_t offset, void* to, std::size_t bytes) const;
  int descriptor() const { return file_.number(); }

 private:
  Complain complain_;
  Descriptor file_;
  std::uint64_t size_ = 0;
};

}  // namespace dualtape::detail
