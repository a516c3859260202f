// What derivatives cost, as multiples of the loss alone.
#pragma once

#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

namespace dualtape::bench {

// Passes everything on to the reporter that the command line chose and notes the times.
class NotingReporter : public benchmark::BenchmarkReporter {
 public:
  NotingReporter() : shown_(benchmark::CreateDefaultDisplayReporter()) {}

  bool ReportContext(const Context& context) override { return shown_->ReportContext(context); }
  void ReportRuns(const std::vector<Run>& runs) override;
  void Finalize() override { shown_->Finalize(); }

  // For every "workload/base" that ran, the times of its other modes over it. The times are medians
  // over the repetitions of the processor time, which other processes disturb least.
  void print_ratios(std::ostream& out) const;

 private:
  std::unique_ptr<benchmark::BenchmarkReporter> shown_;
  std::map<std::string, std::vector<double>> seconds_;  // by the benchmark's name
};

}  // namespace dualtape::bench
