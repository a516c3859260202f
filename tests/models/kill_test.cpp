// A training that is killed at any moment: the checkpoint always loads, and what is lost is at most
// what was done since the last one.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <thread>

#include <dualtape/core/random.hpp>
#include <dualtape/data/batches.hpp>
#include <dualtape/models/callbacks.hpp>
#include <dualtape/models/checkpoint.hpp>
#include <dualtape/models/layers.hpp>
#include <dualtape/ops/losses.hpp>
#include <tests/models/files.hpp>

using namespace dualtape;

namespace {

constexpr std::int64_t every = 3;  // steps from one checkpoint to the next
constexpr int kills = 60;
constexpr int kills_for_each_checkpoint =
    4;  // one of so many is late enough for one, however slow it runs

// Writes the number of each step that is done into a pipe; a pipe keeps what a killed process
// wrote.
class Tell : public Callback {
 public:
  explicit Tell(int pipe) : pipe_(pipe) {}
  bool step(Trainer&, const StepInfo& info) override {
    if (pipe_ < 0) return true;
    return ::write(pipe_, &info.step, sizeof info.step) == sizeof info.step;
  }

 private:
  int pipe_;
};

struct Run {
  explicit Run(const std::filesystem::path& path, int pipe = -1, bool save = true) {
    TrainerOptions options{.schedule = constant_rate(0.01), .key = Key{3}};
    if (save)
      options.callbacks.push_back(
          std::make_shared<Checkpoints>(path, CheckpointsOptions{.every_steps = every}));
    options.callbacks.push_back(std::make_shared<Tell>(pipe));
    trainer =
        std::make_unique<Trainer>([mlp = mlp](Var x, Var y) { return Objective(mse(mlp(x), y)); },
                                  mlp.parameters(), forward_gradients(), adam, std::move(options));
  }

  Mlp mlp{{5, 16, 2}, Key{1}};
  Adam adam;
  Batches batches{{normal(Key{8}, {70, 5}), normal(Key{9}, {70, 2}), {}, {}, "noise"}, 8, Key{2}};
  std::unique_ptr<Trainer> trainer;
};

// This program, running the hidden case below, with the pipe's end and the file in its environment.
pid_t start_child(const std::filesystem::path& path, int pipe) {
  const std::string file = "DUALTAPE_KILL_FILE=" + path.string();
  const std::string end = "DUALTAPE_KILL_PIPE=" + std::to_string(pipe);
  std::string cores = "OPENBLAS_CORETYPE=";
  if (const char* own = std::getenv("OPENBLAS_CORETYPE")) cores += own;
  std::array<std::string, 3> arguments{"child", "--no-skip",
                                       "--test-case=the child of the kill test"};
  const pid_t child = ::fork();
  if (child != 0) return child;
  std::array<char*, 4> argv{arguments[0].data(), arguments[1].data(), arguments[2].data(), nullptr};
  std::array<const char*, 4> environment{file.c_str(), end.c_str(),
                                         cores.back() == '=' ? nullptr : cores.c_str(), nullptr};
  const int silent = ::open("/dev/null", O_WRONLY);
  ::dup2(silent, 1);
  ::execve("/proc/self/exe", argv.data(), const_cast<char* const*>(environment.data()));
  ::_exit(127);
}

// The last whole number in the pipe, or `before`.
std::int64_t last_told(int pipe, std::int64_t before) {
  std::int64_t step = 0;
  while (::read(pipe, &step, sizeof step) == sizeof step) before = step;
  return before;
}

// The files beside, all of which have names that nobody else has, that are not yet in `seen`.
std::set<std::string> new_parts(const std::filesystem::path& folder, std::set<std::string>& seen) {
  std::set<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".part") && seen.insert(name).second) found.insert(name);
  }
  return found;
}

}  // namespace

TEST_CASE("the child of the kill test" * doctest::skip()) {
  const char* file = std::getenv("DUALTAPE_KILL_FILE");
  const char* pipe = std::getenv("DUALTAPE_KILL_PIPE");
  if (file == nullptr || pipe == nullptr) return;
  Run run(file, std::atoi(pipe));
  resume(file, *run.trainer);
  run.trainer->fit(run.batches, {.until_step = 1'000'000'000});
}

TEST_CASE("a kill at any moment loses no more than the steps since the last checkpoint") {
  if (!built_with_json()) return;
  const Folder folder;
  const auto path = folder / "run.safetensors";
  std::int64_t reached = 0;
  int in_the_midst = 0;  // kills that left a half-written file beside
  std::set<std::string> seen;
  for (int n = 0; n < kills; ++n) {
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    const pid_t child = start_child(path, ends[1]);
    REQUIRE(child > 0);
    ::close(ends[1]);
    std::int64_t first = 0;
    // It is under way when it tells of its first step; every tenth is killed earlier, while it
    // starts or loads.
    const bool early = n % 10 == 9;
    if (!early) REQUIRE(::read(ends[0], &first, sizeof first) == sizeof first);
    std::int64_t later = first;
    if (n % kills_for_each_checkpoint == 0)
      while (later < first + every) REQUIRE(::read(ends[0], &later, sizeof later) == sizeof later);
    const std::uint64_t wait = Key(77).fold(static_cast<std::uint64_t>(n)).value() % 20'000;
    std::this_thread::sleep_for(std::chrono::microseconds(wait));
    ::kill(child, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));  // it has not ended by itself, as by an error
    const std::int64_t done = last_told(ends[0], later);
    ::close(ends[0]);

    if (!new_parts(folder.path(), seen).empty()) ++in_the_midst;
    Run run(path, -1, false);
    const bool there = resume(path, *run.trainer);
    const std::int64_t saved = run.trainer->steps_done();
    CAPTURE(n);
    if (!early && done >= every + 1) CHECK(there);
    CHECK(saved % every == 0);
    // The step being told is not saved yet, so that one behind a checkpoint may be lost as well.
    CHECK(saved >= done - every);
    CHECK(saved >= reached);
    if (!early && first > 1) CHECK(first == reached + 1);  // it went on where the file was
    reached = saved;
  }
  MESSAGE(reached, " steps, ", in_the_midst, " of ", kills, " kills while a file was written");
  CHECK(reached >= kills / kills_for_each_checkpoint * every);
  CHECK(in_the_midst > 0);
  // Each writer takes away what those before left.
  {
    Run last(path);
    resume(path, *last.trainer);
    last.trainer->fit(last.batches, {.steps = every});
    reached = last.trainer->steps_done();
    CHECK(std::distance(std::filesystem::directory_iterator(folder.path()),
                        std::filesystem::directory_iterator{}) == 1);
  }

  // After all the kills, it goes on with the bits of a run without any.
  Run killed(path, -1, false);
  resume(path, *killed.trainer);
  Run whole(path, -1, false);
  killed.trainer->fit(killed.batches, {.until_step = reached + 4});
  whole.trainer->fit(whole.batches, {.until_step = reached + 4});
  const auto wanted = whole.trainer->state();
  const auto got = killed.trainer->state();
  REQUIRE(got.size() == wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(got[i].name);
    CHECK(got[i].name == wanted[i].name);
    CHECK(identical(got[i].tensor, wanted[i].tensor));
  }
}
