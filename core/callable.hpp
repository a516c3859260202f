// Whether something callable holds anything to call: a std::function or a pointer may not. Any
// thread may ask.
#pragma once

#include <type_traits>

namespace dualtape::detail {

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
