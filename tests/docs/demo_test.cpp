// The presentation half of the demo: progress line, table, CSV files, report.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <dualtape/core/error.hpp>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "../../docs/common/files.hpp"
#include "../../docs/common/gnuplot.hpp"
#include "../../docs/common/text.hpp"
#include "../../docs/demo/plots.hpp"
#include "../../docs/demo/progress.hpp"
#include "../../docs/demo/report.hpp"
#include "../../docs/demo/table.hpp"
#include "tests/data/temporary.hpp"

namespace fs = std::filesystem;
using namespace dualtape::demo;  // NOLINT(google-build-using-namespace)
using namespace dualtape::docs;  // NOLINT(google-build-using-namespace)
using dualtape::testing::contains;
using dualtape::testing::Environment;

namespace {

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

// There is a space in its name.
struct Folder : dualtape::testing::TemporaryFolder {
  Folder() : TemporaryFolder("demo test ") {}
};

void put_program(const fs::path& path, const std::string& text) {
  std::ofstream(path) << text;
  fs::permissions(path, fs::perms::owner_all);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) {
    ++count;
  }
  return count;
}

std::vector<std::string> files_below(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) names.push_back(fs::relative(entry.path(), folder).string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

Run some_run(const std::string& name) {
  Run run;
  run.name = name;
  run.step = {1, 2, 3};
  run.seconds = {0.5, 1, 1.5};
  run.loss = {2.5, 1.25, 0.125};
  run.test_accuracy = {0.25, nan_value, 0.75};
  run.cosine_step = {2, 4};
  run.cosine = {0.5, 1};
  run.summary = {name, 3, 1.5, 500, nan_value, 0.75, 0.125};
  return run;
}

ReportInfo some_info() {
  ReportInfo info;
  info.title = "Title <1>";
  info.command = "./run demo --seed 3";
  info.seed = 3;
  info.data = "some & rows";
  return info;
}

// What ends up on a stream that a Progress writes to.
class Paper {
 public:
  Paper() : file_(std::tmpfile()) { REQUIRE(file_ != nullptr); }
  ~Paper() { std::fclose(file_); }
  Paper(const Paper&) = delete;
  Paper& operator=(const Paper&) = delete;
  std::FILE* file() const { return file_; }
  std::string text() const {
    std::rewind(file_);
    std::string all;
    for (int c = 0; (c = std::fgetc(file_)) != EOF;) all += static_cast<char>(c);
    return all;
  }

 private:
  std::FILE* file_;
};

}  // namespace

TEST_CASE("demo text: figures, durations, escapes") {
  CHECK(figure(2.30259) == "2.303");
  CHECK(figure(0.0123456) == "0.01235");
  CHECK(figure(123.456) == "123.5");
  CHECK(figure(0.00001234) == "1.2e-05");
  CHECK(figure(nan_value) == "nan");
  CHECK(figure(0) == "0");
  CHECK(csv_number(0.1) == "0.1");
  CHECK(csv_number(nan_value).empty());
  CHECK(std::stod(csv_number(1.0 / 3)) == 1.0 / 3);
  CHECK(duration(0.84) == "0.8 s");
  CHECK(duration(59.4) == "59 s");
  CHECK(duration(59.6) == "1 min 00 s");
  CHECK(duration(187) == "3 min 07 s");
  CHECK(duration(7500) == "2 h 05 min");
  CHECK(duration(HUGE_VAL) == "?");
  CHECK(html("<a b=\"c\">&'") == "&lt;a b=&quot;c&quot;&gt;&amp;&#39;");
  CHECK(shell_word("a/b-c.d") == "a/b-c.d");
  CHECK(shell_word("it's") == "'it'\\''s'");
  CHECK(shell_word("") == "''");
  CHECK(slug("Forward, 16 directions!") == "forward-16-directions");
  CHECK(slug("../..") == "run");
  CHECK(columns("▏é") == 2);
  CHECK(clip("aéb", 2) == "aé");
  CHECK(closest("--epcohs", {"--seed", "--epochs"}) == "--epochs");
  CHECK(closest("--zzzzzz", {"--seed", "--epochs"}).empty());
}

