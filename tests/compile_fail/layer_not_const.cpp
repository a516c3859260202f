// expect: a layer.s operator\(\) must be const
#include <dualtape/models/sequential.hpp>

namespace dt = dualtape;

struct Twice {
#ifdef DUALTAPE_MENDED
  dt::Var operator()(dt::Var x, dt::nn::Context&) const { return x; }
#else
  dt::Var operator()(dt::Var x, dt::nn::Context&) { return x; }
#endif
};
const dt::nn::Sequential net{Twice{}};
