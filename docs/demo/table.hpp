// The closing table of the demo: one row for each way of training, as plain text or as HTML.
// Pure functions, safe from any thread.
#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

namespace dualtape::demo {

// What one way of training came to. NaN in a figure means that it was not measured (shown as "-"),
// except in `loss`, where it means that training diverged (shown as "nan").
struct Summary {
  std::string method;
  std::size_t steps = 0;
  double seconds = 0;                                                // spent in training steps
  double ms_per_step = 0;                                            // milliseconds
  double train_accuracy = std::numeric_limits<double>::quiet_NaN();  // in 0..1
  double test_accuracy = std::numeric_limits<double>::quiet_NaN();   // in 0..1
  double loss = std::numeric_limits<double>::quiet_NaN();
  double misclassified = std::numeric_limits<double>::quiet_NaN();  // of the test rows
};

// Aligned columns under a head and a rule, numbers to the right; every line ends in '\n'.
std::string text_table(const std::vector<Summary>& rows);

// The same cells as one <table class="summary"> element.
std::string html_table(const std::vector<Summary>& rows);

// The same figures and the test rows misclassified as CSV, to all digits; empty where not measured.
std::string summary_csv(const std::vector<Summary>& rows);

}  // namespace dualtape::demo
