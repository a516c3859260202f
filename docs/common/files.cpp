#include "files.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <dualtape/core/error.hpp>
#include <fstream>
#include <iterator>
#include <system_error>

namespace dualtape::docs {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void cannot(const char* verb, const fs::path& path, const std::string& reason) {
  throw DataError(std::string("cannot ") + verb + " '" + path.string() + "': " + reason);
}

std::string reason_of(int error) {
  return error == 0 ? "input or output failed" : std::strerror(error);
}

void write_plainly(const fs::path& path, std::string_view text) {
  errno = 0;
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  out.close();
  if (!out) {
    const std::string reason = reason_of(errno);
    std::error_code ignored;
    fs::remove(path, ignored);
    throw std::runtime_error(reason);
  }
}

}  // namespace

fs::path temporary_name(const fs::path& path) {
  return path.parent_path() /
         ("." + path.filename().string() + "." + std::to_string(getpid()) + ".tmp");
}

void prepare_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error && !fs::is_directory(folder)) cannot("make folder", folder, error.message());
  if (!fs::is_directory(folder)) cannot("use folder", folder, "it is not a folder");
  const fs::path probe = temporary_name(folder / "probe");
  try {
    write_plainly(probe, "");
  } catch (const std::runtime_error& e) {
    cannot("write into folder", folder, e.what());
  }
  fs::remove(probe, error);
}

void write_file(const fs::path& path, std::string_view text) {
  const fs::path part = temporary_name(path);
  try {
    write_plainly(part, text);
  } catch (const std::runtime_error& e) {
    cannot("write", path, e.what());
  }
  replace_file(part, path);
}

void replace_file(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (!error) return;
  std::error_code ignored;
  fs::remove(from, ignored);
  cannot("write", to, error.message());
}

std::string read_file(const fs::path& path) {
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (!in.is_open() || in.bad()) cannot("read", path, reason_of(errno));
  return text;
}

}  // namespace dualtape::docs
