// expect: an Elementwise operator needs .static auto formula
#include <dualtape/core/kinds.hpp>

namespace dt = dualtape;

struct Softsign {
  static constexpr auto name = "softsign";
  static constexpr auto doc = "x / (1 + |x|)";
  static constexpr auto partial = dt::derive;
  static auto sample() { return dt::domain(-3, 3).avoid(0); }
#ifdef DUALTAPE_MENDED
  static auto formula(auto x) { return x / (1 + abs(x)); }
#endif
};
inline constexpr dt::Elementwise<Softsign> softsign;
