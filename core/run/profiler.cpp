#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <mutex>
#include <string>

#include <dualtape/core/base/table.hpp>
#include <dualtape/core/run/profiler.hpp>

namespace dualtape::detail {
namespace {

const char* trace_file() {
  static const char* const file = std::getenv("DUALTAPE_PROFILE");  // NOLINT(concurrency-mt-unsafe)
  return file;
}

// The profilers of a process, until its end.
class Report {
 public:
  static Report& instance() {
    // Never destroyed, so that programs in static variables may come and go at any time.
    static Report* const report = [] {
      std::atexit([] { instance().print(); });
      return new Report;
    }();
    return *report;
  }

  void add(std::shared_ptr<Profiler> profiler) {
    const std::lock_guard lock(mutex_);
    profilers_.push_back(std::move(profiler));
    if (profilers_.size() > 2 * most_kept) drop_quickest();
  }

 private:
  static constexpr std::size_t most_kept = 32;

  // Of the programs that are gone, those that took the least time.
  void drop_quickest() {
    std::ranges::stable_sort(profilers_, std::ranges::greater{},
                             [](const auto& p) { return p->total_ns(); });
    std::size_t kept = 0;
    std::erase_if(profilers_, [&](const auto& profiler) {
      if (++kept <= most_kept || profiler.use_count() > 1) return false;
      if (profiler->total_ns() > 0) {
        ++dropped_;
        dropped_ns_ += profiler->total_ns();
      }
      return true;
    });
  }

  void print() {
    const std::lock_guard lock(mutex_);
    std::vector<Profile> profiles;
    for (const auto& profiler : profilers_)
      if (Profile profile = profiler->result(); profile.runs > 0)
        profiles.push_back(std::move(profile));
    std::ranges::stable_sort(profiles, std::ranges::greater{}, &Profile::total_ns);
    std::size_t printed = 0;
    double rest = dropped_ns_;
    std::cerr << '\n';
    for (const Profile& profile : profiles)
      if (++printed <= most_printed)
        std::cerr << profile.table() << '\n';
      else
        rest += profile.total_ns();
    if (const std::size_t more = dropped_ + profiles.size() - std::min(printed, most_printed);
        more > 0)
      std::cerr << more << " more programs took " << short_time(rest) << " in all\n";
    write(profiles);
  }

  static void write(const std::vector<Profile>& profiles) {
    const std::string file = trace_file();
    if (file.empty() || file == "-") return;
    std::ofstream out(file, std::ios::binary);
    out << trace_of(profiles);
    out.close();
    if (out)
      std::cerr << "trace for chrome://tracing or https://ui.perfetto.dev: " << file << '\n';
    else
      std::cerr << "DUALTAPE_PROFILE: cannot write " << file << '\n';
  }

  static constexpr std::size_t most_printed = 6;
  std::mutex mutex_;
  std::vector<std::shared_ptr<Profiler>> profilers_;
  std::size_t dropped_ = 0;
  double dropped_ns_ = 0;
};

}  // namespace

Profiler::Profiler(Profile described)
    : profile_(std::move(described)), times_(profile_.steps.size()) {}

std::int64_t Profiler::now() {
  using Clock = std::chrono::steady_clock;
  static const Clock::time_point start = Clock::now();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
}

void Profiler::record(std::size_t step, std::int64_t start, std::int64_t duration) {
  const auto time = static_cast<double>(duration);
  Times& times = times_[step];
  if (times.last.size() < kept)
    times.last.push_back(static_cast<float>(time));
  else
    times.last[times.calls % kept] = static_cast<float>(time);
  times.least = times.calls == 0 ? time : std::min(times.least, time);
  times.total += time;
  ++times.calls;
  total_ns_ += time;
  if (profile_.events.size() < Profile::event_limit)
    profile_.events.push_back({static_cast<std::uint32_t>(step), static_cast<double>(start), time});
}

Profile Profiler::own_result() const {
  Profile result = profile_;
  for (std::size_t i = 0; i < times_.size(); ++i) {
    StepProfile& step = result.steps[i];
    step.calls = times_[i].calls;
    step.total_ns = times_[i].total;
    step.min_ns = times_[i].least;
    std::vector<float> sorted = times_[i].last;
    if (sorted.empty()) continue;
    std::ranges::sort(sorted);
    step.median_ns = static_cast<double>(sorted[sorted.size() / 2]);
  }
  return result;
}

Profile Profiler::result() const {
  Profile own = own_result();
  if (inside_.empty()) return own;
  std::vector<StepProfile> steps;
  std::vector<std::uint32_t> places;
  std::vector<ProfileEvent> events;
  const auto add_events = [&](const std::vector<ProfileEvent>& given, const auto& place_of) {
    for (ProfileEvent event : given) {
      event.step = place_of(event.step);
      events.push_back(event);
    }
  };
  for (std::size_t i = 0; i < own.steps.size(); ++i) {
    places.push_back(static_cast<std::uint32_t>(steps.size()));
    steps.push_back(own.steps[i]);
    if (steps.back().shares >= 0)
      steps.back().shares = places[static_cast<std::size_t>(steps.back().shares)];
    for (const Inside& inside : inside_) {
      if (inside.step != i) continue;
      const Profile inner = inside.profiler->result();
      const auto first = static_cast<std::uint32_t>(steps.size());
      const std::string before = own.steps[i].number + inside.name + '.';
      for (StepProfile step : inner.steps) {
        ++step.depth;
        if (step.shares >= 0) step.shares += first;
        step.number = before + step.number;
        steps.push_back(std::move(step));
      }
      add_events(inner.events, [first](std::uint32_t step) { return first + step; });
    }
  }
  add_events(own.events, [&](std::uint32_t step) { return places[step]; });
  std::ranges::stable_sort(events, {}, &ProfileEvent::start_ns);
  if (events.size() > Profile::event_limit) events.resize(Profile::event_limit);
  own.steps = std::move(steps);
  own.events = std::move(events);
  return own;
}

bool profiling_wanted() { return trace_file() != nullptr; }

void enrol_profiler(std::shared_ptr<Profiler> profiler) {
  Report::instance().add(std::move(profiler));
}

}  // namespace dualtape::detail
