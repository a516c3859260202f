// dualtape-bench: Google Benchmark with all its flags, and a table of ratios at the end. Without
// DUALTAPE_NUM_THREADS in the environment everything runs on one thread.
#include <cstring>
#include <iostream>

#include <benchmark/benchmark.h>

#include <tests/bench/ratios.hpp>

int main(int argc, char** argv) {
  // Standard output stays readable for programs where the user asked for json or csv.
  bool plain = true;
  for (int i = 1; i < argc; ++i)
    if (std::strncmp(argv[i], "--benchmark_format=", 19) == 0)
      plain = std::strcmp(argv[i] + 19, "console") == 0;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  dualtape::bench::NotingReporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  benchmark::Shutdown();
  reporter.print_ratios(plain ? std::cout : std::cerr);
}
