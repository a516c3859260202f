// Figures over many runs: many seeds at once on all cores, quantiles, bands, CSV files.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace dualtape::docs {

// The value below which `share` (0..1) of the values lie, between neighbours in proportion; values
// that are not finite count as larger than all others. ValueError without values.
double quantile(std::vector<double> values, double share);
inline double median(std::vector<double> values) { return quantile(std::move(values), 0.5); }

// Quantiles over runs, step by step.
struct Bands {
  std::vector<double> low, mid, high;
};
// Of curves of one length; ValueError if the lengths differ or there are none.
Bands bands(const std::vector<std::vector<double>>& curves, double low = 0.05, double high = 0.95);

// Runs worker(seed) for the seeds first, first + 1, ..., count of them, on all cores; the results
// come in the order of the seeds, whatever the number of cores. `make_worker()` is called once on
// each thread and returns that thread's worker: build graph and program in it, since a Program
// serves one thread at a time. The first exception of a worker is thrown again here.
template <class MakeWorker>
auto over_seeds(std::uint64_t first, std::size_t count, MakeWorker make_worker) {
  using Worker = std::invoke_result_t<MakeWorker&>;
  using Result = std::invoke_result_t<Worker&, std::uint64_t>;
  std::vector<std::optional<Result>> slots(count);
  std::atomic<std::size_t> next{0};
  std::exception_ptr problem;
  std::mutex guard;
  const auto work = [&] {
    try {
      Worker worker = make_worker();
      for (std::size_t i = next++; i < count; i = next++) slots[i].emplace(worker(first + i));
    } catch (...) {
      const std::lock_guard lock(guard);
      if (!problem) problem = std::current_exception();
      next = count;
    }
  };
  const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < std::min(cores, count); ++i) threads.emplace_back(work);
  }
  if (problem) std::rethrow_exception(problem);
  std::vector<Result> results;
  for (std::optional<Result>& slot : slots) results.push_back(std::move(*slot));
  return results;
}

// One column of a CSV file.
struct Column {
  std::string name;
  std::vector<double> values;
};
// Writes the columns under their names; a column that is shorter than others ends in empty cells.
// Throws DataError where the file cannot be written.
void write_csv(const std::filesystem::path& path, const std::vector<Column>& columns);

}  // namespace dualtape::docs
