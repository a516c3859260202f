#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#if __has_include(<nlohmann/json.hpp>)
#include <nlohmann/json.hpp>
#endif

#include <dualtape/core/profile.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/reduce.hpp>

#include "tests/data/temporary.hpp"

using namespace dualtape;
using dualtape::testing::bytes_of_file;

namespace {

// A product, so that not all of it can become one step.
struct Small {
  Graph graph;
  Var x = graph.input("x", {4, 8});
  Var w = graph.input("w", {8, 3});
  Var y = exp(matmul(x, w).named("the \"product\"\n\\ of x"));
  std::vector<Feed> feeds{{x, ones({4, 8})}, {w, ones({8, 3})}};
};

// As far as one can tell without a library: brackets match outside strings, escapes are known and
// control characters do not occur in strings.
bool looks_like_json(const std::string& text) {
  std::string open;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c == '\\' && std::string_view("\"\\/bfnrtu").find(text[++i]) == std::string_view::npos)
        return false;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      open += c == '{' ? '}' : ']';
    } else if (c == '}' || c == ']') {
      if (open.empty() || open.back() != c) return false;
      open.pop_back();
    }
  }
  return open.empty() && !in_string;
}

std::size_t count_of(const std::string& text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++count;
  return count;
}

}  // namespace

TEST_CASE("a program counts nothing unless asked") {
  Small small;
  Program program = compile({small.y});
  program.run(small.feeds);
  CHECK(program.profiled().runs == 0);
  CHECK(program.profiled().total_ns() == 0);
  CHECK(program.profiled().events.empty());
  CHECK(program.profiled().steps.size() == program.steps());
}

TEST_CASE("every step of every run is timed") {
  Small small;
  Program program = compile({small.y});
  const Tensor expected = program.run(small.feeds)[small.y].copy();
  program.profile(true);
  for (int i = 0; i < 3; ++i) CHECK(identical(program.run(small.feeds)[small.y], expected));
  program.profile(false);
  program.run(small.feeds);

  const Profile profile = program.profiled();
  CHECK(profile.runs == 3);
  REQUIRE(profile.steps.size() == program.steps());
  for (const StepProfile& step : profile.steps) {
    CHECK(step.calls == 3);
    CHECK(step.min_ns <= step.median_ns);
    CHECK(step.total_ns >= step.min_ns + step.median_ns);  // three times, sorted
    CHECK(step.where.find("profile_test.cpp:") != std::string::npos);
  }
  REQUIRE(profile.events.size() == 3 * program.steps());
  double end = 0;
  for (const ProfileEvent& event : profile.events) {
    CHECK(event.start_ns >= end);
    end = event.start_ns + event.duration_ns;
  }
  program.profile(true);
  CHECK(program.profiled().runs == 0);
}

TEST_CASE("operators add up their steps") {
  Small small;
  // Unfused: sums would run inside of what they add up.
  Program program =
      compile({small.y, sum(small.y, {0}), sum(small.y, {1})}, {}, {.without = {"fuse"}});
  program.profile(true);
  program.run(small.feeds);
  program.run(small.feeds);
  const Profile profile = program.profiled();
  const std::vector<OperatorProfile> operators = profile.operators();
  double sum_of_times = 0;
  double last = profile.typical_ns();
  bool has_sum = false;
  for (const OperatorProfile& entry : operators) {
    CHECK(entry.typical_ns <= last);
    last = entry.typical_ns;
    sum_of_times += entry.total_ns;
    CHECK(entry.calls == 2 * entry.steps);
    if (entry.op == "sum") {
      has_sum = true;
      CHECK(entry.steps == 2);
      // 12 floats read each time, 3 and 4 written.
      CHECK(entry.cost.bytes == 2 * 4.0 * (12 + 3 + 12 + 4));
    }
    if (entry.op == "matmul") CHECK(entry.cost.flops == 2 * 2.0 * 4 * 8 * 3);
  }
  CHECK(has_sum);
  CHECK(sum_of_times == doctest::Approx(profile.total_ns()));
  const std::string table = profile.table(1);
  CHECK(table.find("matmul") != std::string::npos);
  CHECK(table.find("more steps") != std::string::npos);
  CHECK(table.find("2 runs") != std::string::npos);
}

TEST_CASE("a failing run does not spoil the profile") {
  Graph g;
  const Var x = g.input("x", {2, 3});
  const Var labels = g.input("labels", {2}, int64);
  const Var loss = cross_entropy(x, labels);
  Program program = compile({loss});
  program.profile(true);
  const Tensor good = Tensor::of({0, 1});
  const Tensor bad = Tensor::of({0, 7});
  CHECK_THROWS_AS(program.run({{x, ones({2, 3})}, {labels, bad}}), ValueError);
  CHECK(program.profiled().runs == 0);
  program.run({{x, ones({2, 3})}, {labels, good}});
  CHECK(program.profiled().runs == 1);
}

