// Number: a number as the user wrote it, before it is known what dtype it is for. Integers keep
// every digit. A plain value; any thread.
#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <dualtape/core/dtype.hpp>
#include <dualtape/core/error.hpp>

namespace dualtape {

class Number {
 public:
  enum class Kind : std::uint8_t { truth, integer, real };

  template <std::floating_point T>
  Number(T value, Location where = Location::current())
      : kind_(Kind::real), real_(static_cast<double>(value)), where_(where) {}
  // ValueError beyond int64.
  template <std::integral T>
  Number(T value, Location where = Location::current())
      : kind_(std::same_as<T, bool> ? Kind::truth : Kind::integer),
        integer_(static_cast<std::int64_t>(value)),
        where_(where) {
    if constexpr (std::is_unsigned_v<T> && sizeof(T) >= sizeof(std::int64_t))
      if (integer_ < 0) refuse_large(value, where);
  }

  Kind kind() const { return kind_; }
  std::int64_t integer() const { return integer_; }  // of integers and truth values
  double real() const { return kind_ == Kind::real ? real_ : static_cast<double>(integer_); }
  Location where() const { return where_; }

  // Whether an element of `dtype` holds it, if it is an integer; floating ones hold all, rounded.
  bool fits(DType dtype) const;
  // The dtype where it meets an operand of `other`, being weak: that one, or else the first that
  // holds it.
  DType beside(DType other) const;
  // As an element: reals by convert_element, integers rounded once where T is floating. ValueError
  // for an integer that an integer dtype cannot hold.
  template <Element T>
  T to() const {
    if (kind_ == Kind::real) return convert_element<T>(real_);
    if (!fits(dtype_of<T>)) refuse(dtype_of<T>);
    return convert_element<T>(integer_);
  }

 private:
  [[noreturn]] static void refuse_large(std::uint64_t value, Location where);
  [[noreturn]] void refuse(DType dtype) const;

  Kind kind_;
  union {
    double real_;
    std::int64_t integer_;
  };
  Location where_;
};

}  // namespace dualtape
