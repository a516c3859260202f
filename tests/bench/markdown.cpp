// The tables of a benchmark as Markdown, for docs/performance.md.
#include <tests/bench/report.hpp>

#include <array>
#include <iomanip>
#include <sstream>
#include <string_view>

#include <tests/bench/peer.hpp>

namespace dualtape::bench {
namespace {

constexpr std::string_view begin_mark = "<!-- bench -->\n";
constexpr std::string_view end_mark = "<!-- /bench -->";

std::string digits(double value, int decimals) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(decimals) << value;
  return text.str();
}

// The first `left` columns are text, the rest numbers.
void heading(std::ostream& out, const std::vector<std::string>& names, std::size_t left) {
  for (const std::string& name : names) out << "| " << name << ' ';
  out << "|\n";
  for (std::size_t i = 0; i < names.size(); ++i) out << (i < left ? "| --- " : "| ---: ");
  out << "|\n";
}

void row(std::ostream& out, const std::vector<std::string>& cells) {
  for (const std::string& cell : cells) out << "| " << cell << ' ';
  out << "|\n";
}

void targets(std::ostream& out, const Figures& figures) {
  const std::vector<Judged> all = judge(figures);
  std::array<int, 2> held{};
  std::vector<std::string> unknown;
  for (const Judged& target : all)
    if (target.value)
      ++held[target.held() ? 1 : 0];
    else
      unknown.push_back(target.workload + ' ' + target.mode + ' ' + target.what);
  out << "Of " << all.size() << " targets " << held[1] << " are held and " << held[0]
      << " are missed";
  if (!unknown.empty()) out << "; " << unknown.size() << " were not measured in this run";
  out << ".\n\n";
  heading(out, {"workload", "mode", "what", "target", "measured", "quartiles", ""}, 3);
  for (const Judged& target : all) {
    if (!target.value) continue;
    std::ostringstream limit;
    limit << (target.at_least ? "≥ " : "≤ ") << target.limit * target.scale;
    row(out, {target.workload, target.mode, target.what, limit.str(),
              digits(*target.value * target.scale, 3),
              digits(target.low * target.scale, 3) + " to " + digits(target.high * target.scale, 3),
              target.held() ? "held" : "**missed**"});
  }
  out << '\n';
  for (const std::string& target : unknown) out << "- not measured: " << target << '\n';
  if (!unknown.empty()) out << '\n';
}

void ratios(std::ostream& out, const Figures& figures) {
  const std::vector<CostRatios> all = cost_ratios(figures);
  if (all.empty()) return;
  out << "Cost as multiples of the loss alone:\n\n";
  heading(out,
          {"net", "by", "jvp (Rf)", "reverse (Rb)", "step_reverse", "step_forward_dense",
           "step_forward_rank1", "published Rf", "published Rb"},
          2);
  for (const CostRatios& one : all)
    row(out, {one.net, one.peer, fixed(one.jvp), fixed(one.reverse), fixed(one.step_reverse),
              fixed(one.forward_dense), fixed(one.forward_rank1), fixed(one.published_forward),
              fixed(one.published_reverse)});
  out << '\n';
}

// Bandwidth, or the time of one of many items.
std::string of_one(const Figures& figures, const Subject& subject) {
  const auto ns = median_of(figures, subject);
  if (!ns) return "";
  if (const auto bytes = figures.bytes.find(subject); bytes != figures.bytes.end())
    return digits(bytes->second / *ns, 1) + " GB/s";
  if (const auto items = figures.items.find(subject); items != figures.items.end())
    return digits(*ns / items->second, 2) + " ns each";
  return "";
}

void times(std::ostream& out, const Figures& figures) {
  const std::vector<std::string> peers = peers_of(figures);
  out << "Median times, the spread of dualtape's (distance of the quartiles over the median) and "
         "its peak of working memory:\n\n";
  std::vector<std::string> names{"workload", "mode"};
  names.insert(names.end(), peers.begin(), peers.end());
  names.insert(names.end(), {"spread", "peak", ""});
  heading(out, names, 2);
  for (const auto& [workload, mode] : rows_of(figures)) {
    std::vector<std::string> cells{workload, mode};
    for (const std::string& peer : peers) {
      const auto ns = median_of(figures, {workload, mode, peer});
      cells.push_back(ns ? in_units(*ns) : "-");
    }
    const Subject subject{workload, mode, peers.front()};
    const auto samples = figures.ns.find(subject);
    cells.push_back(samples == figures.ns.end() ? ""
                                                : digits(100 * spread(samples->second), 0) + " %");
    const auto peak = figures.peak_bytes.find(subject);
    cells.push_back(peak == figures.peak_bytes.end() ? ""
                                                     : digits(peak->second / 1024, 1) + " KiB");
    cells.push_back(of_one(figures, subject));
    const std::string by_hand = of_one(figures, {workload, mode, "hand"});
    if (!by_hand.empty()) cells.back() += (cells.back().empty() ? "hand " : ", hand ") + by_hand;
    row(out, cells);
  }
  out << '\n';
}

}  // namespace

std::string markdown(std::span<const Report> reports) {
  std::ostringstream out;
  for (const Report& report : reports) {
    out << "### "
        << (report.threads == 1 ? "One thread" : std::to_string(report.threads) + " threads")
        << "\n\nMeasured on " << report.machine << ". Present:";
    for (const std::string& peer : peers_of(report.figures)) out << ' ' << peer;
    out << ".\n\n";
    if (report.threads == 1) targets(out, report.figures);
    ratios(out, report.figures);
    times(out, report.figures);
  }
  return out.str();
}

std::string put_between_marks(const std::string& page, const std::string& text) {
  const std::size_t begin = page.find(begin_mark);
  const std::size_t end = page.find(end_mark);
  if (begin == std::string::npos || end == std::string::npos || end < begin) return text;
  return page.substr(0, begin + begin_mark.size()) + '\n' + text + page.substr(end);
}

}  // namespace dualtape::bench
