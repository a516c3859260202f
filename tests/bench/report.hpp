// What was measured, as tables and as JSON. Pure functions; any thread.
#pragma once

#include <optional>
#include <ostream>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <tests/bench/driver.hpp>

namespace dualtape::bench {

// What was measured on one thread count.
struct Report {
  int threads = 1;
  std::string machine;  // "Intel ..., 2 processors, kernels for avx512"
  Figures figures;
};

std::string this_machine();

// One record a subject: workload, mode, peer, threads, median_ns, spread (distance of the quartiles
// over the median), peak_bytes (null where unknown), machine; and what from_records() needs
// besides: samples_ns, and bytes and items of a call where told.
nlohmann::json records(const Report& report);
// The same back, a report for each thread count; throws nlohmann's exceptions for other JSON.
std::vector<Report> from_records(const nlohmann::json& all);

// Medians, a row for each workload and mode, a column for each peer; with bandwidth or time per
// item where there is one.
void print_times(std::ostream& out, const Figures& figures);
// Derivatives as multiples of the loss alone, beside the published figures.
void print_cost_ratios(std::ostream& out, const Figures& figures);
// The targets, each with its ratio, spread and whether it is held. Returns how many are missed.
int print_targets(std::ostream& out, const Figures& figures);

// All of it as Markdown.
std::string markdown(std::span<const Report> reports);
// `page` with the text between its lines <!-- bench --> and <!-- /bench --> replaced by `text`; all
// of it where there are no such lines.
std::string put_between_marks(const std::string& page, const std::string& text);

// What the tables are made of -------------------------------------------------------------------

std::optional<double> median_of(const Figures& figures, const Subject& subject);
std::set<std::pair<std::string, std::string>> rows_of(const Figures& figures);  // workload, mode
std::vector<std::string> peers_of(const Figures& figures);  // dualtape first, the rest by name
std::string in_units(double ns);                            // "2.336 ms"
std::string fixed(std::optional<double> value);             // two decimals, "-" for none

struct CostRatios {
  std::string net, peer;
  std::optional<double> jvp, reverse, forward_dense, forward_rank1, step_reverse;
  std::optional<double> published_forward, published_reverse;
};
std::vector<CostRatios> cost_ratios(const Figures& figures);

// A target as measured; times are in nanoseconds, but `scale` turns them into the text's unit.
struct Judged {
  std::string workload, mode, what;
  double limit = 0, scale = 1;
  bool at_least = false;
  std::optional<double> value;  // none where what it takes was not measured
  double low = 0, high = 0;     // quartiles
  bool held() const { return value && (at_least ? *value >= limit : *value <= limit); }
};
std::vector<Judged> judge(const Figures& figures);

}  // namespace dualtape::bench
