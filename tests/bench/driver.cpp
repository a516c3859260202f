#include <tests/bench/driver.hpp>

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <memory>
#include <set>
#include <stdexcept>

#include <tests/bench/process.hpp>

namespace dualtape::bench {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// The last processor this program may use: interrupts tend to be served by the first.
int last_processor() {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return -1;
  for (int i = CPU_SETSIZE - 1; i >= 0; --i)
    if (CPU_ISSET(static_cast<std::size_t>(i), &allowed)) return i;
  return -1;
}

Launch launch(const std::vector<std::string>& command, int threads) {
  const std::string count = std::to_string(threads);
  Launch made{command,
              {{"DUALTAPE_NUM_THREADS", count},
               {"OMP_NUM_THREADS", count},
               {"OPENBLAS_NUM_THREADS", count},
               {"MKL_NUM_THREADS", count}},
              threads == 1 ? last_processor() : -1};
  made.command.push_back("--serve");
  if (const std::string core = blas_core(); !core.empty())
    made.environment.emplace_back("OPENBLAS_CORETYPE", core);
  return made;
}

bool wanted(const std::vector<std::string>& filters, const std::string& workload,
            const std::string& mode) {
  const std::string whole = workload + '/' + mode;
  return filters.empty() || std::ranges::any_of(filters, [&](const std::string& filter) {
           return filter == workload || filter == whole;
         });
}

std::string workload_of(const std::string& filter) { return filter.substr(0, filter.find('/')); }

bool wanted_workload(const std::vector<std::string>& filters, const std::string& workload) {
  return filters.empty() || std::ranges::any_of(filters, [&](const std::string& filter) {
           return workload_of(filter) == workload;
         });
}

// A running peer with one workload open.
struct Player {
  std::unique_ptr<Process> process;
  std::string peer;
  std::vector<std::string> modes;

  // Loops by hand inside our own program are named "hand/mode".
  Subject subject(const std::string& workload, const std::string& mode) const {
    const std::size_t slash = mode.find('/');
    if (slash == std::string::npos) return {workload, mode, peer};
    return {workload, mode.substr(slash + 1), mode.substr(0, slash)};
  }
};

// What each program can run, asked once.
struct Offer {
  std::vector<std::string> command;
  std::string peer;
  std::vector<std::string> workloads;
};

std::vector<Offer> ask_offers(const DriverOptions& options) {
  std::vector<Offer> offers;
  for (const std::vector<std::string>& command : commands(options.compare)) {
    Process process(launch(command, options.threads));
    const Json list = process.ask("list");
    offers.push_back({command, list["peer"], list["workloads"]});
  }
  return offers;
}

[[noreturn]] void refuse_filter(const std::string& filter, const std::string& what,
                                const std::vector<std::string>& known) {
  std::string text = "nothing to measure for \"" + filter + "\"; " + what;
  for (const std::string& name : known) text += ' ' + name;
  throw std::runtime_error(text);
}

// Throws if a filter names a mode of the workload that nobody has.
std::vector<Player> start(const std::vector<Offer>& offers, const std::string& workload,
                          const DriverOptions& options, Figures* figures) {
  std::vector<Player> players;
  std::vector<std::string> offered;
  for (const Offer& offer : offers) {
    if (std::ranges::find(offer.workloads, workload) == offer.workloads.end()) continue;
    Player player{
        std::make_unique<Process>(launch(offer.command, options.threads)), offer.peer, {}};
    const Json opened = player.process->ask("open " + workload);
    for (const Json& mode : opened["modes"]) {
      const std::string name = mode["name"];
      offered.push_back(name);
      if (!wanted(options.filters, workload, name)) continue;
      player.modes.push_back(name);
      if (figures == nullptr) continue;
      const Subject subject = player.subject(workload, name);
      if (const double bytes = mode["bytes"]; bytes > 0) figures->bytes[subject] = bytes;
      if (const double items = mode["items"]; items > 0) figures->items[subject] = items;
    }
    players.push_back(std::move(player));
  }
  for (const std::string& filter : options.filters)
    if (filter != workload && workload_of(filter) == workload &&
        std::ranges::none_of(
            offered, [&](const std::string& mode) { return filter == workload + '/' + mode; }))
      refuse_filter(filter, "the modes of " + workload + " are:", offered);
  return players;
}

// All modes, those of the first player first, each once.
std::vector<std::string> modes_of(const std::vector<Player>& players) {
  std::vector<std::string> modes;
  for (const Player& player : players)
    for (const std::string& mode : player.modes)
      if (std::ranges::find(modes, mode) == modes.end()) modes.push_back(mode);
  return modes;
}

void play(std::vector<Player>& players, const std::string& workload, int rounds, Figures& figures) {
  const std::vector<std::string> modes = modes_of(players);
  for (int round = -1; round < rounds; ++round)  // the first only warms up
    for (const std::string& mode : modes)
      for (std::size_t i = 0; i < players.size(); ++i) {
        // Another one begins each round, since who follows whom matters to caches.
        Player& player = players[(i + static_cast<std::size_t>(round + 1)) % players.size()];
        if (std::ranges::find(player.modes, mode) == player.modes.end()) continue;
        const double ns = player.process->ask("time " + mode)["ns"];
        if (round >= 0) figures.ns[player.subject(workload, mode)].push_back(ns);
      }
}

void ask_peaks(std::vector<Player>& players, const std::string& workload, Figures& figures) {
  for (Player& player : players)
    for (const std::string& mode : player.modes) {
      const double bytes = player.process->ask("peak " + mode)["bytes"];
      if (bytes >= 0) figures.peak_bytes[player.subject(workload, mode)] = bytes;
    }
}

std::vector<std::string> wanted_workloads(const std::vector<Offer>& offers,
                                          const DriverOptions& options) {
  const std::vector<std::string>& known = offers.front().workloads;
  for (const std::string& filter : options.filters)
    if (std::ranges::find(known, workload_of(filter)) == known.end())
      refuse_filter(filter, "the workloads are:", known);
  std::vector<std::string> all;
  for (const std::string& name : known)
    if (wanted_workload(options.filters, name)) all.push_back(name);
  return all;
}

}  // namespace

