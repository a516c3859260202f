// expect: an Elementwise operator needs .static auto sample.*, the domain
#include <dualtape/core/kinds.hpp>

namespace dt = dualtape;

struct Softsign {
  static constexpr auto name = "softsign";
  static constexpr auto doc = "x / (1 + |x|)";
  static auto formula(auto x) { return x / (1 + abs(x)); }
  static constexpr auto partial = dt::derive;
#ifdef DUALTAPE_MENDED
  static auto sample() { return dt::domain(-3, 3).avoid(0); }
#endif
};
inline constexpr dt::Elementwise<Softsign> softsign;
