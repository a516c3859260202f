// expect: a layer needs .dt::Var operator\(\)\(dt::Var x\) const. or
#include <dualtape/models/sequential.hpp>

namespace dt = dualtape;

struct Twice {
#ifdef DUALTAPE_MENDED
  dt::Var operator()(dt::Var x) const { return x; }
#endif
};
const dt::nn::Sequential net{Twice{}};
