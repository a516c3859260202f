// One competitor of the benchmark as a program: what it can run, and the conversation by which the
// driver asks it for one sample after the other, in turn with its rivals. dualtape itself takes
// part in the same way, so that every figure is taken under the same conditions.
//
// Run by hand it prints one JSON record a measurement. For the main thread of each program.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace dualtape::bench {

// One way of computing a workload.
struct Mode {
  std::string name;
  std::function<void(std::int64_t)> run;  // so many times; the first call may prepare
  // The most working memory alive at a time, beside data, parameters and directions that are fed;
  // called after run(), may run it again. Absent or negative where it is not known.
  std::function<std::int64_t()> peak_bytes = {};
  double bytes = 0;  // read and written by one call, where bandwidth is the question
  double items = 0;  // nodes, samples ... in one call, where time per item is the question
};

// The numbers by which programs are held against each other: all on the same data.
struct Agreement {
  double loss = 0;
  double reverse_slope = 0;  // <gradient, direction>, NaN where there is none
  double forward_slope = 0;  // the jvp
  double gradient_norm = 0;
};

// What is alive while a workload is timed.
struct Work {
  std::vector<Mode> modes;
  std::function<Agreement()> check = {};
  std::shared_ptr<void> keep = {};  // what the functions use
};

// A workload by name, made when it is asked for.
struct Workload {
  std::string name;
  std::function<Work()> make;
};

// Main program of a peer: --serve talks to the driver; else workloads named on the command line, or
// all, are timed in every mode. The thread count is in the environment (OMP_NUM_THREADS).
int run_peer(int argc, char** argv, const std::string& peer,
             const std::vector<Workload>& workloads);

int threads_wanted();  // OMP_NUM_THREADS, or 1

// Seconds. One thread: the processor time of the process, which others on the machine disturb
// least. More: the time on the wall.
double clock_now(int threads);

double median(std::vector<double> values);
// The distance between the quartiles over the median.
double spread(std::vector<double> values);
double quantile(std::vector<double> values, double part);  // linear between neighbours

}  // namespace dualtape::bench
