// A file that a log is appended to. One thread at a time.
#pragma once

#include <filesystem>
#include <string_view>

#include <dualtape/core/error.hpp>
#include <dualtape/core/files/input_file.hpp>

namespace dualtape::detail {

// What append() is given stands in the file whole or not at all, unless the machine stops or
// another process appends at the same moment.
class LogFile {
 public:
  enum class Begin { append, anew };  // anew: the file must not be there yet

  // Throws DataError in the name of `op` where the file cannot be opened or is no regular file: a
  // FIFO would make the training wait for whoever reads it.
  LogFile(std::string_view op, std::filesystem::path path, Begin begin, Location where);

  // Throws DataError where it cannot be written.
  void append(std::string_view bytes) const;

 private:
  [[noreturn]] void refuse(const char* what, int error) const;

  std::string_view op_;
  std::filesystem::path path_;
  Location where_;
  Descriptor file_;
};

}  // namespace dualtape::detail
