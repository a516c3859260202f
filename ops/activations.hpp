// Activation functions, element by element.
//
// Integers and bools become float32; the result has the shape of x (broadcast with the second
// operand's where there is one). None overflows for large |x|; NaN stays NaN. A graph may be built
// by one thread at a time.
#pragma once

#include <dualtape/core/graph.hpp>

namespace dualtape {

Var sigmoid(In x);     // 1 / (1 + e^-x)
Var logsigmoid(In x);  // log(sigmoid(x))
Var softplus(In x);    // log(1 + e^x)
Var relu(In x);        // max(x, 0); derivative 0 at 0
// x where x > 0, slope x elsewhere; derivative `slope` at 0. The slope may be learned.
Var leaky_relu(In x, In slope = 0.01);
// x where x > 0, alpha (e^x - 1) elsewhere; derivative `alpha` at 0. alpha may be learned.
// Clevert, Unterthiner, Hochreiter, ICLR 2016.
Var elu(In x, In alpha = 1.0);
// x Phi(x), Phi the normal distribution function, by erf and not an approximation.
// Hendrycks, Gimpel, arXiv:1606.08415.
Var gelu(In x);
Var silu(In x);  // x sigmoid(x); Elfwing, Uchibe, Doya, Neural Networks 107, 2018

}  // namespace dualtape
