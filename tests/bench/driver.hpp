// Runs the programs of the benchmark as processes of their own and asks them for samples by turns,
// so that all of them share the machine's good and bad moments. For the main thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace dualtape::bench {

// One mode of one workload by one peer.
struct Subject {
  std::string workload, mode, peer;
  auto operator<=>(const Subject&) const = default;
};

// What was measured on one thread count. samples[i] of all subjects of one workload come from the
// same round.
struct Figures {
  std::map<Subject, std::vector<double>> ns;
  std::map<Subject, double> peak_bytes;  // where known
  std::map<Subject, double> bytes;       // moved by a call, where told
  std::map<Subject, double> items;       // in a call, where told
};

struct DriverOptions {
  std::vector<std::string> filters;  // parts of "workload/mode"; none means everything
  bool compare = false;              // rivals too
  int rounds = 11;
  int launches = 2;  // fresh processes for each workload; the rounds are shared out
  int threads = 1;
};

// A rival: its program beside ours, and what must be installed to have it.
struct Rival {
  std::string program;
  std::vector<std::string> variants;  // arguments that choose one
  std::string package;
};
const std::vector<Rival>& rivals();
// What is built; what is not is told on standard error, with the package.
std::vector<std::vector<std::string>> commands(bool compare);

// Environment of every program, beside the thread counts; "" where OpenBLAS is left alone.
std::string blas_core();

Figures measure(const DriverOptions& options);

// Whether every program finds the same loss and derivatives on the same data, to five digits;
// prints a table.
bool agree(const DriverOptions& options);

}  // namespace dualtape::bench
