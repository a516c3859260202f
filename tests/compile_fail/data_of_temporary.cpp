// expect: data\(\) of a temporary Tensor would point at freed memory
#include <dualtape/core/tensor.hpp>

namespace dt = dualtape;

double total(const dt::Tensor& t) {
  double sum = 0;
#ifdef DUALTAPE_MENDED
  const dt::Tensor wide = t.to(dt::float64);
  for (const double x : wide.data<double>()) sum += x;
#else
  for (const double x : t.to(dt::float64).data<double>()) sum += x;
#endif
  return sum;
}
