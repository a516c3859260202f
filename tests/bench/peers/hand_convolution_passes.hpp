// Single convolutions on oneDNN's primitives, everything in the layouts these ask for; part of
// dualtape-bench-hand.
#pragma once

#include <tests/bench/convolutions.hpp>
#include <tests/bench/peer.hpp>

namespace dualtape::bench {

// The modes of a ConvolutionCase.
Work hand_convolution_passes(const ConvolutionCase& one);

}  // namespace dualtape::bench
