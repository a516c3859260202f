// The gnuplot scripts of the report, and the smoothing its lines need. Pure functions, safe from
// any thread.
#pragma once

#include <string>
#include <vector>

#include "report.hpp"

namespace dualtape::demo {

struct Plot {
  std::string name;     // of the files: "loss-steps"
  std::string title;    // "Loss against steps"
  std::string caption;  // what a reader should know, plain text
  std::string script;   // run in the folder plots/, reads ../<run>.csv
};

// The plots there are figures for. `csv_names` holds the file name of each run, in order.
std::vector<Plot> make_plots(const std::vector<Run>& runs, const ReportInfo& info,
                             const std::vector<std::string>& csv_names);

// Values averaged with this many neighbours on either side, fewer near the ends.
std::size_t smoothing_half_width(std::size_t count);

// Moving mean. Near the start, where losses fall steeply, the window shrinks on both sides alike,
// so that the first value stays; near the end it loses the side that is not there. Values that are
// not finite are left out of the means and stay as they are.
std::vector<double> smoothed(const std::vector<double>& values);

}  // namespace dualtape::demo
