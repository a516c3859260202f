// Errors and places in the user's code. User mistakes throw one of these exceptions, never abort;
// a broken invariant of the library asserts.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include <dualtape/core/needs_cxx20.hpp>

namespace dualtape {

// A place in the user's program. As a default argument `Location here = Location::current()` it is
// the line of the call. Holds pointers to static strings only, so it is cheap to keep in every
// node.
struct Location {
  const char* file = nullptr;
  std::uint32_t line = 0;

  static constexpr Location current(const char* file = __builtin_FILE(),
                                    unsigned line = static_cast<unsigned>(__builtin_LINE())) {
    return {file, line};
  }
  bool known() const { return file != nullptr; }
};
std::string to_string(Location where);  // "file.cpp:12", or "unknown place"

// Base of every exception the library throws on a user's mistake.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
class ShapeError : public Error {  // shapes or axes do not fit
 public:
  using Error::Error;
};
class SizeError : public ShapeError {  // more elements or axes than a tensor may have
 public:
  using ShapeError::ShapeError;
};
class TypeError : public Error {  // dtypes do not fit
 public:
  using Error::Error;
};
class GraphError : public Error {  // Vars, graphs, parameters or feeds used wrongly
 public:
  using Error::Error;
};
class DerivativeError : public Error {  // a derivative that does not exist or a wrong rule
 public:
  using Error::Error;
};
class ValueError : public Error {  // bad values: label out of range, singular matrix ...
 public:
  using Error::Error;
};
class DataError : public Error {  // a data file that is missing, broken or not as expected
 public:
  using Error::Error;
};
class MemoryError : public Error {  // memory that cannot be had: how much, and for what
 public:
  using Error::Error;
};

// The house form of an error text: what was wrong, seen where, and a likely mend.
//   [matmul 'logits'] inner sizes differ: (64, 784) x (1024, 10), 784 against 1024
//     at train.cpp:12
//     try: transpose the second operand
struct Complaint {
  std::string_view op;          // name of the operator or function at fault; may be empty
  std::string_view label = {};  // label of the node, if it has one
  std::string what;             // the fault, with shapes, dtypes and values seen
  Location where = {};
  std::string help = {};  // a likely mend; may be empty
};
std::string to_string(const Complaint& complaint);

template <class E>
[[noreturn]] void fail(const Complaint& complaint) {
  throw E(to_string(complaint));
}

}  // namespace dualtape
