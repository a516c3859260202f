// The first program in README.md; a test holds the two equal.
#include <iostream>

#include <dualtape/dualtape.hpp>
namespace dt = dualtape;

int main() {
  // [first]
  const auto f = [](dt::Var x) { return dt::sum(dt::exp(-dt::square(x))); };  // your function
  const dt::Tensor x{0.5, 1, 2};
  const auto [y, slope] = dt::jvp(f, x, dt::Tensor{1, 0, 0});  // forward mode: along one direction
  const dt::Tensor gradient = dt::grad(f)(x);                  // reverse mode: all at once
  std::cout << y << "  " << slope << "  " << gradient << '\n';
  // [/first]
  return 0;
}
