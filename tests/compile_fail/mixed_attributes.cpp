// expect: narrowing|narrowed
// lines: 20
#include <dualtape/core/attributes.hpp>

namespace dt = dualtape;

void custom(const dt::Attributes& attributes);

int main() {
  custom({{"axes", {1, 0}}, {"keepdims", true}, {"none", {}}, {"size", sizeof(int)}});
#ifndef DUALTAPE_MENDED
  custom({{"axes", {0.5}}});
#endif
}
