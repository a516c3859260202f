// expect: a ZeroDerivative operator needs .static constexpr auto reason
#include <dualtape/core/kinds.hpp>

namespace dt = dualtape;

struct Copy {
  static constexpr auto name = "copy";
  static constexpr auto doc = "x";
  static void infer(dt::Inference& inference) { inference.out = {inference.in[0]}; }
  static void apply(std::span<const dt::Tensor> in, std::span<dt::Tensor> out,
                    const dt::Attributes&) {
    out[0].assign(in[0]);
  }
  static std::vector<dt::Case> cases() { return {}; }
#ifdef DUALTAPE_MENDED
  static constexpr auto reason = "its values are counts";
#endif
};
inline constexpr dt::ZeroDerivative<Copy> copy;
