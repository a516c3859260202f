// Activation functions, element by element.
//
// Integers and bools become float32; the result has the shape of x (broadcast with the second
// operand's where there is one). None overflows for large |x|; NaN stays NaN. A graph may be built
// by one thread at a time.
#pragma once

#include <dualtape/core/graph.hpp>

namespace dualtape {

Var sigmoid(In x);  // 1 / (1 + e^-x)
// e^-x / (1 + e^-x)^2, the derivative of sigmoid, with all its digits on both sides
Var logistic_density(In x);
Var logsigmoid(In x);  // log(sigmoid(x))
Var softplus(In x);    // log(1 + e^x)
Var relu(In x);        // max(x, 0); derivative 0 at 0
// x where x > 0, slope x elsewhere; derivative `slope` at 0. The slope may be learned.
Var leaky_relu(In x, In slope = 0.01);
// x where x > 0, alpha (e^x - 1) elsewhere; derivative `alpha` at 0. alpha may be learned.
// Clevert, Unterthiner, Hochreiter, ICLR 2016.
Var elu(In x, In alpha = 1.0);
// x Phi(x), Phi the normal distribution function, itself and not an approximation.
// Hendrycks, Gimpel, arXiv:1606.08415.
Var gelu(In x);
Var silu(In x);  // x sigmoid(x); Elfwing, Uchibe, Doya, Neural Networks 107, 2018
Var mish(In x);  // x tanh(softplus(x)); Misra, arXiv:1908.08681
// 1.0507 x where x > 0, 1.7581 (e^x - 1) elsewhere. Klambauer et al., NeurIPS 2017.
Var selu(In x);
// x where x > 0, alpha (e^(x/alpha) - 1) elsewhere: elu with a continuous derivative. alpha may be
// learned. Barron, arXiv:1704.07483.
Var celu(In x, In alpha = 1.0);
// x cut off to low .. high; derivative 0 at both ends, where clamp has 1.
Var hardtanh(In x, In low = -1.0, In high = 1.0);
Var hardsigmoid(In x);  // min(max(x/6 + 1/2, 0), 1); derivative 0 at -3 and 3
Var hardswish(In x);    // x hardsigmoid(x); Howard et al., ICCV 2019

}  // namespace dualtape
