// The clock of a Program that profiles itself. Private: for Program's .cpp files; one thread at a
// time, as for Program, but for enrol_profiler().
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include <dualtape/core/profile.hpp>

namespace dualtape::detail {

class Profiler {
 public:
  // `described` has everything but times.
  explicit Profiler(Profile described);

  void begin_run() { last_ = now(); }
  void step_done(std::size_t step) {
    const std::int64_t time = now();
    record(step, last_, time - last_);
    last_ = time;
  }
  void end_run() { ++profile_.runs; }
  Profile result() const;
  double total_ns() const { return total_ns_; }

 private:
  static constexpr std::size_t kept = 256;
  struct Times {
    std::uint64_t calls = 0;
    double total = 0;
    double least = 0;
    std::vector<float> last;  // a ring of `kept`
  };
  static std::int64_t now();
  void record(std::size_t step, std::int64_t start, std::int64_t duration);

  Profile profile_;
  std::vector<Times> times_;
  std::int64_t last_ = 0;
  double total_ns_ = 0;
};

// Whether the environment asks every program to profile itself.
bool profiling_wanted();
// Keeps the profiler for the report at the end of the process. Any thread.
void enrol_profiler(std::shared_ptr<Profiler> profiler);

}  // namespace dualtape::detail
