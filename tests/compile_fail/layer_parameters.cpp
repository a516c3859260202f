// expect: parameters must be .std::vector<dt::Parameter> parameters\(\) *const
#include <dualtape/models/sequential.hpp>

namespace dt = dualtape;

struct Scaled {
  dt::Parameter scale{"scale", dt::Tensor(2.0)};
  dt::Var operator()(dt::Var x) const { return x; }
#ifdef DUALTAPE_MENDED
  std::vector<dt::Parameter> parameters() const { return {scale}; }
#else
  dt::Parameter parameters() const { return scale; }
#endif
};
const dt::nn::Sequential net{Scaled{}};
