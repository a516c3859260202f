// The demo's report: CSV files, gnuplot scripts, drawings, and one self-contained HTML page with
// the drawings and the table inside. Call from one thread for one folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "table.hpp"

namespace dualtape::demo {

// One way of training, step by step. `step`, `seconds` and `loss` have one entry for each step
// recorded; the accuracies are empty or have as many, NaN where they were not measured.
struct Run {
  std::string name;             // "reverse", "forward, 16 directions"
  std::vector<double> step;     // steps done, rising
  std::vector<double> seconds;  // spent in training steps so far
  std::vector<double> loss;     // of the step's batch; NaN or infinite where training diverged
  std::vector<double> train_accuracy = {};  // in 0..1
  std::vector<double> test_accuracy = {};   // in 0..1
  std::vector<double> cosine_step = {};     // steps at which the cosine was measured, rising
  std::vector<double> cosine = {};  // of the estimate with the true gradient, in -1..1; as many
  Summary summary = {};
};

struct ReportInfo {
  std::string title;
  std::string command;  // repeats the whole run
  std::uint64_t seed = 0;
  std::string data;     // what was trained on, in a sentence
  std::string model;    // what was trained, in a sentence
  std::string version;  // of dualtape
  std::string loss_label = "loss (mean cross-entropy, nats)";
  std::vector<std::string> notes = {};  // more sentences a reader should know
};

struct ReportResult {
  std::filesystem::path page;  // report.html
  bool gnuplot_missing = false;
  std::vector<std::string> problems = {};  // of drawings that failed, one line each

  // The one line a program prints where drawings are missing; empty where all is well.
  std::string message() const;
};

// Writes into `folder` (made where missing): <run>.csv, plots/*.gp, plots/*.svg, report.html. Where
// gnuplot is missing or fails, everything else is written all the same and the page says so.
// Throws DataError with one line where the folder cannot be written, ValueError where the vectors
// of a run do not have the lengths stated above.
ReportResult write_report(const std::filesystem::path& folder, const ReportInfo& info,
                          const std::vector<Run>& runs);

// The rows of <run>.csv: step,seconds,loss,loss_smoothed,train_accuracy,test_accuracy,cosine,
// cosine_smoothed; a cell is empty where nothing was measured. Steps with a cosine only get a row
// of their own.
std::string run_csv(const Run& run);

}  // namespace dualtape::demo
