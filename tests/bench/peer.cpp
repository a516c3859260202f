#include <tests/bench/peer.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <map>
#include <sstream>

#include <nlohmann/json.hpp>

namespace dualtape::bench {
namespace {

using Json = nlohmann::json;

// Samples shorter than this are repeated within one measurement.
constexpr double sample_seconds = 0.015;

class Session {
 public:
  Session(std::string peer, const std::vector<Workload>& workloads)
      : peer_(std::move(peer)), workloads_(workloads), threads_(threads_wanted()) {}

  Json answer(const std::string& line) {
    std::istringstream words(line);
    std::string verb, argument;
    words >> verb >> argument;
    try {
      if (verb == "list") return list();
      if (verb == "open") return open(argument);
      if (verb == "time") return time(mode(argument));
      if (verb == "peak") return {{"bytes", peak(mode(argument))}};
      if (verb == "check") return check();
      return {{"error", "unknown verb " + verb}};
    } catch (const std::exception& error) {
      return {{"error", error.what()}};
    }
  }

  // Every mode of one workload by turns, as records.
  void measure(const std::string& workload, int rounds) {
    const Json opened = open(workload);
    std::map<std::string, std::vector<double>> samples;
    for (int round = 0; round < rounds; ++round)
      for (const Mode& one : work_.modes) samples[one.name].push_back(time(one)["ns"]);
    for (const Mode& one : work_.modes) {
      Json record{{"workload", workload},
                  {"mode", one.name},
                  {"peer", peer_},
                  {"threads", threads_},
                  {"median_ns", median(samples[one.name])},
                  {"spread", spread(samples[one.name])},
                  {"peak_bytes", nullptr}};
      if (const std::int64_t bytes = peak(one); bytes >= 0) record["peak_bytes"] = bytes;
      std::cout << record << std::endl;
    }
  }

 private:
  Json list() const {
    Json names = Json::array();
    for (const Workload& workload : workloads_) names.push_back(workload.name);
    return {{"peer", peer_}, {"workloads", names}};
  }

  Json open(const std::string& name) {
    work_ = {};
    calls_.clear();
    const auto found = std::ranges::find(workloads_, name, &Workload::name);
    if (found == workloads_.end()) return {{"error", "no workload " + name}};
    work_ = found->make();
    Json modes = Json::array();
    for (const Mode& one : work_.modes)
      modes.push_back({{"name", one.name}, {"bytes", one.bytes}, {"items", one.items}});
    return {{"modes", modes}};
  }

  const Mode& mode(const std::string& name) const {
    const auto found = std::ranges::find(work_.modes, name, &Mode::name);
    if (found == work_.modes.end()) throw std::runtime_error("no mode " + name);
    return *found;
  }

  double seconds(const Mode& one, std::int64_t calls) const {
    const double start = clock_now(threads_);
    one.run(calls);
    return clock_now(threads_) - start;
  }

  Json time(const Mode& one) {
    std::int64_t& calls = calls_[one.name];
    if (calls == 0) {
      one.run(1);
      calls = 1;
      while (calls < (std::int64_t{1} << 40)) {
        const double taken = seconds(one, calls);
        if (taken >= sample_seconds) break;
        const double wanted = 1.1 * sample_seconds / std::max(taken, 1e-7);
        calls = std::max(calls + 1, static_cast<std::int64_t>(static_cast<double>(calls) *
                                                              std::min(wanted, 10.0)));
      }
    }
    return {{"ns", 1e9 * seconds(one, calls) / static_cast<double>(calls)}, {"calls", calls}};
  }

  static std::int64_t peak(const Mode& one) { return one.peak_bytes ? one.peak_bytes() : -1; }

  Json check() {
    if (!work_.check) return Json::object();
    const Agreement found = work_.check();
    return {{"loss", found.loss},
            {"reverse_slope", found.reverse_slope},
            {"forward_slope", found.forward_slope},
            {"gradient_norm", found.gradient_norm}};
  }

  std::string peer_;
  const std::vector<Workload>& workloads_;
  int threads_;
  Work work_;
  std::map<std::string, std::int64_t> calls_;
};

}  // namespace

int run_peer(int argc, char** argv, const std::string& peer,
             const std::vector<Workload>& workloads) {
  Session session(peer, workloads);
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments == std::vector<std::string>{"--serve"}) {
    for (std::string line; std::getline(std::cin, line);)
      std::cout << session.answer(line) << std::endl;
    return 0;
  }
  for (const Workload& workload : workloads)
    if (arguments.empty() || std::ranges::find(arguments, workload.name) != arguments.end())
      session.measure(workload.name, 9);
  return 0;
}

int threads_wanted() {
  const char* text = std::getenv("OMP_NUM_THREADS");
  return text == nullptr ? 1 : std::max(1, std::atoi(text));
}

double clock_now(int threads) {
  timespec now{};
  clock_gettime(threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double quantile(std::vector<double> values, double part) {
  if (values.empty()) return std::nan("");
  std::ranges::sort(values);
  const double place = part * static_cast<double>(values.size() - 1);
  const auto low = static_cast<std::size_t>(place);
  const std::size_t high = std::min(low + 1, values.size() - 1);
  return values[low] + (place - static_cast<double>(low)) * (values[high] - values[low]);
}

double median(std::vector<double> values) { return quantile(std::move(values), 0.5); }

double spread(std::vector<double> values) {
  return (quantile(values, 0.75) - quantile(values, 0.25)) / median(values);
}

}  // namespace dualtape::bench
