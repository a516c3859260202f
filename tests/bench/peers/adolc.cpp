// Scalar functions on ADOL-C: the tape is recorded once and replayed for each value and gradient.
#include <adolc/adolc.h>

#include <tests/bench/peers/scalars.hpp>

namespace dualtape::bench {
namespace {

template <class Function>
void record(short tape, Function function) {
  const Point at;
  double value = 0;
  trace_on(tape);
  adouble x, y;
  x <<= at.x;
  y <<= at.y;
  adouble result = function(x, y);
  result >>= value;
  trace_off();
}

ValueAndGradient replay(short tape, const Point& at) {
  double in[2] = {at.x, at.y};
  double weight = 1;
  double value = 0;
  double gradient[2];
  zos_forward(tape, 1, 2, 1, in, &value);  // keeps what the way back needs
  fos_reverse(tape, 1, 2, &weight, gradient);
  return {value, gradient[0], gradient[1]};
}

}  // namespace
}  // namespace dualtape::bench

int main(int argc, char** argv) {
  using namespace dualtape::bench;
  record(0, beale<adouble>);
  record(1, rosenbrock<adouble>);
  const auto by = [](short tape) { return [tape](const Point& at) { return replay(tape, at); }; };
  return run_peer(argc, argv, "adolc",
                  {{"beale", [by] { return scalar_work(beale<double>, by(0)); }},
                   {"rosenbrock", [by] { return scalar_work(rosenbrock<double>, by(1)); }}});
}
