// expect: an operator needs .static constexpr auto name = .* and .static constexpr auto doc
#include <dualtape/core/kinds.hpp>

namespace dt = dualtape;

struct Softsign {
  static constexpr auto name = "softsign";
  static auto formula(auto x) { return x / (1 + abs(x)); }
  static constexpr auto partial = dt::derive;
  static auto sample() { return dt::domain(-3, 3).avoid(0); }
#ifdef DUALTAPE_MENDED
  static constexpr auto doc = "x / (1 + |x|)";
#endif
};
inline constexpr dt::Elementwise<Softsign> softsign;
