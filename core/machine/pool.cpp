// The one pool of threads, which run_parts() hands work to.
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <dualtape/core/machine/denormals.hpp>
#include <dualtape/core/machine/team.hpp>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace dualtape::detail {
namespace {

constexpr std::size_t most_parts = 1 << 16;

void pause() {
#if defined(__SSE2__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// The parts of a job that nobody has taken yet, in one word, so that a thread takes one with a
// single exchange and touches the job itself only when it holds a part of it: a thread that wakes
// up late finds nothing to take, and nobody has to wait for it.
class Open {
 public:
  explicit Open(std::uint64_t word = 0) : word_(word) {}
  Open(std::size_t parts, int threads)
      : word_(std::uint64_t{parts} << 24 | static_cast<std::uint64_t>(threads)) {}
  std::uint64_t word() const { return word_; }
  bool has_one_for(int thread) const {
    return next() < parts() && static_cast<std::uint64_t>(thread) < (word_ & 0xFFFFFF);
  }
  std::size_t parts() const { return word_ >> 24 & 0xFFFFF; }
  std::size_t next() const { return word_ >> 44; }
  Open without_next() const { return Open(word_ + (std::uint64_t{1} << 44)); }

 private:
  std::uint64_t word_;  // next part: 20 bits, parts: 20, threads: 24
};

class Pool {
 public:
  // False, and nothing was done, if a job is running.
  bool run(int threads, std::size_t parts, PartCall call, void* context) {
    if (busy_.exchange(true, std::memory_order_acquire)) return false;
    grow(threads - 1);
    job_ = {call, context};
    done_.store(0, std::memory_order_relaxed);
    open_.store(Open(parts, threads).word(), std::memory_order_release);
    announced_.fetch_add(1);
    announced_.notify_all();
    take_parts(0);
    std::uint32_t done = done_.load(std::memory_order_acquire);
    while (done != parts) done = wait_for_other(done_, done);
    const std::exception_ptr error = std::exchange(error_, nullptr);
    busy_.store(false, std::memory_order_release);
    if (error) std::rethrow_exception(error);
    return true;
  }

  // At the end of the process. Threads that are at work in somebody's job are left alone.
  void stop() {
    if (busy_.exchange(true, std::memory_order_acquire)) return;
    stopping_.store(true, std::memory_order_release);
    announced_.fetch_add(1);
    announced_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
  }

 private:
  struct Job {
    PartCall call = nullptr;
    void* context = nullptr;
  };

  // As far as the system lets us: whoever is there does all parts.
  void grow(int workers) {
    try {
      while (static_cast<int>(workers_.size()) < workers) {
        const int number = static_cast<int>(workers_.size()) + 1;
        workers_.emplace_back([this, number] { work(number); });
      }
    } catch (const std::system_error&) {
    }
  }

  void work(int thread) {
    const FlushDenormals flush;
    std::uint32_t announced = 0;
    while (!stopping_.load(std::memory_order_acquire)) {
      take_parts(thread);
      announced = wait_for_other(announced_, announced);
    }
  }

  void take_parts(int thread) {
    Open open(open_.load(std::memory_order_acquire));
    while (open.has_one_for(thread)) {
      std::uint64_t word = open.word();
      if (open_.compare_exchange_weak(word, open.without_next().word(), std::memory_order_acq_rel,
                                      std::memory_order_acquire)) {
        do_part(open.next(), thread);
        if (done_.fetch_add(1) + 1 == open.parts()) done_.notify_all();
        word = open_.load(std::memory_order_acquire);
      }
      open = Open(word);
    }
  }

  void do_part(std::size_t part, int thread) {
    try {
      job_.call(job_.context, part, thread);
    } catch (...) {
      const std::lock_guard lock(error_mutex_);
      if (!error_ || part < error_part_) {
        error_ = std::current_exception();
        error_part_ = part;
      }
    }
  }

  // The value once it is another than `old`: at once or soon in a run, where steps follow each
  // other, so at first without sleep.
  std::uint32_t wait_for_other(const std::atomic<std::uint32_t>& value, std::uint32_t old) const {
    for (int i = 0; i < spins_; ++i) {
      const std::uint32_t now = value.load(std::memory_order_acquire);
      if (now != old) return now;
      pause();
    }
    value.wait(old, std::memory_order_acquire);
    return value.load(std::memory_order_acquire);
  }

  const int spins_ = std::thread::hardware_concurrency() > 1 ? 2000 : 0;
  std::vector<std::thread> workers_;
  Job job_;
  std::mutex error_mutex_;
  std::exception_ptr error_;
  std::size_t error_part_ = 0;
  std::atomic<bool> busy_{false};
  std::atomic<bool> stopping_{false};
  alignas(64) std::atomic<std::uint64_t> open_{0};
  alignas(64) std::atomic<std::uint32_t> announced_{0};  // jobs so far
  alignas(64) std::atomic<std::uint32_t> done_{0};       // parts of this job
};

// Never freed: threads that outlive main() may still look at it.
std::atomic<Pool*> the_pool{nullptr};

struct StopAtExit {
  ~StopAtExit() {
    if (Pool* pool = the_pool.load(std::memory_order_acquire)) pool->stop();
  }
};

Pool& pool() {
  if (Pool* found = the_pool.load(std::memory_order_acquire)) return *found;
#if defined(__unix__) || defined(__APPLE__)
  // Threads do not live on in a forked process, which gets a pool of its own.
  static const int registered =
      pthread_atfork(nullptr, nullptr, [] { the_pool.store(nullptr, std::memory_order_relaxed); });
  static_cast<void>(registered);
#endif
  static const StopAtExit stop_at_exit;
  auto* made = new Pool;
  Pool* found = nullptr;
  if (the_pool.compare_exchange_strong(found, made, std::memory_order_acq_rel)) return *made;
  delete made;
  return *found;
}

}  // namespace

void run_parts(int threads, std::size_t parts, PartCall call, void* context) {
  if (threads > 1 && parts > 1 && parts <= most_parts && pool().run(threads, parts, call, context))
    return;
  for (std::size_t part = 0; part < parts; ++part) call(context, part, 0);
}

}  // namespace dualtape::detail
