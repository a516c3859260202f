#include <tests/bench/report.hpp>

#include <algorithm>
#include <fstream>
#include <iomanip>
#include <map>
#include <sstream>
#include <thread>

#include <dualtape/core/machine/isa.hpp>
#include <nlohmann/json.hpp>

#include <tests/bench/nets.hpp>
#include <tests/bench/peer.hpp>

namespace dualtape::bench {
namespace {

constexpr const char* own = "dualtape";

template <class Map>
std::optional<double> find(const Map& map, const Subject& subject) {
  const auto found = map.find(subject);
  return found == map.end() ? std::nullopt : std::optional<double>(found->second);
}

}  // namespace

std::string in_units(double ns) {
  std::ostringstream text;
  text << std::setprecision(4);
  if (ns < 1e3)
    text << ns << " ns";
  else if (ns < 1e6)
    text << ns * 1e-3 << " us";
  else
    text << ns * 1e-6 << " ms";
  return text.str();
}

// In the order of names; that of measuring is lost.
std::set<std::pair<std::string, std::string>> rows_of(const Figures& figures) {
  std::set<std::pair<std::string, std::string>> rows;
  for (const auto& [subject, samples] : figures.ns) rows.emplace(subject.workload, subject.mode);
  return rows;
}

std::vector<std::string> peers_of(const Figures& figures) {
  std::set<std::string> others;
  for (const auto& [subject, samples] : figures.ns)
    if (subject.peer != own) others.insert(subject.peer);
  std::vector<std::string> all{own};
  all.insert(all.end(), others.begin(), others.end());
  return all;
}

std::optional<double> median_of(const Figures& figures, const Subject& subject) {
  const auto found = figures.ns.find(subject);
  return found == figures.ns.end() ? std::nullopt : std::optional<double>(median(found->second));
}

std::string fixed(std::optional<double> value) {
  if (!value) return "-";
  std::ostringstream text;
  text << std::fixed << std::setprecision(2) << *value;
  return text.str();
}

std::string this_machine() {
  std::string processor = "unknown processor";
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) {
      processor = line.substr(std::min(line.size(), line.find(':') + 2));
      break;
    }
  return processor + ", " + std::to_string(std::thread::hardware_concurrency()) +
         " processors, kernels for " + std::string(detail::name_of(detail::isa()));
}

nlohmann::json records(const Report& report) {
  const Figures& figures = report.figures;
  nlohmann::json all = nlohmann::json::array();
  for (const auto& [subject, samples] : figures.ns) {
    nlohmann::json record{
        {"workload", subject.workload}, {"mode", subject.mode},         {"peer", subject.peer},
        {"threads", report.threads},    {"median_ns", median(samples)}, {"spread", spread(samples)},
        {"peak_bytes", nullptr},        {"machine", report.machine},    {"samples_ns", samples}};
    if (const auto bytes = find(figures.peak_bytes, subject))
      record["peak_bytes"] = static_cast<std::int64_t>(*bytes);
    if (const auto bytes = find(figures.bytes, subject)) {
      record["bytes"] = *bytes;
      record["gb_per_s"] = *bytes / median(samples);
    }
    if (const auto items = find(figures.items, subject)) record["items"] = *items;
    all.push_back(std::move(record));
  }
  return all;
}

std::vector<Report> from_records(const nlohmann::json& all) {
  std::map<int, Report> by_threads;
  for (const nlohmann::json& record : all) {
    const int threads = record.at("threads");
    Report& report = by_threads[threads];
    report.threads = threads;
    report.machine = record.at("machine");
    const Subject subject{record.at("workload"), record.at("mode"), record.at("peer")};
    report.figures.ns[subject] = record.at("samples_ns").get<std::vector<double>>();
    if (!record.at("peak_bytes").is_null())
      report.figures.peak_bytes[subject] = record.at("peak_bytes");
    if (record.contains("bytes")) report.figures.bytes[subject] = record["bytes"];
    if (record.contains("items")) report.figures.items[subject] = record["items"];
  }
  std::vector<Report> reports;
  for (auto& [threads, report] : by_threads) reports.push_back(std::move(report));
  return reports;
}

