// The demo's training on a small scale, and what it does about files that are wrong.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <dualtape/core/error.hpp>

#include "../../docs/common/files.hpp"
#include "../../docs/demo/train.hpp"
#include "tests/data/temporary.hpp"

namespace fs = std::filesystem;
using namespace dualtape::demo;
using namespace dualtape::docs;  // NOLINT(google-build-using-namespace)

namespace {

struct Folder : dualtape::testing::TemporaryFolder {
  Folder() : TemporaryFolder("train test ") {}
};

Options small(const fs::path& out) {
  Options options;
  options.data = DataSet::iris;
  options.methods = {{Mode::reverse, 0, 0.1}, {Mode::forward, 1, 0.02}, {Mode::forward, 4, 0.05}};
  options.epochs = 3;
  options.batch = 50;  // 120 rows to train on: 50, 50 and 20
  options.out = out.string();
  return options;
}

// The figures of a run without the seconds, which differ from run to run.
std::string without_seconds(const fs::path& csv) {
  std::istringstream in(read_file(csv));
  std::string text;
  for (std::string line; std::getline(in, line);) {
    const std::size_t from = line.find(',');
    text += line.substr(0, from) + line.substr(line.find(',', from + 1)) + "\n";
  }
  return text;
}

std::string first_loss(const fs::path& csv) {
  std::istringstream in(without_seconds(csv));
  std::string line;
  std::getline(in, line);
  std::getline(in, line);
  return line.substr(0, line.find(',', line.find(',') + 1));
}

}  // namespace

TEST_CASE("demo training: every method from one start, a table, a page and drawings") {
  const Folder folder;
  Options options = small(folder / "out");
  options.graph = (folder / "net.dot").string();
  std::ostringstream said;
  run_demo(options, "0", said);

  CHECK(said.str().find("forward, 4 directions") != std::string::npos);
  CHECK(said.str().find("Report: " + (folder / "out" / "report.html").string()) !=
        std::string::npos);
  CHECK(fs::exists(folder / "out" / "report.html"));
  // The first loss is measured before the first update, on the same batch.
  const std::string start = first_loss(folder / "out" / "reverse.csv");
  CHECK(start.substr(0, 2) == "1,");
  CHECK(start == first_loss(folder / "out" / "forward-1-direction.csv"));
  CHECK(start == first_loss(folder / "out" / "forward-4-directions.csv"));
  for (const char* name :
       {"net-reverse.dot", "net-forward-1-direction.dot", "net-forward-4-directions.dot"}) {
    const std::string drawing = read_file(folder / name);
    CHECK(drawing.substr(0, 7) == "digraph");
    CHECK(drawing.find("assign logits.weight") != std::string::npos);
  }
  CHECK(read_file(folder / "net-reverse.dot").find("random") == std::string::npos);
  CHECK(read_file(folder / "net-forward-1-direction.dot").find("random") != std::string::npos);
}

TEST_CASE("demo training: the same seed gives the same figures, another one others") {
  const Folder folder;
  std::ostringstream said;
  run_demo(small(folder / "a"), "0", said);
  run_demo(small(folder / "b"), "0", said);
  Options other = small(folder / "c");
  other.seed = 8;
  run_demo(other, "0", said);
  for (const char* name : {"reverse.csv", "forward-1-direction.csv", "forward-4-directions.csv"}) {
    CHECK(without_seconds(folder / "a" / name) == without_seconds(folder / "b" / name));
    CHECK(without_seconds(folder / "a" / name) != without_seconds(folder / "c" / name));
  }
}

TEST_CASE("demo training: what is configured is what runs, and is left beside the figures") {
  const Folder folder;
  std::ostringstream said;
  const auto steps_of = [&](const Options& options) {
    run_demo(options, "0", said);
    CHECK(read_file(fs::path(options.out) / "config.toml") == options.config());
    const std::string csv = read_file(fs::path(options.out) / "reverse.csv");
    return std::count(csv.begin(), csv.end(), '\n') - 1;
  };
  Options options = small(folder / "a");
  options.methods = {{Mode::reverse, 0, 0.1}};
  CHECK(steps_of(options) == 9);
  options.steps = 4;
  CHECK(steps_of(options) == 4);
  options.epochs = 0;
  options.steps = 14;
  options.out = (folder / "b").string();
  CHECK(steps_of(options) == 14);
  // Any loss is below: one epoch.
  options.stop_below = 1e9;
  CHECK(steps_of(options) == 3);

  // A rate that stays is e^(-k step) with a k of nothing; another k is another training.
  options.stop_below.reset();
  const auto figures_of = [&](Decay decay, double k) {
    options.decay = decay;
    options.decay_k = k;
    steps_of(options);
    return without_seconds(folder / "b" / "reverse.csv");
  };
  const std::string stays = figures_of(Decay::none, 0);
  CHECK(figures_of(Decay::natural, 1e-300) == stays);
  CHECK(figures_of(Decay::natural, 0.1) != stays);
  CHECK(figures_of(Decay::cosine, 0) != stays);

  // Of the 30 flowers to test with.
  std::istringstream summary(read_file(folder / "b" / "summary.csv"));
  std::string line;
  std::getline(summary, line);
  std::getline(summary, line);
  const double wrong = std::stod(line.substr(line.rfind(',') + 1));
  line.resize(line.rfind(','));
  const double accuracy = std::stod(line.substr(line.rfind(',') + 1));
  CHECK(wrong == std::floor(wrong));
  CHECK(1 - wrong / 30 == doctest::Approx(accuracy));
}

TEST_CASE("demo training: a rate that diverges is reported, not hidden") {
  const Folder folder;
  Options options = small(folder / "out");
  options.methods = {{Mode::reverse, 0, 1e30}};
  std::ostringstream said;
  run_demo(options, "0", said);
  CHECK(said.str().find("nan") != std::string::npos);
}

TEST_CASE("demo training: files that are wrong are found before training") {
  const Folder folder;
  std::ostringstream said;
  std::ofstream(folder / "file") << "in the way";
  CHECK_THROWS_AS(run_demo(small(folder / "file"), "0", said), dualtape::DataError);

  Options options = small(folder / "out");
  options.graph = (folder / "none" / "net.dot").string();
  CHECK_THROWS_AS(run_demo(options, "0", said), dualtape::DataError);
  CHECK(!fs::exists(folder / "out" / "report.html"));

  // A broken copy of the data in the user's own folder, which is looked at first.
  fs::create_directories(folder / "data" / "iris");
  std::ofstream(folder / "data" / "iris" / "iris.csv") << "a,b\n1,2\n";
  const dualtape::testing::DataFolder data(folder / "data");
  CHECK_THROWS_AS(run_demo(small(folder / "never"), "0", said), dualtape::DataError);
  CHECK(!fs::exists(folder / "never"));
}
