// The threads of one run, as kernels see them: how a kernel divides its work.
// Private. A Team is made with its program and belongs to the thread that runs it.
#pragma once

#include <algorithm>
#include <cstddef>

#include <dualtape/core/kernel.hpp>

namespace dualtape::detail {

inline constexpr int most_threads = 1024;

// The number that the text of DUALTAPE_NUM_THREADS asks for; 1 for null and "". ValueError unless
// it is from 1 to most_threads.
int threads_from(const char* text);

// Work that was cut in parts: call(context, part, thread) for every part.
using PartCall = void (*)(void* context, std::size_t part, int thread);

// Calls `call` once for each part, in no order, on this thread (number 0) and up to `threads` - 1
// of the pool's; returns when all are done. Everything on this thread, in order, where the pool
// runs something else: never waits for it. If parts throw, the exception of the lowest of them is
// thrown here.
void run_parts(int threads, std::size_t parts, PartCall call, void* context);

class Team {
 public:
  // Of at least 2 threads. Threads but the first get `workspace_bytes` each from `workspaces`.
  Team(int threads, std::byte* workspaces, std::size_t workspace_bytes)
      : threads_(threads), workspaces_(workspaces), workspace_bytes_(workspace_bytes) {}

  int threads() const { return threads_; }
  // Of thread 1 and up; the first has KernelArgs::workspace.
  void* workspace(int thread) const {
    return workspaces_ + static_cast<std::size_t>(thread - 1) * workspace_bytes_;
  }
  // f(part, thread) for every part; see run_parts().
  template <class F>
  void run(std::size_t parts, const F& f) const {
    run_parts(
        threads_, parts,
        [](void* context, std::size_t part, int thread) {
          (*static_cast<const F*>(context))(part, thread);
        },
        const_cast<F*>(&f));  // called as const
  }

 private:
  int threads_;
  std::byte* workspaces_;
  std::size_t workspace_bytes_;
};

// Below that many elements of cheap steps, some 15 us, handing work to a thread (2 to 5 us where it
// is awake) costs more than it saves.
inline constexpr std::size_t least_divided = std::size_t{1} << 17;

// f(first, last, workspace) for ranges that cover 0 ... count - 1 and begin at multiples of `unit`;
// `cost` is that of all of them, in elements of cheap steps. For work whose results do not depend
// on where ranges begin, since there are more of them than threads: the fast ones do more.
template <class F>
void in_ranges(const KernelArgs& args, std::size_t count, std::size_t unit, std::size_t cost,
               F&& f) {
  const std::size_t units = (count + unit - 1) / unit;
  if (args.team == nullptr || cost < least_divided || units < 2)
    return f(std::size_t{0}, count, args.workspace);
  const std::size_t wanted = 4 * static_cast<std::size_t>(args.team->threads());
  const std::size_t step = (units + wanted - 1) / wanted * unit;
  args.team->run((count + step - 1) / step, [&](std::size_t part, int thread) {
    f(part * step, std::min((part + 1) * step, count),
      thread == 0 ? args.workspace : args.team->workspace(thread));
  });
}

}  // namespace dualtape::detail
