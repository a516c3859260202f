#include "io_faults.hpp"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <optional>

namespace dualtape::testing {
namespace {

struct Fault {
  Call call = Call::write;
  int error = 0;
  int first = 0;
  int count = 0;
  std::atomic<int> seen{0};
  std::atomic<int> hits{0};
};
Fault fault;
std::atomic<bool> active{false};

// Whether this call is to fail.
bool hit(Call call) {
  if (!active || fault.call != call) return false;
  const int number = fault.seen++;
  if (number < fault.first || number >= fault.first + fault.count) return false;
  ++fault.hits;
  errno = fault.error;
  return true;
}

}  // namespace

IoFault::IoFault(Call call, int error, int first, int count) {
  fault.call = call;
  fault.error = error;
  fault.first = first;
  fault.count = count;
  fault.seen = 0;
  fault.hits = 0;
  active = true;
}
IoFault::~IoFault() { active = false; }
int IoFault::hits() const { return fault.hits; }

}  // namespace dualtape::testing

using dualtape::testing::Call;

extern "C" {

ssize_t write(int file, const void* bytes, size_t count) {
  if (dualtape::testing::hit(Call::write)) {
    if (dualtape::testing::fault.error != 0) return -1;
    count = count / 2 + 1;
  }
  return syscall(SYS_write, file, bytes, count);
}

ssize_t pread(int file, void* bytes, size_t count, off_t offset) {
  if (dualtape::testing::hit(Call::read)) return -1;
  return syscall(SYS_pread64, file, bytes, count, offset);
}

int fsync(int file) {
  if (dualtape::testing::hit(Call::fsync)) return -1;
  return static_cast<int>(syscall(SYS_fsync, file));
}

int flock(int file, int operation) noexcept {
  if (dualtape::testing::hit(Call::flock)) return -1;
  return static_cast<int>(syscall(SYS_flock, file, operation));
}

int rename(const char* from, const char* to) noexcept {
  if (dualtape::testing::hit(Call::rename)) return -1;
  return static_cast<int>(syscall(SYS_renameat2, -100, from, -100, to, 0));
}

int fchmod(int file, mode_t mode) noexcept {
  if (dualtape::testing::hit(Call::fchmod)) return -1;
  return static_cast<int>(syscall(SYS_fchmod, file, mode));
}

}  // extern "C"
