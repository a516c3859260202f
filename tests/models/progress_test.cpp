#include <dualtape/models/progress.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>

#include <dualtape/data/batches.hpp>
#include <dualtape/models/layers.hpp>
#include <dualtape/models/trainer.hpp>
#include <dualtape/ops/losses.hpp>
#include <tests/errors.hpp>
#include <tests/models/files.hpp>

using namespace dualtape;
using dualtape::testing::contains;
using dualtape::testing::has;

namespace {

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Close>;

void train(std::FILE* out) {
  const nn::Linear line("line", 2, 1, Key{1});
  Sgd sgd;
  const auto bar = std::make_shared<ProgressBar>(
      ProgressOptions{.steps_per_epoch = 3, .out = out, .seconds = 0});
  Trainer trainer([&](Var x, Var y) { return mse(line(x), y); }, line.parameters(),
                  backpropagation(), sgd, {.callbacks = {bar}});
  Batches batches({ones({6, 2}), ones({6, 1}), {}, {}, "ones"}, 2);
  trainer.fit(batches, {.epochs = 2});
}

// What a training prints on a terminal with this environment.
std::string on_terminal(const char* term, const std::optional<std::string>& no_color) {
  const int master = ::posix_openpt(O_RDWR | O_NOCTTY);
  REQUIRE(master >= 0);
  REQUIRE(::grantpt(master) == 0);
  REQUIRE(::unlockpt(master) == 0);
  std::string text;
  {
    const File slave(std::fopen(::ptsname(master), "w"));
    REQUIRE(slave != nullptr);
    const testing::Environment kind("TERM", term);
    const testing::Environment colours("NO_COLOR", no_color);
    train(slave.get());
    ::fcntl(master, F_SETFL, O_NONBLOCK);
    char buffer[4096];
    for (ssize_t size = 0; (size = ::read(master, buffer, sizeof buffer)) > 0;)
      text.append(buffer, static_cast<std::size_t>(size));
  }
  ::close(master);
  return text;
}

}  // namespace

TEST_CASE("a line of progress") {
  CHECK(progress_line(120, 240, 35, 0.12345, "test loss 0.2", 200) ==
        "[==========>         ]  50% 120/240 35.0/s ETA 4 s loss 0.1235 | test loss 0.2");
  CHECK(progress_line(240, 240, 2, 0.5, "", 200) ==
        "[====================] 100% 240/240 2.00/s ETA 0 s loss 0.5");
  CHECK(progress_line(1, 1000, 0.25, 1, "", 200) ==
        "[>                   ]   0% 1/1000 0.25/s ETA 1:06:36 loss 1");
  CHECK(progress_line(7, 0, 3.5, 2, "", 200) == "7 steps 3.50/s loss 2");
  CHECK(progress_line(0, 10, 0, 2, "", 200).find("ETA ?") != std::string::npos);
  CHECK(progress_line(120, 240, 35, 0.1, "a", 30).size() == 30);
}

TEST_CASE("a terminal gets a bar, which ends with a new line") {
  const std::string text = on_terminal("xterm", {});
  CHECK(has(text, "\r\x1b[32m["));
  CHECK(has(text, "3/6"));
  CHECK(has(text, "100% 6/6"));
  CHECK(has(text, "loss"));
  CHECK(text.back() == '\n');
}

TEST_CASE("NO_COLOR takes the colours, not the bar") {
  const std::string text = on_terminal("xterm", "1");
  CHECK(!contains(text, "\x1b[32m"));
  CHECK(!contains(text, "\x1b[0m"));
  CHECK(has(text, "\r["));
  CHECK(has(on_terminal("xterm", ""), "\x1b[32m"));  // empty counts as not set
}

TEST_CASE("files, pipes and terminals that cannot draw get nothing") {
  CHECK(on_terminal("dumb", {}).empty());
  const Folder folder;
  {
    const File file(std::fopen((folder / "out").c_str(), "w"));
    const testing::Environment kind("TERM", "xterm");
    train(file.get());
  }
  CHECK(bytes_of_file(folder / "out").empty());
}

TEST_CASE("options of a progress bar that are out of range are refused at its line") {
  const auto told = [](const ProgressOptions& options, const char* what) {
    const std::string text = testing::error_of<ValueError>([&] { const ProgressBar bar(options); });
    CHECK(testing::has(text, what));
    CHECK(testing::has(text, "progress_test.cpp:"));
  };
  told({.steps_per_epoch = -1}, "steps_per_epoch is -1");
  told({.out = nullptr}, "out is null");
  told({.seconds = -0.1}, "seconds is -0.1");
}