TEST_CASE("demo table: numbers end in the same column, unmeasured figures are a dash") {
  std::vector<Summary> rows(2);
  rows[0] = {"reverse", 5, 1.25, 250, nan_value, 0.5, nan_value};
  rows[1] = {"forward, 16 directions", 123456, 12.5, 0.1012, 1, 0.98765, 0.25};
  const std::vector<std::string> lines = lines_of(text_table(rows));
  REQUIRE(lines.size() == 4);
  for (const std::string& line : lines) CHECK(line.size() == lines[0].size());
  CHECK(lines[2].rfind("reverse ", 0) == 0);
  CHECK(lines[2].find("5 ") == lines[3].find("6 ", lines[3].find("12345")));
  CHECK(contains(lines[2], " - "));
  CHECK(contains(lines[2], "50.0 %"));
  CHECK(lines[2].substr(lines[2].size() - 3) == "nan");
  CHECK(contains(lines[3], "98.8 %"));
  CHECK(contains(lines[3], "0.101"));

  rows[0].method = "a<b";
  const std::string table = html_table(rows);
  CHECK(contains(table, "<th scope=\"row\">a&lt;b</th>"));
  CHECK(count_of(table, "<td>") == 12);
  CHECK(count_of(table, "<tr>") == count_of(table, "</tr>"));
  CHECK(count_of(text_table({}), "\n") == 2);
}

TEST_CASE("demo progress: no line is wider than the screen") {
  Reading reading{"forward, 16 directions", 924, 2200, 3.2, 0.4123, 0.881};
  for (const bool blocks : {false, true}) {
    Screen screen;
    screen.blocks = blocks;
    for (std::size_t width = 1; width < 150; ++width) {
      for (const std::size_t total : {std::size_t{0}, std::size_t{2200}}) {
        reading.total = total;
        CAPTURE(width);
        CHECK(columns(live_line(reading, screen, width)) <= width);
      }
    }
  }
  Screen screen;
  const std::string wide = live_line(reading, screen, 140);
  for (const char* part :
       {" 42 %", "924/2200", "loss 0.4123", "acc 88.1 %", "289 steps/s", "4.4 s left"}) {
    CHECK(contains(wide, part));
  }
  CHECK_FALSE(contains(wide, "\x1b"));
  screen.colour = true;
  CHECK(contains(live_line(reading, screen, 140), "\x1b[36m"));
  reading.step = 2199;
  CHECK(contains(live_line(reading, screen, 140), " 99 %"));
}

TEST_CASE("demo progress: on a terminal one line is redrawn, at most 15 times a second") {
  const Paper paper;
  double now = 100;
  Screen screen;
  screen.stream = paper.file();
  screen.live = true;
  screen.width = 100;
  {
    Progress progress("run", 1000, 0, screen, [&] { return now; });
    for (std::size_t step = 1; step <= 1000; ++step) {
      now += 0.002;  // 2 s in all
      progress.update(step, 0.5);
    }
    progress.finish();
    progress.finish();
  }
  const std::string text = paper.text();
  CHECK(count_of(text, "\n") == 1);
  CHECK(text.back() == '\n');
  const std::size_t drawn = count_of(text, "\r");
  CHECK(drawn >= 20);
  CHECK(drawn <= 2 * 15 + 2);
  CHECK(contains(text.substr(text.rfind('\r')), "1000 steps in 2.0 s  500 steps/s  loss 0.5000"));
}

TEST_CASE("demo progress: elsewhere a plain line for each tenth") {
  const Paper paper;
  double now = 0;
  Screen screen;
  screen.stream = paper.file();
  Progress progress("run", 1000, 0, screen, [&] { return now; });
  for (std::size_t step = 1; step <= 1000; ++step) {
    now += 0.001;
    progress.update(step, 0.25, step == 500 ? std::optional<double>(0.5) : std::nullopt);
  }
  progress.finish();
  const std::vector<std::string> lines = lines_of(paper.text());
  REQUIRE(lines.size() == 10);
  CHECK(contains(lines[0], " 10 %"));
  CHECK_FALSE(contains(lines[0], "accuracy"));
  CHECK(contains(lines[8], " 90 %"));
  CHECK(contains(lines[8], "accuracy 50.0 %"));
  CHECK(contains(lines[9], "1000 steps"));
  CHECK_FALSE(contains(paper.text(), "\x1b"));
  CHECK_FALSE(contains(paper.text(), "\r"));
}

