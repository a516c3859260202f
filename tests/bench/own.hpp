// dualtape's own part in the benchmark. For the main thread.
#pragma once

#include <cstdint>
#include <vector>

#include <dualtape/core/graph.hpp>
#include <dualtape/core/parameter.hpp>

#include <tests/bench/nets.hpp>
#include <tests/bench/peer.hpp>

namespace dualtape::bench {

// A network in a graph, with inputs "x" and "y".
struct Built {
  Var x, y, loss;
  std::vector<Parameter> parameters;
};
Built build_net(Graph& graph, const Net& net);

// The networks in every mode.
std::vector<Workload> net_workloads();
// Single convolutions, each pass.
std::vector<Workload> convolution_workloads();
// Beale's and Rosenbrock's functions of two float64 scalars.
std::vector<Workload> scalar_workloads();
// Bandwidth of elementwise chains, rows and reductions, beside loops by hand, and sampling.
std::vector<Workload> bandwidth_workloads();
std::vector<Workload> row_workloads();
// Gradients of examples, Hessian products and linearizations of W2s, and a Jacobian within a
// budget.
std::vector<Workload> batching_workloads();
inline constexpr std::int64_t jacobian_budget = 108 << 10;  // bytes
// Loops as nodes, against their steps written out, and a recurrent net.
std::vector<Workload> loop_workloads();
// Laplacians, a biharmonic and a series by Taylor mode, beside other ways.
std::vector<Workload> taylor_workloads();
// Sparse Jacobians against the functions they are of, and colours.
std::vector<Workload> sparsity_workloads();
// Building graphs, planning them, and starting their steps.
std::vector<Workload> graph_workloads();

std::vector<Workload> own_workloads();  // all of these

}  // namespace dualtape::bench
