// Times every mode of every workload; ratios.cpp compares them.
#include <memory>

#include <benchmark/benchmark.h>

#include <tests/bench/workloads.hpp>

namespace dualtape::bench {
namespace {

void run_session(benchmark::State& state, const Workload& workload, Mode mode) {
  Session session(workload, mode);
  session.run();
  for (auto _ : state) session.run();
  const MemoryUse memory = session.program().memory();
  state.counters["arena"] =
      benchmark::Counter(static_cast<double>(memory.arena_bytes), benchmark::Counter::kDefaults,
                         benchmark::Counter::kIs1024);
  state.counters["activations"] =
      benchmark::Counter(static_cast<double>(memory.peak_activation_bytes),
                         benchmark::Counter::kDefaults, benchmark::Counter::kIs1024);
  state.counters["steps"] = static_cast<double>(session.program().steps());
}

bool register_workloads() {
  for (const Workload& workload : workloads())
    for (const Mode mode : modes())
      benchmark::RegisterBenchmark((workload.name + '/' + name_of(mode)).c_str(), run_session,
                                   workload, mode)
          ->Unit(benchmark::kMicrosecond);
  return true;
}
const bool registered = register_workloads();

}  // namespace
}  // namespace dualtape::bench
