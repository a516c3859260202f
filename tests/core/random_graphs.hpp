// Random graphs for tests that compare ways of compiling: every mode, bounded values, many shapes.
// A graph is made by its seed alone and belongs to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <dualtape/core/program.hpp>

namespace dualtape::testing {

enum class GraphMode : std::uint8_t {
  plain,
  reverse,
  forward,
  forward_over_reverse,
  reverse_over_reverse,
  forward_over_forward,
  forward_gradient,
};
inline constexpr int graph_modes = 7;

struct RandomGraph {
  std::unique_ptr<Graph> graph;
  std::vector<Var> outputs;
  std::vector<Assign> assigns;
  std::vector<Feed> feeds;
  std::vector<Parameter> parameters;
  std::vector<Tensor> starts;  // of the parameters
  GraphMode mode = GraphMode::plain;
  DType dtype = float64;
  std::string story;  // seed, mode, dtype and number of steps
};

// The graph of that seed; three of four are float64. Its primal part takes at most `steps` steps,
// which lets a failure be made smaller: fewer steps are the first ones of the same graph.
RandomGraph random_graph(std::uint64_t seed, int steps = 40);

// The same with numbers of every magnitude (wild_numbers) as inputs, parameters and constants, no
// value brought back into bounds, and nothing drawn.
RandomGraph wild_graph(std::uint64_t seed, int steps = 40);

}  // namespace dualtape::testing
