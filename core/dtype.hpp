// Element types of tensors and the rule by which operators promote them.
// Plain values; every function may be called from any thread.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <limits>
#include <string_view>
#include <type_traits>

#include <dualtape/core/error.hpp>

namespace dualtape {

enum class DType : std::uint8_t { boolean, int32, int64, float32, float64 };

inline constexpr DType boolean = DType::boolean;
inline constexpr DType int32 = DType::int32;
inline constexpr DType int64 = DType::int64;
inline constexpr DType float32 = DType::float32;
inline constexpr DType float64 = DType::float64;

std::ostream& operator<<(std::ostream& out, DType dtype);
std::string_view name_of(DType dtype);  // "bool", "int32", ... as in NumPy
std::size_t size_of(DType dtype);       // bytes of one element; TypeError for what is no dtype

// Whether it is one of the five, and not a number that was cast to a DType.
constexpr bool is_dtype(DType dtype) { return dtype <= DType::float64; }

namespace detail {
[[noreturn]] void refuse_dtype(std::string_view function, DType dtype, Location where);
// TypeError, at the user's line, unless it is a dtype.
inline void check_dtype(std::string_view function, DType dtype, Location where) {
  if (!is_dtype(dtype)) refuse_dtype(function, dtype, where);
}
}  // namespace detail

constexpr bool is_floating(DType dtype) { return dtype >= DType::float32; }
constexpr bool is_integer(DType dtype) { return dtype == DType::int32 || dtype == DType::int64; }

// The dtype two operands meet in: the later one of bool < int32 < int64 < float32 < float64.
// (As in PyTorch an int64 tensor meets a float32 one in float32.)
constexpr DType promote(DType a, DType b) { return a < b ? b : a; }

// dtype_of<T>: the DType that stores a C++ T. Only the five element types have one.
template <class T>
struct DTypeOf;
template <>
struct DTypeOf<bool> {
  static constexpr DType value = DType::boolean;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::int32;
};
template <>
struct DTypeOf<std::int64_t> {
  static constexpr DType value = DType::int64;
};
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::float32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::float64;
};
template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

template <class T>
concept Element = requires {
  DTypeOf<T>::value;
};

// One element of another type: to bool is "not zero" (so NaN is true); a float goes to the integer
// towards zero, beyond the range to its nearest end, NaN to 0; an int64 that an int32 cannot hold
// wraps, as in NumPy.
template <class To, Element From>
requires std::is_arithmetic_v<To> To convert_element(From value) {
  if constexpr (std::is_same_v<To, bool>) {
    return value != From{0};
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    using Limits = std::numeric_limits<To>;
    // A power of two, hence exact in every floating type; max() is not.
    constexpr From beyond = From{2} * static_cast<From>(Limits::max() / 2 + 1);
    if (std::isnan(value)) return 0;
    if (value >= beyond) return Limits::max();
    if (value < static_cast<From>(Limits::min())) return Limits::min();
    return static_cast<To>(value);
  } else {
    return static_cast<To>(value);
  }
}

// Calls f.template operator()<T>() with the C++ type of `dtype` and returns its result.
template <class F>
decltype(auto) dispatch(DType dtype, F&& f) {
  switch (dtype) {
    case DType::boolean: return f.template operator()<bool>();
    case DType::int32: return f.template operator()<std::int32_t>();
    case DType::int64: return f.template operator()<std::int64_t>();
    case DType::float32: return f.template operator()<float>();
    default: return f.template operator()<double>();
  }
}

}  // namespace dualtape