const std::vector<Rival>& rivals() {
  static const std::vector<Rival> all{
      {"dualtape-bench-hand", {"openblas", "onednn"}, "libdnnl-dev (for its oneDNN half)"},
      {"dualtape-bench-torch", {""}, "libtorch-dev"},
      {"dualtape-bench-adolc", {""}, "libadolc-dev"}};
  return all;
}

std::vector<std::vector<std::string>> commands(bool compare) {
  const fs::path own = fs::read_symlink("/proc/self/exe");
  std::vector<std::vector<std::string>> found{{own.string()}};
  if (!compare) return found;
  for (const Rival& rival : rivals()) {
    const fs::path program = own.parent_path() / rival.program;
    if (!fs::exists(program)) {
      std::cerr << "not built: " << rival.program << "; needs the package " << rival.package
                << '\n';
      continue;
    }
    for (const std::string& variant : rival.variants) {
      found.push_back({program.string()});
      if (!variant.empty()) found.back().push_back(variant);
    }
  }
  return found;
}

std::string blas_core() {
  if (std::getenv("OPENBLAS_CORETYPE") != nullptr) return "";
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("flags"))
      return (line + ' ').find(" avx512f ") != std::string::npos ? "SkylakeX" : "";
  return "";
}

Figures measure(const DriverOptions& options) {
  Figures figures;
  const std::vector<Offer> offers = ask_offers(options);
  for (const std::string& workload : wanted_workloads(offers, options)) {
    std::cerr << workload << ' ' << std::flush;
    const int launches = std::max(1, std::min(options.launches, options.rounds));
    for (int i = 0; i < launches; ++i) {
      std::vector<Player> players = start(offers, workload, options, &figures);
      const int rounds = options.rounds * (i + 1) / launches - options.rounds * i / launches;
      play(players, workload, rounds, figures);
      if (i == 0) ask_peaks(players, workload, figures);
    }
  }
  std::cerr << '\n';
  return figures;
}

bool agree(const DriverOptions& options) {
  bool all = true;
  const std::vector<Offer> offers = ask_offers(options);
  for (const std::string& workload : wanted_workloads(offers, options)) {
    Json first;
    for (Player& player : start(offers, workload, options, nullptr)) {
      const Json found = player.process->ask("check");
      if (found.empty()) continue;
      const bool is_first = first.is_null();
      if (is_first) first = found;
      std::cout << std::left << std::setw(24) << workload << std::setw(16) << player.peer
                << std::right << std::setprecision(8);
      // Slopes are sums that cancel: their scale is the gradient's length.
      const double scale = first["gradient_norm"];
      bool same = true;
      for (const char* key : {"loss", "reverse_slope", "forward_slope"}) {
        const double value = found[key].is_null() ? std::nan("") : found[key].get<double>();
        const double right = first[key == std::string("loss") ? "loss" : "reverse_slope"];
        const double size = std::max({std::abs(right), key == std::string("loss") ? 0 : scale});
        if (!std::isnan(value)) same = same && std::abs(value - right) <= 1e-5 * size;
        std::cout << "  " << key << ' ' << std::setw(12) << value;
      }
      std::cout << (same ? "  agrees\n" : "  DIFFERS\n") << std::flush;
      all = all && same;
    }
  }
  return all;
}

}  // namespace dualtape::bench
