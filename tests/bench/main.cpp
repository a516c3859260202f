// dualtape-bench: measures dualtape and, with --compare, its rivals by turns; prints tables and the
// targets, and writes JSON. --micro hands over to Google Benchmark.
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>

#include <benchmark/benchmark.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <tests/bench/driver.hpp>
#include <tests/bench/own.hpp>
#include <tests/bench/report.hpp>

namespace dualtape::bench {
namespace {

int run_micro(int argc, char** argv) {
  for (int i = 1; i + 1 < argc; ++i) argv[i] = argv[i + 1];
  --argc;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

struct Arguments {
  DriverOptions driver;
  std::vector<int> threads{1};
  std::string json, markdown, from;
  bool check = false, list = false;
};

void print_setting(const Arguments& arguments) {
  if (const std::string core = blas_core(); !core.empty())
    std::cout << "OPENBLAS_CORETYPE=" << core
              << " for every program, since OpenBLAS does not know every processor with AVX-512.\n";
  std::cout << "One thread: processor time, all programs on one processor in turns; more threads: "
               "time on the wall.\nRounds: "
            << arguments.driver.rounds << " in " << arguments.driver.launches << " launches\n";
}

void print(const Report& report) {
  std::cout << "\n== Threads: " << report.threads << " ==\n";
  print_times(std::cout, report.figures);
  print_cost_ratios(std::cout, report.figures);
  print_targets(std::cout, report.figures);
  std::cout << std::flush;
}

// "" for a file that is not there.
std::string read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

int run(Arguments& arguments) {
  if (arguments.list) {
    for (const Workload& workload : own_workloads()) std::cout << workload.name << '\n';
    return 0;
  }
  if (arguments.check) return agree(arguments.driver) ? 0 : 1;
  std::vector<Report> reports;
  if (arguments.from.empty()) {
    print_setting(arguments);
    for (const int threads : arguments.threads) {
      arguments.driver.threads = threads;
      reports.push_back({threads, this_machine(), measure(arguments.driver)});
      print(reports.back());
    }
  } else {
    const std::string text = read(arguments.from);
    if (text.empty()) throw std::runtime_error("cannot read " + arguments.from);
    reports = from_records(nlohmann::json::parse(text));
    for (const Report& report : reports) print(report);
  }
  nlohmann::json all = nlohmann::json::array();
  for (const Report& report : reports)
    for (nlohmann::json& record : records(report)) all.push_back(std::move(record));
  if (!arguments.json.empty()) write(arguments.json, all.dump(1) + '\n');
  if (!arguments.markdown.empty())
    write(arguments.markdown, put_between_marks(read(arguments.markdown), markdown(reports)));
  return 0;
}

}  // namespace
}  // namespace dualtape::bench

int main(int argc, char** argv) {
  using namespace dualtape::bench;
  if (argc > 1 && std::strcmp(argv[1], "--serve") == 0)
    return run_peer(argc, argv, "dualtape", own_workloads());
  if (argc > 1 && std::strcmp(argv[1], "--micro") == 0) return run_micro(argc, argv);

  Arguments arguments;
  CLI::App app{"Measures dualtape; see also --micro, followed by flags of Google Benchmark."};
  app.add_option("filters", arguments.driver.filters, "workloads, or workload/mode; all if none");
  app.add_flag("--compare", arguments.driver.compare, "rivals too, in turns with dualtape");
  app.add_flag("--check", arguments.check, "only whether all find the same loss and derivatives");
  app.add_flag("--list", arguments.list, "only the names of the workloads");
  app.add_option("--json", arguments.json, "writes the figures to this file");
  app.add_option("--markdown", arguments.markdown,
                 "writes the tables to this file; between its lines <!-- bench --> and "
                 "<!-- /bench --> if it has them");
  app.add_option("--from", arguments.from, "measures nothing, but reads what --json once wrote");
  app.add_option("--threads", arguments.threads, "thread counts to measure on")->delimiter(',');
  app.add_option("--rounds", arguments.driver.rounds, "samples of each figure")
      ->check(CLI::PositiveNumber);
  app.add_option("--launches", arguments.driver.launches, "fresh processes for each workload")
      ->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  try {
    return run(arguments);
  } catch (const std::exception& error) {
    std::cerr << "dualtape-bench: " << error.what() << '\n';
    return 1;
  }
}
