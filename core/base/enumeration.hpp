// The complaint about a number that was cast to an enumeration and is none of its values.
// Private; any thread may call it.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>

#include <dualtape/core/error.hpp>

namespace dualtape::detail {

// Throws ValueError in the name of `function` unless `value` is one of the `count` values of its
// enumeration, which are numbered from 0. `type` is its name, `known` are the values.
template <class E>
void require_listed(std::string_view function, std::string_view type, E value, unsigned count,
                    std::string_view known, Location where) {
  static_assert(std::is_unsigned_v<std::underlying_type_t<E>>);
  const auto number = static_cast<unsigned>(value);
  if (number < count) return;
  fail<ValueError>(
      {.op = function,
       .what = "there is no " + std::string(type) + " of the number " + std::to_string(number),
       .where = where,
       .help = std::string(known)});
}

}  // namespace dualtape::detail
