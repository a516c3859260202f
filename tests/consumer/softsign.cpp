// An operator of one's own, whole: declared, used in both modes, and checked.
#include <cmath>
#include <dualtape/dualtape.hpp>
#include <iostream>

namespace dt = dualtape;

struct Softsign {
  static constexpr auto name = "softsign";
  static constexpr auto doc = "x / (1 + |x|)";
  static auto formula(auto x) { return x / (1 + abs(x)); }
  static dt::Factor partial(dt::Var, dt::Var y) { return dt::square(1 - dt::abs(y)); }
  static auto sample() { return dt::domain(-3, 3).avoid(0); }
};
inline constexpr dt::Elementwise<Softsign> softsign;

int main() {
  const dt::Tensor x{-3, -1, 1, 3};
  const auto f = [](dt::Var v) { return softsign(v); };
  const auto [value, pullback] = dt::vjp(f, x);
  const dt::Tensor slope = pullback(dt::ones({4}));
  std::cout << value << '\n' << slope << '\n';
  if (!dt::all_close(value, dt::Tensor{-0.75, -0.5, 0.5, 0.75})) return 1;
  if (!dt::all_close(slope, dt::Tensor{0.0625, 0.25, 0.25, 0.0625})) return 1;
  if (!dt::all_close(dt::jvp(f, x, dt::ones({4})).tangent, slope)) return 1;
  dt::check_op(softsign);  // throws with all that is wrong
  return 0;
}
