// Modes without models and data.
#include <dualtape/modes/functional.hpp>
#include <dualtape/ops/arithmetic.hpp>

int main() {
  using namespace dualtape;
  const auto f = [](Var x) { return x * x * x; };
  return grad(f)(Tensor::scalar(2.0)).item<double>() == 12 ? 0 : 1;
}
