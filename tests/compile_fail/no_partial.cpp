// expect: an Elementwise operator needs its derivative: .static dt::Factor partial
#include <dualtape/core/kinds.hpp>

namespace dt = dualtape;

struct Softsign {
  static constexpr auto name = "softsign";
  static constexpr auto doc = "x / (1 + |x|)";
  static auto formula(auto x) { return x / (1 + abs(x)); }
  static auto sample() { return dt::domain(-3, 3).avoid(0); }
#ifdef DUALTAPE_MENDED
  static constexpr auto partial = dt::derive;
#endif
};
inline constexpr dt::Elementwise<Softsign> softsign;
