// What the demo does between its command line and its report: data, model, training, files. Call
// from one thread.
#pragma once

#include <iosfwd>
#include <string>

#include "options.hpp"

namespace dualtape::demo {

// Trains by every method of the options from bitwise equal starting parameters, with a progress
// line for each on stderr; prints the closing table and where the report stands to `out`. Throws
// what is derived from Error: DataError for data files that are missing or broken and for folders
// and files that cannot be written (found out before any training).
void run_demo(const Options& options, const std::string& version, std::ostream& out);

}  // namespace dualtape::demo
