#include <dualtape/core/threads.hpp>

#include <atomic>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string>

#include <dualtape/core/base/environment.hpp>
#include <dualtape/core/error.hpp>
#include <dualtape/core/machine/team.hpp>

namespace dualtape {
namespace {

std::atomic<int>& chosen() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe)
  static std::atomic<int> threads{detail::threads_from(std::getenv("DUALTAPE_NUM_THREADS"))};
  return threads;
}

}  // namespace

int detail::threads_from(const char* text) {
  if (text == nullptr || *text == '\0') return 1;
  const char* end = text + std::strlen(text);
  int count = 0;
  const auto [stop, error] = std::from_chars(text, end, count);
  if (error == std::errc{} && stop == end && count >= 1 && count <= most_threads) return count;
  refuse_environment("DUALTAPE_NUM_THREADS", text,
                     "whole numbers from 1 to " + std::to_string(most_threads), "to have 1");
}

void set_num_threads(int threads) {
  if (threads < 1 || threads > detail::most_threads)
    fail<ValueError>({.op = "set_num_threads",
                      .what = "a program cannot run on " + std::to_string(threads) + " threads",
                      .help = "give a number from 1 to " + std::to_string(detail::most_threads)});
  chosen().store(threads, std::memory_order_relaxed);
}

int num_threads() { return chosen().load(std::memory_order_relaxed); }

}  // namespace dualtape
