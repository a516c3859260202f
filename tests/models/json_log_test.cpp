#include <dualtape/models/json_log.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <dualtape/data/batches.hpp>
#include <dualtape/models/layers.hpp>
#include <dualtape/models/trainer.hpp>
#include <dualtape/ops/losses.hpp>
#include <tests/models/files.hpp>

using namespace dualtape;

namespace {

std::vector<std::string> lines_of(const std::filesystem::path& path) {
  std::istringstream in(bytes_of_file(path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// The text of a field of such a line, as written; "" if there is none.
std::string field(const std::string& line, const std::string& name) {
  const std::size_t at = line.find("\"" + name + "\":");
  if (at == std::string::npos) return "";
  const std::size_t begin = at + name.size() + 3;
  return line.substr(begin, line.find_first_of(",}", begin) - begin);
}

TrainResult train(const std::filesystem::path& path, double rate, std::int64_t every = 1) {
  const nn::Linear line("line", 2, 1, Key{1});
  Sgd sgd;
  Trainer trainer(
      [&](Var x, Var y) { return mse(line(x), y); }, line.parameters(), backpropagation(), sgd,
      {.schedule = constant_rate(rate), .callbacks = {std::make_shared<JsonLog>(path, every)}});
  Batches batches({ones({6, 2}), zeros({6, 1}), {}, {}, "ones"}, 2);
  const TrainResult result = trainer.fit(batches, {.epochs = 2});
  trainer.report("a \"quoted\"\n name", INFINITY);
  return result;
}

}  // namespace

TEST_CASE("every number of a training is a line of JSON") {
  if (!built_with_json()) return;
  const Folder folder;
  const TrainResult result = train(folder / "log", 0.1);
  const std::vector<std::string> lines = lines_of(folder / "log");
  std::vector<std::string> events;
  double before = 0;
  double in_steps = 0;
  for (const std::string& line : lines) {
    events.push_back(field(line, "event"));
    if (events.back() == "\"begin\"") continue;
    const double wall = std::stod(field(line, "wall_seconds"));
    CHECK(wall >= before);
    before = wall;
    if (events.back() == "\"step\"") in_steps += std::stod(field(line, "step_seconds"));
  }
  CHECK(events == std::vector<std::string>{"\"begin\"", "\"step\"", "\"step\"", "\"step\"",
                                           "\"epoch\"", "\"step\"", "\"step\"", "\"step\"",
                                           "\"epoch\"", "\"end\"", "\"scalar\""});
  CHECK(in_steps == doctest::Approx(result.seconds));
  CHECK(field(lines[3], "step") == "3");
  CHECK(field(lines[5], "epoch") == "1");
  CHECK(field(lines[3], "rate") == "0.1");
  CHECK(std::stod(field(lines[7], "loss")) == result.loss);  // all digits
  CHECK(field(lines[9], "stop") == "\"epochs\"");
  CHECK(lines[10].find(R"("name":"a \"quoted\"\n name","value":"Infinity")") != std::string::npos);

  train(folder / "log", 0.1);  // appends
  CHECK(lines_of(folder / "log").size() == 22);
}

TEST_CASE("steps may be thinned; a loss that is not finite is always told") {
  if (!built_with_json()) return;
  const Folder folder;
  train(folder / "thin", 0.1, 2);
  std::vector<std::string> steps;
  for (const std::string& line : lines_of(folder / "thin"))
    if (field(line, "event") == "\"step\"") steps.push_back(field(line, "step"));
  CHECK(steps == std::vector<std::string>{"2", "4", "6"});

  const TrainResult wild = train(folder / "wild", 1e25, 100);
  CHECK(wild.stop == Stop::not_finite);
  const std::vector<std::string> lines = lines_of(folder / "wild");
  REQUIRE(lines.size() == 4);
  CHECK((field(lines[1], "loss") == "\"Infinity\"" || field(lines[1], "loss") == "\"NaN\""));
  CHECK(field(lines[2], "fault").starts_with("\"step "));
}

TEST_CASE("the end tells who stopped the run") {
  if (!built_with_json()) return;
  const Folder folder;
  const nn::Linear line("line", 2, 1, Key{1});
  Sgd sgd;
  Trainer trainer([&](Var x, Var y) { return mse(line(x), y); }, line.parameters(),
                  backpropagation(), sgd,
                  {.on_step = [](const StepInfo&) { return false; },
                   .callbacks = {std::make_shared<JsonLog>(folder / "log")}});
  Batches batches({ones({6, 2}), zeros({6, 1}), {}, {}, "ones"}, 2);
  trainer.fit(batches, {.epochs = 2});
  const std::vector<std::string> lines = lines_of(folder / "log");
  REQUIRE(lines.size() == 3);
  CHECK(field(lines[2], "stop") == "\"callback\"");
  CHECK(field(lines[2], "stopped_by") == "\"TrainerOptions::on_step\"");
}

TEST_CASE("a log that cannot be written says so") {
  if (!built_with_json()) return;
  const Folder folder;
  CHECK_THROWS_AS(JsonLog(folder / "no" / "log"), DataError);
  CHECK_THROWS_AS(JsonLog(folder / "log", 0), ValueError);
  CHECK_THROWS_AS(train("/dev/full", 0.1), DataError);
}

TEST_CASE("no log is written under half of its name") {
  if (!built_with_json()) return;
  const Folder folder;
  const std::filesystem::path cut = (folder / "cut").string() + std::string("\0.jsonl", 7);
  const std::string text = testing::error_of<DataError>([&] { JsonLog log(cut); });
  CHECK(testing::has(text, "holds a zero byte"));
  CHECK(testing::has(text, "json_log_test.cpp:"));
  CHECK(std::filesystem::is_empty(folder.path()));
}
