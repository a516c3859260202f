#include <tests/bench/report.hpp>

#include <algorithm>
#include <iomanip>
#include <optional>
#include <set>
#include <sstream>

#include <nlohmann/json.hpp>

#include <tests/bench/nets.hpp>
#include <tests/bench/peer.hpp>

namespace dualtape::bench {
namespace {

constexpr const char* own = "dualtape";

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

template <class Map>
std::optional<double> find(const Map& map, const Subject& subject) {
  const auto found = map.find(subject);
  return found == map.end() ? std::nullopt : std::optional<double>(found->second);
}

// "(workload, mode)" in the order of measuring is lost in the map; names sort well enough.
std::set<std::pair<std::string, std::string>> rows_of(const Figures& figures) {
  std::set<std::pair<std::string, std::string>> rows;
  for (const auto& [subject, samples] : figures.ns) rows.emplace(subject.workload, subject.mode);
  return rows;
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

}  // namespace

nlohmann::json records(const Figures& figures, int threads) {
  nlohmann::json all = nlohmann::json::array();
  for (const auto& [subject, samples] : figures.ns) {
    nlohmann::json record{{"workload", subject.workload}, {"mode", subject.mode},
                          {"peer", subject.peer},         {"threads", threads},
                          {"median_ns", median(samples)}, {"spread", spread(samples)},
                          {"peak_bytes", nullptr}};
    if (const auto bytes = find(figures.peak_bytes, subject))
      record["peak_bytes"] = static_cast<std::int64_t>(*bytes);
    if (const auto bytes = find(figures.bytes, subject))
      record["gb_per_s"] = *bytes / median(samples);
    all.push_back(std::move(record));
  }
  return all;
}

void print_times(std::ostream& out, const Figures& figures) {
  std::set<std::string> peers;
  for (const auto& [subject, samples] : figures.ns)
    if (subject.peer != own) peers.insert(subject.peer);
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

void print_cost_ratios(std::ostream& out, const Figures& figures) {
  struct Published {
    const char* net;
    double forward, backward;
  };
  // Baydin, Pearlmutter, Syme, Wood, Torr, 2022; logistic regression and the multilayer perceptron.
  constexpr Published published[] = {{"W1", 2.435, 4.389}, {"W2", 2.46, 4.17}};
  bool first = true;
  for (const Net& net : nets()) {
    const auto base = median_of(figures, {net.name, "base", own});
    if (!base) continue;
    if (first)
      out << "\nCost as multiples of the loss alone; published by Baydin et al. (2022), with an "
             "earlier\nsystem on a GPU, sampling included\n"
          << std::setw(34) << "Rf = jvp" << std::setw(14) << "Rb = reverse" << std::setw(20)
          << "step_forward_dense" << std::setw(14) << "rank1" << std::setw(14) << "step_reverse"
          << std::setw(16) << "published Rf" << std::setw(6) << "Rb" << '\n';
    first = false;
    std::set<std::string> peers;
    for (const auto& [subject, samples] : figures.ns)
      if (subject.workload == net.name) peers.insert(subject.peer);
    for (const std::string& peer : peers) {
      const auto peer_base = median_of(figures, {net.name, "base", peer});
      const auto ratio = [&](const char* mode) -> std::optional<double> {
        const auto ns = median_of(figures, {net.name, mode, peer});
        return ns && peer_base ? std::optional<double>(*ns / *peer_base) : std::nullopt;
      };
      out << std::left << std::setw(9) << net.name << std::setw(15) << peer << std::right
          << std::setw(10) << fixed(ratio("jvp")) << std::setw(14) << fixed(ratio("reverse"))
          << std::setw(20) << fixed(ratio("step_forward_dense")) << std::setw(14)
          << fixed(ratio("step_forward_rank1")) << std::setw(14) << fixed(ratio("step_reverse"));
      const auto* found = std::ranges::find(published, net.name, &Published::net);
      if (found != std::end(published) && peer == own)
        out << std::setw(16) << found->forward << std::setw(6) << found->backward;
      out << '\n';
    }
  }
}

}  // namespace dualtape::bench
