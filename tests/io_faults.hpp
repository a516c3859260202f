// Calls of the system that fail: this test program has functions of its own in place of write(),
// fsync() and the like, which do what those do unless a test asked for a fault. One test at a time.
#pragma once

#include <cstdint>

namespace dualtape::testing {

enum class Call { write, read, fsync, flock, rename, fchmod };

// While it lives, calls number `first` .. `first + count - 1` (from 0) of this kind fail with
// `error`; the others are done. A write with error 0 is done by half.
class IoFault {
 public:
  IoFault(Call call, int error, int first = 0, int count = 1);
  ~IoFault();
  IoFault(const IoFault&) = delete;
  IoFault& operator=(const IoFault&) = delete;

  int hits() const;  // calls that failed so far
};

}  // namespace dualtape::testing
