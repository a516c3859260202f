// Profile: how long each step of a Program took, over all runs since profiling was switched on.
//
//   program.profile(true);
//   for (...) program.run(feeds);
//   std::cout << program.profiled().table();
//   program.profiled().write_trace("trace.json");  // for chrome://tracing or ui.perfetto.dev
//
// With the environment variable DUALTAPE_PROFILE=FILE every Program of a process profiles itself;
// at its end the tables go to the standard error, and FILE becomes one trace ("-" for none). A
// Profile is a value: any thread may read it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <dualtape/core/graph.hpp>
#include <dualtape/core/op.hpp>

namespace dualtape {

// One step of a program. Times are in nanoseconds of a steady clock; each holds the reading of the
// clock, tens of nanoseconds, as well.
struct StepProfile {
  std::string op;
  Role role = Role::primal;
  std::string label;
  std::string where;  // "file.cpp:12", or empty
  std::string type;   // of the first output, such as "float32 (64, 10)"
  std::string note;   // what the kernel says of itself
  // 0 for steps of the program, 1 for those of a loop, branch or call among them, and so on. The
  // steps of a function that several steps run follow the first of these, for all of them.
  std::uint32_t depth = 0;
  std::int64_t shares = -1;  // the step whose function it runs, too; -1 for none
  std::string number;        // as in explain(): "2.0" is step 0 of what step 2 runs
  Cost cost;                 // of one run
  std::uint64_t calls = 0;
  double total_ns = 0;
  double min_ns = 0;
  double median_ns = 0;  // of the last runs, at most 256
  // All calls at the median: without what the first run alone pays, and interruptions.
  double typical_ns() const { return median_ns * static_cast<double>(calls); }
};

// All steps of one operator. What runs a function has the time of its own, without the function's
// steps, and no cost.
struct OperatorProfile {
  std::string op;
  std::size_t steps = 0;
  std::uint64_t calls = 0;
  double total_ns = 0;
  double typical_ns = 0;
  Cost cost;  // of all calls
  double gflops() const { return typical_ns > 0 ? cost.flops / typical_ns : 0; }
  double gbytes() const { return typical_ns > 0 ? cost.bytes / typical_ns : 0; }  // per second
};

// A call of a step, for the trace.
struct ProfileEvent {
  std::uint32_t step = 0;
  double start_ns = 0;  // since the process first asked for the time
  double duration_ns = 0;
};

class Profile {
 public:
  std::string name;  // "program compiled at main.cpp:12 for avx2"
  std::uint64_t runs = 0;
  std::vector<StepProfile> steps;    // in run order; a function's after the step that runs it
  std::vector<ProfileEvent> events;  // of the first calls, at most event_limit

  static constexpr std::size_t event_limit = 20'000;

  double total_ns() const;
  double typical_ns() const;
  // Sorted by typical time, the slowest first.
  std::vector<OperatorProfile> operators() const;
  // Operators, then the slowest steps, both with their share of the typical time.
  std::string table(std::size_t most_steps = 20) const;
  // Chrome's trace format: a JSON array of complete events, times in microseconds.
  // ValueError for an event of a step that is not there.
  std::string trace(Location where = Location::current()) const;
  // DataError if the file cannot be written.
  void write_trace(const std::filesystem::path& file, Location where = Location::current()) const;
};

// Several programs in one trace, each as a thread of its own.
std::string trace_of(std::span<const Profile> profiles, Location where = Location::current());

}  // namespace dualtape