TEST_CASE("demo progress: unknown total, and a run left by an exception") {
  for (const bool live : {false, true}) {
    CAPTURE(live);
    const Paper paper;
    Screen screen;
    screen.stream = paper.file();
    screen.live = live;
    screen.width = 80;
    {
      Progress progress("run", 0, 0, screen, [] { return 1.0; });
      progress.update(3);
      progress.finish();
    }
    CHECK(contains(paper.text(), "3 steps"));
    CHECK_FALSE(contains(paper.text(), "%"));

    const Paper torn;
    screen.stream = torn.file();
    try {
      Progress progress("run", 10, 0, screen, [] { return 1.0; });
      progress.update(3);
      throw std::runtime_error("stopped");
    } catch (const std::runtime_error&) {
    }
    const std::string text = torn.text();
    CHECK_FALSE(contains(text, "steps in"));
    if (live) CHECK(text.back() == '\n');
  }
}

TEST_CASE("demo smoothing keeps constants, the first value and gaps") {
  CHECK(smoothed({3, 3, 3, 3, 3, 3}) == std::vector<double>(6, 3.0));
  const std::vector<double> mean = smoothed({9, 0, 3, nan_value, 3, 0});
  CHECK(mean[0] == 9);
  CHECK(mean[1] == 4);  // (9 + 0 + 3) / 3
  CHECK(std::isnan(mean[3]));
  CHECK(mean[5] == 1.5);  // (3 + 0) / 2, the gap left out
  CHECK(smoothed({}).empty());
}

TEST_CASE("demo CSV: merged by step, empty where nothing was measured") {
  const std::vector<std::string> lines = lines_of(run_csv(some_run("r")));
  REQUIRE(lines.size() == 5);
  CHECK(lines[0] ==
        "step,seconds,loss,loss_smoothed,train_accuracy,test_accuracy,cosine,cosine_smoothed");
  CHECK(lines[1] == "1,0.5,2.5,2.5,,0.25,,");
  CHECK(lines[2].rfind("2,1,1.25,", 0) == 0);
  CHECK(lines[2].substr(lines[2].size() - 10) == ",,,0.5,0.5");
  CHECK(lines[4].rfind("4,,,,,,1,", 0) == 0);
}

TEST_CASE("demo summary: figures to all digits, empty where not measured") {
  Summary row = some_run("forward, 1 direction").summary;
  CHECK(summary_csv({row}) ==
        "method,steps,seconds,seconds_per_step,loss,train_accuracy,test_accuracy,misclassified\n"
        "\"forward, 1 direction\",3,1.5,0.5,0.125,,0.75,\n");
  row.misclassified = 8;
  CHECK(contains(summary_csv({row}), ",0.75,8\n"));
}

TEST_CASE("demo report: without gnuplot everything but the drawings is written") {
  const Folder folder;
  const fs::path out = folder.path() / "deep" / "re port";
  fs::create_directories(out / "plots");
  std::ofstream(out / "plots" / "loss-steps.svg") << "an older drawing";

  const Environment none("PATH", folder.path());
  const ReportResult result =
      write_report(out, some_info(), {some_run("reverse"), some_run("reverse")});
  CHECK(result.gnuplot_missing);
  CHECK(contains(result.message(), "gnuplot"));
  CHECK(count_of(result.message(), "\n") == 0);
  CHECK(result.page == out / "report.html");
  CHECK(files_below(out) ==
        std::vector<std::string>{"plots/accuracy-seconds.gp", "plots/accuracy-steps.gp",
                                 "plots/cosine-steps.gp", "plots/loss-seconds.gp",
                                 "plots/loss-steps.gp", "report.html", "reverse-2.csv",
                                 "reverse.csv"});
  CHECK(read_file(out / "reverse.csv") == run_csv(some_run("reverse")));

  const std::string page = read_file(result.page);
  CHECK(contains(page, "Title &lt;1&gt;"));
  CHECK(contains(page, "some &amp; rows"));
  CHECK(contains(page, "./run demo --seed 3"));
  CHECK(count_of(page, "gnuplot is not installed") == 5);
  CHECK_FALSE(contains(page, "<svg"));
}

TEST_CASE("demo report: a gnuplot that fails is reported with its own words") {
  const Folder folder;
  const fs::path bin = folder.path() / "bin";
  fs::create_directory(bin);
  const Environment only("PATH", bin);

  put_program(bin / "gnuplot",
              "#!/bin/sh\necho 'first line' >&2\necho 'bad <terminal>' >&2\nexit 3\n");
  ReportResult result = write_report(folder.path() / "a", some_info(), {some_run("r")});
  CHECK_FALSE(result.gnuplot_missing);
  REQUIRE(result.problems.size() == 5);
  CHECK(result.problems[0] == "plots/loss-steps.gp: gnuplot ended with code 3: bad <terminal>");
  CHECK(contains(read_file(result.page), "bad &lt;terminal&gt;"));

  put_program(bin / "gnuplot", "#!/bin/sh\nexit 0\n");
  result = write_report(folder.path() / "b", some_info(), {some_run("r")});
  CHECK(contains(result.message(), "no whole drawing"));
  CHECK(contains(result.message(), "4 more"));
  put_program(bin / "gnuplot", "#!/bin/sh\nkill -9 $$\n");
  result = write_report(folder.path() / "c", some_info(), {some_run("r")});
  CHECK(contains(result.message(), "signal 9"));
  CHECK(files_below(folder.path() / "c").size() == 7);  // no leftovers
}