TEST_CASE("events stop at their limit, times do not") {
  Small small;
  Program program = compile({small.y}, {}, CompileOptions{});
  program.profile(true);
  const std::size_t runs = Profile::event_limit / program.steps() + 10;
  for (std::size_t i = 0; i < runs; ++i) program.run(small.feeds);
  const Profile profile = program.profiled();
  CHECK(profile.events.size() == Profile::event_limit);
  CHECK(profile.runs == runs);
  CHECK(profile.steps.front().calls == runs);
}

TEST_CASE("the trace is JSON that says where each event comes from") {
  Small small;
  Program program = compile({small.y});
  program.profile(true);
  program.run(small.feeds);
  program.run(small.feeds);
  const Profile profile = program.profiled();
  const std::string trace = profile.trace();
  CHECK(looks_like_json(trace));
  CHECK(count_of(trace, R"("ph":"X")") == 2 * program.steps());
#if __has_include(<nlohmann/json.hpp>)
  const auto parsed = nlohmann::json::parse(trace);
  REQUIRE(parsed.is_array());
  REQUIRE(parsed.size() == 1 + 2 * program.steps());  // the name, then the events
  CHECK(parsed[0]["ph"] == "M");
  bool has_label = false;
  for (std::size_t i = 1; i < parsed.size(); ++i) {
    const auto& event = parsed[i];
    const ProfileEvent& expected = profile.events[i - 1];
    CHECK(event["ph"] == "X");
    CHECK(event["name"] == profile.steps[expected.step].op);
    CHECK(event["cat"] == "primal");
    CHECK(event["ts"].get<double>() == doctest::Approx(expected.start_ns / 1000));
    CHECK(event["dur"].get<double>() == doctest::Approx(expected.duration_ns / 1000));
    CHECK(event["args"]["shape"] == profile.steps[expected.step].type);
    has_label = has_label || event["args"]["label"] == "the \"product\"\n\\ of x";
  }
  CHECK(has_label);
#endif
}

TEST_CASE("an event of a step that is not there is an error") {
  Profile profile;
  profile.name = "made by hand";
  profile.events.push_back({});
  CHECK_THROWS_WITH_AS(static_cast<void>(profile.trace()),
                       doctest::Contains("an event is of step 0, there are 0 steps"), ValueError);
  CHECK_THROWS_WITH_AS(profile.write_trace("nowhere.json"), doctest::Contains("profile_test.cpp:"),
                       ValueError);
  CHECK(!std::filesystem::exists("nowhere.json"));
  profile.events.clear();
  CHECK_THROWS_AS(profile.write_trace(std::string("nowhere.json\0more", 17)), DataError);
  CHECK(!std::filesystem::exists("nowhere.json"));
}

TEST_CASE("a trace goes to a file, or says that it cannot") {
  Small small;
  Program program = compile({small.y});
  program.profile(true);
  program.run(small.feeds);
  const auto file = std::filesystem::temp_directory_path() /
                    ("dualtape_trace_" + std::to_string(std::rand()) + ".json");
  program.profiled().write_trace(file);
  CHECK(bytes_of_file(file) == program.profiled().trace());
  std::filesystem::remove(file);
  CHECK_THROWS_WITH_AS(program.profiled().write_trace("/no such folder/trace.json"),
                       doctest::Contains("/no such folder/trace.json"), DataError);
}

// Run by the next case, in a process of its own.
TEST_CASE("profiled from outside" * doctest::skip()) {
  Small small;
  Program program = compile({small.y});
  for (int i = 0; i < 5; ++i) program.run(small.feeds);
}

TEST_CASE("an environment variable profiles a whole process") {
  const auto folder = std::filesystem::temp_directory_path();
  const std::string name = (folder / "dualtape_profile_test").string();
  const std::string command = "DUALTAPE_PROFILE=" + name + ".json " +
                              std::filesystem::read_symlink("/proc/self/exe").string() +
                              " --no-skip --test-case='profiled from outside' >" + name +
                              ".out 2>" + name + ".err";
  const int status = std::system(command.c_str());
  if (status == 126 << 8) {  // a shell's code for it; so under an emulator of the processor
    MESSAGE("[skipped] a shell cannot start this program here");
    return;
  }
  REQUIRE(status == 0);
  const std::string trace = bytes_of_file(name + ".json");
  const std::string table = bytes_of_file(name + ".err");
  CHECK(looks_like_json(trace));
  Small small;
  CHECK(count_of(trace, R"("ph":"X")") == 5 * compile({small.y}).steps());
  CHECK(table.find("5 runs") != std::string::npos);
  CHECK(table.find("profile_test.cpp:") != std::string::npos);
  for (const char* end : {".json", ".out", ".err"}) std::filesystem::remove(name + end);
}
