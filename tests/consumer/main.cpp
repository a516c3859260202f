// Uses the installed library; returns 1 where it misbehaves.
#include <iostream>

#include <dualtape/core/tensor.hpp>

int main() {
  const dualtape::Tensor tensor{{1, 2}, {3, 4}};
  std::cout << tensor.at({1, 0}) << '\n';
  return tensor.at({1, 0}) == 3.0 ? 0 : 1;
}