TEST_CASE("demo report: drawn by gnuplot, self-contained, ids unique, scripts run by hand") {
  if (std::system("gnuplot --version > /dev/null 2>&1") != 0) {
    MESSAGE("skipped: gnuplot is not installed");
    return;
  }
  const Folder folder;
  Run diverged = some_run("it's \"<b>\" 50% @{x} \\n");
  diverged.loss = {2.5, HUGE_VAL, nan_value};
  const ReportResult result = write_report(folder.path(), some_info(), {some_run("a"), diverged});
  CHECK(result.message().empty());

  const std::string page = read_file(result.page);
  CHECK(count_of(page, "<svg") == 5);
  CHECK(count_of(page, "</svg>") == 5);
  for (const char* foreign :
       {"<?xml", "<!DOCTYPE svg", "href=\"http", "src=", "<script", "@import", "#gpPt"}) {
    CAPTURE(foreign);
    CHECK_FALSE(contains(page, foreign));
  }
  CHECK(contains(page, "var(--series-2, #d55e00)"));
  CHECK_FALSE(contains(page, "stroke='rgb("));
  CHECK_FALSE(contains(page, "fill=\"rgb("));
  std::vector<std::string> ids;
  for (std::size_t at = 0; (at = page.find(" id=", at)) != std::string::npos;) {
    at += 5;
    ids.push_back(page.substr(at, page.find_first_of("'\"", at) - at));
  }
  CHECK(ids.size() > 5);
  std::sort(ids.begin(), ids.end());
  CHECK(std::adjacent_find(ids.begin(), ids.end()) == ids.end());

  const std::vector<std::string> before = files_below(folder.path());
  CHECK(std::count_if(before.begin(), before.end(),
                      [](const std::string& n) { return contains(n, ".svg"); }) == 5);
  const fs::path svg = folder.path() / "plots" / "loss-steps.svg";
  const std::string first = read_file(svg);
  fs::remove(svg);
  const std::string by_hand =
      "cd " + shell_word(svg.parent_path().string()) + " && gnuplot loss-steps.gp > /dev/null 2>&1";
  CHECK(std::system(by_hand.c_str()) == 0);
  CHECK(read_file(svg) == first);
  CHECK(files_below(folder.path()) == before);
}

TEST_CASE("demo report: an unwritable folder and uneven vectors are one clear line") {
  const Folder folder;
  std::ofstream(folder.path() / "file") << "x";
  for (const fs::path& bad : {folder.path() / "file", folder.path() / "file" / "below",
                              fs::path("/proc/no such folder"), fs::path()}) {
    CAPTURE(bad);
    std::string text;
    try {
      write_report(bad, some_info(), {some_run("r")});
    } catch (const dualtape::DataError& e) {
      text = e.what();
    }
    CHECK(contains(text, "'" + bad.string() + "'"));
    CHECK(count_of(text, "\n") == 0);
  }
  CHECK(files_below(folder.path()) == std::vector<std::string>{"file"});

  Run uneven = some_run("r");
  uneven.loss.pop_back();
  CHECK_THROWS_WITH_AS(write_report(folder.path() / "new", some_info(), {uneven}),
                       "[write_report] run 'r': loss has 2 values, step has 3",
                       dualtape::ValueError);
  CHECK_FALSE(fs::exists(folder.path() / "new"));
}

TEST_CASE("demo files: an existing file survives a failed write") {
  const Folder folder;
  const fs::path path = folder.path() / "f";
  write_file(path, "one");
  write_file(path, "two");
  CHECK(read_file(path) == "two");
  CHECK(files_below(folder.path()) == std::vector<std::string>{"f"});
  fs::create_directories(folder.path() / "d" / "full");
  CHECK_THROWS_AS(write_file(folder.path() / "d", "x"), dualtape::DataError);
  CHECK(files_below(folder.path()) == std::vector<std::string>{"f"});
  CHECK_THROWS_AS(read_file(folder.path() / "none"), dualtape::DataError);
}
