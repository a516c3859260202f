// Inputs for tests of passes. One thread at a time.
#pragma once

#include <string>
#include <vector>

#include <dualtape/core/graph.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/core/random.hpp>

namespace dualtape::testing {

// The inputs of one graph, float64 with normal numbers.
struct Leaves {
  Graph graph;
  std::vector<Feed> feeds;
  Var add(const Shape& shape) {
    const Var x = graph.input("x" + std::to_string(feeds.size()), shape, float64);
    feeds.emplace_back(x, normal(Key{feeds.size()}, shape, 0, 1, float64));
    return x;
  }
};

}  // namespace dualtape::testing