void print_times(std::ostream& out, const Figures& figures) {
  std::vector<std::string> peers = peers_of(figures);
  std::erase(peers, own);
  out << std::left << std::setw(25) << "\nMedian times" << std::setw(22) << "" << std::right
      << std::setw(12) << own;
  for (const std::string& peer : peers) out << std::setw(15) << peer;
  out << '\n';
  for (const auto& row : rows_of(figures)) {
    const std::string& workload = row.first;
    const std::string& mode = row.second;
    out << std::left << std::setw(24) << workload << std::setw(22) << mode << std::right;
    const auto time = [&](const std::string& peer) {
      const auto ns = median_of(figures, {workload, mode, peer});
      return ns ? in_units(*ns) : "-";
    };
    out << std::setw(12) << time(own);
    for (const std::string& peer : peers) out << std::setw(15) << time(peer);
    for (const std::string& peer : {std::string(own), std::string("hand")}) {
      const Subject subject{workload, mode, peer};
      const auto ns = median_of(figures, subject);
      if (!ns) continue;
      if (const auto bytes = find(figures.bytes, subject))
        out << "  " << peer << " " << fixed(*bytes / *ns) << " GB/s";
      if (const auto items = find(figures.items, subject))
        out << "  " << std::setprecision(3) << *ns / *items << " ns each";
    }
    if (const auto bytes = find(figures.peak_bytes, {workload, mode, own}))
      out << "  " << fixed(*bytes / (1 << 20)) << " MiB";
    out << '\n';
  }
}

std::vector<CostRatios> cost_ratios(const Figures& figures) {
  struct Published {
    const char* net;
    double forward, backward;
  };
  // Baydin, Pearlmutter, Syme, Wood, Torr, 2022; logistic regression and the multilayer perceptron.
  constexpr Published published[] = {{"W1", 2.435, 4.389}, {"W2", 2.46, 4.17}};
  std::vector<CostRatios> all;
  for (const Net& net : nets()) {
    if (!median_of(figures, {net.name, "base", own})) continue;
    for (const std::string& peer : peers_of(figures)) {
      const auto base = median_of(figures, {net.name, "base", peer});
      if (!base) continue;
      const auto ratio = [&](const char* mode) -> std::optional<double> {
        const auto ns = median_of(figures, {net.name, mode, peer});
        return ns ? std::optional<double>(*ns / *base) : std::nullopt;
      };
      CostRatios row{net.name,
                     peer,
                     ratio("jvp"),
                     ratio("reverse"),
                     ratio("step_forward_dense"),
                     ratio("step_forward_rank1"),
                     ratio("step_reverse"),
                     std::nullopt,
                     std::nullopt};
      const auto* found = std::ranges::find(published, net.name, &Published::net);
      if (found != std::end(published) && peer == own) {
        row.published_forward = found->forward;
        row.published_reverse = found->backward;
      }
      all.push_back(std::move(row));
    }
  }
  return all;
}

void print_cost_ratios(std::ostream& out, const Figures& figures) {
  const std::vector<CostRatios> rows = cost_ratios(figures);
  if (rows.empty()) return;
  out << "\nCost as multiples of the loss alone; published by Baydin et al. (2022), with an "
         "earlier\nsystem on a GPU, sampling included\n"
      << std::setw(34) << "Rf = jvp" << std::setw(14) << "Rb = reverse" << std::setw(20)
      << "step_forward_dense" << std::setw(14) << "rank1" << std::setw(14) << "step_reverse"
      << std::setw(16) << "published Rf" << std::setw(6) << "Rb" << '\n';
  for (const CostRatios& row : rows) {
    out << std::left << std::setw(9) << row.net << std::setw(15) << row.peer << std::right
        << std::setw(10) << fixed(row.jvp) << std::setw(14) << fixed(row.reverse) << std::setw(20)
        << fixed(row.forward_dense) << std::setw(14) << fixed(row.forward_rank1) << std::setw(14)
        << fixed(row.step_reverse);
    if (row.published_forward)
      out << std::setw(16) << *row.published_forward << std::setw(6) << *row.published_reverse;
    out << '\n';
  }
}

}  // namespace dualtape::bench
