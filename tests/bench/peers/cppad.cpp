// Scalar functions on CppAD: the tape is recorded once, optimised and replayed for each value and
// gradient.
#include <cppad/cppad.hpp>

#include <tests/bench/peers/scalars.hpp>

namespace dualtape::bench {
namespace {

using Number = CppAD::AD<double>;
using Tape = CppAD::ADFun<double>;

std::shared_ptr<Tape> record(Number (*function)(const Number&, const Number&)) {
  const Point at;
  std::vector<Number> in{at.x, at.y};
  CppAD::Independent(in);
  const std::vector<Number> out{function(in[0], in[1])};
  const auto tape = std::make_shared<Tape>(in, out);
  tape->optimize();
  return tape;
}

auto replay(const std::shared_ptr<Tape>& tape) {
  const auto in = std::make_shared<std::vector<double>>(2);
  return [tape, in](const Point& at) -> ValueAndGradient {
    (*in)[0] = at.x;
    (*in)[1] = at.y;
    const std::vector<double> value = tape->Forward(0, *in);
    const std::vector<double> gradient = tape->Reverse(1, std::vector<double>{1.0});
    return {value[0], gradient[0], gradient[1]};
  };
}

}  // namespace
}  // namespace dualtape::bench

int main(int argc, char** argv) {
  using namespace dualtape::bench;
  return run_peer(
      argc, argv, "cppad",
      {{"beale", [] { return scalar_work(beale<double>, replay(record(beale<Number>))); }},
       {"rosenbrock",
        [] { return scalar_work(rosenbrock<double>, replay(record(rosenbrock<Number>))); }}});
}
