// What was measured, as tables and as JSON. Pure functions; any thread.
#pragma once

#include <ostream>

#include <nlohmann/json_fwd.hpp>

#include <tests/bench/driver.hpp>

namespace dualtape::bench {

// One record a subject: workload, mode, peer, threads, median_ns, spread (distance of the quartiles
// over the median), peak_bytes (null where unknown).
nlohmann::json records(const Figures& figures, int threads);

// Medians, a row for each workload and mode, a column for each peer; with bandwidth or time per
// item where there is one.
void print_times(std::ostream& out, const Figures& figures);
// Derivatives as multiples of the loss alone, beside the published figures.
void print_cost_ratios(std::ostream& out, const Figures& figures);
// The targets, each with its ratio, spread and whether it is held. Returns how many are missed.
int print_targets(std::ostream& out, const Figures& figures);

}  // namespace dualtape::bench
