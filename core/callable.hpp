// Whether something callable holds anything to call: a std::function or a pointer may not. Any
// thread may ask.
#pragma once

#include <type_traits>

#include <dualtape/core/error.hpp>

namespace dualtape::detail {

// Throws GraphError unless there is something to call: a function is null, or what keeps its
// programs was moved from.
void require_callable(bool there, const char* function, Location where);

template <class F>
bool is_null(const F& function) {
  if constexpr (std::is_pointer_v<F> || std::is_member_pointer_v<F>)
    return function == nullptr;
  else if constexpr (requires { function.operator bool(); })
    return !function.operator bool();
  else
    return false;
}

}  // namespace dualtape::detail
