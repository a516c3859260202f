// The clock of a Program that profiles itself. Private: for Program's .cpp files; one thread at a
// time, as for Program, but for enrol_profiler().
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/core/profile.hpp>

namespace dualtape::detail {

class Profiler {
 public:
  // `described` has everything but times.
  explicit Profiler(Profile described);

  // A step runs what that one times, whose steps are numbered after the step and `name`.
  void hold(std::size_t step, std::string name, std::shared_ptr<const Profiler> inside) {
    inside_.push_back({step, std::move(name), std::move(inside)});
  }
  // A step runs what an earlier one does.
  void share(std::size_t step, std::size_t first) {
    profile_.steps[step].shares = static_cast<std::int64_t>(first);
  }
  void begin_run() { last_ = now(); }
  void step_done(std::size_t step) {
    const std::int64_t time = now();
    record(step, last_, time - last_);
    last_ = time;
  }
  void end_run() { ++profile_.runs; }
  // Its steps, each followed by those that it runs.
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
  struct Inside {
    std::size_t step;
    std::string name;
    std::shared_ptr<const Profiler> profiler;
  };
  static std::int64_t now();
  Profile own_result() const;
  void record(std::size_t step, std::int64_t start, std::int64_t duration);

  Profile profile_;
  std::vector<Times> times_;
  std::vector<Inside> inside_;  // by step
  std::int64_t last_ = 0;
  double total_ns_ = 0;
};

// Whether the environment asks every program to profile itself.
bool profiling_wanted();
// Keeps the profiler for the report at the end of the process. Any thread.
void enrol_profiler(std::shared_ptr<Profiler> profiler);

}  // namespace dualtape::detail
