// expect: drop .std::.
// lines: 20
#include <cmath>

#include <dualtape/core/kinds.hpp>

namespace dt = dualtape;

struct Custom {
  static constexpr auto name = "custom";
  static constexpr auto doc = "a function of the user's";
  static constexpr auto partial = dt::derive;
  static auto sample() { return dt::domain(-3, 3).avoid(0); }
#ifdef DUALTAPE_MENDED
  static auto formula(auto x) { return tanh(x); }
#else
  static auto formula(auto x) { return std::tanh(x); }
#endif
};
inline constexpr dt::Elementwise<Custom> custom;
