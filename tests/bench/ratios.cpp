#include <tests/bench/ratios.hpp>

#include <algorithm>
#include <iomanip>

#include <tests/bench/workloads.hpp>

namespace dualtape::bench {
namespace {

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

std::string heading(Mode mode) {
  switch (mode) {
    case Mode::reverse: return "Rb = reverse";
    case Mode::forward: return "Rf = forward";
    default: return name_of(mode);
  }
}

}  // namespace

void NotingReporter::ReportRuns(const std::vector<Run>& runs) {
  for (const Run& run : runs)
    if (run.run_type == Run::RT_Iteration && !run.error_occurred && run.iterations > 0)
      seconds_[run.run_name.function_name].push_back(run.cpu_accumulated_time /
                                                     static_cast<double>(run.iterations));
  shown_->ReportRuns(runs);
}

void NotingReporter::print_ratios(std::ostream& out) const {
  constexpr int column = 25;
  bool first = true;
  for (const Workload& workload : workloads()) {
    const auto base = seconds_.find(workload.name + "/base");
    if (base == seconds_.end()) continue;
    if (first) {
      out << "\nTimes as multiples of base, the loss alone\n" << std::setw(8) << "";
      for (const Mode mode : modes())
        if (mode != Mode::base) out << std::setw(column) << heading(mode);
      out << '\n';
    }
    first = false;
    out << std::left << std::setw(8) << workload.name << std::right << std::fixed
        << std::setprecision(2);
    for (const Mode mode : modes()) {
      if (mode == Mode::base) continue;
      const auto found = seconds_.find(workload.name + '/' + name_of(mode));
      if (found == seconds_.end())
        out << std::setw(column) << '-';
      else
        out << std::setw(column) << median(found->second) / median(base->second);
    }
    out << '\n';
  }
}

}  // namespace dualtape::bench
