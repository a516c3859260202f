// Networks with convolutions written by hand on oneDNN's primitives; part of dualtape-bench-hand.
#pragma once

#include <tests/bench/nets.hpp>
#include <tests/bench/peer.hpp>

namespace dualtape::bench {

// The modes base and step_reverse.
Work hand_convolutions(const Net& net);

}  // namespace dualtape::bench
